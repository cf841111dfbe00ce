//! The command line from outside: what is printed where, and the exit codes.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

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
    let folder = folder_with("[DEFAULT]\nbind_port = x\n[paste_deploy]\nflavor = keystone\n");
    for command in [
        "serve",
        "demo",
        "config check",
        "config show",
        "db sync",
        "db version",
        "db check",
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
    assert_eq!(text(&run("db sync").stdout), "the database is created\n");
    assert_eq!(
        text(&run("db sync").stdout),
        "the database was up to date\n"
    );
    assert!(run("db check").status.success());
    assert!(text(&run("db version").stdout).starts_with("glance: "));
    assert!(folder.path().join("data/fresnel.sqlite").exists());
}
