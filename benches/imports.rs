//! Imports: from the web into one store and with a conversion on the way, beside Glance 33; into three stores at once
//! beside the three one after the other.
//!
//! Client, source, server, peer and cluster share the machine's cores. Who is compared takes turns, so that a busy
//! machine slows all alike.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{self, Cost, MIB},
    measure::{self, median},
    peers::{self, Server},
    rbd::Ceph,
    s3::Radosgw,
};

const STORES: [&str; 3] = ["files", "rbd1", "s3"];
/// What users may have fetched for them: our source, at whatever port it is.
const FILTER: &str = "[import_filtering_opts]\nallowed_hosts = [127.0.0.1]\nallowed_ports = []";
/// Who asks, because tasks of Glance are somebody's.
const WHO: &str =
    "X-Identity-Status: Confirmed\r\nX-User-Id: bench\r\nX-Project-Id: bench\r\nX-Roles: admin\r\n";
const RAW: &str = r#"{"disk_format":"raw","container_format":"bare"}"#;
const QCOW2: &str = r#"{"disk_format":"qcow2","container_format":"bare"}"#;
/// How often an image is asked for its status. Seldom, because Glance takes ten milliseconds to answer.
const ASK_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a folder is looked at for copies.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// `web-download` into one store of files.
pub(crate) fn from_the_web(bench: &Bench) -> Vec<Row> {
    let source = Source::start(bench);
    let ours = peers::fresnel(&bench.folder, FILTER);
    let options = [
        "import_filtering_opts.allowed_hosts=[127.0.0.1]",
        "import_filtering_opts.allowed_ports=[]",
    ];
    let glance = glance(bench, &options);
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for _ in 0..bench.runs {
        for (server, costs) in [&ours, &glance].into_iter().zip(&mut costs) {
            let image = client::create_with(server.address, WHO, RAW);
            costs.push(import(bench, server, &image, &source.request(&[])));
            delete(server, &image);
        }
    }
    let [mine, theirs] = costs.map(data::medians);
    let work = "web-download into one store, MB/s beside Glance 33";
    vec![data::rate(work, &mine, &theirs, 2.5)]
}

/// `web-download` into a file, a cluster and a bucket.
pub(crate) fn into_stores(bench: &Bench) -> Vec<Row> {
    let (ceph, source) = (Ceph::start(), Source::start(bench));
    let metrics = peers::free_address();
    let options = format!(
        "enabled_backends = files:file, rbd1:rbd, s3:s3\n{FILTER}\n[glance_store]\n\
         default_backend = files\n[files]\nfilesystem_store_datadir = {}\n{}\n{}\n\
         [fresnel]\nmetrics_bind = {metrics}",
        bench.folder.join("imports").display(),
        ceph.section(),
        Radosgw::start().section(),
    );
    let ours = peers::fresnel(&bench.folder, &options);
    let seconds = |stores: &[&str]| {
        let image = client::create_with(ours.address, WHO, RAW);
        let cost = import(bench, &ours, &image, &source.request(stores));
        ceph.delete(&ours, &image);
        bench.image_bytes as f64 / MIB / cost.mib_per_second
    };
    let hashed = || {
        let of = |name: &str| {
            let label = format!("algorithm=\"{name}\"");
            client::metric(metrics, "fresnel_digest_bytes_total", &label)
        };
        ["md5", "sha512"].map(of)
    };
    let mut figures: [Vec<f64>; 4] = Default::default();
    let (mut sent_images, mut hashed_images) = (Vec::new(), Vec::new());
    let images = |bytes: f64| bytes / bench.image_bytes as f64;
    for _ in 0..bench.runs {
        for (store, figures) in STORES.iter().zip(&mut figures) {
            figures.push(seconds(&[store]));
        }
        let (sent, [md5, sha512]) = (source.sent_bytes(), hashed());
        figures[3].push(seconds(&STORES));
        sent_images.push(images(source.sent_bytes() - sent));
        let [more_md5, more_sha512] = hashed();
        hashed_images.extend([more_md5 - md5, more_sha512 - sha512].map(images));
    }
    let [file, rbd, s3, at_once] = figures.map(median);
    let sum = file + rbd + s3;
    let mut rows = vec![Row {
        work: "web-download into file, RBD and S3 at once, beside one after the other".into(),
        ours: format!("{at_once:.1} s"),
        beside: format!("{sum:.1} s: {file:.1}, {rbd:.1} and {s3:.1}"),
        ratio: at_once / sum,
        promise: Promise::AtMost(0.6),
    }];
    for (work, figures) in [
        ("the same, what the source sends, in images", sent_images),
        ("the same, what each digest is of, in images", hashed_images),
    ] {
        assert!(figures.iter().all(|images| *images >= 1.0), "{figures:?}");
        let most = figures.into_iter().fold(0.0, f64::max);
        rows.push(Row {
            work: work.into(),
            ours: format!("{most:.3}"),
            beside: "limit".into(),
            ratio: most,
            promise: Promise::AtMost(1.0),
        });
    }
    rows
}

