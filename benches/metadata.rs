//! Requests per second and their tail beside Glance, with MariaDB under both; and how downloads
//! disturb them.

use std::{
    net::SocketAddr,
    path::Path,
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) requests_per_second: f64,
    p99_ms: f64,
}

impl Rate {
    /// As a row shows it.
    pub(crate) fn figure(&self) -> String {
        format!(
            "{:.0}/s, p99 {:.1} ms",
            self.requests_per_second, self.p99_ms
        )
    }
}

/// What wrk asks for, one after the other and again from the start.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) paths: Vec<String>,
    /// Of each path, the value of its `Range`; or none at all.
    pub(crate) ranges: Vec<String>,
    /// With it, they are POSTs.
    pub(crate) body: Option<String>,
    pub(crate) token: Option<String>,
}

impl Load {
    /// A GET of each image.
    pub(crate) fn gets(ids: &[String]) -> Self {
        Self {
            paths: ids.iter().map(|id| format!("/v2/images/{id}")).collect(),
            ..Self::default()
        }
    }

    fn script(&self) -> String {
        let mut lua = "wrk.headers['Content-Type'] = 'application/json'\n".to_owned();
        if let Some(token) = &self.token {
            lua += &format!("wrk.headers['X-Auth-Token'] = '{token}'\n");
        }
        if let Some(body) = &self.body {
            lua += &format!("wrk.method = 'POST'\nwrk.body = '{body}'\n");
        }
        for (name, texts) in [("paths", &self.paths), ("ranges", &self.ranges)] {
            let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
            lua += &format!("local {name} = {{{}}}\n", quoted.join(","));
        }
        lua + "local requests, next = {}, 0\n\
               function init() for n, path in ipairs(paths) do\n\
               wrk.headers['Range'] = ranges[n] requests[n] = wrk.format(nil, path) end end\n\
               function request() next = next % #requests + 1 return requests[next] end\n"
    }
}

/// GET, list and POST, run after run in turn, on one database that both serve.
pub(crate) fn rates(bench: &Bench) -> Vec<Row> {
    let url = peers::mariadb("fresnel_bench");
    let options = format!("[database]\nconnection = {url}");
    peers::fresnel_synced(&bench.folder, &options);
    let ours = peers::fresnel(&bench.folder, &options);
    // Through us, because Glance takes minutes for them.
    let ids = create_images(ours.address, "");
    let glance = peers::glance(&["--database", &url, "--no-sync"]);
    let (ours, theirs) = measure(bench, &ids, &ours, &glance);
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
            ours: ours.figure(),
            beside: theirs.figure(),
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

/// Creates the images, as who has this token; returns their ids.
pub(crate) fn create_images(to: SocketAddr, headers: &str) -> Vec<String> {
    let create = |n: usize| {
        let body = format!(
            r#"{{"name":"image {n}","disk_format":"raw","container_format":"bare","tags":["a","b"],"os_distro":"debian","hw_disk_bus":"virtio"}}"#
        );
        client::create_with(to, headers, &body)
    };
    (0..IMAGES).map(create).collect()
}

/// GET, list and POST of ours and of the other, POST last because it fills the database.
fn measure(
    bench: &Bench,
    ids: &[String],
    ours: &Server,
    theirs: &Server,
) -> ([Rate; 3], [Rate; 3]) {
    let list = Load {
        paths: vec!["/v2/images?limit=25".to_owned()],
        ..Load::default()
    };
    let post = Load {
        paths: vec!["/v2/images".to_owned()],
        body: Some(r#"{"name":"b","disk_format":"raw","container_format":"bare"}"#.to_owned()),
        ..Load::default()
    };
    let both = [Load::gets(ids), list, post].map(|load| {
        let each = [(ours, &load), (theirs, &load)];
        in_turn(bench, each)
    });
    let [[get, get_theirs], [list, list_theirs], [post, post_theirs]] = both;
    ([get, list, post], [get_theirs, list_theirs, post_theirs])
}

/// The medians of each server's runs, which take turns.
pub(crate) fn in_turn<const N: usize>(bench: &Bench, each: [(&Server, &Load); N]) -> [Rate; N] {
    let runs: Vec<[Rate; N]> = (0..bench.runs)
        .map(|_| each.map(|(server, load)| wrk(&bench.folder, server.address, load)))
        .collect();
    std::array::from_fn(|who| Rate {
        requests_per_second: median(runs.iter().map(|r| r[who].requests_per_second).collect()),
        p99_ms: median(runs.iter().map(|r| r[who].p99_ms).collect()),
    })
}

/// One thread, sixteen connections, eight seconds.
fn wrk(folder: &Path, to: SocketAddr, load: &Load) -> Rate {
    let script = folder.join("wrk.lua");
    std::fs::write(&script, load.script()).expect("the bench folder is writable");
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c16", "-d8s", "--latency", "-s"]);
    command.arg(script);
    let output = command.arg(format!("http://{to}")).output();
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
