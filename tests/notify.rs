//! What is told of changes: the events of a real Glance and ours for the same requests, through a real
//! broker, read by the lab's oslo.messaging; and none lost while that broker is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use regex::Regex;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use crate::support::{
    lab::{self, Glance},
    process::Fresnel,
    wait_until,
    wire::{self, Request, Response},
};

/// Until a broker that is back has been noticed: pauses are of at most two seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who asks Glance.
const PROJECT: &str = "9f0f3f0fa5e14b0c8a4a6ff3a1f0e001";
const USER: &str = "9f0f3f0fa5e14b0c8a4a6ff3a1f0e002";

/// The broker, which nobody else stops meanwhile: one test at a time, of any checkout of the project.
struct Broker {
    url: String,
    _alone: File,
}

impl Broker {
    fn start() -> Self {
        fs::create_dir_all(lab::folder()).unwrap();
        let alone = File::create(lab::folder().join(".rabbitmq-test.lock")).unwrap();
        flock(&alone, FlockOperation::LockExclusive).unwrap();
        let name = format!("fresnel-{}", uuid::Uuid::new_v4().simple());
        let url = lab::run(lab::script("rabbitmq-up").args(["--virtual-host", &name]));
        Self {
            url: url.trim().to_owned(),
            _alone: alone,
        }
    }

    fn stop(&self) {
        lab::run(lab::script("rabbitmq-down").arg("--broker"));
    }

    fn start_again(&self) {
        lab::run(&mut lab::script("rabbitmq-up"));
    }

    /// The lines of configuration that send to it, to that topic.
    fn options(&self, topic: &str) -> String {
        format!(
            "[oslo_messaging_notifications]\ndriver = messagingv2\ntransport_url = {}\n\
             topics = {topic}\n[oslo_messaging_rabbit]\nrabbit_interval_max = 2\n",
            self.url
        )
    }

    /// What was told under each of the topics, to the image named `the end`.
    fn heard(&self, topics: &[&str], options: &[&str]) -> Vec<Vec<Value>> {
        let questions = topics.iter().map(|topic| format!("{} {topic}", self.url));
        let heard = lab::ask_of(
            Command::new(lab::python()),
            "notify/listen.py",
            options,
            questions,
        );
        let messages = heard.iter().map(|line| serde_json::from_str(line).unwrap());
        messages.collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        let ended = Command::new("bash")
            .arg("-c")
            .arg(". $0 && rabbitmq_environment && rabbitmq delete_vhost $1")
            .args([lab::script("lab.env").get_program(), name.as_ref()])
            .output();
        drop(ended);
    }
}

#[test]
#[ignore = "takes a minute: make imports"]
fn events_are_those_of_glance() {
    let told = told(change_everything);
    for stream in ["changes", "tasks", "downloads"] {
        assert_same(&told, stream);
    }
}

#[test]
#[ignore = "takes a minute: make imports"]
fn events_of_imports_are_those_of_glance() {
    let told = told(import);
    for stream in ["changes", "tasks"] {
        assert_same(&told, stream);
    }
}

/// Glance goes from store to store and tells each step; here the bytes go to all of them at once.
#[test]
#[ignore = "takes a minute: make imports"]
fn events_of_imports_to_several_stores_come_to_those_of_glance() {
    let told = told(import_to_several);
    assert_same(&told, "tasks");
    let [theirs, own] = told.map(|events| outcomes(&of_stream(&events, "changes")));
    for (image, mut expected) in theirs {
        let found = &own[&image];
        if image == "\"none\"" {
            expected.forget_the_half();
        }
        assert_eq!(
            found.changes, expected.changes,
            "{image}: ours, then Glance's"
        );
        // Glance gets no further than the first store that fails.
        assert!(found.prepared.is_superset(&expected.prepared), "{image}");
    }
}

/// Who is asked.
struct Service {
    address: SocketAddr,
    /// The directory of the store `slow`.
    slow: PathBuf,
}

