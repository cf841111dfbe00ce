//! Images in a Ceph cluster, beside Glance 33 on the same pool and Ceph's own commands on the same bytes.
//!
//! Client, server and cluster share the machine: its cores are the ceiling. CPU seconds per GiB stand beside every rate,
//! and who is compared takes turns, so that a busy machine slows all alike.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{self, Cost},
    measure::{self, Spent},
    peers::{self, Server},
};

const MIB: u64 = 1 << 20;
/// Bytes of an object, which is also how much the rows with `rbd bench` have in one write.
const OBJECT_MIB: u64 = 8;
const STREAMS: usize = 8;

/// Uploads and their CPU.
pub(crate) fn uploads(bench: &Bench) -> Vec<Row> {
    let ceph = Ceph::start();
    let file = data::random_file(bench.image_bytes);
    let (ours, glance) = (ceph.ours(bench, ""), ceph.glance(&[]));
    let mut costs: [Vec<Cost>; 5] = Default::default();
    let mut resizes = [0.0; 2];
    for _ in 0..bench.runs {
        for (at, framing) in [Framing::Sized, Framing::Chunked].into_iter().enumerate() {
            let before = ours.metric("fresnel_rbd_resizes_total");
            costs[at].push(ceph.upload(bench, &ours.server, &file, framing));
            resizes[at] = ours.metric("fresnel_rbd_resizes_total") - before;
            costs[2 + at].push(ceph.upload(bench, &glance, &file, framing));
        }
        costs[4].push(ceph.rbd_bench(bench.image_bytes).0);
    }
    let [sized, chunked, their_sized, their_chunked, librbd] = costs.map(data::medians);
    let limit = data::digest_limits(bench, &file).1 + librbd.cpu_seconds_per_gib;
    let mut rows = vec![
        data::rate(
            "rbd upload, sized, MB/s beside Glance 33",
            &sized,
            &their_sized,
            2.1,
        ),
        data::rate(
            "rbd upload, chunked, MB/s beside Glance 33",
            &chunked,
            &their_chunked,
            2.9,
        ),
        data::rate(
            "rbd upload, chunked, MB/s beside our own sized",
            &chunked,
            &sized,
            0.95,
        ),
    ];
    for (name, cost) in [("sized", &sized), ("chunked", &chunked)] {
        rows.push(Row {
            work: format!("rbd upload, {name}, CPU beside both digests and `rbd bench`'s"),
            ours: format!("{:.2} CPU s/GiB", cost.cpu_seconds_per_gib),
            beside: format!(
                "{limit:.2} CPU s/GiB, of it {:.2} for librbd",
                librbd.cpu_seconds_per_gib
            ),
            ratio: cost.cpu_seconds_per_gib / limit,
            promise: Promise::AtMost(1.25),
        });
    }
    for (name, resizes, most) in [("sized", resizes[0], 0.0), ("chunked", resizes[1], 1.0)] {
        rows.push(Row {
            work: format!("rbd upload, {name}: resizes"),
            ours: format!("{resizes:.0}"),
            beside: "limit".into(),
            ratio: resizes,
            promise: Promise::AtMost(most),
        });
    }
    rows
}

