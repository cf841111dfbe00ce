//! Open files: as many as the system allows, and some kept for what no client brings.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::http;

/// Files of the process's own: database, stores, log, other services.
const RESERVED: u64 = 128;
/// A connection and the file that is read or written for it.
const FILES_PER_CONNECTION: u64 = 2;

/// Raises the limit of open files to what the system allows, and lowers that of connections to what it has
/// room for.
pub(super) fn provide(http: &mut http::Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let highest = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let room = connections_max(limit);
    if room < http.connections_max {
        warn!(
            open_files = limit,
            connections_max = room,
            "[fresnel] connections_max is more than the limit of open files (LimitNOFILE=) has room for"
        );
        http.connections_max = room;
    }
}

/// Of a number of open files; none is no limit.
fn connections_max(limit: Option<u64>) -> usize {
    let Some(limit) = limit else {
        return usize::MAX;
    };
    let room = limit.saturating_sub(RESERVED) / FILES_PER_CONNECTION;
    usize::try_from(room).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::connections_max;

    #[test]
    fn some_files_are_kept() {
        assert_eq!(connections_max(Some(256)), 64);
        assert_eq!(connections_max(Some(65536)), 32704);
        assert_eq!(connections_max(Some(20)), 1);
        assert_eq!(connections_max(None), usize::MAX);
    }
}