/// Has Glance and us do the same; what each has told.
fn told(change: fn(&Service)) -> [Vec<Value>; 2] {
    let broker = Broker::start();
    let url = format!("oslo_messaging_notifications.transport_url={}", broker.url);
    let driver = "oslo_messaging_notifications.driver=messagingv2";
    let options = [
        "DEFAULT.enabled_import_methods=[glance-direct,copy-image]",
        driver,
        &url,
    ];
    let options: Vec<_> = options
        .iter()
        .flat_map(|option| ["--set", option])
        .collect();
    let glance = Glance::start(&[&["--multi", "--identity"], options.as_slice()].concat());
    let ours = Fresnel::start_after(&[&glance.config()], |folder| {
        let stores = ["fast", "slow"].map(|store| {
            let path = folder.join(store);
            format!("[{store}]\nfilesystem_store_datadir = {}\n", path.display())
        });
        format!(
            "[DEFAULT]\nlog_file =\nworker_self_reference_url =\n\
             [os_glance_staging_store]\nfilesystem_store_datadir = {0}/staging\n\
             [database]\nconnection = sqlite:///{0}/db\n{1}{2}",
            folder.display(),
            stores.concat(),
            broker.options("ours")
        )
    });
    for (address, folder) in [
        (glance.address, glance.state.as_path()),
        (ours.address, ours.folder()),
    ] {
        change(&Service {
            address,
            slow: folder.join("slow"),
        });
        created(address, json!({"name": "the end"}));
    }
    let heard = broker.heard(&["notifications", "ours"], &[]);
    heard.try_into().expect("two topics were asked for")
}

/// Glance's events of a stream and ours are the same, one by one.
fn assert_same([theirs, own]: &[Vec<Value>; 2], stream: &str) {
    let [theirs, own] = [theirs, own].map(|events| masked(&of_stream(events, stream)));
    let types = |events: &[Value]| -> Vec<String> {
        let of = |event: &Value| format!("{} {}", event["queue"], event["message"]["event_type"]);
        events.iter().map(of).collect()
    };
    assert_eq!(types(&own), types(&theirs), "ours, then Glance's");
    for (own, theirs) in own.iter().zip(&theirs) {
        let pretty = |event| serde_json::to_string_pretty(event).unwrap();
        assert_eq!(pretty(own), pretty(theirs), "ours, then Glance's");
    }
}

/// What was told of an image, whenever it was.
#[derive(Debug, Default)]
struct Outcome {
    /// The stores that were to get it.
    prepared: BTreeSet<String>,
    /// All else, of updates the last.
    changes: BTreeMap<String, BTreeSet<String>>,
}

impl Outcome {
    /// Of an import that must succeed everywhere Glance tells what the stores before the failure got, and
    /// leaves the image the virtual size; here all or nothing is recorded (docs/SEMANTICS.md).
    fn forget_the_half(&mut self) {
        if let Some(uploads) = self.changes.get_mut("image.upload") {
            uploads.retain(|said| !said.starts_with("\"info\""));
        }
        if let Some(updates) = self.changes.get_mut("image.update") {
            let whole = updates
                .iter()
                .map(|said| said.replace("\"virtual_size\":12", "\"virtual_size\":null"));
            *updates = whole.collect();
        }
    }
}

/// By the images' names.
fn outcomes(events: &[Value]) -> BTreeMap<String, Outcome> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for event in events {
        let (kind, payload) = (
            event["message"]["event_type"].as_str().unwrap(),
            &event["message"]["payload"],
        );
        // A failure has a text for its payload, with the image's id in it.
        let text = payload.to_string();
        if kind == "image.create" {
            let id = payload["id"].as_str().unwrap();
            names.insert(id.to_owned(), payload["name"].to_string());
        }
        let (_, name) = names.iter().find(|(id, _)| text.contains(*id)).unwrap();
        let outcome = outcomes.entry(name.clone()).or_default();
        if kind == "image.prepare" {
            outcome.prepared.insert(payload["backend"].to_string());
            continue;
        }
        let changes = outcome.changes.entry(kind.to_owned()).or_default();
        if kind == "image.update" {
            changes.clear();
        }
        let said = &masked(std::slice::from_ref(event))[0];
        let said = format!("{} {}", said["queue"], said["message"]["payload"]);
        // Each service's own words, and Glance's for an image that its failed import leaves for ever.
        let said = said.split("internal error").next().unwrap();
        changes.insert(said.replace("importing\",\"tags", "queued\",\"tags"));
    }
    outcomes
}