/// Downloads, alone and many at once; and the connections that they made.
pub(crate) fn downloads(bench: &Bench) -> Vec<Row> {
    let ceph = Ceph::start();
    let (ours, glance) = (ceph.ours(bench, ""), ceph.glance(&["--workers", "4"]));
    let (mine, theirs) = (
        Stock::upload(bench, &ours.server),
        Stock::upload(bench, &glance),
    );
    let get = |server: &Server, id: &str| {
        let path = format!("/v2/images/{id}/file");
        client::download(server.address, &path, None)
    };
    let connections = ours.metric("fresnel_rbd_connections_total");
    let mut costs: [Vec<Cost>; 5] = Default::default();
    // The first run warms the OSD's cache.
    for run in 0..=bench.runs {
        let turn = [
            data::transfer(&ours.server, || get(&ours.server, &mine.one)),
            data::transfer(&glance, || get(&glance, &theirs.one)),
            ceph.export(bench, &mine.one),
            ceph.at_once(&ours.server, &mine, &get),
            ceph.at_once(&glance, &theirs, &get),
        ];
        if run > 0 {
            costs
                .iter_mut()
                .zip(turn)
                .for_each(|(all, cost)| all.push(cost));
        }
    }
    let connections = ours.metric("fresnel_rbd_connections_total") - connections;
    let peaks = [ours.server.process.peak_mib(), glance.process.peak_mib()];
    mine.delete(&ceph, &ours.server);
    theirs.delete(&ceph, &glance);
    let [one, their_one, export, eight, their_eight] = costs.map(data::medians);
    let mut parallel = data::rate(
        "rbd, 8 downloads at once, MB/s beside Glance 33, 4 workers",
        &eight,
        &their_eight,
        1.5,
    );
    parallel.ours += &format!(", peak {:.0} MiB", peaks[0]);
    parallel.beside += &format!(", peak {:.0} MiB", peaks[1]);
    vec![
        data::rate(
            "rbd download, MB/s beside `rbd export`",
            &one,
            &export,
            0.95,
        ),
        data::rate("rbd download, MB/s beside Glance 33", &one, &their_one, 2.5),
        parallel,
        Row {
            work: "rbd downloads: cluster connections made by them".into(),
            ours: format!("{connections:.0}"),
            beside: "limit".into(),
            ratio: connections,
            promise: Promise::AtMost(0.0),
        },
    ]
}

/// Memory of uploads at once, beside what librbd needs for one writer of `rbd bench`.
pub(crate) fn memory(bench: &Bench) -> Vec<Row> {
    let ceph = Ceph::start();
    let ours = ceph.ours(bench, "");
    let small = bench.image_bytes / STREAMS as u64;
    let file = data::random_file(small);
    let to = ours.server.address;
    let ids: Vec<String> = (0..STREAMS).map(|_| client::create(to)).collect();
    ours.server.process.forget_peak();
    std::thread::scope(|scope| {
        for id in &ids {
            let file = &file;
            scope.spawn(move || {
                client::upload(to, id, file, small, Framing::Chunked).expect("an upload")
            });
        }
    });
    let peak = ours.server.process.peak_mib();
    for id in &ids {
        ceph.delete(&ours.server, id);
    }
    let librbd = ceph.rbd_bench(small).1.peak_mib;
    vec![Row {
        work: "rbd, 8 uploads at once: peak MiB beside 256 MiB and `rbd bench`'s own".into(),
        ours: format!("{peak:.0} MiB"),
        beside: format!("256 + {librbd:.0} MiB"),
        ratio: peak / (256.0 + librbd),
        promise: Promise::AtMost(1.0),
    }]
}

/// Without digests (`--features bench-no-digests`), beside `rbd import` of the same file: what HTTP and our own path cost.
pub(crate) fn without_digests(bench: &Bench) -> Vec<Row> {
    if !cfg!(feature = "bench-no-digests") {
        panic!("this group needs --features bench-no-digests");
    }
    let ceph = Ceph::start();
    let ours = ceph.ours(bench, "");
    let random = data::random_file(bench.image_bytes);
    let sparse = sparse_file(4 * bench.image_bytes);
    let mut rows = Vec::new();
    for (name, (file, path), bytes, least) in [
        (
            "random",
            (&random, data::random_path(bench.image_bytes)),
            bench.image_bytes,
            0.8,
        ),
        (
            "nine tenths zeroes",
            (&sparse.0, sparse.1.clone()),
            4 * bench.image_bytes,
            1.0,
        ),
    ] {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..bench.runs {
            theirs.push(ceph.import(&path, bytes));
            mine.push(ceph.upload_of(bytes, &ours.server, file, Framing::Sized));
        }
        let (mine, theirs) = (data::medians(mine), data::medians(theirs));
        let work = format!("rbd upload, {name}, no digests, MB/s beside `rbd import`");
        rows.push(data::rate(&work, &mine, &theirs, least));
    }
    let id = client::create(ours.server.address);
    let bytes = 4 * bench.image_bytes;
    client::upload(ours.server.address, &id, &sparse.0, bytes, Framing::Sized).expect("an upload");
    let (objects, expected) = (ceph.objects(&id), (bytes / MIB / OBJECT_MIB).div_ceil(10));
    ceph.delete(&ours.server, &id);
    fs::remove_file(&sparse.1).expect("it was made here");
    rows.push(Row {
        work: "rbd upload, nine tenths zeroes: objects of zeroes in the pool".into(),
        ours: format!("{objects} objects"),
        beside: format!("{expected} objects with data"),
        ratio: objects as f64 - expected as f64,
        promise: Promise::AtMost(0.0),
    });
    rows
}

