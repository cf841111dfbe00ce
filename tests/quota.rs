//! Quotas under load: three processes on one database give a project exactly what it may have.

use std::{io::Write, net::TcpStream, path::PathBuf, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    keystone::Keystone,
    lab,
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, exchange},
};

/// Bytes of each image.
const SIZE: usize = 10_000;
/// Images that fit.
const ROOM: usize = 50;
/// After this a dead node's reservations are back: the lease, and a sweep, three times over.
const RETURN_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn of_200_sized_uploads_on_three_nodes_those_that_fit_are_stored() {
    given_three_nodes("", |nodes| exactly_what_fits(nodes, sized));
}

#[test]
fn of_200_chunked_uploads_on_three_nodes_those_that_fit_are_stored() {
    given_three_nodes("", |nodes| exactly_what_fits(nodes, chunked));
}

#[test]
fn a_dead_nodes_room_comes_back_with_its_lease() {
    given_three_nodes(SHORT_LEASE, |nodes| {
        let (held, waiting) = (queue(&nodes[0]), queue(&nodes[1]));
        let mut sender = TcpStream::connect(nodes[0].address).unwrap();
        write!(
            sender,
            "PUT /v2/images/{held}/file HTTP/1.1\r\nHost: fresnel\r\nContent-Length: {}\r\n\
             Content-Type: application/octet-stream\r\n\r\nx",
            SIZE * ROOM
        )
        .unwrap();
        assert!(wait_until(RETURN_LIMIT, || status(&nodes[1], &held) == "saving"));
        assert_eq!(sized(&nodes[1], &waiting).status, 413);
        nodes[0].kill();
        let back = || sized(&nodes[1], &waiting).status == 204;
        assert!(wait_until(RETURN_LIMIT, back));
    });
}

#[test]
fn who_is_refused_is_told_why() {
    given_three_nodes("", |nodes| {
        let node = &nodes[0];
        let image = queue(node);
        let put = put(&image).body(vec![b'x'; SIZE * ROOM + 1]);
        let answer = exchange(node.address, &put).unwrap();
        assert_eq!(answer.status, 413);
        let told = String::from_utf8(answer.body).unwrap();
        let why = "Image exceeds the storage quota: The size of the data 500001 will exceed the \
                   limit. 500000 bytes remaining.";
        assert!(told.contains(why), "{told}");
        assert_eq!(status(node, &image), "queued");
    });
}

#[test]
fn keystones_limits_hold_on_three_nodes_and_are_shown() {
    let project = Project::with(&[
        ("image_count_total", 50),
        ("image_size_total", 20),
        ("image_count_uploading", 300),
    ]);
    given_three(&project.options(), |nodes| {
        let nodes: &[Fresnel; 3] = nodes;
        let created: Vec<Result<String, u16>> = at_once(200, |n| project.create(&nodes[n % 3]));
        let images: Vec<&String> = created.iter().flatten().collect();
        let refused = created.iter().filter(|outcome| **outcome == Err(413));
        assert_eq!((images.len(), refused.count()), (50, 150), "{created:?}");
        let put = at_once(50, |n| project.put(&nodes[n % 3], images[n]).status);
        let stored = put.iter().filter(|status| **status == 204).count();
        let refused = put.iter().filter(|status| **status == 413).count();
        assert_eq!((stored, refused), (20, 30), "{put:?}");
        let shown = json!({"usage": {
            "image_size_total": {"usage": 20, "limit": 20, "remaining": 0},
            "image_stage_total": {"usage": 0, "limit": 1000, "remaining": 1000},
            "image_count_total": {"usage": 50, "limit": 50, "remaining": 0},
            "image_count_uploading": {"usage": 0, "limit": 300, "remaining": 300},
        }});
        assert_eq!(
            project.ask(&nodes[0], "GET", "/v2/info/usage", "").json(),
            shown
        );
        let waiting = images[put.iter().position(|status| *status == 413).unwrap()];
        let told = String::from_utf8(project.put(&nodes[1], waiting).body).unwrap();
        let why = format!(
            "Project {} is over a limit for [Resource image_size_total is over limit of 20 due to \
             current usage 20 and delta 1]",
            project.id
        );
        assert!(told.contains(&why), "{told}");
        // A limit that is raised holds at once.
        project.set("image_size_total", 21);
        assert_eq!(project.put(&nodes[1], waiting).status, 204);
        assert_eq!(project.create(&nodes[2]), Err(413));
    });
}

