//! Stores of type `swift` (reference E.5).

use std::{collections::HashMap, fs, time::Duration};

use serde_json::Map;

use super::{AnyStore, Kind, Store};
use crate::{
    base::secret::Secret,
    client::{
        keystone::{self, Credentials, Domain, Named, Scope},
        swift::{self, Auth, V1, V3},
        transport,
    },
    config::{dialect, option::section, reader::Reader},
    store::swift::{Config, Reference, config::segment_bytes},
};

/// How long Swift and its authentication may take for each piece.
const PATIENCE: Duration = Duration::from_secs(60);
/// Repetitions of a request that found no Keystone.
const KEYSTONE_RETRIES: u32 = 3;

section! {
    /// A store of type `swift`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`.
    SwiftStore in "glance_store" {
        /// File with the accounts, a section each: `user` (`project:user`), `key`, `auth_address`;
        /// `user_domain_id`, `user_domain_name`, `project_domain_id`, `project_domain_name`
        /// (`default` where they are not set), or `application_credential_id` and
        /// `application_credential_secret` instead of user and key.
        swift_store_config_file: Option<String>;
        /// The account that takes uploads, by the name of its section.
        default_swift_reference: String = "ref1";
        /// Without a file: where to authenticate.
        swift_store_auth_address: Option<String>;
        /// Without a file: `project:user`.
        swift_store_user: Option<String>;
        /// Without a file: the user's password.
        swift_store_key: Option<Secret>;
        /// Without a file: an application credential, instead of user and key.
        swift_store_application_credential_id: Option<String>;
        /// Its secret.
        swift_store_application_credential_secret: Option<Secret>;
        /// `3` is Keystone's, `1` Swift's own (`/auth/v1.0`), of which Glance knows nothing any more.
        swift_store_auth_version: i64 = "3";
        /// Trust whoever answers.
        swift_store_auth_insecure: bool = "false";
        /// PEM file with the certificates that Swift's and Keystone's must be signed by, instead of the system's.
        swift_store_cacert: Option<String>;
        /// Region of the endpoint in the catalog.
        swift_store_region: Option<String>;
        /// Address of the account, instead of the catalog's.
        swift_store_endpoint: Option<String>;
        /// Interface of the endpoint in the catalog: `publicURL`, `internalURL` or `adminURL`.
        swift_store_endpoint_type: String = "publicURL";
        /// Type of Swift in the catalog.
        swift_store_service_type: String = "object-store";
        /// Container of the images, or the first part of its name.
        swift_store_container: String = "glance";
        /// Digits of an image's id that end the name of its container; 0 is one container for all.
        swift_store_multiple_containers_seed: u32 = "0", max 32;
        /// Make a container that is missing.
        swift_store_create_container_on_put: bool = "false";
        /// MB of a segment; more than 16 are 16, because segments wait in memory.
        swift_store_large_object_chunk_size: u32 = "200", min 1;
        /// How often a download that breaks off is taken up again.
        swift_store_retry_get_count: u32 = "0";
        /// Images in the accounts of their owners. Not supported: `true` refuses to start.
        swift_store_multi_tenant: bool = "false";
    }
}

/// A store of type swift.
pub(super) fn store(reader: &mut Reader<'_>, id: &str, sections: &[&str]) -> Store {
    let own = SwiftStore::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let section = sections[0];
    if own.swift_store_multi_tenant {
        let reason = "is not supported: it needs the users' own tokens, and trusts of theirs";
        reader.refuse(section, "swift_store_multi_tenant", reason);
    }
    let interfaces = ["publicURL", "internalURL", "adminURL"];
    if !interfaces.contains(&own.swift_store_endpoint_type.as_str()) {
        let reason = format!("is not one of {}", interfaces.join(", "));
        reader.refuse(section, "swift_store_endpoint_type", &reason);
    }
    let sections_of_accounts = accounts(reader, section, &own);
    let mut references: Vec<Reference> = Vec::new();
    for (name, account) in &sections_of_accounts {
        match reference(&own, name, account) {
            Ok(reference) => references.push(reference),
            Err(reason) => {
                let option = match own.swift_store_config_file {
                    Some(_) => "swift_store_config_file",
                    None => "swift_store_auth_address",
                };
                reader.refuse(section, option, &format!("account {name}: {reason}"));
            }
        }
    }
    let default = references
        .iter()
        .find(|reference| reference.name == own.default_swift_reference);
    let Some(default) = default.cloned() else {
        if references.len() == sections_of_accounts.len() {
            let reason =
                "names no account: there must be such a section of swift_store_config_file";
            reader.refuse(section, "default_swift_reference", reason);
        }
        return Store {
            settings: any.settings(id, Map::new()),
            kind: Kind::Swift(Box::new(nowhere())),
        };
    };
    let mut config = Config::in_container(default, own.swift_store_container);
    config.references = references;
    config.seed_digits = own.swift_store_multiple_containers_seed as usize;
    config.create_container = own.swift_store_create_container_on_put;
    config.segment_bytes = segment_bytes(own.swift_store_large_object_chunk_size);
    config.get_retries = own.swift_store_retry_get_count;
    Store {
        settings: any.settings(id, Map::new()),
        kind: Kind::Swift(Box::new(config)),
    }
}

