//! The cache node, in front of ours and of Glance.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use openssl::hash::MessageDigest;

use super::{PATIENCE, SIZE, content, download, get, image, range, wait, wait_until_proven};
use crate::support::{
    free_address,
    images::{self, MIB, data_path},
    keystone::Keystone,
    lab::{self, Glance},
    process::Fresnel,
    proxy::{Act, Proxy},
    wait_until,
    web::WebServer,
    wire::{Payload, Request, Response, Upload, exchange},
};

/// Bytes that a service has sent of its images, by its own count.
fn sent_bytes(metrics: SocketAddr) -> u64 {
    let page = get(metrics, "/metrics").body;
    let page = String::from_utf8(page).unwrap();
    let lines = page.lines();
    let counts = lines.filter_map(|line| line.strip_prefix("fresnel_egress_bytes_total{"));
    let numbers = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    numbers.sum()
}

/// The BLAKE3 of a download, which is not kept.
fn digest(address: SocketAddr, image: &str) -> (usize, blake3::Hash) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n",
        data_path(image)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut buffer, mut head) = (vec![0; 128 * 1024], Vec::new());
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let (mut len, mut hasher) = (0, blake3::Hasher::new());
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return (len, hasher.finalize()),
            read => {
                len += read;
                hasher.update(&buffer[..read]);
            }
        }
    }
}

/// Ours, which counts, and a node in front of it.
fn pair() -> (Fresnel, SocketAddr, Fresnel) {
    let metrics = free_address();
    let upstream = Fresnel::start(&format!("metrics_bind = {metrics}\n"));
    let node = Fresnel::node(upstream.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    (upstream, metrics, node)
}

#[test]
fn fifty_clients_of_a_cold_image_are_one_of_the_upstream() {
    let (upstream, metrics, node) = pair();
    let bytes = content(64 * MIB, 30);
    let id = image(upstream.address, &bytes);
    let before = sent_bytes(metrics);
    let expected = (bytes.len(), blake3::hash(&bytes));
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let (address, id) = (node.address, id.clone());
            thread::spawn(move || digest(address, &id))
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), expected);
    }
    let sent = sent_bytes(metrics) - before;
    // The metrics page is the upstream's too, and some KiB.
    let once = bytes.len() as u64;
    assert!(
        (once..once + MIB as u64).contains(&sent),
        "{sent} of {once}"
    );
}

#[test]
fn random_ranges_by_many_readers_are_right() {
    let (upstream, _, node) = pair();
    let bytes = content(SIZE, 31);
    let id = image(upstream.address, &bytes);
    thread::scope(|scope| {
        for reader in 0..8_u64 {
            let (id, bytes, address) = (&id, &bytes, node.address);
            scope.spawn(move || {
                let mut seed = reader + 1;
                for _ in 0..20 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let first = (seed >> 20) as usize % SIZE;
                    let last = (first + (seed >> 45) as usize).min(SIZE - 1);
                    let part = range(address, id, first, last);
                    assert!(part.status == 206 && part.body == bytes[first..=last]);
                    let told = format!("bytes {first}-{last}/{SIZE}");
                    assert_eq!(part.header("content-range"), Some(told.as_str()));
                }
            });
        }
    });
}

#[test]
fn all_else_passes_as_it_is() {
    let (upstream, _, node) = pair();
    let id = images::create(node.address);
    let bytes = content(3 * MIB, 32);
    let uploaded = images::upload(node.address, &id, Payload::Chunked(bytes.clone(), 100_000));
    assert_eq!(uploaded.status, 204);
    assert!(download(node.address, &id).body == bytes);
    let (through, direct) = (
        get(node.address, "/v2/images"),
        get(upstream.address, "/v2/images"),
    );
    assert_eq!(through.body, direct.body);
    assert_eq!(
        through.header("content-type"),
        direct.header("content-type")
    );
    for (method, target, body) in [
        ("GET", "/v2/images/none", ""),
        ("GET", "/nowhere", ""),
        ("POST", "/v2/images", "[]"),
        ("POST", "/v2/images", "{"),
        ("PUT", "/v2/images", ""),
        ("HEAD", "/v2/images", ""),
        ("DELETE", &format!("/v2/images/{id}/tags/none"), ""),
        ("GET", &format!("{}?prefer=nowhere", data_path(&id)), ""),
    ] {
        let mut request = Request::new(method, target).header("accept", "text/html");
        if !body.is_empty() {
            request = request.body(body);
        }
        let asked = |address| exchange(address, &request).unwrap();
        let (through, direct) = (asked(node.address), asked(upstream.address));
        assert_eq!(through.status, direct.status, "{method} {target}");
        assert_eq!(through.body, direct.body, "{method} {target}");
    }
    assert_eq!(range(node.address, &id, 3 * MIB, 3 * MIB).status, 416);
}

