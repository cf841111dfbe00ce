//! Parser and evaluator beside oslo.policy's, on generated rules.

use std::fs;

use fresnel::{
    control::{
        Caller, Identity, Policy,
        policy::{OURS, REGISTERED, Scope, Settings, Source, Target},
    },
    model::{Image, ImageId, ProjectId, Visibility},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::oracle;

const CASES: usize = 3000;

/// Checks that mean something, and words that spoil a rule.
const CHECKS: &[&str] = &[
    "@",
    "!",
    "role:admin",
    "role:MEMBER",
    "role:%(role_of)s",
    "role:%(absent)s",
    "rule:a",
    "rule:b",
    "rule:c",
    "rule:nothing",
    "rule:context_is_admin",
    "rule:service_api",
    "project_id:%(owner)s",
    "project_id:%(project_id)s",
    "project_id:%(member_id)s",
    "project_id:p%%1",
    "user_id:u1",
    "user_id:%(absent)s",
    "roles:reader",
    "service_roles:nova",
    "is_admin_project:True",
    "is_admin:True",
    "system_scope:all",
    "system:all",
    "domain_id:None",
    "'public':%(visibility)s",
    "\"shared\":%(visibility)s",
    "True:%(protected)s",
    "None:%(name)s",
    "512:%(min_ram)s",
    "-1:%(min_ram)s",
    "'x-p1-y':x-%(owner)s-y",
    "tenant:p1",
];
const WORDS: &[&str] = &[
    "and",
    "or",
    "not",
    "AND",
    "(",
    ")",
    "((",
    "))",
    "'quoted'",
    "bare",
    "x:%s",
    "1x:y",
    "",
    "user_id:%(x)d",
    "'public':'public'",
    "\u{1c}",
    "\u{a0}",
];

#[test]
fn generated_rules_hold_as_oslo_policy_says() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..CASES)
        .map(|_| case().new_tree(&mut runner).unwrap().current())
        .collect();
    let questions: Vec<Value> = cases.iter().map(Case::question).collect();
    let answers = oracle::ask(&questions);
    let mut held = 0;
    let mut refused = 0;
    for (case, answer) in cases.iter().zip(&answers) {
        let ours = case.ours();
        let theirs = match &answer["refused"] {
            Value::Null => Ok(answer["holds"].as_bool().unwrap()),
            why => Err(why.as_str().unwrap().to_owned()),
        };
        assert_eq!(
            ours.is_ok(),
            theirs.is_ok(),
            "{case:?}\n{ours:?}\n{theirs:?}"
        );
        if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
            assert_eq!(ours, theirs, "{case:?}");
            held += usize::from(*ours);
        }
        refused += usize::from(ours.is_err());
    }
    // Each kind of answer is there often enough to mean something.
    let denied = CASES - held - refused;
    for count in [held, refused, denied] {
        assert!(
            count > CASES / 20,
            "{held} held, {refused} refused, {denied} denied"
        );
    }
}

#[test]
fn the_table_of_rules_is_glances() {
    let theirs = oracle::ask(&[json!({})]).remove(0);
    let glances = REGISTERED.iter().filter(|rule| !OURS.contains(&rule.rule));
    let ours = glances.map(|rule| {
        json!([
            rule.name,
            rule.default,
            rule.deprecated,
            rule.scope == Scope::Project
        ])
    });
    assert_eq!(Value::from_iter(ours), theirs);
}

#[derive(Clone, Debug)]
struct Case {
    rules: [Written; 3],
    identity: Identity,
    image: Image,
}

/// A rule as a file has it.
#[derive(Clone, Debug)]
enum Written {
    Text(String),
    Lists(Vec<Vec<String>>),
}

impl Case {
    /// The file.
    fn rules(&self) -> Value {
        let value = |written: &Written| match written {
            Written::Text(text) => json!(text),
            Written::Lists(lists) => json!(lists),
        };
        json!({"a": value(&self.rules[0]), "b": value(&self.rules[1]), "c": value(&self.rules[2])})
    }

    fn question(&self) -> Value {
        let (identity, image) = (&self.identity, &self.image);
        let owner = image.owner.as_ref().map(|owner| owner.as_str());
        let shared = image.visibility == Visibility::Shared;
        let member = identity.project_id.as_deref();
        let member = member.filter(|project| shared && owner != Some(*project));
        let mut creds = creds(identity);
        if let Some(scope) = &identity.system_scope {
            creds["system"] = json!(scope);
        }
        json!({
            "rules": self.rules(),
            "ask": "a",
            "target": {
                "owner": owner,
                "project_id": owner,
                "member_id": member,
                "visibility": image.visibility.as_str(),
                "protected": image.protected,
                "name": image.name,
                "min_ram": image.min_ram_mib,
                "role_of": image.properties["role_of"],
            },
            "creds": creds,
        })
    }

