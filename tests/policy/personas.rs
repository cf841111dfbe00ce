//! Every rule for every persona and image, beside Glance's own enforcement.

use std::{fs, path::Path};

use fresnel::{
    control::{
        Caller, Identity, Policy,
        policy::{OURS, REGISTERED, Settings, Source, Target},
    },
    model::{Image, ImageId, ProjectId, Visibility},
};
use serde_json::{Value, json};

use super::oracle;

const VISIBILITIES: [Visibility; 4] = [
    Visibility::Public,
    Visibility::Community,
    Visibility::Shared,
    Visibility::Private,
];

/// A file as deployments have it: a role of their own, old syntax, an attribute, what is closed.
const FILE: &str = r#"
"image_admin": "role:image_admin or rule:context_is_admin"
"publicize_image": "rule:image_admin"
"get_image_location": "role:admin"
"download_image": "rule:image_admin or (role:member and not 'restricted':%(class)s)"
"deactivate": [["role:image_admin", "project_id:%(owner)s"], ["rule:context_is_admin"]]
"copy_image": ""
"stores_info_detail": "service_roles:service or rule:image_admin"
"delete_image": "!"
"#;

#[test]
fn personas_may_what_glance_lets_them() {
    compare("");
}

#[test]
fn personas_may_what_glance_lets_them_under_a_policy_file() {
    compare(FILE);
}

fn compare(file: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, file).unwrap();
    let policy = Policy::load(Settings {
        source: Source {
            file: path.display().to_string(),
            ..Source::default()
        },
        ..Settings::default()
    });
    let policy = policy.unwrap();
    let cases: Vec<(Identity, Image)> = identities()
        .into_iter()
        .flat_map(|identity| images().map(move |image| (identity.clone(), image)))
        .collect();
    let questions: Vec<Value> = cases
        .iter()
        .map(|(identity, image)| question(identity, image, &path))
        .collect();
    for ((identity, image), answer) in cases.iter().zip(oracle::ask(&questions)) {
        let caller = Caller::authenticated(identity.clone(), &policy, String::new());
        let allowed = REGISTERED.iter().filter(|registered| {
            let target = Target::Image(image);
            !OURS.contains(&registered.rule) && policy.holds(registered.rule, &caller, target)
        });
        let ours = json!({
            "allowed": allowed.map(|registered| registered.name).collect::<Vec<_>>(),
            "is_admin": caller.is_admin,
        });
        assert_eq!(ours, answer, "{identity:?}\n{image:?}");
    }
}

fn identities() -> Vec<Identity> {
    let of = |roles: &[&str], service_roles: &[&str]| Identity {
        user_id: Some("u".to_owned()),
        project_id: Some("p1".to_owned()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        is_admin_project: true,
        service_roles: service_roles
            .iter()
            .map(|role| (*role).to_owned())
            .collect(),
        ..Identity::default()
    };
    let admin = ["admin", "manager", "member", "reader"];
    let projectless = |identity: Identity| Identity {
        project_id: None,
        ..identity
    };
    vec![
        of(&["reader"], &[]),
        of(&["member", "reader"], &[]),
        of(&["manager", "member", "reader"], &[]),
        of(&admin, &[]),
        of(&["Admin"], &[]),
        of(&["service"], &[]),
        of(&["member", "reader"], &["service"]),
        of(&["image_admin", "reader"], &[]),
        of(&[], &[]),
        projectless(of(&admin, &[])),
        projectless(Identity {
            system_scope: Some("all".to_owned()),
            ..of(&admin, &[])
        }),
        projectless(Identity {
            domain_id: Some("default".to_owned()),
            ..of(&admin, &[])
        }),
    ]
}

fn images() -> impl Iterator<Item = Image> {
    let owners = [Some("p1"), Some("p2"), None];
    let classes = ["restricted", "free"];
    VISIBILITIES.into_iter().flat_map(move |visibility| {
        owners.into_iter().flat_map(move |owner| {
            classes.into_iter().map(move |class| Image {
                visibility,
                owner: owner.map(ProjectId::new),
                properties: [("class".to_owned(), Some(class.to_owned()))].into(),
                ..Image::queued(ImageId::new("i"), chrono::DateTime::UNIX_EPOCH.naive_utc())
            })
        })
    })
}

fn question(identity: &Identity, image: &Image, file: &Path) -> Value {
    let owner = image.owner.as_ref().map(|owner| owner.as_str());
    // As Glance's repository says it.
    let shared = image.visibility == Visibility::Shared;
    let member = identity.project_id.as_deref();
    let member = member.filter(|project| shared && owner != Some(*project));
    json!({
        "identity": {
            "user_id": identity.user_id,
            "project_id": identity.project_id,
            "domain_id": identity.domain_id,
            "system_scope": identity.system_scope,
            "roles": identity.roles,
            "service_roles": identity.service_roles,
        },
        "image": {
            "visibility": image.visibility.as_str(),
            "owner": owner,
            "member": member,
            "properties": image.properties,
        },
        "file": file,
    })
}
