//! The addresses of S3 objects (reference E.4): `s3://<host>/<bucket>/<key>`, `s3+https://` with TLS.
//! Older Glances wrote `<access key>:<secret key>@` before the host: that is read, and never written.

/// The schemes that Glance reads.
const SCHEMES: [&str; 3] = ["s3://", "s3+http://", "s3+https://"];

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub(super) host: &'a str,
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
}

impl<'a> Address<'a> {
    /// Reads an address; none when it is no such one.
    pub(super) fn parse(url: &'a str) -> Option<Self> {
        let rest = SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme))?;
        if rest.contains("://") {
            return None;
        }
        // A secret key may have slashes in it.
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let (place, key) = place.trim_matches('/').rsplit_once('/')?;
        let (host, bucket) = place.rsplit_once('/')?;
        let whole = [host, bucket, key].iter().all(|part| !part.is_empty());
        whole.then_some(Self { host, bucket, key })
    }
}

/// An S3 address without credentials, and any other as it is.
pub fn without_credentials(url: String) -> String {
    let is_s3 = |scheme: &&&str| url.starts_with(**scheme);
    match (SCHEMES.iter().find(is_s3), url.rsplit_once('@')) {
        (Some(scheme), Some((_, place))) => format!("{scheme}{place}"),
        _ => url,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_over() {
        let want = Some(Address {
            host: "host:7480",
            bucket: "glance",
            key: "id",
        });
        for url in [
            "s3://host:7480/glance/id",
            "s3+http://host:7480/glance/id",
            "s3+https://ACCESS:se/cr/et+=@host:7480/glance/id",
            "s3://host:7480/glance/id/",
        ] {
            assert_eq!(Address::parse(url), want, "{url}");
            assert!(!without_credentials(url.to_owned()).contains("ACCESS"));
        }
        let other = "rbd://pool/im@ge".to_owned();
        assert_eq!(without_credentials(other.clone()), other);
    }

    #[test]
    fn an_address_has_three_parts() {
        for bad in [
            "",
            "s3://",
            "s3:///etc/passwd",
            "s3://host/bucket",
            "s3://https://host/bucket/key",
            "s3://access:secret@",
            "http://host/bucket/key",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}
