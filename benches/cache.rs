//! Images on the disk of the node that is asked: the cache of the service and the node, beside Glance 33's
//! cache, nginx and the upstream itself.
//!
//! Client, upstream, node and peer share the machine's cores.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Bench, Promise, Row,
    client::{self, Fetched, Framing},
    data::{self, Cost},
    measure::median,
    metadata::{Load, in_turn},
    peers::{self, Server},
};

/// Clients of the storm.
const CLIENTS: usize = 50;
const RANGE_BYTES: u64 = 64 << 10;
/// What the slow upstream takes to its first byte, and sends in a second.
const SLOW_FIRST_BYTE: Duration = Duration::from_millis(50);
const SLOW_BYTES_PER_SECOND: f64 = (400 << 20) as f64;

/// Warm downloads from a node beside nginx and beside Glance's cache.
pub(crate) fn warm(bench: &Bench) -> Vec<Row> {
    let upstream = peers::fresnel(&bench.folder, "");
    let node = Node::start(bench, upstream.address, "");
    let glance = glance(bench);
    let [path, glance_path] = [&upstream, &glance].map(|server| image(bench, server, 1));
    let nginx_folder = bench.folder.join("nginx");
    std::fs::create_dir_all(&nginx_folder).expect("the bench folder is writable");
    data::copy(
        &data::random_file(bench.image_bytes),
        &nginx_folder.join("image"),
    );
    let nginx = peers::nginx(&nginx_folder);
    client::download(node.server.address, &path, None).expect("a download");
    node.wait_until_proven();
    let copied = node.copied_bytes();
    let mut costs: [Vec<Cost>; 3] = Default::default();
    let turns = [
        (&node.server, path.as_str()),
        (&nginx, "/image"),
        (&glance, glance_path.as_str()),
    ];
    // In turns, so that a machine that slows down slows all; the first is to warm the page cache.
    for run in 0..=bench.runs {
        for ((server, path), costs) in turns.iter().zip(&mut costs) {
            let get = || client::download(server.address, path, None);
            let cost = data::transfer(server, get);
            if run > 0 {
                costs.push(cost);
            }
        }
    }
    let copied = node.copied_bytes() - copied;
    let [ours, nginx, glance] = costs.map(data::medians);
    let cpu = |cost: &Cost| format!("{:.3} CPU s/GiB", cost.cpu_seconds_per_gib);
    let cpu_row = |work: &str, beside: &Cost, most: f64| Row {
        work: work.to_owned(),
        ours: cpu(&ours),
        beside: cpu(beside),
        ratio: ours.cpu_seconds_per_gib / beside.cpu_seconds_per_gib,
        promise: Promise::AtMost(most),
    };
    vec![
        data::rate("warm node, MB/s beside nginx", &ours, &nginx, 0.95),
        cpu_row("the same, CPU beside nginx", &nginx, 1.25),
        cpu_row("the same, CPU beside Glance 33's cache", &glance, 1.0 / 3.0),
        Row {
            work: "the same, MiB copied through user space".into(),
            ours: format!("{:.1} MiB", copied / data::MIB),
            beside: "limit".into(),
            ratio: copied / data::MIB,
            promise: Promise::AtMost(0.0),
        },
    ]
}

/// The first download of an image through the service's cache beside Glance's, the check of the image's hash
/// in our CPU.
pub(crate) fn cold(bench: &Bench) -> Vec<Row> {
    let options = format!(
        "{}\n[paste_deploy]\nflavor = caching",
        cache_lines(bench, "serve")
    );
    let (ours, glance) = (peers::fresnel(&bench.folder, &options), glance(bench));
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for _ in 0..bench.runs {
        for (server, costs) in [&ours, &glance].into_iter().zip(&mut costs) {
            let path = image(bench, server, 1);
            costs.push(data::transfer(server, || {
                let done = client::download(server.address, &path, None);
                if server.config.is_some() {
                    wait_until_proven(server);
                }
                done
            }));
            delete(server, &path);
        }
    }
    let [mine, theirs] = costs.map(data::medians);
    let work = "cold download, MB/s beside Glance 33's cache";
    vec![data::rate(work, &mine, &theirs, 2.5)]
}

