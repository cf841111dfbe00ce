//! `[oslo_policy]` and the property protections: who may do what.

use super::{files::Files, option::section, reader::Reader, value::Many};
use crate::control::{policy, protect};

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
    let protection = Protection::read(reader, &["DEFAULT"]);
    let settings = policy::Settings {
        source: policy::Source {
            file: options.policy_file,
            dirs: options.policy_dirs.0,
            search: files.search().to_vec(),
        },
        policy_default_rule: options.policy_default_rule,
        enforce_new_defaults: options.enforce_new_defaults,
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
