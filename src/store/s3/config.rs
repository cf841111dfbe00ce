//! What an operator says of an S3 store.

use std::{path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{base::secret::Secret, client::s3};

/// Where a request goes that names no region.
const REGION: &str = "us-east-1";
/// AWS's own servers: only there `auto` puts the bucket into the host's name.
const AWS_DOMAIN: &str = ".amazonaws.com";

/// An S3 store.
#[derive(Clone, Debug)]
pub struct Config {
    /// `s3_store_host`: a URL, or a host that is reached without TLS.
    pub host: String,
    /// `s3_store_bucket`.
    pub bucket: String,
    /// `s3_store_access_key`.
    pub access_key: Secret,
    /// `s3_store_secret_key`.
    pub secret_key: Secret,
    /// `s3_store_region_name`; none takes AWS's from the host.
    pub region: Option<String>,
    /// `s3_store_bucket_url_format`.
    pub addressing: Addressing,
    /// `s3_store_create_bucket_on_put`.
    pub create_bucket: bool,
    /// `s3_store_request_checksum_calculation`, where that counts.
    pub checksums: bool,
    /// `fresnel_s3_content_md5`.
    pub content_md5: bool,
    /// `s3_store_cacert`.
    pub ca_file: Option<PathBuf>,
    /// `fresnel_s3_timeout_seconds`.
    pub patience: Duration,
}

/// Where a request names the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// As boto3: in the host's name at AWS, in the path elsewhere.
    Auto,
    /// In the path.
    Path,
    /// In the host's name.
    Virtual,
}

/// A value of `s3_store_host` that is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no http or https URL of a host, or a host")]
pub struct BadHost(String);

impl Config {
    /// A store with the defaults of everything that has one.
    pub fn new(
        host: impl Into<String>,
        bucket: impl Into<String>,
        access_key: Secret,
        secret_key: Secret,
    ) -> Self {
        Self {
            host: host.into(),
            bucket: bucket.into(),
            access_key,
            secret_key,
            region: None,
            addressing: Addressing::Auto,
            create_bucket: false,
            checksums: false,
            content_md5: false,
            ca_file: None,
            patience: Duration::from_secs(60),
        }
    }

    /// How the bucket is reached.
    ///
    /// # Errors
    /// [`BadHost`].
    pub fn reach(&self) -> Result<s3::Config, BadHost> {
        let endpoint = endpoint(&self.host)?;
        let host = endpoint.host_str().unwrap_or_default();
        let region = self.region.clone().or_else(|| aws_region(host));
        let virtual_host = match self.addressing {
            Addressing::Auto => host.ends_with(AWS_DOMAIN) && is_dns_label(&self.bucket),
            Addressing::Path => false,
            Addressing::Virtual => true,
        };
        Ok(s3::Config {
            virtual_host,
            region: region.unwrap_or_else(|| REGION.to_owned()),
            endpoint,
            bucket: self.bucket.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            checksums: self.checksums,
            content_md5: self.content_md5,
            ca_file: self.ca_file.clone(),
            patience: self.patience,
        })
    }

    /// What addresses begin with, as Glance writes them, and the host in them.
    pub(super) fn place(&self) -> (&'static str, &str) {
        let (scheme, host) = match self.host.split_once("://") {
            Some(("https", host)) => ("s3+https", host),
            Some((_, host)) => ("s3", host),
            None => ("s3", self.host.as_str()),
        };
        (scheme, host.trim_matches('/'))
    }
}

/// A bucket's name that can be the first part of a host's name, under a wildcard certificate too.
pub fn is_dns_label(bucket: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (3..=63).contains(&bucket.len())
        && bucket.chars().all(letters)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-')
}

fn endpoint(text: &str) -> Result<Url, BadHost> {
    let bad = || BadHost(text.to_owned());
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    let url = url.map_err(|_| bad())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let decodes = percent_decode_str(url.path()).decode_utf8().is_ok();
    let served = ["http", "https"].contains(&url.scheme()) && url.has_host();
    Some(url)
        .filter(|_| plain && decodes && served)
        .ok_or_else(bad)
}

/// `s3.<region>.amazonaws.com`, `s3-<region>.amazonaws.com`.
fn aws_region(host: &str) -> Option<String> {
    let name = host.strip_suffix(AWS_DOMAIN)?;
    let name = name.strip_prefix("s3")?;
    let region = name.strip_prefix(['.', '-'])?;
    let region = region.strip_prefix("dualstack.").unwrap_or(region);
    (!region.is_empty() && !region.contains('.')).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(host: &str, bucket: &str) -> s3::Config {
        let key = || Secret::new("k".into());
        Config::new(host, bucket, key(), key()).reach().unwrap()
    }

    #[test]
    fn a_host_without_a_scheme_has_no_tls() {
        let reached = reach("10.0.0.1:7480", "glance");
        assert_eq!(reached.endpoint.as_str(), "http://10.0.0.1:7480/");
        assert_eq!(
            (reached.virtual_host, reached.region.as_str()),
            (false, REGION)
        );
    }

    #[test]
    fn aws_is_known_by_its_name() {
        let reached = reach("https://s3.eu-north-1.amazonaws.com", "glance");
        assert!(reached.virtual_host);
        assert_eq!(reached.region, "eu-north-1");
        assert!(!reach("https://s3.amazonaws.com", "with.dots").virtual_host);
        assert_eq!(
            aws_region("s3-us-west-2.amazonaws.com").as_deref(),
            Some("us-west-2")
        );
        assert_eq!(aws_region("s3.amazonaws.com"), None);
        assert_eq!(aws_region("s3.example.com"), None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "",
            "ftp://host",
            "http://",
            "http://user:secret@host",
            "http://h?q",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