/// A staged qcow2 image that becomes a raw one, and the copies that are made of it on the way.
pub(crate) fn converted(bench: &Bench) -> Vec<Row> {
    let qcow2 = bench.folder.join("image.qcow2");
    let mut make = Command::new("qemu-img");
    make.args(["convert", "-f", "raw", "-O", "qcow2"]);
    measure::run(make.arg(data::random_path(bench.image_bytes)).arg(&qcow2));
    let file = File::open(&qcow2).expect("qemu-img has made it");
    let plugins = "[image_import_opts]\nimage_import_plugins = ['image_conversion']";
    let ours = peers::fresnel(&bench.folder, plugins);
    let option = "image_import_opts.image_import_plugins=['image_conversion']";
    let glance = glance(bench, &[option]);
    let own = format!("fresnel-{}/staging", ours.address.port());
    let turns = [
        (&ours, bench.folder.join(own)),
        (&glance, bench.folder.join("glance/staging")),
    ];
    let mut costs: [Vec<Cost>; 2] = Default::default();
    let mut copies = [0, 0];
    for _ in 0..bench.runs {
        for (at, (server, staging)) in turns.iter().enumerate() {
            let image = staged(server, &file);
            let request = json!({"method": {"name": "glance-direct"}});
            let work = || import(bench, server, &image, &request);
            let (cost, bytes) = beside(staging, &image, work);
            costs[at].push(cost);
            copies[at] = bytes.max(copies[at]);
            delete(server, &image);
        }
    }
    fs::remove_file(&qcow2).expect("it was made here");
    let [mine, theirs] = costs.map(data::medians);
    let [my_mib, their_mib] = copies.map(|bytes| bytes as f64 / MIB);
    let name = "glance-direct, qcow2 to raw";
    vec![
        data::rate(
            &format!("{name}, MB/s beside Glance 33's image_conversion"),
            &mine,
            &theirs,
            2.0,
        ),
        Row {
            work: "the same, MiB of copies beside what was staged".into(),
            ours: format!("{my_mib:.0} MiB"),
            beside: format!("{their_mib:.0} MiB"),
            ratio: my_mib,
            promise: Promise::AtMost(0.0),
        },
    ]
}

/// The web: nginx, with the large image in memory.
struct Source {
    server: Server,
    log: PathBuf,
}

impl Source {
    fn start(bench: &Bench) -> Self {
        let folder = bench.folder.join("source");
        fs::create_dir_all(&folder).expect("the bench folder is writable");
        let image = data::random_path(bench.image_bytes);
        let (server, log) = peers::nginx_counted(&folder, &image);
        Self { server, log }
    }

