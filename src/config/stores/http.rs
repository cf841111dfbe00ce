//! Stores of type `http` (reference E.7).

use serde_json::Map;

use super::{AnyStore, Kind, Store};
use crate::{
    client::web::{self, Proxy, Scheme, Timeouts},
    config::{option::section, reader::Reader, value::Pairs},
};

section! {
    /// A store of type `http`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`. It reads images at addresses that
    /// users register, as far as `[import_filtering_opts]` allows, and takes no uploads.
    HttpStore in "glance_store" {
        /// PEM file with the certificates that those of servers must be signed by.
        https_ca_certificates_file: Option<String>;
        /// Trust whoever answers, as Glance does by default. Ignored where
        /// `https_ca_certificates_file` is set.
        https_insecure: bool = "true";
        /// HTTP proxies as `scheme:address`, e.g. `http:10.0.0.1:3128, https:10.0.0.1:3128`. What a
        /// proxy then connects to, it decides itself.
        http_proxy_information: Option<Pairs>;
    }
}

/// A store of type http.
pub(super) fn store(
    reader: &mut Reader<'_>,
    id: &str,
    sections: &[&str],
    warnings: &mut Vec<String>,
) -> Store {
    let own = HttpStore::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let section = sections[0];
    let proxies = own
        .http_proxy_information
        .map_or(Vec::new(), |pairs| pairs.0);
    let proxies = proxies.iter().filter_map(|(scheme, address)| {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => None,
        };
        let proxy = Proxy::parse(address);
        let reason = match (scheme, proxy) {
            (Some(scheme), Ok(proxy)) => return Some((scheme, proxy)),
            (None, _) => "names another scheme than http and https".to_owned(),
            // The address may hold a password.
            (_, Err(error)) => error.to_string(),
        };
        reader.refuse(section, "http_proxy_information", &reason);
        None
    });
    let proxies: Vec<_> = proxies.collect();
    let insecure = own.https_insecure && own.https_ca_certificates_file.is_none();
    if insecure && reader.place(section, "https_insecure").is_some() {
        warnings.push(format!(
            "[{section}] https_insecure: the certificates of servers are not verified"
        ));
    }
    let mut settings = any.settings(id, Map::new());
    settings.read_only = true;
    settings.encryption_key = None;
    Store {
        settings,
        kind: Kind::Http(web::Config {
            ca_file: own.https_ca_certificates_file.map(Into::into),
            insecure: own.https_insecure,
            proxies,
            timeouts: Timeouts::default(),
        }),
    }
}