/// A project of Keystone's with limits of its own.
struct Project {
    keystone: Keystone,
    id: String,
    token: String,
}

impl Project {
    fn with(limits: &[(&str, u64)]) -> Self {
        let keystone = Keystone::shared();
        let text = |found: &Value| found["id"].as_str().unwrap().to_owned();
        let name = uuid::Uuid::new_v4().to_string();
        let new = json!({"project": {"name": name, "domain_id": "default"}});
        let id = text(&keystone.ask("POST", "/projects", &new)["project"]);
        let user = keystone.ask("GET", "/users?name=demo-member", &Value::Null);
        let role = keystone.ask("GET", "/roles?name=member", &Value::Null);
        let (user, role) = (text(&user["users"][0]), text(&role["roles"][0]));
        let grant = format!("/projects/{id}/users/{user}/roles/{role}");
        keystone.ask("PUT", &grant, &Value::Null);
        let service = keystone.ask("GET", "/services?type=image", &Value::Null);
        let limits = limits.iter().map(|(name, limit)| {
            json!({
                "service_id": service["services"][0]["id"], "region_id": "RegionOne",
                "project_id": id, "resource_name": name, "resource_limit": limit,
            })
        });
        let limits: Vec<Value> = limits.collect();
        keystone.ask("POST", "/limits", &json!({"limits": limits}));
        let token = keystone.token_in("demo-member", &id);
        Self {
            keystone,
            id,
            token,
        }
    }

    fn set(&self, name: &str, limit: u64) {
        let found = format!("/limits?project_id={}&resource_name={name}", self.id);
        let found = self.keystone.ask("GET", &found, &Value::Null);
        let path = format!("/limits/{}", found["limits"][0]["id"].as_str().unwrap());
        let changed = json!({"limit": {"resource_limit": limit}});
        self.keystone.ask("PATCH", &path, &changed);
    }

    fn options(&self) -> String {
        let service = format!(
            "auth_url = {}\nauth_type = password\nusername = glance\npassword = lab\n\
             user_domain_name = Default\n",
            self.keystone.url()
        );
        format!(
            "[DEFAULT]\nuse_keystone_limits = true\n[paste_deploy]\nflavor = keystone\n\
             [keystone_authtoken]\n{service}project_name = service\nproject_domain_name = Default\n\
             [oslo_limit]\n{service}system_scope = all\nendpoint_service_type = image\n\
             endpoint_region_name = RegionOne\n"
        )
    }

    fn ask(&self, node: &Fresnel, method: &str, target: &str, body: &str) -> Response {
        let request = Request::new(method, target).header("x-auth-token", &self.token);
        let request = match body {
            "" => request,
            body => request
                .header("content-type", "application/json")
                .body(body),
        };
        exchange(node.address, &request).unwrap()
    }

    fn create(&self, node: &Fresnel) -> Result<String, u16> {
        let new = r#"{"disk_format": "raw", "container_format": "bare"}"#;
        let answer = self.ask(node, "POST", "/v2/images", new);
        match answer.status {
            201 => Ok(answer.json()["id"].as_str().unwrap().to_owned()),
            status => Err(status),
        }
    }

    /// Uploads a MiB.
    fn put(&self, node: &Fresnel, image: &str) -> Response {
        let put = put(image).header("x-auth-token", &self.token);
        exchange(node.address, &put.body(vec![b'x'; 1 << 20])).unwrap()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // What is left of a test that failed is no project's but its own.
        if !std::thread::panicking() {
            let path = format!("/projects/{}", self.id);
            self.keystone.ask("DELETE", &path, &Value::Null);
        }
    }
}

