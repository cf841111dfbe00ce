//! Stores that encrypt whatever is put there, and their keys.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    base::secret::Passphrase,
    client::{
        key_manager::{Barbican, KeyManager, Keyring},
        keystone::Session,
    },
    config::{Config, Keys},
    data::encrypt::{EncryptedStore, Vault},
    store::Registry,
};

/// The stores as they are served, of those that are opened.
///
/// # Errors
/// When the key of a store cannot be had.
pub(super) async fn served(
    config: &Config,
    opened: Registry,
    session: Option<&Arc<Session>>,
    vault: &Vault,
) -> anyhow::Result<Registry> {
    let mut served = Vec::new();
    for store in opened.iter() {
        let Some(key) = config.stores.encryption_key(store.id()) else {
            served.push(store.clone());
            continue;
        };
        let named = || format!("fresnel_encryption_key of the store {}", store.id());
        let passphrase = passphrase(&config.keys, key, session);
        let passphrase = passphrase.await.with_context(named)?;
        let wait = config.data.admission_wait;
        let encrypted = EncryptedStore::new(store.clone(), passphrase, vault.clone(), wait);
        served.push(Arc::new(encrypted));
    }
    Ok(Registry::new(served, opened.default_id().clone()))
}

/// Asked for as the service.
async fn passphrase(
    keys: &Keys,
    id: &str,
    session: Option<&Arc<Session>>,
) -> anyhow::Result<Passphrase> {
    Ok(match keys {
        Keys::File(folder) => {
            let keyring = Keyring::new(folder.clone());
            keyring.passphrase(id, None).await?
        }
        Keys::Barbican(config) => {
            let barbican = Barbican::new(config.clone(), session.cloned())?;
            barbican.own_passphrase(id).await?
        }
    })
}