#[test]
fn what_is_proven_outlives_the_node_and_a_flipped_bit_is_mended() {
    use std::os::unix::fs::FileExt;
    let (upstream, metrics, mut node) = pair();
    let bytes = content(SIZE, 33);
    let id = image(upstream.address, &bytes);
    download(node.address, &id);
    wait_until_proven(&node, &id);
    node.kill();
    let folder = node.folder().join("cache/fresnel");
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let data = files
        .find(|path| path.extension().is_some_and(|kind| kind == "data"))
        .unwrap();
    let data = std::fs::File::options()
        .read(true)
        .write(true)
        .open(data)
        .unwrap();
    data.write_all_at(&[!bytes[5_000_000]], 5_000_000).unwrap();
    node.restart();
    let before = sent_bytes(metrics);
    assert!(download(node.address, &id).body == bytes);
    let sent = sent_bytes(metrics) - before;
    let chunk = 4 * MIB as u64;
    assert!((chunk..chunk + MIB as u64).contains(&sent), "{sent}");
}

/// Killed while clients read and it fills: what is left serves no wrong byte.
#[test]
fn a_crash_in_the_middle_of_a_fill_leaves_nothing_wrong() {
    let (upstream, _, mut node) = pair();
    let bytes = content(40 * MIB, 39);
    let id = image(upstream.address, &bytes);
    for milliseconds in [20, 50, 80] {
        let (address, target) = (node.address, data_path(&id));
        let reading =
            thread::spawn(move || exchange(address, &Request::new("GET", &target)).is_ok());
        wait(Duration::from_millis(milliseconds));
        node.kill();
        drop(reading.join());
        let verified = node.command("cache verify");
        assert!(verified.status.success(), "{verified:?}");
        node.restart();
        let part = range(node.address, &id, 9_000_000, 9_100_000);
        assert!(part.body == bytes[9_000_000..=9_100_000]);
    }
    assert!(download(node.address, &id).body == bytes);
}

#[test]
fn an_upstream_that_is_down_is_said_to_be() {
    let (mut upstream, _, node) = pair();
    let id = image(upstream.address, &content(SIZE, 34));
    download(node.address, &id);
    upstream.kill();
    for target in ["/v2/images".to_owned(), data_path(&id)] {
        let refused = get(node.address, &target);
        assert_eq!(refused.status, 503, "{target}");
        assert_eq!(refused.header("retry-after"), Some("10"));
    }
    upstream.restart();
    assert_eq!(download(node.address, &id).status, 200);
}

