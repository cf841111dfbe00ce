use std::{fs, path::Path};

use super::*;
use crate::{
    control::Identity,
    model::{Image, ImageId, ProjectId, Visibility},
};

fn identity(project: &str, roles: &[&str]) -> Identity {
    Identity {
        user_id: Some("u".to_owned()),
        project_id: Some(project.to_owned()),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        is_admin_project: true,
        ..Identity::default()
    }
}

fn caller(policy: &Policy, project: &str, roles: &[&str]) -> Caller {
    Caller::authenticated(identity(project, roles), policy, "req-x".to_owned())
}

fn image(owner: &str, visibility: Visibility) -> Image {
    let epoch = chrono::DateTime::UNIX_EPOCH.naive_utc();
    Image {
        visibility,
        protected: true,
        owner: Some(ProjectId::new(owner)),
        properties: [("os_distro".to_owned(), Some("debian".to_owned()))].into(),
        ..Image::queued(ImageId::new("i"), epoch)
    }
}

fn settings(folder: &Path) -> Settings {
    Settings {
        source: Source {
            file: "policy.yaml".to_owned(),
            dirs: vec!["policy.d".to_owned()],
            search: vec![folder.to_owned()],
        },
        ..Settings::default()
    }
}

/// A policy of one file.
fn policy(text: &str) -> Result<Policy, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), text).unwrap();
    Policy::load(settings(folder.path()))
}

#[test]
fn personas_may_what_glance_lets_them() {
    let policy = Policy::default();
    let own = image("p", Visibility::Private);
    let reader = ["reader"].as_slice();
    let member = ["member", "reader"].as_slice();
    let manager = ["manager", "member", "reader"].as_slice();
    let admin = ["admin", "manager", "member", "reader"].as_slice();
    let service = ["service"].as_slice();
    for (rule, allowed) in [
        (Rule::GetImage, vec![reader, member, manager, admin]),
        (Rule::DownloadImage, vec![member, manager, admin]),
        (Rule::ModifyImage, vec![member, manager, admin]),
        (Rule::CommunitizeImage, vec![member, manager, admin]),
        (Rule::PublicizeImage, vec![admin]),
        (Rule::StoresInfoDetail, vec![admin, service]),
        (Rule::FetchImageLocation, vec![admin, service]),
        (
            Rule::AddImageLocation,
            vec![member, manager, admin, service],
        ),
        (Rule::CacheList, vec![admin]),
    ] {
        for roles in [reader, member, manager, admin, service] {
            let caller = caller(&policy, "p", roles);
            let holds = policy.holds(rule, &caller, Target::Image(&own));
            assert_eq!(
                holds,
                allowed.contains(&roles),
                "{} {roles:?}",
                rule.as_str()
            );
        }
    }
}

#[test]
fn others_see_what_is_public_or_shared_with_them_and_change_nothing() {
    let policy = Policy::default();
    let other = caller(&policy, "q", &["member", "reader"]);
    let holds = |rule, visibility| {
        let image = image("p", visibility);
        policy.holds(rule, &other, Target::Image(&image))
    };
    for visibility in [
        Visibility::Public,
        Visibility::Community,
        Visibility::Shared,
    ] {
        assert!(holds(Rule::GetImage, visibility));
        assert!(holds(Rule::DownloadImage, visibility));
        assert!(!holds(Rule::ModifyImage, visibility));
    }
    assert!(!holds(Rule::GetImage, Visibility::Private));
    assert!(holds(Rule::ModifyMember, Visibility::Shared));
    assert!(!holds(Rule::ModifyMember, Visibility::Public));
}

#[test]
fn tokens_of_the_system_and_of_a_domain_are_refused() {
    let policy = Policy::default();
    for scope in ["system", "domain"] {
        let mut identity = identity("p", &["admin"]);
        identity.project_id = None;
        match scope {
            "system" => identity.system_scope = Some("all".to_owned()),
            _ => identity.domain_id = Some("default".to_owned()),
        }
        let caller = Caller::authenticated(identity, &policy, String::new());
        assert!(caller.is_admin);
        assert!(
            !policy.holds(Rule::GetImages, &caller, Target::Own),
            "{scope}"
        );
    }
}

#[test]
fn who_may_only_look_changes_nothing() {
    let policy = policy("upload_image: ''\ndownload_image: ''\n").unwrap();
    let anonymous = Caller::anonymous(String::new());
    let image = image("p", Visibility::Public);
    let ask = |rule| policy.allow(rule, &anonymous, Target::Image(&image));
    assert!(matches!(ask(Rule::UploadImage), Err(Denial::ReadOnly)));
    assert!(ask(Rule::DownloadImage).is_ok());
    assert!(matches!(ask(Rule::GetImage), Err(Denial::Denied(_))));
}