/// What downloads are measured with: one large image, and as many bytes again in eight.
struct Stock {
    one: String,
    eight: Vec<String>,
    bytes: u64,
}

impl Stock {
    fn upload(bench: &Bench, server: &Server) -> Self {
        let file = data::random_file(bench.image_bytes);
        let image = |bytes| {
            let id = client::create(server.address);
            client::upload(server.address, &id, &file, bytes, Framing::Sized).expect("an upload");
            id
        };
        let part = bench.image_bytes / STREAMS as u64;
        Self {
            one: image(bench.image_bytes),
            eight: (0..STREAMS).map(|_| image(part)).collect(),
            bytes: part * STREAMS as u64,
        }
    }

    fn delete(&self, ceph: &Ceph, server: &Server) {
        let all = self.eight.iter().chain([&self.one]);
        all.for_each(|id| ceph.delete(server, id));
    }
}

/// The lab's cluster.
pub(crate) struct Ceph {
    conf: PathBuf,
}

/// Our server and where it counts.
struct Ours {
    server: Server,
    metrics: std::net::SocketAddr,
}

impl Ours {
    /// A counter's value, of all its labels together.
    fn metric(&self, name: &str) -> f64 {
        client::metric(self.metrics, name, "")
    }
}

impl Ceph {
    pub(crate) fn start() -> Self {
        let output = peers::lab("ceph-up").stdout(Stdio::piped()).output();
        let output = output.expect("tests/lab/ceph-up runs");
        assert!(output.status.success(), "Ceph did not start");
        let conf = String::from_utf8(output.stdout).expect("a path is text");
        Self {
            conf: conf.trim().into(),
        }
    }

    fn ours(&self, bench: &Bench, options: &str) -> Ours {
        let metrics = peers::free_address();
        let server = peers::fresnel(
            &bench.folder,
            &format!(
                "enabled_backends = rbd1:rbd\n[glance_store]\ndefault_backend = rbd1\n{}\n{options}\n\
                 [fresnel]\nmetrics_bind = {metrics}",
                self.section()
            ),
        );
        Ours { server, metrics }
    }

    /// The store `rbd1` in a configuration.
    pub(crate) fn section(&self) -> String {
        format!(
            "[rbd1]\nrbd_store_ceph_conf = {}\nrbd_store_user = glance",
            self.conf.display()
        )
    }

    fn glance(&self, arguments: &[&str]) -> Server {
        let conf = self.conf.to_string_lossy();
        peers::glance(&[&["--rbd", &conf], arguments].concat())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("CEPH_CONF", &self.conf)
            .args(["--id", "glance"]);
        command
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output();
        let output = output.expect("Ceph's commands are installed");
        assert!(output.status.success(), "{program} {arguments:?}");
        String::from_utf8(output.stdout).expect("Ceph prints text")
    }

    fn upload(&self, bench: &Bench, server: &Server, file: &File, framing: Framing) -> Cost {
        self.upload_of(bench.image_bytes, server, file, framing)
    }

