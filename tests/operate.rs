//! The real binary as its operator sees it: signals, the log, metrics.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;

use crate::support::{
    free_address,
    images::{self, MIB, content, data_path},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Upload, exchange},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The lines of a log that have all of these words.
fn lines(log: &str, words: &[&str]) -> usize {
    let has = |line: &&str| words.iter().all(|word| line.contains(word));
    log.lines().filter(has).count()
}

fn logs(process: &Fresnel, words: &[&str]) {
    let told = || lines(&process.log(), words) > 0;
    assert!(wait_until(PATIENCE, told), "{words:?}:\n{}", process.log());
}

fn log_in(folder: &Path) -> String {
    let file = folder.join("own.log").display().to_string();
    format!("[DEFAULT]\nlog_file = {file}\n")
}

fn follows_its_log(process: &Fresnel, told: impl Fn()) {
    let path = process.folder().join("own.log");
    fs::rename(&path, process.folder().join("own.log.1")).unwrap();
    told();
    let goes_on = || {
        images::ask(process.address, &Request::new("GET", "/v2/images"));
        fs::read_to_string(&path).is_ok_and(|log| log.contains("GET /v2/images"))
    };
    assert!(wait_until(PATIENCE, goes_on));
}

#[test]
fn a_hangup_opens_the_log_again_and_ends_nobody() {
    let service = Fresnel::start_after(&[], log_in);
    let folder = tempfile::tempdir().unwrap();
    let own = format!("log_file = {}\n", folder.path().join("own.log").display());
    let node = Fresnel::node(service.address, &own);
    follows_its_log(&service, || service.signal(Signal::HUP));
    let path = folder.path().join("own.log");
    fs::rename(&path, folder.path().join("own.log.1")).unwrap();
    node.signal(Signal::HUP);
    assert!(wait_until(PATIENCE, || path.exists()));
    images::ask(node.address, &Request::new("GET", "/v2/images"));
}

#[test]
fn a_watched_log_is_followed_without_a_word() {
    let service = Fresnel::start_after(&[], |folder| log_in(folder) + "watch_log_file = true\n");
    follows_its_log(&service, || {});
}

#[test]
fn what_is_refused_has_an_id_in_the_log_too() {
    let nowhere = free_address();
    let service = Fresnel::start(&format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = http://{nowhere}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\nhttp_request_max_retries = 0\n"
    ));
    let ask = |token: &[(&str, &str)]| {
        let mut request = Request::new("GET", "/v2/images").header("user-agent", "a client");
        for (name, value) in token {
            request = request.header(name, value);
        }
        exchange(service.address, &request).unwrap()
    };
    assert_eq!(ask(&[("x-openstack-request-id", "one")]).status, 401);
    let away = ask(&[("x-openstack-request-id", "two"), ("x-auth-token", "t")]);
    assert_eq!((away.status, away.header("retry-after")), (503, Some("10")));
    let line = [
        "request.id=\"req-one\"",
        "status=401",
        "peer=127.0.0.1",
        "agent=\"a client\"",
    ];
    logs(&service, &line);
    logs(&service, &["ERROR", "request.id=\"req-two\"", "Keystone"]);
    logs(&service, &["request.id=\"req-two\"", "status=503"]);
}

#[test]
fn bytes_are_counted_that_came_and_went_however_it_ended() {
    let metrics = free_address();
    let service = Fresnel::start(&format!("metrics_bind = {metrics}\n"));
    let image = images::create(service.address);
    let mut upload = Upload::begin(service.address, &data_path(&image)).unwrap();
    upload.send(&content(MIB, 1)).unwrap();
    let counted = || {
        let page = images::ask(metrics, &Request::new("GET", "/metrics")).body;
        let line = format!("\nfresnel_ingress_bytes_total {MIB}\n");
        String::from_utf8(page).unwrap().contains(&line)
    };
    assert!(wait_until(PATIENCE, counted));
    drop(upload);
    let bytes = format!("received_bytes={MIB} ");
    logs(&service, &["Upload failed", &bytes]);

    let whole = content(64 * MIB, 2);
    let image = images::create(service.address);
    let sent = images::upload(service.address, &image, Payload::Sized(whole));
    assert_eq!(sent.status, 204);
    images::ask(service.address, &Request::new("GET", &data_path(&image)));
    let path = format!("GET {}", data_path(&image));
    logs(
        &service,
        &[&path, "status=200", &format!("bytes={} ", 64 * MIB)],
    );
    assert_eq!(lines(&service.log(), &[&path, "cut=true"]), 0);
    hang_up_early(&service, &data_path(&image));
    logs(&service, &[&path, "status=200", "cut=true"]);
}

/// Asks for a large answer, and goes.
fn hang_up_early(service: &Fresnel, target: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(service.address).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
}

#[test]
fn begin_and_end_say_what_they_are_of() {
    let mut service = Fresnel::start("");
    assert!(service.stop().success());
    logs(&service, &["Starting", "version=", "fresnel.conf"]);
    logs(
        &service,
        &[
            "Ready on",
            "node.id=",
            "database=\"sqlite://",
            "stores=\"file (file)",
        ],
    );
    logs(&service, &["Stopped", "connections_cut=0"]);
}
