//! The command line from outside: what is printed where, and the exit codes.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{free_address, lab};

/// `fresnel` with those words, in a directory of its own.
fn fresnel(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(words.split(' '))
        .current_dir(folder)
        .env_remove("FRESNEL_DATA")
        .output()
        .unwrap()
}

fn folder_with(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.conf"), text).unwrap();
    folder
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_wrong_configuration_is_exit_code_2_for_every_command() {
    let folder = folder_with("[DEFAULT]\nbind_port = x\n[paste_deploy]\nflavor = magic\n");
    for command in [
        "serve",
        "demo",
        "config check",
        "config show",
        "db sync",
        "db version",
        "db check",
        "policy list",
        "policy check",
    ] {
        let output = fresnel(folder.path(), &format!("{command} --config-file a.conf"));
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = text(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(
            lines[0].starts_with("a.conf:2: [DEFAULT] bind_port: "),
            "{said}"
        );
        assert!(
            lines[1].starts_with("a.conf:4: [paste_deploy] flavor: "),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_command_is_exit_code_2() {
    let folder = folder_with("");
    assert_eq!(fresnel(folder.path(), "sevre").status.code(), Some(2));
}

#[test]
fn check_names_what_has_no_effect() {
    let folder = folder_with("[DEFAULT]\nworkers = 8\n[nova]\nx = y\n");
    let output = fresnel(folder.path(), "config check --config-dir .");
    assert!(output.status.success());
    let said = text(&output.stdout);
    assert!(
        said.contains("not supported and have no effect: [DEFAULT] workers (./a.conf:2)"),
        "{said}"
    );
    assert!(
        said.contains("not known and have no effect: [nova] x (./a.conf:4)"),
        "{said}"
    );
}

#[test]
fn check_looks_at_what_is_named() {
    let folder = folder_with("[DEFAULT]\ncert_file = no.pem\nkey_file = no.pem\n");
    let output = fresnel(folder.path(), "config check --config-file a.conf");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("a.conf:3: [DEFAULT] key_file: no.pem: "),
        "{said}"
    );
}

#[test]
fn a_start_waits_for_the_database_and_its_end_is_in_the_log() {
    let nowhere = free_address();
    let folder = folder_with(&format!(
        "[DEFAULT]\nbind_port = 0\nlog_file = log\n[database]\nmax_retries = 1\nretry_interval = 1\n\
         connection = mysql+pymysql://glance:hunter2@{nowhere}/glance\n"
    ));
    let output = fresnel(folder.path(), "serve --config-file a.conf");
    assert_eq!(output.status.code(), Some(1));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let tried = log.lines().filter(|line| line.contains("trying again"));
    assert_eq!(tried.count(), 1, "{log}");
    let reason = format!("[database] connection = mysql+pymysql://glance:***@{nowhere}/glance");
    assert!(text(&output.stderr).contains(&reason), "{output:?}");
    let last = log.lines().last().unwrap();
    assert!(last.contains("ERROR") && last.contains(&reason), "{log}");
    assert!(!log.contains("hunter2"));
}

#[test]
fn a_port_that_is_taken_is_told_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder_with(&format!("[DEFAULT]\nbind_port = {port}\n"));
    let output = fresnel(folder.path(), "serve --config-file a.conf");
    let said = text(&output.stderr);
    let reason = format!("fresnel: cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(said.contains(&reason), "{said}");
    assert_eq!(said.matches("Address already in use").count(), 1, "{said}");
}

#[test]
fn show_says_what_is_in_force_and_hides_passwords() {
    let folder = folder_with("[database]\nconnection = mysql+pymysql://glance:hunter2@db/glance\n");
    let output = fresnel(folder.path(), "config show --config-file a.conf");
    assert!(output.status.success());
    let said = text(&output.stdout);
    assert!(
        said.contains("# a.conf:2\nconnection = mysql+pymysql://glance:***@db/glance\n"),
        "{said}"
    );
    assert!(said.contains("# bind_port = 9292\n"), "{said}");
    assert!(!said.contains("hunter2"));
}

#[test]
fn the_database_is_made_once() {
    let folder = folder_with("[fresnel]\ndata_dir = data\n");
    let run = |command: &str| fresnel(folder.path(), &format!("{command} --config-file a.conf"));
    let output = run("db check");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("run `fresnel db sync`"));
    assert_eq!(run("db version").status.code(), Some(1));
    assert!(!folder.path().join("data").exists(), "a look makes nothing");
    assert_eq!(text(&run("db sync").stdout), "the database is created\n");
    assert_eq!(
        text(&run("db sync").stdout),
        "the database was up to date\n"
    );
    assert!(run("db check").status.success());
    assert!(text(&run("db version").stdout).starts_with("glance: "));
    assert_eq!(
        text(&run("db sync --json").stdout),
        "{\"result\":\"unchanged\"}\n"
    );
    assert!(folder.path().join("data/fresnel.sqlite").exists());
}

#[test]
fn the_policy_in_force_is_listed_with_its_places() {
    let folder = folder_with("");
    fs::write(folder.path().join("policy.yaml"), "get_image: 'role:x'\n").unwrap();
    let output = fresnel(folder.path(), "policy list --json --config-file a.conf");
    let rules: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rule = |name: &str| {
        let rules = rules.as_array().unwrap();
        rules
            .iter()
            .find(|rule| rule["rule"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(rule("get_image")["in_force"], "role:x");
    let place = rule("get_image")["place"].as_str().unwrap().to_owned();
    assert!(place.ends_with("policy.yaml:1"), "{place}");
    assert_eq!(rule("add_image")["place"], serde_json::Value::Null);
}

#[test]
fn what_a_persona_may_do_is_a_table() {
    let folder = folder_with("");
    let words = "policy check --role member --project p --rule modify_image --config-file a.conf";
    let output = fresnel(folder.path(), words);
    let printed = text(&output.stdout);
    let cells: Vec<&str> = printed.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(cells, ["modify_image", "yes", "403", "403", "403", "404"]);
    let output = fresnel(
        folder.path(),
        "policy check --rule nothing --config-file a.conf",
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_wrong_policy_is_a_wrong_configuration() {
    let folder = folder_with("[DEFAULT]\nproperty_protection_file = protections.conf\n");
    fs::write(
        folder.path().join("policy.yaml"),
        "a: ''\nb: 'role:x and'\n",
    )
    .unwrap();
    fs::write(folder.path().join("protections.conf"), "").unwrap();
    let output = fresnel(folder.path(), "config check --config-file a.conf");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("policy.yaml:2: b: "),
        "{output:?}"
    );
    fs::write(folder.path().join("policy.yaml"), "").unwrap();
    fs::write(folder.path().join("protections.conf"), "[x]\ncreate = @\n").unwrap();
    let output = fresnel(folder.path(), "config check --config-file a.conf");
    assert!(
        text(&output.stderr).contains("protections.conf:1: [x] has no read"),
        "{output:?}"
    );
}

#[test]
fn glances_definitions_are_loaded_written_and_loaded_again() {
    let folder = folder_with("[fresnel]\ndata_dir = data\n");
    let run = |words: &str| {
        let output = fresnel(folder.path(), &format!("{words} --config-file a.conf"));
        let said = text(&output.stderr);
        assert!(output.status.success(), "{words}: {said}");
        text(&output.stdout).trim().to_owned()
    };
    let stock = lab::python()
        .parent()
        .unwrap()
        .join("../etc/glance/metadefs");
    let files = fs::read_dir(&stock)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let count = files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .count();
    let load = format!("db load-metadefs --path {}", stock.display());
    let said = format!("namespaces: {count} loaded, 0 merged, 0 left as they were");
    assert_eq!(run(&load), said);
    let said = format!("namespaces: 0 loaded, 0 merged, {count} left as they were");
    assert_eq!(run(&load), said);
    let said = format!("namespaces: 0 loaded, {count} merged, 0 left as they were");
    assert_eq!(run(&format!("{load} --merge --prefer-new")), said);
    run("db export-metadefs --path one");
    let asked: serde_json::Value =
        serde_json::from_str(&run("db unload-metadefs --dry-run --json")).unwrap();
    assert_eq!(asked["removed"], count);
    run("db unload-metadefs");
    let said = format!("namespaces: {count} loaded, 0 merged, 0 left as they were");
    assert_eq!(run("db load-metadefs --path one"), said);
    run("db export-metadefs --path two");
    for entry in fs::read_dir(folder.path().join("one")).unwrap() {
        let path = entry.unwrap().path();
        let again = folder.path().join("two").join(path.file_name().unwrap());
        let (one, two) = (
            fs::read_to_string(&path).unwrap(),
            fs::read_to_string(again).unwrap(),
        );
        assert_eq!(one, two, "{}", path.display());
    }
}

#[test]
fn an_upgrade_is_checked() {
    let folder = folder_with("[fresnel]\ndata_dir = data\n");
    let run = || {
        fresnel(
            folder.path(),
            "db upgrade-check --json --config-file a.conf",
        )
    };
    let result = |output: &Output, what: &str| {
        let looked: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let looked = looked.as_array().unwrap().iter();
        let mut found = looked.filter(|one| one["check"] == what);
        found.next().unwrap()["result"].as_str().unwrap().to_owned()
    };
    let empty = run();
    assert!(!empty.status.success());
    assert_eq!(result(&empty, "database"), "not ready");
    fresnel(folder.path(), "db sync --config-file a.conf");
    let ready = run();
    assert!(ready.status.success(), "{ready:?}");
    assert_eq!(result(&ready, "database"), "ready");
    let config = "[fresnel]\ndata_dir = data\n[DEFAULT]\nexecutor_thread_pool_size = 9\n";
    fs::write(folder.path().join("a.conf"), config).unwrap();
    assert_eq!(result(&run(), "configuration"), "warning");
}

#[test]
fn rows_are_purged_by_glances_names() {
    let folder = folder_with("[fresnel]\ndata_dir = data\n");
    fresnel(folder.path(), "db sync --config-file a.conf");
    for words in [
        "db purge --age_in_days 1 --max_rows -1 --dry-run --json",
        "db purge_images_table --age-in-days 1 --max-rows 5 --json",
    ] {
        let output = fresnel(folder.path(), &format!("{words} --config-file a.conf"));
        assert!(output.status.success(), "{output:?}");
        let purged: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(purged["age_in_days"], 1);
        let removed = purged["tables"].as_array().unwrap().iter();
        assert!(
            removed
                .map(|one| &one["removed"])
                .all(|removed| *removed == 0)
        );
    }
    let refused = fresnel(folder.path(), "db purge --max-rows -2 --config-file a.conf");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn the_manual_and_what_shells_complete_from_know_every_command() {
    let folder = TempDir::new().unwrap();
    let written = fresnel(folder.path(), "generate man pages");
    assert!(written.status.success(), "{written:?}");
    let page = fs::read_to_string(folder.path().join("pages/fresnel-db-purge.1")).unwrap();
    assert!(page.contains("dry\\-run"), "{page}");
    let script = fresnel(folder.path(), "generate completions bash");
    fs::write(folder.path().join("fresnel.bash"), script.stdout).unwrap();
    let typed = ". ./fresnel.bash; COMP_WORDS=(fresnel db pur); COMP_CWORD=2; \
                 _fresnel fresnel pur db; echo ${COMPREPLY[@]}";
    let completed = Command::new("bash")
        .current_dir(folder.path())
        .args(["-c", typed])
        .output()
        .unwrap();
    assert_eq!(
        text(&completed.stdout),
        "purge purge-images-table\n",
        "{completed:?}"
    );
}