/// What is told in one order. A task is told of by whoever runs it, a download when its last byte is on
/// the way: neither waits for the other, nor for the next request, here or in Glance.
fn of_stream(events: &[Value], stream: &str) -> Vec<Value> {
    let of = |event: &&Value| {
        let kind = event["message"]["event_type"].as_str().unwrap();
        stream
            == match kind {
                "image.send" => "downloads",
                kind if kind.starts_with("task.") => "tasks",
                _ => "changes",
            }
    };
    // A task may still be ending when that is told.
    let is_end = |event: &&Value| event["message"]["payload"]["name"] == "the end";
    let events = events.iter().filter(|event| !is_end(event) && of(event));
    let mut events: Vec<Value> = events.cloned().collect();
    // Glance saves an imported image once more, as it is, before its task ends.
    let told = |event: &Value| {
        let mut told = event["message"]["payload"].clone();
        if let Value::Object(members) = &mut told {
            members.remove("updated_at");
        }
        (event["message"]["event_type"].clone(), told)
    };
    events.dedup_by(|event, before| told(event) == told(before));
    if stream == "downloads" {
        events.sort_by_key(|event| event["message"]["payload"]["bytes_sent"].as_u64());
    }
    events
}

#[test]
fn nothing_is_lost_while_the_broker_is_away() {
    let broker = Broker::start();
    // The queue has to survive the broker's end, or the broker loses what it had confirmed.
    let options = broker.options("ours") + "amqp_durable_queues = true\n";
    let mut ours = Fresnel::start(&options);
    let mut expected = Vec::new();
    let create = |name: &str, expected: &mut Vec<String>, ours: &Fresnel| {
        let image = created(ours.address, json!({"name": name}));
        expected.push(image);
    };
    create("before", &mut expected, &ours);
    assert!(
        wait_until(PATIENCE, || waiting(&ours) == 0),
        "{}",
        ours.log()
    );
    broker.stop();
    for name in ["away 1", "away 2"] {
        create(name, &mut expected, &ours);
    }
    assert_eq!(waiting(&ours), 2);
    // Nor does a crash lose what waits.
    ours.kill();
    ours.restart();
    create("away 3", &mut expected, &ours);
    assert_eq!(waiting(&ours), 3);
    broker.start_again();
    assert!(
        wait_until(PATIENCE, || waiting(&ours) == 0),
        "{}",
        ours.log()
    );
    create("the end", &mut expected, &ours);
    let heard = broker.heard(&["ours"], &["--durable"]);
    let mut told: Vec<&str> = Vec::new();
    for event in &heard[0] {
        let id = event["message"]["payload"]["id"].as_str().unwrap();
        // Once more is allowed; less is not.
        if !told.contains(&id) {
            told.push(id);
        }
    }
    assert_eq!(told, expected, "in the order of the changes");
}