    fn upload_of(&self, bytes: u64, server: &Server, file: &File, framing: Framing) -> Cost {
        let id = client::create(server.address);
        let cost = data::transfer(server, || {
            Ok((
                bytes,
                client::upload(server.address, &id, file, bytes, framing)?,
            ))
        });
        self.delete(server, &id);
        cost
    }

    /// Deletes an image and waits until its objects are gone: the next figure is not to pay for it.
    pub(crate) fn delete(&self, server: &Server, id: &str) {
        client::ask(server.address, "DELETE", &format!("/v2/images/{id}"), "").expect("a delete");
        while self
            .ask("rbd", &["trash", "ls", "--all", "images"])
            .contains(id)
        {
            client::pause(Duration::from_millis(100));
        }
    }

    /// `rbd bench`: 16 writes of an object in flight into an image of the right size.
    fn rbd_bench(&self, bytes: u64) -> (Cost, Spent) {
        const NAME: &str = "images/fresnel-bench";
        let size = format!("{}M", bytes / MIB);
        let object = format!("{OBJECT_MIB}M");
        self.ask(
            "rbd",
            &["create", NAME, "--size", &size, "--object-size", &object],
        );
        let mut command = self.command("rbd");
        command.args([
            "bench",
            "--io-type",
            "write",
            "--io-threads",
            "16",
            "--io-pattern",
            "seq",
        ]);
        command.args(["--io-size", &object, "--io-total", &size, NAME]);
        let spent = measure::run(&mut command);
        self.ask("rbd", &["rm", "--no-progress", NAME]);
        (spent.cost(bytes), spent)
    }

    fn import(&self, file: &Path, bytes: u64) -> Cost {
        const NAME: &str = "images/fresnel-bench";
        let mut command = self.command("rbd");
        command.args(["import", "--no-progress", "--object-size", "8M"]);
        let spent = measure::run(command.arg(file).arg(NAME));
        self.ask("rbd", &["rm", "--no-progress", NAME]);
        spent.cost(bytes)
    }

    fn export(&self, bench: &Bench, image: &str) -> Cost {
        let snapshot = format!("images/{image}@snap");
        let mut command = self.command("rbd");
        command.args(["export", "--no-progress", &snapshot, "-"]);
        measure::run(&mut command).cost(bench.image_bytes)
    }

    fn objects(&self, image: &str) -> u64 {
        let info = self.ask("rbd", &["info", &format!("images/{image}")]);
        let line = info
            .lines()
            .find_map(|line| line.trim().strip_prefix("block_name_prefix: "));
        let prefix = line.expect("rbd info tells the prefix");
        let all = self.ask("rados", &["-p", "images", "ls"]);
        all.lines().filter(|name| name.starts_with(prefix)).count() as u64
    }

    fn at_once(
        &self,
        server: &Server,
        stock: &Stock,
        get: &(impl Fn(&Server, &str) -> std::io::Result<(u64, f64)> + Sync),
    ) -> Cost {
        data::transfer(server, || {
            let begin = std::time::Instant::now();
            std::thread::scope(|scope| {
                for id in &stock.eight {
                    scope.spawn(move || get(server, id).expect("a download"));
                }
            });
            Ok((stock.bytes, begin.elapsed().as_secs_f64()))
        })
    }
}

/// Every tenth object has data, the others are holes; in memory.
fn sparse_file(len: u64) -> (File, PathBuf) {
    let path = PathBuf::from("/dev/shm/fresnel-bench-sparse");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    let file = file.expect("/dev/shm is writable");
    file.set_len(len).expect("/dev/shm takes holes");
    let mut object = vec![0; (OBJECT_MIB * MIB) as usize];
    let random = data::random_file(OBJECT_MIB * MIB);
    random
        .read_exact_at(&mut object, 0)
        .expect("it is long enough");
    for index in (0..len / (OBJECT_MIB * MIB)).step_by(10) {
        file.write_all_at(&object, index * OBJECT_MIB * MIB)
            .expect("/dev/shm has room");
    }
    (file, path)
}