/// What stands in for a configuration that is refused.
fn nowhere() -> Config {
    let reference = Reference {
        name: String::new(),
        auth_address: String::new(),
        user: None,
        account: swift::Config {
            auth: Auth::V1(V1 {
                url: String::new(),
                user: String::new(),
                key: Secret::new(String::new()),
            }),
            endpoint: None,
            transport: transport::Config::default(),
        },
    };
    Config::in_container(reference, "")
}

/// The options of an account, by their names in the file.
type Account = HashMap<String, String>;

/// The accounts, in the file's order, or the one that the options describe.
fn accounts(reader: &mut Reader<'_>, section: &str, own: &SwiftStore) -> Vec<(String, Account)> {
    let Some(path) = &own.swift_store_config_file else {
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned());
        let id = &own.swift_store_application_credential_id;
        let options = [
            ("auth_address", own.swift_store_auth_address.clone()),
            ("user", own.swift_store_user.clone()),
            ("key", secret(&own.swift_store_key)),
            ("application_credential_id", id.clone()),
            (
                "application_credential_secret",
                secret(&own.swift_store_application_credential_secret),
            ),
        ];
        let options = options.into_iter();
        let account = options.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        return vec![(own.default_swift_reference.clone(), account.collect())];
    };
    let option = "swift_store_config_file";
    let text = fs::read_to_string(path).unwrap_or_else(|error| {
        reader.refuse(section, option, &format!("{path}: {error}"));
        String::new()
    });
    let (assignments, errors) = dialect::parse(&text);
    for error in errors {
        reader.refuse(section, option, &format!("{path}:{}: {error}", error.line));
    }
    let mut accounts: Vec<(String, Account)> = Vec::new();
    for assignment in assignments {
        let known = accounts
            .iter()
            .position(|(name, _)| *name == assignment.section);
        let at = known.unwrap_or_else(|| {
            accounts.push((assignment.section.clone(), Account::new()));
            accounts.len() - 1
        });
        // Python's parser takes two percent signs for one.
        let value = assignment.value.replace("%%", "%");
        accounts[at].1.insert(assignment.key.to_lowercase(), value);
    }
    accounts
}

fn reference(own: &SwiftStore, name: &str, account: &Account) -> Result<Reference, String> {
    let of = |name: &str| account.get(name).filter(|value| !value.is_empty());
    let needed = |name: &str| of(name).ok_or_else(|| format!("{name} must be set"));
    let address = needed("auth_address")?;
    let auth_url = match address.contains("://") {
        true => address.clone(),
        false => format!("https://{address}"),
    };
    let transport = transport::Config {
        ca_file: own.swift_store_cacert.clone().map(Into::into),
        insecure: own.swift_store_auth_insecure,
        timeout: PATIENCE,
        ..transport::Config::default()
    };
    let version = match of("auth_version") {
        Some(version) => version.split('.').next().unwrap_or_default().to_owned(),
        None => own.swift_store_auth_version.to_string(),
    };
    let auth = match version.as_str() {
        "1" => Auth::V1(V1 {
            url: auth_url.clone(),
            user: needed("user")?.clone(),
            key: Secret::new(needed("key")?.clone()),
        }),
        "3" | "2" => by_keystone(own, account, &auth_url, &transport)?,
        other => return Err(format!("auth_version {other:?} is neither 3 nor 1")),
    };
    let (_, plain) = auth_url.split_once("://").expect("it has a scheme");
    Ok(Reference {
        name: name.to_owned(),
        auth_address: plain.trim_matches('/').to_owned(),
        user: of("user").cloned(),
        account: swift::Config {
            auth,
            endpoint: own.swift_store_endpoint.clone(),
            transport,
        },
    })
}

fn by_keystone(
    own: &SwiftStore,
    account: &Account,
    auth_url: &str,
    transport: &transport::Config,
) -> Result<Auth, String> {
    let of = |name: &str| account.get(name).filter(|value| !value.is_empty());
    let needed = |name: &str| of(name).ok_or_else(|| format!("{name} must be set"));
    let domain = |whose: &str| match (of(&format!("{whose}_id")), of(&format!("{whose}_name"))) {
        (Some(id), _) => Domain::Id(id.clone()),
        (None, Some(name)) => Domain::Name(name.clone()),
        (None, None) => Domain::Id("default".to_owned()),
    };
    let (credentials, scope) = match of("application_credential_id") {
        Some(id) => {
            let secret = needed("application_credential_secret")?;
            let credentials = Credentials::Application {
                id: id.clone(),
                secret: Secret::new(secret.clone()),
            };
            (credentials, None)
        }
        None => {
            let who = needed("user")?.split_once(':');
            let (project, user) = who.ok_or("user is not of the form project:user")?;
            let credentials = Credentials::Password {
                user: Named::Name {
                    name: user.to_owned(),
                    domain: domain("user_domain"),
                },
                password: Secret::new(needed("key")?.clone()),
            };
            let scope = Scope::Project(Named::Name {
                name: project.to_owned(),
                domain: domain("project_domain"),
            });
            (credentials, Some(scope))
        }
    };
    let interface = own.swift_store_endpoint_type.trim_end_matches("URL");
    Ok(Auth::Keystone(Box::new(V3 {
        keystone: keystone::Config {
            auth_url: auth_url.to_owned(),
            credentials,
            scope,
            region: own.swift_store_region.clone(),
            interfaces: vec![interface.to_owned()],
            retries: KEYSTONE_RETRIES,
            transport: transport.clone(),
        },
        service_type: own.swift_store_service_type.clone(),
        region: own.swift_store_region.clone(),
        interface: interface.to_owned(),
    })))
}