/// What so many clients get who all ask now.
fn at_once<T: Send>(clients: usize, ask: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let ask = &ask;
    std::thread::scope(|scope| {
        let clients = (0..clients).map(|n| scope.spawn(move || ask(n)));
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    })
}

const SHORT_LEASE: &str = "lease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

/// 200 clients at once, each with an image of its own, spread over the nodes.
fn exactly_what_fits(nodes: &mut [Fresnel; 3], upload: fn(&Fresnel, &str) -> Response) {
    let nodes: &[Fresnel; 3] = nodes;
    let outcomes = at_once(200, |client| {
        let node = &nodes[client % 3];
        let image = queue(node);
        let status = upload(node, &image).status;
        (image, status)
    });
    let with = |wanted: u16| {
        let of = outcomes.iter().filter(move |(_, status)| *status == wanted);
        of.map(|(image, _)| image)
    };
    let counts = (with(204).count(), with(413).count());
    assert_eq!(counts, (ROOM, 200 - ROOM), "{outcomes:?}");
    for image in with(204) {
        assert_eq!(status(&nodes[0], image), "active");
    }
    // What failed has returned all of its room: for one that goes, one comes.
    let (going, mut waiting) = (with(204).next().unwrap(), with(413));
    assert_eq!(upload(&nodes[1], waiting.next().unwrap()).status, 413);
    let delete = Request::new("DELETE", &format!("/v2/images/{going}"));
    assert_eq!(exchange(nodes[2].address, &delete).unwrap().status, 204);
    assert_eq!(upload(&nodes[1], waiting.next().unwrap()).status, 204);
    assert_eq!(upload(&nodes[0], waiting.next().unwrap()).status, 413);
}

/// Three processes with one PostgreSQL and one directory of images, and a quota of bytes.
fn given_three_nodes(options: &str, claim: impl FnOnce(&mut [Fresnel; 3])) {
    let quota = SIZE * ROOM;
    let options = format!("{options}[DEFAULT]\nuser_storage_quota = {quota}B\n");
    given_three(&options, claim);
}

/// The same with these options, those of `[fresnel]` first.
fn given_three(options: &str, claim: impl FnOnce(&mut [Fresnel; 3])) {
    let database = format!("fresnel_quota_{}", uuid::Uuid::new_v4().simple());
    let url = lab::run(lab::script("postgres-up").args(["--database", &database]));
    let folder = tempfile::tempdir().unwrap();
    let images: PathBuf = folder.path().join("images");
    let lines = format!(
        "{options}[database]\nconnection = {}\n[glance_store]\nfilesystem_store_datadir = {}\n",
        url.trim(),
        images.display()
    );
    let config = folder.path().join("sync.conf");
    std::fs::write(&config, format!("[fresnel]\n{lines}")).unwrap();
    let mut sync = Command::new(env!("CARGO_BIN_EXE_fresnel"));
    lab::run(sync.args(["db", "sync", "--config-file"]).arg(config));
    let mut nodes = [(); 3].map(|()| Fresnel::start(&lines));
    claim(&mut nodes);
}

fn queue(node: &Fresnel) -> String {
    let request = Request::new("POST", "/v2/images").header("Content-Type", "application/json");
    let request = request.body(r#"{"disk_format": "raw", "container_format": "bare"}"#);
    let answer = exchange(node.address, &request).unwrap();
    assert_eq!(answer.status, 201);
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn put(image: &str) -> Request {
    let request = Request::new("PUT", &format!("/v2/images/{image}/file"));
    request.header("Content-Type", "application/octet-stream")
}

fn sized(node: &Fresnel, image: &str) -> Response {
    exchange(node.address, &put(image).body(vec![b'x'; SIZE])).unwrap()
}

fn chunked(node: &Fresnel, image: &str) -> Response {
    let mut put = put(image);
    put.body = Payload::Chunked(vec![b'x'; SIZE], SIZE / 2);
    exchange(node.address, &put).unwrap()
}

fn status(node: &Fresnel, image: &str) -> String {
    let request = Request::new("GET", &format!("/v2/images/{image}"));
    let answer = exchange(node.address, &request).unwrap();
    answer.json()["status"].as_str().unwrap().to_owned()
}
