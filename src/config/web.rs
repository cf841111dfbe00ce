//! `[import_filtering_opts]`: what users may have fetched for them (reference A.5.4).

use super::{Kind, Stores, option::section, reader::Reader, value::Bracketed};
use crate::{
    client::web::{Host, List, Policy},
    control::import::{Method, Settings},
};

const SECTION: &str = "import_filtering_opts";

section! {
    /// What may be fetched from the web for users: by imports, and by stores of type `http`. Of two
    /// lists of a kind only the allowed one counts. Redirections are judged as addresses are.
    ImportFiltering in "import_filtering_opts" {
        /// The only schemes; of those only `http` and `https` can be fetched.
        allowed_schemes: Bracketed = "[http,https]";
        /// Schemes that may not be.
        disallowed_schemes: Bracketed = "[]";
        /// The only hosts, by name or address. Addresses of loopback, link-local and private
        /// networks are reached only where the host is named here.
        allowed_hosts: Bracketed = "[]";
        /// Hosts that may not be asked, by name or address.
        disallowed_hosts: Bracketed = "[]";
        /// The only ports; that of the scheme counts where none is written.
        allowed_ports: Bracketed = "[80,443]";
        /// Ports that may not be.
        disallowed_ports: Bracketed = "[]";
    }
}

/// Reads the policy. Where we listen ourselves, only the running service knows.
pub(super) fn read(reader: &mut Reader<'_>) -> Policy {
    let own = ImportFiltering::read(reader, &[SECTION]);
    let lower = |list: Bracketed| {
        list.0
            .iter()
            .map(|text| text.to_ascii_lowercase())
            .collect()
    };
    Policy {
        schemes: List {
            allowed: lower(own.allowed_schemes),
            disallowed: lower(own.disallowed_schemes),
        },
        hosts: List {
            allowed: hosts(reader, "allowed_hosts", &own.allowed_hosts),
            disallowed: hosts(reader, "disallowed_hosts", &own.disallowed_hosts),
        },
        ports: List {
            allowed: ports(reader, "allowed_ports", &own.allowed_ports),
            disallowed: ports(reader, "disallowed_ports", &own.disallowed_ports),
        },
        listeners: Vec::new(),
    }
}

/// Says that internal hosts are not reached, where the operator has asked for a store of the web or for
/// imports from it, and named none.
pub(super) fn warning(
    reader: &Reader<'_>,
    policy: &Policy,
    stores: &Stores,
    import: &Settings,
) -> Option<String> {
    let mut kinds = stores.stores.iter().map(|store| &store.kind);
    let asked = reader.place("DEFAULT", "enabled_backends").is_some()
        || reader.place("glance_store", "stores").is_some();
    let reads = asked && kinds.any(|kind| matches!(kind, Kind::Http(_)));
    let imports = reader.place("DEFAULT", "enabled_import_methods").is_some()
        && import.has(Method::WebDownload.as_str());
    let closed = policy.hosts.allowed.is_empty();
    ((reads || imports) && closed).then(|| {
        "Images at addresses of loopback, link-local and private networks are not read: \
         [import_filtering_opts] allowed_hosts names no host"
            .to_owned()
    })
}

fn hosts(reader: &mut Reader<'_>, name: &str, list: &Bracketed) -> Vec<Host> {
    let parsed = list.0.iter().filter_map(|text| {
        let host = Host::parse(text);
        if host.is_err() {
            let reason = format!("{text:?} is neither the name nor the address of a host");
            reader.refuse(SECTION, name, &reason);
        }
        host.ok()
    });
    parsed.collect()
}

fn ports(reader: &mut Reader<'_>, name: &str, list: &Bracketed) -> Vec<u16> {
    let parsed = list.0.iter().filter_map(|text| {
        let port = text.parse().ok().filter(|port: &u16| *port > 0);
        if port.is_none() {
            let reason = format!("{text:?} is not a port from 1 to 65535");
            reader.refuse(SECTION, name, &reason);
        }
        port
    });
    parsed.collect()
}