#[test]
fn files_say_otherwise_and_the_later_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policy.d")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "policy.yaml",
        "get_image: '!'\nmine: 'role:x'\nadd_member: 'rule:mine'\n",
    );
    write("policy.d/b.yaml", "get_image: \"'debian':%(os_distro)s\"\n");
    write("policy.d/a.json", "{\"get_image\": \"role:nobody\"}");
    write("policy.d/.hidden", "get_image: [\n");
    let policy = Policy::load(settings(folder.path())).unwrap();
    let caller = caller(&policy, "q", &["X"]);
    let image = image("p", Visibility::Private);
    assert!(policy.holds(Rule::GetImage, &caller, Target::Image(&image)));
    assert!(policy.holds(Rule::AddMember, &caller, Target::Image(&image)));
    assert!(policy.holds_named("mine", &caller, Target::Service));
    let listed = policy.list();
    let place = |name: &str| {
        let rule = listed.iter().find(|rule| rule.name == name).unwrap();
        rule.place.as_ref().map(|place| place.line)
    };
    assert_eq!(
        (place("get_image"), place("mine"), place("get_images")),
        (Some(1), Some(2), None)
    );
}

#[test]
fn what_there_is_not_is_for_the_default_rule_to_say() {
    let open = policy("add_member: 'rule:nothing'\n").unwrap();
    let caller = caller(&open, "q", &["reader"]);
    assert!(open.holds(Rule::AddMember, &caller, Target::Service));
    let closed = policy("add_member: 'rule:nothing'\ndefault: '!'\n").unwrap();
    assert!(!closed.holds(Rule::AddMember, &caller, Target::Service));
    assert!(!closed.holds_named("unknown", &caller, Target::Service));
}

#[test]
fn older_defaults_suffice_only_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let old = Policy::load(Settings {
        enforce_new_defaults: false,
        ..settings(folder.path())
    });
    let old = old.unwrap();
    let nobody = caller(&old, "q", &[]);
    let image = image("p", Visibility::Public);
    assert!(old.holds(Rule::ModifyImage, &nobody, Target::Image(&image)));
    assert!(!old.holds(Rule::PublicizeImage, &nobody, Target::Image(&image)));
    assert!(!Policy::default().holds(Rule::ModifyImage, &nobody, Target::Image(&image)));
}

#[test]
fn a_bad_file_is_refused_with_its_line() {
    for (text, place) in [
        ("get_image: 'role:'x'\n", "policy.yaml:1:"),
        ("get_image: ''\nadd_image: admin\n", "policy.yaml:2:"),
        ("a: 'rule:b'\nb: 'not rule:a'\n", "policy.yaml:1:"),
        (
            "context_is_admin: 'rule:service_api or rule:context_is_admin'",
            "policy.yaml:1:",
        ),
    ] {
        let error = policy(text).unwrap_err().to_string();
        assert!(error.contains(place), "{text}: {error}");
    }
}

#[test]
fn a_file_that_changed_is_read_once_it_is_as_it_was_at_the_last_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let policy = Policy::load(settings(folder.path())).unwrap();
    let reader = caller(&policy, "p", &["reader"]);
    let image = image("p", Visibility::Private);
    let may_look = || policy.holds(Rule::GetImage, &reader, Target::Image(&image));
    assert!(may_look());
    fs::write(&path, "get_image: '!'\n").unwrap();
    policy.look();
    assert!(may_look());
    policy.look();
    assert!(!may_look());
    // One that is wrong changes nothing.
    fs::write(&path, "get_image: '@ and'\n").unwrap();
    policy.look();
    policy.look();
    assert!(!may_look());
    fs::remove_file(&path).unwrap();
    policy.look();
    policy.look();
    assert!(may_look());
}

#[test]
fn attributes_are_shown_as_python_shows_them() {
    let policy = policy(
        "a: \"True:%(protected)s and 'None':%(name)s and 0:%(min_disk)s\"\n\
         c: \"None:%(nothing)s\"\n\
         d: 'service_roles:nova and is_admin_project:True'\n\
         e: \"project_domain_id:None\"\n",
    );
    let policy = policy.unwrap();
    let mut caller = caller(&policy, "p", &[]);
    let image = image("p", Visibility::Private);
    caller.service_roles = vec!["nova".to_owned()];
    let holds = |name| policy.holds_named(name, &caller, Target::Image(&image));
    assert!(holds("a") && holds("d") && holds("e"));
    // The target lacks it.
    assert!(!holds("c"));
}
