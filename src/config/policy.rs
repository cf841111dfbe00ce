//! `[oslo_policy]` and the property protections: who may do what.

use std::{path::PathBuf, time::Duration};

use super::{files::Files, option::section, reader::Reader, value::Many};
use crate::{
    client::{judge, transport},
    control::{policy, protect},
};

section! {
    /// Who may do what. Relative names are looked for beside the configuration files, then in
    /// `~/.glance`, `~`, `/etc/glance` and `/etc`, as Glance does. Files that change are read again.
    OsloPolicy in "oslo_policy" {
        /// YAML or JSON with the rules that differ from Glance's defaults. It need not be there.
        policy_file: String = "policy.yaml";
        /// Directories with more such files, read after `policy_file` in the order of names. They
        /// need not be there.
        policy_dirs: Many = "policy.d";
        /// The rule that is asked in place of one that there is not.
        policy_default_rule: String = "default";
        /// Whether only Glance's defaults of today count. When false, what the older default of a
        /// rule allows is allowed too, to whom owns the image.
        enforce_new_defaults: bool = "true";
        /// How the services are asked that rules name (`http://...`): a form whose fields are JSON
        /// (`application/x-www-form-urlencoded`), or JSON (`application/json`).
        remote_content_type: String = "application/x-www-form-urlencoded";
        /// Whether such a service must have a certificate that is trusted.
        remote_ssl_verify_server_crt: bool = "false";
        /// PEM file with the authorities that are trusted then; the system's without it.
        remote_ssl_ca_crt_file: Option<String>;
        /// PEM file with the certificate that we show.
        remote_ssl_client_crt_file: Option<String>;
        /// PEM file with its key, where that is not in the same file.
        remote_ssl_client_key_file: Option<String>;
        /// Seconds that such a service may take. No answer is a no.
        remote_timeout: u32 = "60", min 1;
    }
}

section! {
    /// Who may create, read, update and delete which properties.
    Protection in "DEFAULT" {
        /// Sections whose names are patterns of properties' names, with who may do what. Without it
        /// everybody may everything that the policy allows. Looked for as `policy_file` is.
        property_protection_file: Option<String>;
        /// What that file names: `roles` or `policies`.
        property_protection_rule_format: String = "roles";
    }
}

/// Who may do what. The files are read here once, so that what is wrong with them is told with
/// the rest.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    files: &Files,
    warnings: &mut Vec<String>,
) -> (policy::Settings, Option<protect::Settings>) {
    let options = OsloPolicy::read(reader, &["oslo_policy"]);
    let remote = options.remote(reader);
    let protection = Protection::read(reader, &["DEFAULT"]);
    let settings = policy::Settings {
        source: policy::Source {
            file: options.policy_file,
            dirs: options.policy_dirs.0,
            search: files.search().to_vec(),
        },
        policy_default_rule: options.policy_default_rule,
        enforce_new_defaults: options.enforce_new_defaults,
        remote,
    };
    if let Some(place) = reader.place("oslo_policy", "policy_file")
        && settings.source.main().is_none()
    {
        let file = &settings.source.file;
        warnings.push(format!(
            "{place}: there is no {file}: Glance's default rules are in force"
        ));
    }
    let protected = protection.settings(reader, files);
    match (policy::Policy::load(settings.clone()), &protected) {
        (Err(error), _) => reader.refuse_outside(error.to_string()),
        (Ok(_), None) => {}
        (Ok(policy), Some(protected)) => {
            if let Err(error) = protect::Protections::load(protected, &policy) {
                reader.refuse_outside(error.to_string());
            }
        }
    }
    (settings, protected)
}

impl OsloPolicy {
    fn remote(&self, reader: &mut Reader<'_>) -> judge::Config {
        let json = match self.remote_content_type.as_str() {
            "application/json" => true,
            "application/x-www-form-urlencoded" => false,
            _ => {
                let reason = "application/json or application/x-www-form-urlencoded is expected";
                reader.refuse("oslo_policy", "remote_content_type", reason);
                false
            }
        };
        let path = |name: &Option<String>| name.as_ref().map(PathBuf::from);
        judge::Config {
            transport: transport::Config {
                ca_file: path(&self.remote_ssl_ca_crt_file),
                cert_file: path(&self.remote_ssl_client_crt_file),
                key_file: path(&self.remote_ssl_client_key_file),
                insecure: !self.remote_ssl_verify_server_crt,
                timeout: Duration::from_secs(self.remote_timeout.into()),
            },
            json,
        }
    }
}

impl Protection {
    fn settings(self, reader: &mut Reader<'_>, files: &Files) -> Option<protect::Settings> {
        let format = protect::Format::named(&self.property_protection_rule_format);
        if format.is_none() {
            let name = "property_protection_rule_format";
            reader.refuse("DEFAULT", name, "roles or policies is expected");
        }
        let name = self.property_protection_file?;
        let file = policy::find(files.search(), &name);
        if file.is_none() {
            let reason = format!("there is no {name}");
            reader.refuse("DEFAULT", "property_protection_file", &reason);
        }
        Some(protect::Settings {
            file: file?,
            format: format?,
        })
    }
}