/// The upstream breaks off in the middle of the fill: the client sees no clean end, and the next one
/// gets the whole image.
#[test]
fn an_upstream_that_breaks_off_is_no_end() {
    let upstream = Fresnel::start("");
    let proxy = Proxy::start(upstream.address);
    let node = Fresnel::node(proxy.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    let bytes = content(SIZE, 35);
    let id = image(upstream.address, &bytes);
    proxy.rule(|_, target| match target.ends_with("/file") {
        true => Act::CutAfter,
        false => Act::Pass,
    });
    let cut = exchange(node.address, &Request::new("GET", &data_path(&id)));
    assert!(cut.is_err() || cut.is_ok_and(|answer| answer.status >= 500));
    proxy.rule(|_, _| Act::Pass);
    assert!(download(node.address, &id).body == bytes);
}

/// The data of an image that is not here is asked for without waiting for the permission, and nothing of
/// it is given without.
#[test]
fn a_cold_image_is_asked_for_with_its_permission() {
    let upstream = Fresnel::start("");
    let proxy = Proxy::start(upstream.address);
    let node = Fresnel::node(proxy.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    let bytes = content(SIZE, 40);
    let id = image(upstream.address, &bytes);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = |answer: Act| {
        let asked = asked.clone();
        proxy.rule(move |_, target| {
            asked.fetch_add(usize::from(target.ends_with("/file")), Ordering::Relaxed);
            match target.ends_with("/access") {
                true => answer,
                false => Act::Pass,
            }
        });
    };
    count(Act::Hang);
    let mut client = TcpStream::connect(node.address).unwrap();
    let head = format!("GET {} HTTP/1.1\r\nHost: node\r\n\r\n", data_path(&id));
    client.write_all(head.as_bytes()).unwrap();
    assert!(wait_until(PATIENCE, || asked.load(Ordering::Relaxed) == 1));
    let soon = Some(Duration::from_millis(200));
    client.set_read_timeout(soon).unwrap();
    assert!(
        client.read(&mut [0]).is_err(),
        "nothing without a permission"
    );
    drop(client);
    count(Act::Answer(403));
    assert_eq!(download(node.address, &id).status, 403);
    count(Act::Pass);
    let before = asked.load(Ordering::Relaxed);
    for _ in 0..2 {
        assert!(download(node.address, &id).body == bytes);
        wait_until_proven(&node, &id);
    }
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1);
}

/// The upstream's patience is with the upstream: a client may take three times as long.
#[test]
fn a_client_that_sends_slowly_is_no_upstream_that_is_silent() {
    let upstream = Fresnel::start("");
    let proxy = Proxy::start(upstream.address);
    let lines = "[fresnel]\ncache_free_disk_mib = 0\nupstream_timeout_seconds = 1\n";
    let direct = Fresnel::node(upstream.address, lines);
    let id = images::create(direct.address);
    let bytes = content(4 * MIB, 41);
    let mut upload = Upload::begin(direct.address, &data_path(&id)).unwrap();
    for piece in bytes.chunks(MIB) {
        upload.send(piece).unwrap();
        wait(Duration::from_secs(1));
    }
    let answer = upload.finish().unwrap();
    assert_eq!(answer.status, 204, "{}", direct.log());
    assert!(download(direct.address, &id).body == bytes);
    let node = Fresnel::node(proxy.address, lines);
    proxy.rule(|_, _| Act::Hang);
    assert_eq!(get(node.address, "/v2/images").status, 503);
}

/// A Glance beside ours does not know the question, and some tokens are for images alone.
#[test]
fn who_is_not_answered_asks_as_glance_is_asked() {
    let upstream = Fresnel::start("");
    let proxy = Proxy::start(upstream.address);
    let node = Fresnel::node(proxy.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    for (seed, status) in [(42, 404), (43, 401)] {
        proxy.rule(move |_, target| match target.ends_with("/access") {
            true => Act::Answer(status),
            false => Act::Pass,
        });
        let bytes = content(SIZE, seed);
        let id = image(upstream.address, &bytes);
        assert!(download(node.address, &id).body == bytes);
        wait_until_proven(&node, &id);
    }
    proxy.rule(|_, target| match target.starts_with("/v2/images/") {
        true => Act::Cut,
        false => Act::Pass,
    });
    let nothing = download(node.address, "aaaaaaaa-0000-4000-8000-000000000000");
    assert_eq!(nothing.status, 503);
}

/// What asks with a token.
struct People<'a> {
    keystone: &'a Keystone,
    address: SocketAddr,
}

impl People<'_> {
    fn ask(&self, cloud: &str, method: &str, target: &str, body: &[u8]) -> Response {
        let token = self.keystone.token(cloud);
        let mut request = Request::new(method, target).header("x-auth-token", &token);
        request = request.header("accept", "application/json");
        if method == "PUT" {
            request = request.header("content-type", "application/octet-stream");
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        exchange(self.address, &request).unwrap()
    }
}

/// From a warm node nobody has what the upstream would not give.
fn serves_only_who_may(keystone: &Keystone, upstream: SocketAddr, node: &Fresnel) {
    let people = People {
        keystone,
        address: node.address,
    };
    let kind = br#"{"disk_format": "raw", "container_format": "bare"}"#;
    let created = people.ask("demo-member", "POST", "/v2/images", kind);
    let path = format!("/v2/images/{}", images::text(&created.json()["id"]));
    let file = format!("{path}/file");
    let bytes = content(SIZE, 36);
    assert_eq!(people.ask("demo-member", "PUT", &file, &bytes).status, 204);
    assert!(people.ask("demo-member", "GET", &file, b"").body == bytes);
    wait_until_proven(node, path.rsplit('/').next().unwrap());
    assert!(people.ask("demo-member", "GET", &file, b"").body == bytes);
    let same = |cloud: &str, status: u16| {
        let direct = People {
            keystone,
            address: upstream,
        };
        let (through, direct) = (
            people.ask(cloud, "GET", &file, b""),
            direct.ask(cloud, "GET", &file, b""),
        );
        assert_eq!((through.status, direct.status), (status, status), "{cloud}");
        assert_eq!(through.body, direct.body, "{cloud}");
    };
    assert_eq!(people.ask("demo-reader", "GET", &path, b"").status, 200);
    same("demo-reader", 403);
    same("alt-reader", 404);
    let nobody = get(node.address, &file);
    assert_eq!(nobody.status, 401);
    let deactivate = format!("{path}/actions/deactivate");
    assert_eq!(people.ask("admin", "POST", &deactivate, b"").status, 204);
    same("demo-member", 403);
}

#[test]
fn ours_says_who_may() {
    let keystone = Keystone::shared();
    let lines = format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\n",
        keystone.url()
    );
    let upstream = Fresnel::start(&lines);
    let node = Fresnel::node(upstream.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    serves_only_who_may(&keystone, upstream.address, &node);
    let log = node.log();
    assert!(!log.contains(&keystone.token("demo-member")));
}

#[test]
fn glance_says_who_may() {
    let keystone = Keystone::shared();
    let glance = Glance::start(&["--keystone", &keystone.url()]);
    let node = Fresnel::node(glance.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    serves_only_who_may(&keystone, glance.address, &node);
}

/// Glance gives no ranges of what lies on the web.
#[test]
fn an_upstream_without_ranges_is_read_from_its_beginning() {
    let server = WebServer::nginx(false);
    let glance = Glance::start(&[
        "--set",
        "glance_store.stores=file,http",
        "--set",
        "DEFAULT.show_multiple_locations=true",
        "--set",
        "import_filtering_opts.allowed_hosts=[127.0.0.1]",
        "--set",
        "import_filtering_opts.allowed_ports=[]",
    ]);
    let node = Fresnel::node(glance.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    let bytes = content(SIZE, 38);
    let location = serde_json::json!({
        "url": server.put(&bytes),
        "metadata": {},
        "validation_data": {
            "checksum": images::digest(MessageDigest::md5(), &bytes),
            "os_hash_algo": "sha512",
            "os_hash_value": images::digest(MessageDigest::sha512(), &bytes),
        },
    });
    let id = images::create(glance.address);
    let patch = serde_json::json!([{"op": "replace", "path": "/locations", "value": [location]}]);
    let kind = "application/openstack-images-v2.1-json-patch";
    let request = Request::new("PATCH", &format!("/v2/images/{id}")).header("content-type", kind);
    let patched = exchange(node.address, &request.body(patch.to_string())).unwrap();
    assert_eq!(
        patched.status,
        200,
        "{}",
        String::from_utf8_lossy(&patched.body)
    );
    let refused = range(glance.address, &id, 5_000_000, 5_000_009);
    assert_eq!(refused.status, 400, "Glance gives ranges after all");
    let part = range(node.address, &id, 5_000_000, 5_000_009);
    assert!(part.status == 206 && part.body == bytes[5_000_000..=5_000_009]);
    assert!(download(node.address, &id).body == bytes);
    wait_until_proven(&node, &id);
}

#[test]
fn glanceclient_through_a_node_in_front_of_ours() {
    let upstream = Fresnel::start("");
    glanceclient(upstream.address, &[]);
}

#[test]
fn glanceclient_through_a_node_in_front_of_glance() {
    let glance = Glance::start(&[]);
    // Not what Glance itself fails: an upload again after one that was refused.
    let parts = [
        "upload", "bytes", "list", "tags", "members", "activate", "deleted", "schemas",
    ];
    glanceclient(glance.address, &parts);
    let node = Fresnel::node(glance.address, "[fresnel]\ncache_free_disk_mib = 0\n");
    let bytes = content(SIZE, 37);
    let id = image(glance.address, &bytes);
    let direct = download(glance.address, &id);
    for _ in 0..2 {
        let through = download(node.address, &id);
        assert!(through.status == 200 && through.body == bytes);
        for name in ["content-type", "content-length", "content-md5"] {
            assert_eq!(through.header(name), direct.header(name), "{name}");
        }
        wait_until_proven(&node, &id);
    }
    let part = range(node.address, &id, 5, 4_200_000);
    assert!(part.status == 206 && part.body == bytes[5..=4_200_000]);
}

/// The client's tests, all or those whose names have one of these words.
fn glanceclient(upstream: SocketAddr, parts: &[&str]) {
    let node = Fresnel::node(upstream, "[fresnel]\ncache_free_disk_mib = 0\n");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    lab::run(
        std::process::Command::new(lab::python())
            .args(["-W", "ignore"])
            .arg(folder.join("glanceclient_test.py"))
            .args(parts.iter().flat_map(|part| ["-k", part]))
            .env("FRESNEL_URL", format!("http://{}", node.address)),
    );
}
