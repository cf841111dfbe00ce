use super::*;
use crate::control::Identity;

fn protections(text: &str, format: Format) -> Protections {
    Protections::parse(text, format).unwrap().0
}

fn section(pattern: &str, all: &str) -> String {
    format!("[{pattern}]\ncreate = {all}\nread = {all}\nupdate = {all}\ndelete = {all}\n")
}

fn caller(roles: &[&str], service_roles: &[&str]) -> Caller {
    let owned = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect();
    let identity = Identity {
        roles: owned(roles),
        service_roles: owned(service_roles),
        ..Identity::default()
    };
    Caller::authenticated(identity, &Policy::default(), String::new())
}

fn reads(text: &str, property: &str, caller: &Caller) -> bool {
    let protections = protections(text, Format::Roles);
    protections.allow(Operation::Read, property, caller, &Policy::default())
}

#[test]
fn the_first_pattern_that_is_found_decides_and_without_one_nobody_may() {
    let text = section("^x_a", "Admin, billing") + &section("^x_", "@") + &section("y$", "!");
    let (member, billing) = (caller(&["member"], &[]), caller(&["Billing"], &[]));
    assert!(!reads(&text, "x_a1", &member) && reads(&text, "x_a1", &billing));
    assert!(reads(&text, "x_b", &member));
    assert!(!reads(&text, "y", &billing) && !reads(&text, "other", &billing));
    assert!(reads(&text, "os_glance_failed_import", &member));
}

#[test]
fn an_empty_value_and_an_empty_file_are_nobody() {
    let admin = caller(&["admin"], &[]);
    assert!(!reads(&section("x", ""), "x", &admin));
    assert!(!reads("", "x", &admin));
}

#[test]
fn a_services_roles_count_and_some_count_only_as_its() {
    let (user, service) = (caller(&["nova"], &[]), caller(&["member"], &["nova"]));
    let both = section("x", "admin,nova");
    assert!(reads(&both, "x", &user) && reads(&both, "x", &service));
    let only = section("x", "admin,service_roles:nova");
    assert!(!reads(&only, "x", &user) && reads(&only, "x", &service));
}

#[test]
fn patterns_are_those_of_python() {
    let text = section("^(?!x_)", "@");
    let anyone = caller(&[], &[]);
    assert!(reads(&text, "y", &anyone) && !reads(&text, "x_y", &anyone));
}

#[test]
fn a_policy_decides_where_the_file_names_policies() {
    let text = section("x", "context_is_admin") + &section("y", "gone");
    let protections = protections(&text, Format::Policies);
    let policy = Policy::default();
    let may = |property: &str, caller: &Caller| {
        protections.allow(Operation::Update, property, caller, &policy)
    };
    assert!(may("x", &caller(&["admin"], &[])) && !may("x", &caller(&["member"], &[])));
    assert!(!may("y", &caller(&["admin"], &[])));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let line = |text: &str, format| Protections::parse(text, format).unwrap_err().line;
    assert_eq!(line(&section("x", "@,!"), Format::Roles), 2);
    assert_eq!(line(&section("x", "a,b"), Format::Policies), 2);
    assert_eq!(line(&section("(", "@"), Format::Roles), 1);
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        file: folder.path().join("protections.conf"),
        format: Format::Policies,
    };
    let load = || {
        Protections::load(&settings, &Policy::default())
            .unwrap_err()
            .to_string()
    };
    assert!(load().contains("protections.conf: "), "{}", load());
    std::fs::write(&settings.file, section("x", "nothing")).unwrap();
    assert!(
        load().contains("protections.conf:2: there is no rule"),
        "{}",
        load()
    );
}
