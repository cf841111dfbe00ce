//! The addresses of volumes (reference E.6): `cinder://<store>/<volume>`, and `cinder://<volume>`, which Glance writes
//! without `enabled_backends`, and Cinder itself.

use uuid::Uuid;

const SCHEME: &str = "cinder://";

/// The id of the volume that an address names, if it names no other store.
pub(super) fn parse(url: &str, store: &str) -> Option<String> {
    let rest = url.strip_prefix(SCHEME)?;
    let id = match rest.split_once('/') {
        Some((named, id)) if named == store => id,
        Some(_) => return None,
        None => rest,
    };
    let id = Uuid::try_parse(id).ok()?;
    Some(id.hyphenated().to_string())
}

/// The address of a volume, as Glance writes it.
pub(super) fn write(store: Option<&str>, volume: &str) -> String {
    match store {
        Some(store) => format!("{SCHEME}{store}/{volume}"),
        None => format!("{SCHEME}{volume}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_volume_with_or_without_its_store() {
        let id = "5f3c9d1e-0000-4000-8000-00000000000a";
        for url in [write(Some("cinder1"), id), write(None, id)] {
            assert_eq!(parse(&url, "cinder1").as_deref(), Some(id), "{url}");
        }
        assert_eq!(write(None, id), format!("cinder://{id}"));
        for bad in [
            "",
            "cinder://",
            "cinder:///etc/passwd",
            "cinder://cinder1/",
            "cinder://cinder1/volume",
            &format!("cinder://cinder2/{id}"),
            &format!("cinder://cinder1/{id}/"),
            &format!("cinder://cinder1/{id}/../x"),
            &format!("rbd://{id}"),
        ] {
            assert_eq!(parse(bad, "cinder1"), None, "{bad}");
        }
    }
}
