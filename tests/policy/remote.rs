//! Rules that another service decides.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use fresnel::{
    client::judge,
    control::{
        Caller, Identity, Policy,
        policy::{Settings, Source, Target},
    },
    model::{Image, ImageId, ProjectId},
};
use serde_json::Value;

/// Asks a rule that a service decides which answers so. Returns what it was asked, too.
fn ask(answer: &'static str, json: bool) -> (bool, String) {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, _) = service.accept().unwrap();
        let mut request = Vec::new();
        let whole = |request: &[u8]| {
            let text = String::from_utf8_lossy(request).into_owned();
            let (head, body) = text.split_once("\r\n\r\n")?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().unwrap())
            })?;
            (body.len() >= length).then(|| text.clone())
        };
        loop {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..read]);
            if let Some(text) = whole(&request) {
                let length = answer.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}"
                )
                .unwrap();
                return text;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let rule = format!("decide: 'role:member and http://{address}/%(project_id)s'\n");
    fs::write(folder.path().join("policy.yaml"), rule).unwrap();
    let policy = Policy::load(Settings {
        source: Source {
            file: "policy.yaml".to_owned(),
            dirs: Vec::new(),
            search: vec![folder.path().to_owned()],
        },
        remote: judge::Config {
            json,
            ..judge::Config::default()
        },
        ..Settings::default()
    });
    let policy = policy.unwrap();
    let identity = Identity {
        roles: vec!["member".to_owned()],
        ..Identity::default()
    };
    let caller = Caller::authenticated(identity, &policy, String::new());
    let image = Image {
        owner: Some(ProjectId::new("p1")),
        ..Image::queued(ImageId::new("i"), chrono::DateTime::UNIX_EPOCH.naive_utc())
    };
    let holds = policy.holds_named("decide", &caller, Target::Image(&image));
    (holds, asked.join().unwrap())
}

#[test]
fn the_service_is_asked_as_oslo_policy_asks_it() {
    let (holds, asked) = ask("True", true);
    assert!(
        holds && asked.starts_with("POST /p1 HTTP/1.1\r\n"),
        "{asked}"
    );
    let body: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["rule"], "decide");
    assert_eq!(body["target"]["owner"], "p1");
    assert_eq!(body["credentials"]["roles"][0], "member");
    let (holds, asked) = ask("\"True\"", false);
    let fields = asked.split_once("\r\n\r\n").unwrap().1;
    let fields: Vec<_> = url::form_urlencoded::parse(fields.as_bytes()).collect();
    assert!(holds);
    assert_eq!((&*fields[0].0, &*fields[0].1), ("rule", "\"decide\""));
    assert_eq!(fields.len(), 3);
}

#[test]
fn anything_but_true_is_a_no() {
    for answer in ["False", "true", "", "True enough"] {
        assert!(!ask(answer, false).0, "{answer}");
    }
}
