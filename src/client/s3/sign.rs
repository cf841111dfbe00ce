//! AWS's Signature Version 4, in headers.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use openssl::{hash::MessageDigest, pkey::PKey, sha::sha256, sign::Signer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Config;

/// Where a request goes that names no region.
pub(super) const DEFAULT_REGION: &str = "us-east-1";
/// In place of the payload's digest: it is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What AWS leaves as it is in a query; a path has its slashes too.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// What is signed of a request.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Encoded.
    pub(super) path: &'a str,
    /// Encoded, in order of the names.
    pub(super) query: &'a str,
    /// Names in lower case and values, in order of the names.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The payload's SHA-256 in hexadecimal, or [`UNSIGNED`].
    pub(super) payload: &'a str,
}

/// A path as it stands in a request.
pub(super) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// A query as it stands in a request, of parameters in order of their names.
pub(super) fn query(parameters: &[(&str, String)]) -> String {
    let encoded = |text| utf8_percent_encode(text, QUERY);
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// `x-amz-date`.
pub(super) fn stamp(now: DateTime<Utc>) -> String {
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

/// The header `Authorization`.
pub(super) fn authorization(config: &Config, now: DateTime<Utc>, signed: &Signed<'_>) -> String {
    let day = now.format("%Y%m%d").to_string();
    let scope = format!("{day}/{}/s3/aws4_request", config.region);
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let canonical = canonical(signed, &names);
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{scope}\n{}",
        stamp(now),
        hex(&sha256(canonical.as_bytes()))
    );
    let secret = Zeroizing::new(format!("AWS4{}", config.secret_key.expose()));
    let mut key = Zeroizing::new(secret.as_bytes().to_vec());
    for text in [day.as_str(), &config.region, "s3", "aws4_request", &to_sign] {
        key = Zeroizing::new(hmac(&key, text.as_bytes()));
    }
    format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={names},Signature={}",
        config.access_key.expose(),
        hex(&key)
    )
}

fn canonical(signed: &Signed<'_>, names: &str) -> String {
    let Signed {
        method,
        path,
        query,
        headers,
        payload,
    } = signed;
    let headers = headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()));
    let headers: String = headers.collect();
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let sign = || {
        let key = PKey::hmac(key)?;
        Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(text)
    };
    sign().expect("OpenSSL has HMAC")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::secret::Secret;

    /// The example of AWS's documentation, "GET Object".
    #[test]
    fn a_request_is_signed_as_aws_signs_it() {
        let config = Config {
            endpoint: "https://s3.amazonaws.com".parse().unwrap(),
            bucket: "examplebucket".into(),
            virtual_host: true,
            region: DEFAULT_REGION.into(),
            access_key: Secret::new("AKIAIOSFODNN7EXAMPLE".into()),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
            checksums: false,
            content_md5: false,
            ca_file: None,
            patience: Duration::ZERO,
        };
        let nothing = hex(&sha256(b""));
        let signed = Signed {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &[
                ("host", "examplebucket.s3.amazonaws.com"),
                ("range", "bytes=0-9"),
                ("x-amz-content-sha256", &nothing),
                ("x-amz-date", "20130524T000000Z"),
            ],
            payload: &nothing,
        };
        let now = "2013-05-24T00:00:00Z".parse().unwrap();
        assert_eq!(
            authorization(&config, now, &signed),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn queries_are_encoded_as_they_are_signed() {
        let parameters = [("prefix", "a b/é~".to_owned()), ("uploads", String::new())];
        assert_eq!(query(&parameters), "prefix=a%20b%2F%C3%A9~&uploads=");
        assert_eq!(path("/bucket/a+b"), "/bucket/a%2Bb");
    }
}
