//! The control plane: decides before the first byte, records after the last. No HTTP, no image
//! bytes.
//!
//! Every operation reads the same way: load, allow, check, move the status, persist.

pub mod caller;
pub mod db;
pub mod error;
pub mod image;
pub mod member;
pub mod policy;
pub mod quota;
pub mod settings;
pub mod tag;

use crate::store::Registry;

pub use caller::Caller;
pub use db::Db;
pub use error::{Error, Result};
pub use policy::{Policy, Rule};
pub use settings::{Settings, StoreSettings};

/// Everything that decisions need; one value a process, shared in an `Arc`.
#[derive(Debug)]
pub struct Control {
    /// The records.
    pub db: Db,
    /// Where the bytes are.
    pub stores: Registry,
    /// What the operator decided.
    pub settings: Settings,
    /// Who may do what.
    pub policy: Policy,
}

impl Control {
    /// With the default policy.
    pub fn new(db: Db, stores: Registry, settings: Settings) -> Self {
        Self {
            db,
            stores,
            settings,
            policy: Policy,
        }
    }
}
