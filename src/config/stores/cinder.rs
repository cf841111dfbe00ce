//! Stores of type `cinder` (reference E.6).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{AnyStore, Kind, Store, set};
use crate::{
    base::secret::Secret,
    client::{
        cinder,
        keystone::{self, Credentials, Domain, Named, Scope},
        transport,
    },
    config::{option::section, reader::Reader},
    store::cinder::Config,
};

/// For a request to Cinder and its answer: to attach a volume, Cinder asks its back end.
const PATIENCE: Duration = Duration::from_secs(120);

section! {
    /// A store of type `cinder`: in the section of its name or in `[backend_defaults]`, and in
    /// `[glance_store]` where there are no `enabled_backends`. Its volumes must be on RBD; it needs librados2 and
    /// librbd1 of Ceph 16 or later on the machine, and the key of Cinder's user in
    /// `/etc/ceph/<cluster>.client.<user>.keyring`.
    CinderStore in "glance_store" {
        /// Where to authenticate. It must be set, and with it user, password and project, or an application
        /// credential: the volumes are in that project. Volumes in the projects of users, which Glance makes with
        /// their own tokens where these are not all set, are not supported.
        cinder_store_auth_address: Option<String>;
        /// User.
        cinder_store_user_name: Option<String>;
        /// Domain of the user.
        cinder_store_user_domain_name: String = "Default";
        /// Password of the user.
        cinder_store_password: Option<Secret>;
        /// Project of the volumes.
        cinder_store_project_name: Option<String>;
        /// Domain of the project.
        cinder_store_project_domain_name: String = "Default";
        /// An application credential, instead of user, password and project.
        cinder_store_application_credential_id: Option<String>;
        /// Its secret.
        cinder_store_application_credential_secret: Option<Secret>;
        /// Type, name (of which nothing depends) and interface of Cinder in the catalog.
        cinder_catalog_info: String = "volumev3::publicURL";
        /// Address of Cinder, instead of the catalog's; `%(tenant)s` stands for the id of the project.
        cinder_endpoint_template: Option<String>;
        /// Region of Cinder in the catalog.
        cinder_os_region_name: Option<String>, was &[("glance_store", "os_region_name")];
        /// PEM file with the certificates that Cinder's and Keystone's must be signed by, instead of the system's.
        cinder_ca_certificates_file: Option<String>;
        /// Trust whoever answers.
        cinder_api_insecure: bool = "false";
        /// Repetitions of a request that got no answer.
        cinder_http_retries: u32 = "3";
        /// Type of the volumes; unset is Cinder's default.
        cinder_volume_type: Option<String>;
        /// Seconds for a volume to be made, extended or removed.
        cinder_state_transition_timeout: u32 = "300";
        /// How often a volume that somebody else has attached is asked for, before a download answers 503: after 2,
        /// 4, 8 and then each 10 seconds.
        cinder_attachment_retry_attempts: u32 = "5", min 1;
        /// Make volumes larger while they are attached, where the size of an upload is not known.
        cinder_do_extend_attached: bool = "false";
    }
}

/// A store of type cinder. Whether its addresses name it is `multistore`.
pub(super) fn store(
    reader: &mut Reader<'_>,
    id: &str,
    sections: &[&str],
    multistore: bool,
) -> Store {
    let own = CinderStore::read(reader, sections);
    let any = AnyStore::read(reader, sections);
    let mut refuse = |option: &str, reason: &str| {
        let place = reader.place("DEFAULT", "enabled_backends");
        let place = reader.place(sections[0], option).or(place);
        reader.refuse_at(place, sections[0], option, reason);
    };
    let auth_url = set(own.cinder_store_auth_address.clone()).unwrap_or_default();
    if auth_url.is_empty() {
        let reason = "must be set: volumes in the projects of users, made with their tokens, are not supported";
        refuse("cinder_store_auth_address", reason);
    }
    let (credentials, scope) = who(&own).unwrap_or_else(|option| {
        let reason = "must be set, beside cinder_store_auth_address";
        refuse(option, reason);
        nobody()
    });
    let (service_type, interface) = in_catalog(&own.cinder_catalog_info).unwrap_or_else(|| {
        refuse("cinder_catalog_info", "is not <type>:<name>:<interface>");
        (String::new(), String::new())
    });
    let region = set(own.cinder_os_region_name);
    let transport = transport::Config {
        ca_file: set(own.cinder_ca_certificates_file).map(Into::into),
        insecure: own.cinder_api_insecure,
        timeout: PATIENCE,
        ..transport::Config::default()
    };
    let cinder = cinder::Config {
        keystone: keystone::Config {
            auth_url,
            credentials,
            scope,
            region: region.clone(),
            interfaces: vec![interface.clone()],
            retries: own.cinder_http_retries,
            transport: transport.clone(),
        },
        endpoint: set(own.cinder_endpoint_template),
        service_type,
        region,
        interface,
        retries: own.cinder_http_retries,
        transport,
    };
    let volume_type = set(own.cinder_volume_type);
    Store {
        settings: any.settings(id, told(volume_type.as_deref())),
        kind: Kind::Cinder(Box::new(Config {
            multistore,
            volume_type,
            patience: Duration::from_secs(own.cinder_state_transition_timeout.into()),
            attach_tries: own.cinder_attachment_retry_attempts,
            extend_attached: own.cinder_do_extend_attached,
            cinder,
        })),
    }
}

/// What `GET /v2/info/stores/detail` tells of a Cinder store. No volume is attached on several paths.
fn told(volume_type: Option<&str>) -> Map<String, Value> {
    Map::from_iter([
        ("volume_type".to_owned(), volume_type.into()),
        ("use_multipath".to_owned(), false.into()),
    ])
}

/// Who we are, and for what; the option that is missing.
fn who(own: &CinderStore) -> Result<(Credentials, Option<Scope>), &'static str> {
    let id = set(own.cinder_store_application_credential_id.clone());
    if let (Some(id), Some(secret)) = (id, &own.cinder_store_application_credential_secret) {
        let secret = secret.clone();
        return Ok((Credentials::Application { id, secret }, None));
    }
    let needed = |value: &Option<String>, option| set(value.clone()).ok_or(option);
    let name = needed(&own.cinder_store_user_name, "cinder_store_user_name")?;
    let password = own.cinder_store_password.clone();
    let password = password.ok_or("cinder_store_password")?;
    let project = needed(&own.cinder_store_project_name, "cinder_store_project_name")?;
    let user = Named::Name {
        name,
        domain: Domain::Name(own.cinder_store_user_domain_name.clone()),
    };
    let project = Named::Name {
        name: project,
        domain: Domain::Name(own.cinder_store_project_domain_name.clone()),
    };
    Ok((
        Credentials::Password { user, password },
        Some(Scope::Project(project)),
    ))
}

/// What stands in for a configuration that is refused.
fn nobody() -> (Credentials, Option<Scope>) {
    let credentials = Credentials::Application {
        id: String::new(),
        secret: Secret::new(String::new()),
    };
    (credentials, None)
}

/// Type and interface, of `type:name:interface`; Glance has the interface with `URL` at its end.
fn in_catalog(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [kind, _, interface] if !kind.is_empty() && !interface.is_empty() => {
            let interface = interface.strip_suffix("URL").unwrap_or(interface);
            Some((kind.to_owned(), interface.to_owned()))
        }
        _ => None,
    }
}
