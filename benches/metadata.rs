//! Requests per second and their tail beside Glance, with MariaDB under both; and how downloads
//! disturb them.

use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    measure::median,
    peers::{self, Server},
};

const IMAGES: usize = 1000;

/// A wrk run's figures.
struct Rate {
    requests_per_second: f64,
    p99_ms: f64,
}

/// GET, list and POST, run after run in turn, on one database that both serve.
pub(crate) fn rates(bench: &Bench) -> Vec<Row> {
    let url = peers::mariadb("fresnel_bench");
    let options = format!("[database]\nconnection = {url}");
    peers::fresnel_synced(&bench.folder, &options);
    let ours = peers::fresnel(&bench.folder, &options);
    // Through us, because Glance takes minutes for them.
    let id = create_images(ours.address);
    let glance = peers::glance(&["--database", &url, "--no-sync"]);
    let (ours, theirs) = measure(bench, &id, &ours, &glance);
    let names = [
        "GET /v2/images/{id}",
        "list of 25 among 1,000",
        "POST /v2/images",
    ];
    let promises = [(25.0, true), (15.0, true), (8.0, false)];
    let mut rows = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let (ours, theirs) = (&ours[index], &theirs[index]);
        let (times, tail) = promises[index];
        rows.push(Row {
            work: format!("{name}, requests/s beside Glance 33"),
            ours: format!(
                "{:.0}/s, p99 {:.1} ms",
                ours.requests_per_second, ours.p99_ms
            ),
            beside: format!(
                "{:.0}/s, p99 {:.1} ms",
                theirs.requests_per_second, theirs.p99_ms
            ),
            ratio: ours.requests_per_second / theirs.requests_per_second,
            promise: Promise::AtLeast(times),
        });
        if tail {
            rows.push(Row {
                work: format!("{name}, p99"),
                ours: format!("{:.1} ms", ours.p99_ms),
                beside: format!("{:.1} ms", theirs.p99_ms),
                ratio: ours.p99_ms / theirs.p99_ms,
                promise: Promise::AtMost(0.1),
            });
        }
    }
    rows
}

/// The tail of GET while 64 clients download at 1 MB/s each.
pub(crate) fn beside_slow_readers(bench: &Bench) -> Vec<Row> {
    const READERS: usize = 64;
    let server = peers::fresnel(&bench.folder, "");
    let to = server.address;
    let id = client::create(to);
    let path = format!("/v2/images/{id}");
    let file = zeros(256 << 20);
    client::upload(to, &id, &file, 256 << 20, Framing::Sized).expect("an upload");
    let idle = p99_ms(to, &path);
    let stop = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        for _ in 0..READERS {
            let (data, stop) = (format!("{path}/file"), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let done = client::download(to, &data, Some(1_000_000));
                    assert!(done.is_ok() || stop.load(Ordering::Relaxed), "{done:?}");
                }
            });
        }
        client::pause(Duration::from_secs(2));
        let busy = p99_ms(to, &path);
        stop.store(true, Ordering::Relaxed);
        drop(server);
        busy
    });
    vec![Row {
        work: format!("p99 of GET with {READERS} throttled downloads"),
        ours: format!("{busy:.2} ms"),
        beside: format!("{idle:.2} ms idle"),
        ratio: busy / idle,
        promise: Promise::AtMost(3.0),
    }]
}

/// Creates the images; returns the id of the last.
fn create_images(to: SocketAddr) -> String {
    let mut id = String::new();
    for n in 0..IMAGES {
        let body = format!(
            r#"{{"name":"image {n}","disk_format":"raw","container_format":"bare","tags":["a","b"],"os_distro":"debian","hw_disk_bus":"virtio"}}"#
        );
        let (answer, text) = client::ask(to, "POST", "/v2/images", &body).expect("an answer");
        assert_eq!(answer.status, 201, "{text}");
        let at = text.find(r#""id":"#).expect("an image has an id") + 5;
        id = text[at..]
            .split('"')
            .nth(1)
            .expect("an id is a string")
            .to_owned();
    }
    id
}

/// GET, list and POST of ours and of the other, POST last because it fills the database.
fn measure(bench: &Bench, id: &str, ours: &Server, theirs: &Server) -> ([Rate; 3], [Rate; 3]) {
    let post = bench.folder.join("post.lua");
    let script = "wrk.method = 'POST'\nwrk.body = '{\"name\":\"b\",\"disk_format\":\"raw\",\"container_format\":\"bare\"}'\nwrk.headers['Content-Type'] = 'application/json'\n";
    std::fs::write(&post, script).expect("the bench folder is writable");
    let post = post.to_str().expect("the bench folder's name is text");
    let image = format!("/v2/images/{id}");
    let works = [
        (image.as_str(), None),
        ("/v2/images?limit=25", None),
        ("/v2/images", Some(post)),
    ];
    let both = works.map(|(path, script)| {
        let runs: Vec<[Rate; 2]> = (0..bench.runs)
            .map(|_| [ours, theirs].map(|server| wrk(server.address, path, script)))
            .collect();
        [0, 1].map(|who| Rate {
            requests_per_second: median(runs.iter().map(|r| r[who].requests_per_second).collect()),
            p99_ms: median(runs.iter().map(|r| r[who].p99_ms).collect()),
        })
    });
    let [[get, get_theirs], [list, list_theirs], [post, post_theirs]] = both;
    ([get, list, post], [get_theirs, list_theirs, post_theirs])
}

/// One thread, sixteen connections, eight seconds.
fn wrk(to: SocketAddr, path: &str, script: Option<&str>) -> Rate {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c16", "-d8s", "--latency"]);
    if let Some(script) = script {
        command.args(["-s", script]);
    }
    let output = command.arg(format!("http://{to}{path}")).output();
    let output = output.expect("wrk is installed (make bench installs it)");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Non-2xx"), "{text}");
    let field = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
    };
    Rate {
        requests_per_second: field("Requests/sec:")
            .and_then(|v| v.parse().ok())
            .expect("wrk's report"),
        p99_ms: milliseconds(&field("99%").expect("wrk's report")),
    }
}

/// `1.23ms`, `456.00us` or `1.2s`.
fn milliseconds(text: &str) -> f64 {
    let split = text.find(|c: char| c.is_alphabetic()).expect("a unit");
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().expect("a number");
    match unit {
        "us" => number / 1000.0,
        "ms" => number,
        _ => number * 1000.0,
    }
}

/// The tail of a thousand requests, one after the other.
fn p99_ms(to: SocketAddr, path: &str) -> f64 {
    let mut times: Vec<f64> = (0..1000)
        .map(|_| {
            let begin = Instant::now();
            client::ask(to, "GET", path, "").expect("an answer");
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[989]
}

fn zeros(len: u64) -> std::fs::File {
    let path = "/dev/shm/fresnel-bench-zeros";
    let file = std::fs::File::create(path).expect("/dev/shm is writable");
    file.set_len(len).expect("/dev/shm has room");
    std::fs::File::open(path).expect("the file that was just made")
}