    /// An import of its image; into the only store, if none is named.
    fn request(&self, stores: &[&str]) -> Value {
        let uri = format!("http://{}/image", self.server.address);
        let mut request = json!({"method": {"name": "web-download", "uri": uri}});
        if !stores.is_empty() {
            request["stores"] = json!(stores);
        }
        request
    }

    fn sent_bytes(&self) -> f64 {
        let log = fs::read_to_string(&self.log).expect("nginx writes it");
        let lines = log.lines().map(|line| line.parse::<f64>());
        lines.map(|bytes| bytes.expect("a number of bytes")).sum()
    }
}

/// Glance on a database in which its workers do not lock each other out.
fn glance(bench: &Bench, options: &[&str]) -> Server {
    let url = peers::mariadb("fresnel_bench_imports");
    let mut arguments = vec!["--identity", "--database", &url];
    arguments.extend(options.iter().flat_map(|option| ["--set", option]));
    peers::glance_in(&bench.folder, &arguments)
}

/// A new image with staged data.
fn staged(server: &Server, file: &File) -> String {
    let image = client::create_with(server.address, WHO, QCOW2);
    let path = format!("/v2/images/{image}/stage");
    let len = file.metadata().expect("an open file").len();
    let sent = client::put(server.address, &path, file, len, Framing::Sized, WHO);
    sent.expect("staging");
    image
}

/// Imports an image of the large image's bytes, which is raw in the end. Until it is active.
fn import(bench: &Bench, server: &Server, image: &str, request: &Value) -> Cost {
    let path = format!("/v2/images/{image}");
    let cost = data::transfer(server, || {
        let (to, begin) = (format!("{path}/import"), Instant::now());
        let request = request.to_string();
        let (answer, text) = client::ask_with(server.address, "POST", &to, WHO, &request)?;
        assert_eq!(answer.status, 202, "{text}");
        let image = wait_until(server, &path, |image| image["status"] == "active");
        assert_eq!(
            (&image["disk_format"], &image["size"]),
            (&json!("raw"), &json!(bench.image_bytes))
        );
        Ok((bench.image_bytes, begin.elapsed().as_secs_f64()))
    });
    // The rest of the task is not to disturb the next figure.
    wait_until(server, &path, |image| {
        let task = image["os_glance_import_task"].as_str();
        task.is_none_or(str::is_empty)
    });
    cost
}

fn wait_until(server: &Server, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let answer = client::ask_with(server.address, "GET", path, WHO, "");
        let (_, text) = answer.expect("the server answers");
        let image: Value = serde_json::from_str(&text).expect("an image is JSON");
        if is_so(&image) {
            return image;
        }
        let failed = image["os_glance_failed_import"].as_str();
        let fails = failed.is_some_and(|stores| !stores.is_empty());
        assert!(!fails && begin.elapsed() < PATIENCE, "{text}");
        client::pause(ASK_EVERY);
    }
}

/// Does some work, and says how many bytes the folder's files had at most meanwhile, beside this one.
fn beside<T>(folder: &Path, name: &str, work: impl FnOnce() -> T) -> (T, u64) {
    std::thread::scope(|scope| {
        let (at_work, ended) = mpsc::channel::<()>();
        let watcher = scope.spawn(move || {
            let mut most = 0;
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                most = most.max(bytes_beside(folder, name));
            }
            most
        });
        let done = work();
        drop(at_work);
        (done, watcher.join().expect("it only looks"))
    })
}

fn bytes_beside(folder: &Path, name: &str) -> u64 {
    let entries = fs::read_dir(folder).expect("it has staged data");
    let others = entries.flatten().filter(|entry| entry.file_name() != name);
    // One that is gone meanwhile is none.
    let files = others.filter_map(|entry| entry.metadata().ok());
    let files = files.filter(fs::Metadata::is_file);
    files.map(|file| file.len()).sum()
}

fn delete(server: &Server, image: &str) {
    let path = format!("/v2/images/{image}");
    client::ask_with(server.address, "DELETE", &path, WHO, "").expect("a delete");
}