    fn ours(&self) -> Result<bool, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.json"), self.rules().to_string()).unwrap();
        let policy = Policy::load(Settings {
            source: Source {
                file: "policy.json".to_owned(),
                dirs: Vec::new(),
                search: vec![folder.path().to_owned()],
            },
            ..Settings::default()
        });
        let policy = policy.map_err(|error| error.to_string())?;
        let caller = Caller::authenticated(self.identity.clone(), &policy, String::new());
        Ok(policy.holds_named("a", &caller, Target::Image(&self.image)))
    }
}

/// oslo.context's policy values.
fn creds(identity: &Identity) -> Value {
    let roles = identity.roles.iter().map(|role| role.to_lowercase());
    json!({
        "user_id": identity.user_id,
        "user_domain_id": identity.user_domain_id,
        "system_scope": identity.system_scope,
        "domain_id": identity.domain_id,
        "project_id": identity.project_id,
        "project_domain_id": identity.project_domain_id,
        "roles": roles.collect::<Vec<_>>(),
        "is_admin_project": identity.is_admin_project,
        "service_user_id": identity.service_user_id,
        "service_user_domain_id": identity.service_user_domain_id,
        "service_project_id": identity.service_project_id,
        "service_project_domain_id": identity.service_project_domain_id,
        "service_roles": identity.service_roles,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let rules = [written(), written(), written()];
    (rules, identity(), image()).prop_map(|(rules, identity, image)| Case {
        rules,
        identity,
        image,
    })
}

fn written() -> impl Strategy<Value = Written> {
    let check = || select(CHECKS).prop_map(str::to_owned);
    let lists = prop::collection::vec(prop::collection::vec(check(), 0..3), 0..3);
    prop_oneof![
        12 => expression().prop_map(Written::Text),
        3 => soup().prop_map(Written::Text),
        2 => lists.prop_map(Written::Lists),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let check = select(CHECKS).prop_map(str::to_owned);
    check.prop_recursive(4, 12, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several.clone().prop_map(|checks| checks.join(" and ")),
            several.clone().prop_map(|checks| checks.join(" or ")),
            several.prop_map(|checks| format!("({})", checks.join(" OR "))),
            inner.clone().prop_map(|check| format!("not {check}")),
            inner.prop_map(|check| format!("( {check})")),
        ]
    })
}

/// Words in any order, with any or no space between them.
fn soup() -> impl Strategy<Value = String> {
    let word = prop_oneof![3 => select(CHECKS), 2 => select(WORDS)];
    let space = select(&[" ", "  ", "\n", "\t", ""][..]);
    prop::collection::vec((word, space), 0..6).prop_map(|words| {
        words
            .iter()
            .map(|(word, space)| [*word, *space].concat())
            .collect()
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    let roles = prop::collection::vec(select(&["admin", "Member", "reader", "service"][..]), 0..3);
    let service = prop::collection::vec(select(&["nova", "Service"][..]), 0..2);
    let project = prop::option::of(select(&["p1", "p2"][..]));
    let user = prop::option::of(Just("u1"));
    (roles, service, project, user, any::<bool>(), any::<bool>()).prop_map(
        |(roles, service, project, user, admin_project, system)| Identity {
            user_id: user.map(str::to_owned),
            project_id: project.map(str::to_owned),
            system_scope: system.then(|| "all".to_owned()),
            roles: roles.into_iter().map(str::to_owned).collect(),
            is_admin_project: admin_project,
            service_roles: service.into_iter().map(str::to_owned).collect(),
            ..Identity::default()
        },
    )
}

fn image() -> impl Strategy<Value = Image> {
    let visibility = select(
        &[
            Visibility::Public,
            Visibility::Community,
            Visibility::Shared,
            Visibility::Private,
        ][..],
    );
    let owner = prop::option::of(select(&["p1", "p2"][..]));
    let role = prop::option::of(select(&["admin", "member"][..]));
    let name = prop::option::of(Just("None"));
    (visibility, owner, role, name, any::<bool>()).prop_map(
        |(visibility, owner, role, name, protected)| Image {
            visibility,
            owner: owner.map(ProjectId::new),
            name: name.map(str::to_owned),
            protected,
            min_ram_mib: if protected { 512 } else { -1 },
            properties: [("role_of".to_owned(), role.map(str::to_owned))].into(),
            ..Image::queued(ImageId::new("i"), chrono::DateTime::UNIX_EPOCH.naive_utc())
        },
    )
}
