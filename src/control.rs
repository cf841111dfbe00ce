//! The control plane: decides before the first byte, records after the last. No HTTP, no image
//! bytes.
//!
//! Every operation reads the same way: load, allow, check, move the status, persist.

pub mod artifact;
mod attempts;
pub mod auth;
pub mod cache;
pub mod caller;
pub mod db;
pub mod download;
pub mod encryption;
pub mod error;
pub mod image;
pub mod import;
pub mod job;
pub mod lease;
pub mod location;
pub mod member;
pub mod metadef;
pub mod notify;
pub mod policy;
pub mod protect;
pub mod purge;
pub mod quota;
pub mod recover;
pub mod scrub;
pub mod settings;
pub mod signature;
mod stage;
pub mod sweep;
pub mod tag;
pub mod task;
mod trust;
pub mod upload;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{
    client::{
        glance::Glance,
        key_manager::KeyManager,
        keystone::{Limits, Trusts},
        peer::Peer,
        web::Web,
    },
    model::Location,
    store::{Registry, Store},
};

pub use crate::client::keystone::Error as KeystoneError;
pub use auth::Auth;
pub use cache::ImageCache;
pub use caller::{Caller, Identity};
pub use db::Db;
pub use error::{Error, Result};
pub use lease::Leases;
pub use policy::{Policy, Rule};
pub use protect::Protections;
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
    /// How callers are known.
    pub auth: Auth,
    /// What projects may use, by Keystone (`use_keystone_limits`).
    pub limits: Option<Limits>,
    /// Who may do what.
    pub policy: Policy,
    /// Who may do what with which properties.
    pub protections: Protections,
    /// What covers this process's uploads.
    pub leases: Arc<Leases>,
    /// Fetches from the web what users name.
    pub web: Option<Web>,
    /// Asks other image services.
    pub glance: Option<Glance>,
    /// By which users have it done after their requests; none without Keystone.
    pub trusts: Option<Trusts>,
    /// The tokens of those who have no trust.
    pub held: import::Held,
    /// Asks other workers for what only they have.
    pub peer: Option<Peer>,
    /// What is on this node's disk beside the stores.
    pub cache: Option<ImageCache>,
    /// Has the certificates that images are signed with, and the keys of encrypted ones.
    pub keys: Option<Arc<dyn KeyManager>>,
    /// Tells [`job::run`] that there is work.
    pub job_added: Notify,
}

impl Control {
    /// With Glance's default policy, and without authentication.
    pub fn new(db: Db, stores: Registry, settings: Settings, leases: Arc<Leases>) -> Self {
        Self {
            db,
            stores,
            settings,
            auth: Auth::Open,
            limits: None,
            policy: Policy::default(),
            protections: Protections::default(),
            leases,
            web: None,
            glance: None,
            trusts: None,
            held: import::Held::default(),
            peer: None,
            cache: None,
            keys: None,
            job_added: Notify::new(),
        }
    }

    /// The store that holds a location: the one that its metadata names, else the one whose
    /// address it is.
    pub fn store_of(&self, location: &Location) -> Option<&Arc<dyn Store>> {
        let named = location.store().and_then(|id| self.stores.get(&id));
        named.or_else(|| self.stores.by_url(&location.url))
    }
}