#[test]
fn beyond_the_limit_the_oldest_are_given_up() {
    let broker = Broker::start();
    broker.stop();
    let options =
        broker.options("ours") + "amqp_durable_queues = true\n[fresnel]\nevents_max = 3\n";
    let ours = Fresnel::start(&options);
    for number in 0..8 {
        created(ours.address, json!({"name": number.to_string()}));
    }
    created(ours.address, json!({"name": "the end"}));
    let bounded = wait_until(PATIENCE, || waiting(&ours) <= 3);
    assert!(bounded, "{}", ours.log());
    assert!(ours.log().contains("the oldest are given up"));
    broker.start_again();
    let heard = broker.heard(&["ours"], &["--durable"]);
    let names = heard[0]
        .iter()
        .map(|event| &event["message"]["payload"]["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["6", "7", "the end"]);
}

/// One of each change that Glance tells of, with its failures.
fn change_everything(service: &Service) {
    let address = service.address;
    let send = |request: Request| ask(address, request);
    let path = |image: &str, more: &str| format!("/v2/images/{image}{more}");
    let image = created(
        address,
        json!({"name": "one", "disk_format": "raw", "container_format": "bare", "min_disk": 1,
               "min_ram": 2, "tags": ["a", "b"], "os_distro": "debian", "visibility": "shared"}),
    );
    let patch = json!([
        {"op": "replace", "path": "/name", "value": "two"},
        {"op": "add", "path": "/colour", "value": "red"},
        {"op": "remove", "path": "/os_distro"},
    ]);
    let patch = Request::new("PATCH", &path(&image, "")).body(patch.to_string());
    let kind = "application/openstack-images-v2.1-json-patch";
    expect(200, &send(patch.header("content-type", kind)));
    expect(204, &send(Request::new("PUT", &path(&image, "/tags/c"))));
    expect(204, &send(Request::new("DELETE", &path(&image, "/tags/a"))));
    let member = json!({"member": "someone"}).to_string();
    expect(
        200,
        &send(Request::new("POST", &path(&image, "/members")).body(member)),
    );
    let status = json!({"status": "accepted"}).to_string();
    let one = path(&image, "/members/someone");
    expect(200, &send(Request::new("PUT", &one).body(status)));
    expect(204, &send(Request::new("DELETE", &one)));
    expect(204, &upload(address, &image, b"twelve bytes"));
    expect(200, &send(Request::new("GET", &path(&image, "/file"))));
    let range = Request::new("GET", &path(&image, "/file")).header("range", "bytes=2-5");
    expect(206, &send(range));
    expect(
        204,
        &send(Request::new("POST", &path(&image, "/actions/deactivate"))),
    );
    expect(
        204,
        &send(Request::new("POST", &path(&image, "/actions/reactivate"))),
    );
    expect(204, &send(Request::new("DELETE", &path(&image, ""))));
    let wrong = created(
        address,
        json!({"name": "wrong", "disk_format": "qcow2", "container_format": "bare"}),
    );
    expect(415, &upload(address, &wrong, &[7; 70_000]));
    change_definitions(&send);
}

/// Staged data that goes to one store.
fn import(service: &Service) {
    let image = staged(service, "imported");
    let direct = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
    assert_eq!(imported(service, &image, &direct)["status"], "active");
}

/// To two stores; a copy; and what becomes of an image whose name is taken in one of them.
fn import_to_several(service: &Service) {
    let both = json!({"method": {"name": "glance-direct"}, "stores": ["fast", "slow"]});
    let image = staged(service, "both");
    assert_eq!(imported(service, &image, &both)["stores"], "fast,slow");
    let image = staged(service, "copied");
    let one = json!({"method": {"name": "glance-direct"}, "stores": ["fast"]});
    imported(service, &image, &one);
    let copy = json!({"method": {"name": "copy-image"}, "stores": ["slow"]});
    assert_eq!(imported(service, &image, &copy)["stores"], "fast,slow");
    let some = json!({"method": {"name": "glance-direct"}, "stores": ["fast", "slow"],
                      "all_stores_must_succeed": false});
    for (name, body, stores) in [("some", &some, json!("fast")), ("none", &both, Value::Null)] {
        let image = staged(service, name);
        fs::write(service.slow.join(&image), "taken").unwrap();
        let shown = imported(service, &image, body);
        assert_eq!(
            shown.get("stores").unwrap_or(&Value::Null),
            &stores,
            "{shown}"
        );
        assert_eq!(shown["os_glance_failed_import"], "slow");
    }
}

/// An image of that name whose data waits for its import.
fn staged(service: &Service, name: &str) -> String {
    let image = created(
        service.address,
        json!({"name": name, "disk_format": "raw", "container_format": "bare"}),
    );
    let stage = Request::new("PUT", &format!("/v2/images/{image}/stage"));
    let stage = stage.header("content-type", "application/octet-stream");
    expect(204, &ask(service.address, stage.body("twelve bytes")));
    image
}

/// Imports it; the image, once no task has it any more.
fn imported(service: &Service, image: &str, body: &Value) -> Value {
    let path = format!("/v2/images/{image}");
    let request = Request::new("POST", &format!("{path}/import")).body(body.to_string());
    expect(202, &ask(service.address, request));
    // Whoever lists tasks writes to the database, and Glance's task fails where SQLite is locked then.
    let show = || ask(service.address, Request::new("GET", &path)).json();
    let is_free = || show().get("os_glance_import_task").is_none();
    assert!(wait_until(PATIENCE, is_free), "{}", show());
    show()
}

fn change_definitions(send: &dyn Fn(Request) -> Response) {
    let root = "/v2/metadefs/namespaces";
    let post = |path: &str, body: Value| {
        let request = Request::new("POST", &format!("{root}{path}")).body(body.to_string());
        expect(201, &send(request));
    };
    let put = |path: &str, body: Value| {
        let request = Request::new("PUT", &format!("{root}{path}")).body(body.to_string());
        expect(200, &send(request));
    };
    let delete = |path: &str| expect(204, &send(Request::new("DELETE", &format!("{root}{path}"))));
    let property = json!({"title": "P", "type": "string", "enum": ["a"], "minLength": 0});
    post(
        "",
        json!({
            "namespace": "ns", "owner": "lab", "display_name": "N", "description": "d",
            "resource_type_associations": [{"name": "T", "prefix": "x"}],
            "objects": [{"name": "o", "required": ["p"], "properties": {"p": property}}],
            "tags": [{"name": "t"}], "properties": {"p": property},
        }),
    );
    put("/ns", json!({"namespace": "other", "owner": "lab"}));
    post("/other/objects", json!({"name": "o2", "description": "d"}));
    put("/other/objects/o2", json!({"name": "o3"}));
    delete("/other/objects/o3");
    post(
        "/other/properties",
        json!({"name": "p2", "title": "P", "type": "integer", "maximum": 3}),
    );
    put(
        "/other/properties/p2",
        json!({"name": "p3", "title": "P", "type": "integer"}),
    );
    delete("/other/properties/p3");
    expect(
        201,
        &send(Request::new("POST", &format!("{root}/other/tags/t2"))),
    );
    put("/other/tags/t2", json!({"name": "t3"}));
    delete("/other/tags/t3");
    post(
        "/other/tags",
        json!({"tags": [{"name": "a"}, {"name": "b"}]}),
    );
    post("/other/resource_types", json!({"name": "U"}));
    delete("/other/resource_types/U");
    for list in ["objects", "properties", "tags"] {
        delete(&format!("/other/{list}"));
    }
    delete("/other");
}

/// Glance takes the headers for who asks: its tasks need an owner. Without authentication nobody asks us.
fn ask(address: SocketAddr, request: Request) -> Response {
    let request = request.header("x-identity-status", "Confirmed");
    let request = request.header("x-roles", "admin,member");
    let request = request.header("x-project-id", PROJECT);
    wire::exchange(address, &request.header("x-user-id", USER)).unwrap()
}

fn created(address: SocketAddr, image: Value) -> String {
    let request = Request::new("POST", "/v2/images").body(image.to_string());
    let answer = ask(address, request);
    expect(201, &answer);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn upload(address: SocketAddr, image: &str, bytes: &[u8]) -> Response {
    let request = Request::new("PUT", &format!("/v2/images/{image}/file"));
    let request = request.header("content-type", "application/octet-stream");
    ask(address, request.body(bytes))
}

#[track_caller]
fn expect(status: u16, answer: &Response) {
    let body = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{body}");
}

/// The rows that wait.
fn waiting(ours: &Fresnel) -> usize {
    let counted = ours.query("SELECT COUNT(*) FROM fresnel_events");
    counted[0].parse().unwrap()
}

/// Ids in the order of their appearance, times, and who asks, are masked; tags, a set, are sorted.
fn masked(events: &[Value]) -> Vec<Value> {
    const ID: &str = "[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}";
    const TIME: &str = r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{6}|Z)?";
    let (ids, times) = (Regex::new(ID).unwrap(), Regex::new(TIME).unwrap());
    let mut known = BTreeMap::new();
    let mut mask = |event: &Value| -> Value {
        let mut event = event.clone();
        if let Some(Value::Array(tags)) = event.pointer_mut("/message/payload/tags") {
            tags.sort_by_key(ToString::to_string);
        }
        // A refused upload leaves nothing behind here, and its digest in Glance.
        if event.pointer("/message/payload/status") == Some(&json!("queued")) {
            event["message"]["payload"]["checksum"] = Value::Null;
        }
        // Each service's own.
        if let Some(Value::Object(properties)) = event.pointer_mut("/message/payload/properties") {
            properties.remove("os_glance_stage_host");
        }
        sort(&mut event);
        let mut text = event.to_string();
        for id in [PROJECT, USER] {
            text = text.replace(&format!("\"{id}\""), "null");
        }
        let text = ids.replace_all(&text, |found: &regex::Captures<'_>| {
            let count = known.len();
            let number = known.entry(found[0].to_owned()).or_insert(count);
            format!("<id {number}>")
        });
        let text = times.replace_all(&text, "<time>");
        serde_json::from_str(&text).unwrap()
    };
    events.iter().map(&mut mask).collect()
}

fn sort(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.sort_keys();
            members.values_mut().for_each(sort);
        }
        Value::Array(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}