/// A cold node in front of an upstream that takes its time, beside that upstream.
pub(crate) fn slow_upstream(bench: &Bench) -> Vec<Row> {
    let upstream = peers::fresnel(&bench.folder, "");
    let path = image(bench, &upstream, 1);
    let slow = slow(upstream.address);
    let node = Node::start(bench, slow, "");
    let mut fetched: [Vec<Fetched>; 2] = Default::default();
    for run in 0..=bench.runs {
        for (to, fetched) in [node.server.address, slow].into_iter().zip(&mut fetched) {
            let one = client::fetch(to, &path, None).expect("a download");
            // The first asks what kind of service the upstream is.
            if run > 0 {
                fetched.push(one);
            }
        }
        node.wait_until_proven();
        node.clear();
    }
    let rate = |of: &Fetched| of.bytes as f64 / data::MIB / of.seconds;
    let [mine, direct] = fetched
        .each_ref()
        .map(|all| median(all.iter().map(rate).collect()));
    let first = |of: &Fetched| of.first_byte_seconds * 1000.0;
    let [my_first, first] = fetched
        .each_ref()
        .map(|all| median(all.iter().map(first).collect()));
    vec![
        Row {
            work: "cold node in front of a slow upstream, MB/s beside it".into(),
            ours: format!("{mine:.0} MiB/s"),
            beside: format!("{direct:.0} MiB/s"),
            ratio: mine / direct,
            promise: Promise::AtLeast(0.95),
        },
        Row {
            work: "the same, to the first byte".into(),
            ours: format!("{my_first:.1} ms"),
            beside: format!("{first:.1} ms"),
            ratio: my_first / first,
            promise: Promise::AtMost(1.2),
        },
    ]
}

/// Fifty clients at once of an image that is not there, half as large as the others. The upstream sends it once.
pub(crate) fn storm(bench: &Bench) -> Vec<Row> {
    let metrics = peers::free_address();
    let options = format!("[fresnel]\nmetrics_bind = {metrics}");
    let upstream = peers::fresnel(&bench.folder, &options);
    let (node, glance) = (Node::start(bench, upstream.address, ""), glance(bench));
    let (mut ours, mut theirs, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        let path = image(bench, &upstream, 2);
        let before = egress_bytes(metrics, "");
        ours.push(all_at_once(node.server.address, &path));
        sent.push((egress_bytes(metrics, "") - before) / (bench.image_bytes / 2) as f64);
        node.wait_until_proven();
        node.clear();
        delete(&upstream, &path);
        let path = image(bench, &glance, 2);
        theirs.push(all_at_once(glance.address, &path));
        delete(&glance, &path);
    }
    let (ours, theirs, sent) = (median(ours), median(theirs), median(sent));
    vec![
        Row {
            work: format!(
                "{CLIENTS} cold clients, until the last is done, beside Glance 33's cache"
            ),
            ours: format!("{ours:.1} s"),
            beside: format!("{theirs:.1} s"),
            ratio: ours / theirs,
            promise: Promise::AtMost(1.0 / 3.0),
        },
        Row {
            work: "the same, what the upstream sends, in images".into(),
            ours: format!("{sent:.3}"),
            beside: "limit".into(),
            ratio: sent,
            promise: Promise::AtMost(1.01),
        },
    ]
}

/// Parts of a warm image, permission remembered, beside nginx that caches slices and permissions.
pub(crate) fn ranges(bench: &Bench) -> Vec<Row> {
    let upstream = peers::fresnel(&bench.folder, "");
    let path = image(bench, &upstream, 2);
    let node = Node::start(
        bench,
        upstream.address,
        "[fresnel]\naccess_cache_seconds = 300",
    );
    let id = path.split('/').nth(3).expect("/v2/images/ID/file");
    let nginx_folder = bench.folder.join("nginx-cache");
    std::fs::create_dir_all(&nginx_folder).expect("the bench folder is writable");
    let nginx = peers::nginx_cache(&nginx_folder, upstream.address, id);
    for server in [&node.server, &nginx] {
        client::download(server.address, &path, None).expect("a download");
    }
    node.wait_until_proven();
    let mut seed = 1_u64;
    let range = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let first = (seed >> 16) % (bench.image_bytes / 2 / RANGE_BYTES) * RANGE_BYTES;
        format!("bytes={first}-{}", first + RANGE_BYTES - 1)
    };
    let load = Load {
        ranges: (0..1000).map(range).collect(),
        paths: vec![path.clone(); 1000],
        ..Load::default()
    };
    let [mine, theirs] = in_turn(bench, [(&node.server, &load), (&nginx, &load)]);
    vec![Row {
        work: "64 KiB ranges of a warm node, requests/s beside nginx's cache of slices".into(),
        ours: mine.figure(),
        beside: theirs.figure(),
        ratio: mine.requests_per_second / theirs.requests_per_second,
        promise: Promise::AtLeast(0.8),
    }]
}

