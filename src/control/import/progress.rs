//! What clients see of an import while it goes on: lists of stores in properties of the image, to
//! the letter as Glance keeps them. They stay behind, empty.

use crate::model::{Image, Status, StoreId};

/// Stores that are still to get the image.
pub(in crate::control) const IMPORTING: &str = "os_glance_importing_to_stores";
/// Stores that did not get it.
pub(in crate::control) const FAILED: &str = "os_glance_failed_import";

/// The import goes to these stores.
pub(in crate::control) fn begin(image: &mut Image, stores: &[StoreId]) {
    merge(image, IMPORTING, stores, true);
    merge(image, FAILED, stores, false);
}

/// Of these stores it is known how they ended.
pub(in crate::control) fn end(image: &mut Image, stores: &[StoreId]) {
    merge(image, IMPORTING, stores, false);
}

/// These have failed.
pub(in crate::control) fn fail(image: &mut Image, stores: &[StoreId]) {
    if !stores.is_empty() {
        merge(image, FAILED, stores, true);
    }
}

/// An image that got no data takes some again: nothing speaks of any.
pub(in crate::control) fn requeue(image: &mut Image) {
    image.status = Status::Queued;
    image.size_bytes = None;
    image.virtual_size_bytes = None;
    image.checksum = None;
    image.os_hash_algo = None;
    image.os_hash_value = None;
    image.locations.clear();
}

/// Adds to a list of names, or takes from it. It is sorted, as Glance's is.
fn merge(image: &mut Image, key: &str, stores: &[StoreId], add: bool) {
    let text = image.properties.get(key).cloned().flatten();
    let text = text.unwrap_or_default();
    let named = |name: &&str| stores.iter().any(|store| store.as_str() == *name);
    let mut names: Vec<&str> = text.split(',').filter(|name| !name.is_empty()).collect();
    names.retain(|name| !named(name));
    if add {
        names.extend(stores.iter().map(StoreId::as_str));
    }
    names.sort_unstable();
    names.dedup();
    let list = Some(names.join(","));
    image.properties.insert(key.to_owned(), list);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ImageId;

    #[test]
    fn lists_are_sorted_sets_and_stay_behind_empty() {
        let mut image = Image::queued(ImageId::random(), chrono::Utc::now().naive_utc());
        let [fast, cheap] = ["fast", "cheap"].map(StoreId::new);
        begin(&mut image, &[fast.clone(), cheap.clone()]);
        assert_eq!(image.properties[IMPORTING].as_deref(), Some("cheap,fast"));
        assert_eq!(image.properties[FAILED].as_deref(), Some(""));
        fail(&mut image, std::slice::from_ref(&cheap));
        end(&mut image, &[cheap, fast.clone()]);
        assert_eq!(image.properties[IMPORTING].as_deref(), Some(""));
        assert_eq!(image.properties[FAILED].as_deref(), Some("cheap"));
        begin(&mut image, &[fast]);
        assert_eq!(image.properties[FAILED].as_deref(), Some("cheap"));
    }
}
