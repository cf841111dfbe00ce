//! Quotas under load: three processes on one database give a project exactly what it may have.

use std::{io::Write, net::TcpStream, path::PathBuf, process::Command, time::Duration};

use crate::support::{
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

const SHORT_LEASE: &str = "lease_seconds = 3\nmin_rate_bytes_per_second = 0\n";

/// 200 clients at once, each with an image of its own, spread over the nodes.
fn exactly_what_fits(nodes: &mut [Fresnel; 3], upload: fn(&Fresnel, &str) -> Response) {
    let nodes: &[Fresnel; 3] = nodes;
    let outcomes: Vec<(String, u16)> = std::thread::scope(|scope| {
        let clients = (0..200).map(|client| {
            scope.spawn(move || {
                let node = &nodes[client % 3];
                let image = queue(node);
                let status = upload(node, &image).status;
                (image, status)
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
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

/// Three processes with one PostgreSQL and one directory of images.
fn given_three_nodes(options: &str, claim: impl FnOnce(&mut [Fresnel; 3])) {
    let database = format!("fresnel_quota_{}", uuid::Uuid::new_v4().simple());
    let url = lab::run(lab::script("postgres-up").args(["--database", &database]));
    let folder = tempfile::tempdir().unwrap();
    let images: PathBuf = folder.path().join("images");
    let lines = format!(
        "{options}[DEFAULT]\nuser_storage_quota = {}B\n\
         [database]\nconnection = {}\n[glance_store]\nfilesystem_store_datadir = {}\n",
        SIZE * ROOM,
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
