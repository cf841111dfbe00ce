//! What can go wrong in a store, as outcomes that a caller can act on.

use crate::model::StoreId;

/// The result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The outcomes of glance_store's exceptions, in fewer words (reference E.1).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object of that name exists.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// The address is not of a form that the store reads.
    #[error("{0:?} is not an address of this store")]
    BadAddress(String),
    /// The store failed in a way of its own.
    #[error("store {store} failed")]
    Backend {
        /// The store.
        store: StoreId,
        /// The cause.
        source: std::io::Error,
    },
    /// Something depends on the object (clones of an RBD snapshot).
    #[error("{0} is in use")]
    Busy(String),
    /// The object is shorter than it should be, or cannot be read back.
    #[error("{0} is damaged")]
    Corrupt(String),
    /// The store refuses writes by permission.
    #[error("store {0} denies writing")]
    Denied(StoreId),
    /// No room.
    #[error("store {0} is full")]
    Full(StoreId),
    /// No buffers for a reader in time: ours is the fault, not the store's.
    #[error("no buffers became free in time")]
    NoBuffers,
    /// No such object.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The store takes no writes by its kind or configuration.
    #[error("store {0} is read-only")]
    ReadOnly(StoreId),
    /// The store cannot tell what lies in it.
    #[error("store {0} cannot list what lies in it")]
    Unlistable(StoreId),
    /// The object is larger than the store can take with the memory that it has.
    #[error(
        "store {store} takes images of at most {limit_bytes} bytes: its parts are as large as its \
         memory lets them be, [fresnel] memory_limit_mib, and there are at most 10,000"
    )]
    TooLarge {
        /// The store.
        store: StoreId,
        /// What it takes.
        limit_bytes: u64,
    },
    /// The store does not answer.
    #[error("store {0} does not answer")]
    Unavailable(StoreId),
}
