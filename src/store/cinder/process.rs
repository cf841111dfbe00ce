//! Who has a volume attached: in the place of a device's name an attachment of ours names the process, so that what
//! one that has died left attached can be told from what is in use.
//!
//! Only a process of the same host can see that. Where it is mistaken, as from another container of that name, a
//! reader loses nothing but its hold on the volume.

use std::{fs, io};

const PREFIX: &str = "fresnel";

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) host: String,
    pid: u32,
    /// When it was started, in ticks since the host was: numbers come round.
    started: u64,
}

impl Process {
    /// This one.
    pub(super) fn own() -> io::Result<Self> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
        let pid = std::process::id();
        let started = started(pid).ok_or_else(|| io::Error::other("/proc tells nothing of us"))?;
        Ok(Self {
            host: host.trim().to_owned(),
            pid,
            started,
        })
    }

    /// As an attachment has it.
    pub(super) fn device(&self) -> String {
        let Self { host, pid, started } = self;
        format!("{PREFIX}:{host}:{pid}:{started}")
    }

    /// Whether an attachment is of a process of this host that is no more.
    pub(super) fn has_outlived(&self, device: &str) -> bool {
        Self::read(device).is_some_and(|other| {
            other.host == self.host && started(other.pid) != Some(other.started)
        })
    }

    fn read(device: &str) -> Option<Self> {
        let rest = device.strip_prefix(PREFIX)?.strip_prefix(':')?;
        let (rest, started) = rest.rsplit_once(':')?;
        let (host, pid) = rest.rsplit_once(':')?;
        Some(Self {
            host: host.to_owned(),
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        })
    }
}

/// When a process was started; none when there is none of that number.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything; 19 more stand before the time.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_is_not_outlived() {
        let own = Process::own().unwrap();
        assert_eq!(Process::read(&own.device()).unwrap(), own);
        assert!(!own.has_outlived(&own.device()));
        let earlier = Process {
            started: own.started - 1,
            ..own.clone()
        };
        assert!(own.has_outlived(&earlier.device()));
        let elsewhere = Process {
            host: format!("{}-2", own.host),
            ..earlier
        };
        assert!(!own.has_outlived(&elsewhere.device()));
        for device in ["", "glance_store", "/dev/vdb", "fresnel:h", "fresnel:h:x:1"] {
            assert!(!own.has_outlived(device), "{device}");
        }
    }
}
