//! The stores of this process, by id.

use std::sync::Arc;

use super::Store;
use crate::model::StoreId;

/// All configured stores, in the operator's order, and which of them is the default.
#[derive(Clone, Debug)]
pub struct Registry {
    stores: Vec<Arc<dyn Store>>,
    default: StoreId,
}

impl Registry {
    /// `default` must be the id of one of `stores`.
    pub fn new(stores: Vec<Arc<dyn Store>>, default: StoreId) -> Self {
        debug_assert!(stores.iter().any(|s| *s.id() == default));
        Self { stores, default }
    }

    /// The store of that id.
    pub fn get(&self, id: &StoreId) -> Option<&Arc<dyn Store>> {
        self.stores.iter().find(|store| store.id() == id)
    }

    /// The id of the default store.
    pub fn default_id(&self) -> &StoreId {
        &self.default
    }

    /// Every store, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Store>> {
        self.stores.iter()
    }

    /// The store that an address belongs to (reference E.1: by prefix).
    pub fn by_url(&self, url: &str) -> Option<&Arc<dyn Store>> {
        self.stores.iter().find(|store| store.owns(url))
    }
}
