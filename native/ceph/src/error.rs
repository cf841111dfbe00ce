//! What can go wrong, as outcomes that a caller can act on.

use std::{
    ffi::{CString, c_int},
    io,
};

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// librados or librbd is not there, or too old. The text is the loader's, and names the file.
    #[error("{0}")]
    Library(String),
    /// The operation of the library failed.
    #[error("{operation}: {outcome}")]
    Failed {
        /// The C function, without its prefix.
        operation: &'static str,
        /// How.
        outcome: Outcome,
    },
}

/// The error numbers of librados and librbd, by what they mean to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outcome {
    /// ESHUTDOWN: the cluster has shut this connection out, for good.
    #[error("the cluster has shut this client out")]
    Blocklisted,
    /// EBUSY: watched by somebody, protected, or with clones.
    #[error("in use")]
    Busy,
    /// EPERM, EACCES, EROFS: the capabilities do not allow it.
    #[error("not permitted")]
    Denied,
    /// EEXIST
    #[error("exists")]
    Exists,
    /// ENOSPC, EDQUOT: the cluster is full, or the pool's quota is reached.
    #[error("no room")]
    Full,
    /// ENOTEMPTY: the image has snapshots.
    #[error("has snapshots")]
    HasSnapshots,
    /// EINVAL
    #[error("invalid")]
    Invalid,
    /// ENOENT: no such image, snapshot, pool, user, keyring or configuration file.
    #[error("not found")]
    NotFound,
    /// ETIMEDOUT, ENOTCONN: no answer.
    #[error("no answer")]
    Unreachable,
    /// Another error number.
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Other(i32),
}

impl Error {
    /// How the operation failed, when it was begun.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Library(_) => None,
            Self::Failed { outcome, .. } => Some(*outcome),
        }
    }

    pub(crate) fn failed(operation: &'static str, outcome: Outcome) -> Self {
        Self::Failed { operation, outcome }
    }
}

impl Outcome {
    /// The meaning of an error number.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ESHUTDOWN => Self::Blocklisted,
            libc::EBUSY => Self::Busy,
            libc::EPERM | libc::EACCES | libc::EROFS => Self::Denied,
            libc::EEXIST => Self::Exists,
            libc::ENOSPC | libc::EDQUOT => Self::Full,
            libc::ENOTEMPTY => Self::HasSnapshots,
            libc::EINVAL => Self::Invalid,
            libc::ENOENT => Self::NotFound,
            libc::ETIMEDOUT | libc::ENOTCONN => Self::Unreachable,
            other => Self::Other(other),
        }
    }
}

/// The library's way to report: negative is an error number.
pub(crate) fn check(operation: &'static str, result: c_int) -> Result<usize> {
    usize::try_from(result)
        .map_err(|_| Error::failed(operation, Outcome::from_errno(result.saturating_neg())))
}

/// A text for C.
pub(crate) fn text(operation: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::failed(operation, Outcome::Invalid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_result_is_an_error_number() {
        assert_eq!(check("open", 0), Ok(0));
        assert_eq!(check("list", 7), Ok(7));
        for (errno, outcome) in [
            (libc::ENOENT, Outcome::NotFound),
            (libc::EDQUOT, Outcome::Full),
            (libc::ESHUTDOWN, Outcome::Blocklisted),
            (libc::ENOTCONN, Outcome::Unreachable),
            (libc::ERANGE, Outcome::Other(libc::ERANGE)),
        ] {
            let error = check("open", -errno).unwrap_err();
            assert_eq!(error.outcome(), Some(outcome));
        }
        assert!(check("open", c_int::MIN).is_err());
    }

    #[test]
    fn a_text_with_a_nul_is_no_name() {
        let error = text("open", "a\0b").unwrap_err();
        assert_eq!(error.outcome(), Some(Outcome::Invalid));
    }

    #[test]
    fn an_error_says_what_failed_and_how() {
        let error = check("rbd_open", -libc::ENOENT).unwrap_err();
        assert_eq!(error.to_string(), "rbd_open: not found");
    }
}