/// A node with an empty cache.
struct Node {
    server: Server,
    socket: PathBuf,
    metrics: SocketAddr,
}

impl Node {
    fn start(bench: &Bench, upstream: SocketAddr, lines: &str) -> Self {
        let (socket, metrics) = (bench.folder.join("admin"), peers::free_address());
        let options = format!(
            "{}\n{lines}\n[fresnel]\nadmin_socket = {}\nmetrics_bind = {metrics}",
            cache_lines(bench, "node"),
            socket.display()
        );
        let server = peers::node(&bench.folder, upstream, &options);
        let node = Self {
            server,
            socket,
            metrics,
        };
        node.clear();
        node
    }

    fn clear(&self) {
        let mut socket = UnixStream::connect(&self.socket).expect("a node listens there");
        let request = "DELETE /v2/cache HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("a node reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("a node answers");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    fn wait_until_proven(&self) {
        wait_until_proven(&self.server);
    }

    fn copied_bytes(&self) -> f64 {
        egress_bytes(self.metrics, r#"path="copy""#)
    }
}

/// Bytes that a service of ours has sent, in all or with this label.
fn egress_bytes(metrics: SocketAddr, label: &str) -> f64 {
    client::metric(metrics, "fresnel_egress_bytes_total", label)
}

fn cache_lines(bench: &Bench, name: &str) -> String {
    let dir = bench.folder.join("cache").join(name);
    format!(
        "image_cache_dir = {}\nimage_cache_max_size = 1000000000000",
        dir.display()
    )
}

/// Until all that is cached has been compared with its image's hash.
fn wait_until_proven(server: &Server) {
    let config = server.config.as_ref().expect("it is ours");
    let begin = Instant::now();
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fresnel"));
        command.args(["cache", "list", "--config-file"]).arg(config);
        let output = command.output().expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.is_empty() && text.lines().all(|line| line.contains(" proven ")) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{output:?}");
        client::pause(Duration::from_millis(100));
    }
}

/// Glance whose downloads go through its cache.
fn glance(bench: &Bench) -> Server {
    let dir = bench.folder.join("glance-cache");
    std::fs::create_dir_all(&dir).expect("the bench folder is writable");
    let dir = format!("DEFAULT.image_cache_dir={}", dir.display());
    let set = [
        "--set",
        "paste_deploy.flavor=caching",
        "--set",
        &dir,
        "--set",
        "DEFAULT.image_cache_max_size=1000000000000",
    ];
    peers::glance_in(&bench.folder, &set)
}

/// The path of a new image's data, of a part of the large image's size.
fn image(bench: &Bench, server: &Server, part: u64) -> String {
    let file = data::random_file(bench.image_bytes);
    let (to, bytes) = (server.address, bench.image_bytes / part);
    let id = client::create(to);
    client::upload(to, &id, &file, bytes, Framing::Sized).expect("an upload");
    format!("/v2/images/{id}/file")
}

fn delete(server: &Server, path: &str) {
    let image = path.trim_end_matches("/file");
    client::ask(server.address, "DELETE", image, "").expect("a delete");
}

/// The seconds until the last of many clients has an image.
fn all_at_once(to: SocketAddr, path: &str) -> f64 {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || client::download(to, path, None).expect("a download"));
        }
    });
    begin.elapsed().as_secs_f64()
}

/// Where a service is reached as if it were slow.
fn slow(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes ends its connection and nothing else.
            std::thread::spawn(move || drop(pass_slowly(&client, server)));
        }
    });
    address
}

/// One request, and its answer.
fn pass_slowly(mut client: &TcpStream, server: SocketAddr) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut server = TcpStream::connect(server)?;
    write!(server, "{line}\r\nConnection: close\r\n{rest}")?;
    client::pause(SLOW_FIRST_BYTE);
    let (begin, mut sent, mut piece) = (Instant::now(), 0, vec![0; 1 << 20]);
    loop {
        let len = server.read(&mut piece)?;
        if len == 0 {
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&piece[..len])?;
        sent += len;
        let due = Duration::from_secs_f64(sent as f64 / SLOW_BYTES_PER_SECOND);
        client::pause(due.saturating_sub(begin.elapsed()));
    }
}
