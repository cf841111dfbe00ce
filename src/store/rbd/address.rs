//! The addresses of RBD images (reference E.2): `rbd://<fsid>/<pool>/<image>/<snapshot>`, each part
//! percent-encoded, and the short `rbd://<image>`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const SCHEME: &str = "rbd://";

/// What Python's `quote` with no safe characters leaves as it is.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The cluster and the pool; none is the store's own.
    pub(super) place: Option<Place>,
    pub(super) image: String,
    /// None is the image's head.
    pub(super) snapshot: Option<String>,
}

/// A pool of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) fsid: String,
    pub(super) pool: String,
}

impl Address {
    /// Reads an address; none when it is no such one.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let parts: Vec<&str> = url.strip_prefix(SCHEME)?.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        match parts[..] {
            [image] => Some(Self {
                place: None,
                image: image.to_owned(),
                snapshot: None,
            }),
            [fsid, pool, image, snapshot] => Some(Self {
                place: Some(Place {
                    fsid: decoded(fsid)?,
                    pool: decoded(pool)?,
                }),
                image: decoded(image)?,
                snapshot: Some(decoded(snapshot)?),
            }),
            _ => None,
        }
    }
}

/// The address of a snapshot, as Glance writes it.
pub(super) fn write(fsid: &str, pool: &str, image: &str, snapshot: &str) -> String {
    let parts = [fsid, pool, image, snapshot];
    let parts = parts.map(|part| utf8_percent_encode(part, UNSAFE).to_string());
    format!("{SCHEME}{}", parts.join("/"))
}

fn decoded(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let url = write("f-1", "po/ol", "i d", "sn@p~");
        assert_eq!(url, "rbd://f-1/po%2Fol/i%20d/sn%40p~");
        let address = Address::parse(&url).unwrap();
        let place = address.place.unwrap();
        assert_eq!((place.fsid.as_str(), place.pool.as_str()), ("f-1", "po/ol"));
        assert_eq!(address.image, "i d");
        assert_eq!(address.snapshot.as_deref(), Some("sn@p~"));
    }

    #[test]
    fn the_short_form_is_an_image_of_the_store() {
        let address = Address::parse("rbd://image").unwrap();
        assert_eq!(address.image, "image");
        assert_eq!((address.place, address.snapshot), (None, None));
    }

    #[test]
    fn it_has_one_part_or_four() {
        for bad in [
            "",
            "rbd://",
            "rbd:///etc/passwd",
            "rbd://a/b",
            "rbd://a/b/c",
            "rbd://a/b/c/",
            "rbd://a/b/c/d/e",
            "file://a/b/c/d",
            "rbd://a/b/c/%ff",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
