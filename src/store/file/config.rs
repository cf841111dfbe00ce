//! What an operator says of a file store.

use std::{path::PathBuf, str::FromStr};

/// A file store. Without directories it cannot be opened for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `filesystem_store_datadir`, or all of `filesystem_store_datadirs`: at least one.
    pub datadirs: Vec<Datadir>,
    /// `filesystem_store_file_perm`: the mode of published files; none leaves the umask's.
    pub file_perm: Option<u32>,
    /// `filesystem_thin_provisioning`: zeroes become holes.
    pub thin_provisioning: bool,
}

impl Config {
    /// A store in one directory, with Glance's defaults.
    pub fn in_dir(path: impl Into<PathBuf>) -> Self {
        let datadir = Datadir {
            path: path.into(),
            priority: 0,
        };
        Self {
            datadirs: vec![datadir],
            ..Self::default()
        }
    }
}

/// A directory for objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datadir {
    /// Where.
    pub path: PathBuf,
    /// Higher is filled first.
    pub priority: i64,
}

/// A value of `filesystem_store_datadirs` that is no `path[:priority]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not path[:priority]")]
pub struct BadDatadir(String);

impl FromStr for Datadir {
    type Err = BadDatadir;

    fn from_str(text: &str) -> Result<Self, BadDatadir> {
        let bad = || BadDatadir(text.to_owned());
        let (path, priority) = text.rsplit_once(':').unwrap_or((text, ""));
        let (path, priority) = (path.trim(), priority.trim());
        if path.is_empty() {
            return Err(bad());
        }
        Ok(Self {
            path: path.into(),
            priority: match priority {
                "" => 0,
                number => number.parse().map_err(|_| bad())?,
            },
        })
    }
}

/// A value of `filesystem_store_file_perm` that its owner could not read through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no file mode whose owner may read")]
pub struct BadFilePerm(i64);

/// The mode that `filesystem_store_file_perm` means: its decimal digits are the octal ones, and
/// nothing positive is none.
pub fn file_perm(digits: i64) -> Result<Option<u32>, BadFilePerm> {
    if digits <= 0 {
        return Ok(None);
    }
    let mode = u32::from_str_radix(&digits.to_string(), 8);
    let readable = mode.ok().filter(|m| m & 0o400 != 0 && *m <= 0o7777);
    readable.map(Some).ok_or(BadFilePerm(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datadir_is_a_path_and_perhaps_a_priority() {
        let read = |text: &str| text.parse::<Datadir>().map(|d| (d.path, d.priority));
        assert_eq!(read("/a"), Ok(("/a".into(), 0)));
        assert_eq!(read("/a:"), Ok(("/a".into(), 0)));
        assert_eq!(read(" /a : 200 "), Ok(("/a".into(), 200)));
        assert_eq!(read("/a:b:-3"), Ok(("/a:b".into(), -3)));
        for bad in ["", ":5", "/a:x"] {
            assert_eq!(read(bad), Err(BadDatadir(bad.into())));
        }
    }

    #[test]
    fn file_perm_is_written_in_decimal_and_read_as_octal() {
        assert_eq!(file_perm(0), Ok(None));
        assert_eq!(file_perm(-1), Ok(None));
        assert_eq!(file_perm(640), Ok(Some(0o640)));
        for bad in [40, 689, 77777] {
            assert_eq!(file_perm(bad), Err(BadFilePerm(bad)));
        }
    }
}
