//! Property protections beside Glance's, on generated files.

use std::fs;

use fresnel::control::{
    Caller, Identity, Policy, Protections,
    policy::{self, Source},
    protect::{Format, Operation, Settings},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::oracle;

const CASES: usize = 400;

const POLICY: &str = "mine: role:billing\nservice: service_roles:nova\n";
const PROPERTIES: [&str; 7] = [
    "x_a",
    "x_b",
    "ax_a",
    "os_glance_y",
    "my_os_glance",
    "Z",
    "y",
];
const PATTERNS: &[&str] = &[
    "^x_.*",
    "^x_a$",
    "x_",
    "[xy]_?[ab]",
    "^(?!x_)",
    "os_glance_y",
    ".*",
    "Z",
    "(?i)z",
    "(",
    "DEFAULT",
];
const VALUES: &[&str] = &[
    "admin",
    "admin,billing",
    " Admin , billing ",
    "@",
    "!",
    "",
    "@,!",
    "!, admin",
    "@ , admin",
    "nova",
    "admin,\n  billing",
    "mine",
    "service",
    "context_is_admin",
];
const CALLERS: [(&[&str], &[&str]); 4] = [
    (&["admin"], &[]),
    (&["Billing", "member"], &[]),
    (&["member"], &["nova"]),
    (&[], &[]),
];

#[test]
fn generated_files_protect_as_glance_does() {
    let folder = tempfile::tempdir().unwrap();
    let policy_file = folder.path().join("policy.yaml");
    fs::write(&policy_file, POLICY).unwrap();
    let policy = Policy::load(policy::Settings {
        source: Source {
            file: policy_file.display().to_string(),
            ..Source::default()
        },
        ..policy::Settings::default()
    });
    let policy = policy.unwrap();
    let mut runner = TestRunner::deterministic();
    let cases: Vec<(Settings, String)> = (0..CASES)
        .map(|number| {
            let file = folder.path().join(format!("{number}.conf"));
            let (text, is_roles) = case().new_tree(&mut runner).unwrap().current();
            fs::write(&file, &text).unwrap();
            let format = if is_roles {
                Format::Roles
            } else {
                Format::Policies
            };
            (Settings { file, format }, text)
        })
        .collect();
    let questions: Vec<Value> = cases
        .iter()
        .map(|(settings, _)| {
            json!({
                "protections": settings.file,
                "format": if settings.format == Format::Roles { "roles" } else { "policies" },
                "file": policy_file,
                "properties": PROPERTIES,
                "callers": CALLERS,
            })
        })
        .collect();
    let (mut valid, mut allowed) = (0, 0);
    for ((settings, text), theirs) in cases.iter().zip(oracle::ask(&questions)) {
        let ours = match Protections::load(settings, &policy) {
            Ok(protections) => table(&protections, &policy),
            // Glance asks its default rule in place of one that there is not.
            Err(error) if error.message.starts_with("there is no rule") => continue,
            Err(_) => Value::Null,
        };
        assert_eq!(ours, theirs, "{:?}\n{text}", settings.format);
        valid += usize::from(!ours.is_null());
        allowed += ours.to_string().matches("true").count();
    }
    assert!(
        valid > CASES / 4 && allowed > CASES,
        "{valid} valid, {allowed} allowed"
    );
}

/// Caller by caller, property by property, operation by operation.
fn table(protections: &Protections, policy: &Policy) -> Value {
    let of = |(roles, service_roles): (&[&str], &[&str])| {
        let identity = Identity {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            service_roles: service_roles
                .iter()
                .map(|role| (*role).to_owned())
                .collect(),
            ..Identity::default()
        };
        let caller = Caller::authenticated(identity, policy, String::new());
        let may = PROPERTIES.map(|property| {
            let may = |operation| protections.allow(operation, property, &caller, policy);
            Operation::ALL.map(may)
        });
        json!(may)
    };
    json!(CALLERS.map(of))
}

fn case() -> impl Strategy<Value = (String, bool)> {
    let section = (select(PATTERNS), prop::collection::vec(select(VALUES), 4));
    let sections = prop::collection::vec(section, 0..4);
    let noise = select(&["", "", "", "# a comment\n", "stray\n", "read = again\n"][..]);
    (sections, noise, any::<bool>()).prop_map(|(sections, noise, is_roles)| {
        let sections = sections.iter().map(|(pattern, values)| {
            let options = Operation::ALL.into_iter().zip(values);
            let options = options.map(|(operation, value)| {
                let value = if is_roles { value } else { &value.trim() };
                format!("{} = {value}\n", operation.as_str())
            });
            format!("[{pattern}]\n{}", options.collect::<String>())
        });
        (sections.collect::<String>() + noise, is_roles)
    })
}
