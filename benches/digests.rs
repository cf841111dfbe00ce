//! Many uploads at once: streams that share a core's vectors, beside the same one after the other.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc, time::Instant};

use bytes::Bytes;
use fresnel::{
    buf::Chunk,
    data::digest::{Engine, EngineChoice},
    model::HashAlgorithm,
};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{GIB, MIB, random_file},
    measure::{Process, median},
    peers::{self, Server},
};

/// What some uploads at once cost.
#[derive(Clone, Copy)]
struct Cost {
    mib_per_second: f64,
    cpu_seconds_per_gib: f64,
}

/// Uploads at once, and how many times less CPU they must cost than one after the other.
const PROMISES: [(usize, f64); 3] = [(16, 2.2), (4, 1.5), (1, 0.97)];

/// Uploads with the engine that the machine offers, beside the scalar one and beside Glance.
pub(crate) fn digests(bench: &Bench) -> Vec<Row> {
    let file = random_file(bench.image_bytes);
    let ours = with_engine(bench, "auto");
    let scalar = with_engine(bench, "scalar");
    let mut rows = Vec::new();
    let mut many = None;
    for (streams, promise) in PROMISES {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        // Interleaved, so that a machine that slows down slows both.
        for _ in 0..bench.runs {
            a.push(uploads(bench, &ours, &file, streams));
            b.push(uploads(bench, &scalar, &file, streams));
        }
        let (a, b) = (medians(&a), medians(&b));
        rows.push(cpu_row(
            format!("{streams} uploads at once, CPU beside the scalar engine"),
            a.cpu_seconds_per_gib,
            b.cpu_seconds_per_gib,
            promise,
        ));
        many.get_or_insert(a);
    }
    rows.push(waits(&ours));
    drop((ours, scalar));
    let many = many.expect("sixteen come first");
    rows.push(beside_glance(bench, &file, many));
    rows.push(background(bench, &file));
    rows
}

fn beside_glance(bench: &Bench, file: &File, ours: Cost) -> Row {
    // On SQLite its two workers lock each other out: some uploads end in a 500.
    let url = peers::mariadb("fresnel_bench_digests");
    let glance = peers::glance_in(&bench.folder, &["--database", &url]);
    let costs: Vec<Cost> = (0..bench.runs)
        .map(|_| uploads(bench, &glance, file, PROMISES[0].0))
        .collect();
    let theirs = medians(&costs);
    Row {
        work: "16 uploads at once, MB/s beside Glance 33, 2 workers".into(),
        ours: format!("{:.0} MiB/s", ours.mib_per_second),
        beside: format!("{:.0} MiB/s", theirs.mib_per_second),
        ratio: ours.mib_per_second / theirs.mib_per_second,
        promise: Promise::AtLeast(2.5),
    }
}

fn with_engine(bench: &Bench, engine: &str) -> Server {
    let metrics = peers::free_address();
    let options = format!("[fresnel]\ndigest_engine = {engine}\nmetrics_bind = {metrics}");
    let mut server = peers::fresnel(&bench.folder, &options);
    server.metrics = Some(metrics);
    server
}

/// So many uploads at once, 2 GiB together with the default size of images.
fn uploads(bench: &Bench, server: &Server, file: &File, streams: usize) -> Cost {
    let len = (bench.image_bytes / streams as u64).next_multiple_of(1 << 20);
    let ids: Vec<String> = (0..streams)
        .map(|_| client::create(server.address))
        .collect();
    let cpu = server.process.cpu_seconds();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(move || {
                client::upload(server.address, id, file, len, Framing::Sized).expect("an upload")
            });
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = server.process.cpu_seconds() - cpu;
    for id in &ids {
        client::ask(server.address, "DELETE", &format!("/v2/images/{id}"), "").expect("a delete");
    }
    let bytes = (len * streams as u64) as f64;
    Cost {
        mib_per_second: bytes / MIB / seconds,
        cpu_seconds_per_gib: cpu / (bytes / GIB),
    }
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        mib_per_second: median(costs.iter().map(|c| c.mib_per_second).collect()),
        cpu_seconds_per_gib: median(costs.iter().map(|c| c.cpu_seconds_per_gib).collect()),
    }
}

fn cpu_row(work: String, ours: f64, scalar: f64, promise: f64) -> Row {
    Row {
        work,
        ours: format!("{ours:.2} CPU s/GiB"),
        beside: format!("{scalar:.2} CPU s/GiB"),
        ratio: scalar / ours,
        promise: Promise::AtLeast(promise),
    }
}

/// The share of runs whose first chunk waited less than 5 ms for company, of all that the server
/// did.
fn waits(server: &Server) -> Row {
    let address = server.metrics.expect("the bench turned them on");
    let sum = |name: &str, label: &str| client::metric(address, name, label);
    let below = sum("fresnel_digest_wait_seconds_bucket", "le=\"0.005\"");
    let all = sum("fresnel_digest_wait_seconds_count", "");
    Row {
        work: "1 to 16 uploads: share of waits for company under 5 ms".into(),
        ours: format!("{:.2} % of {all:.0}", 100.0 * below / all),
        beside: "limit".into(),
        ratio: below / all,
        promise: Promise::AtLeast(0.99),
    }
}

/// The digests of a stored image, read from its file, while seven uploads of its length arrive;
/// without the network and the disk of the uploads, which are the same for both.
fn background(bench: &Bench, file: &File) -> Row {
    let (mut ours, mut scalar) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        ours.push(background_cpu(bench, file, EngineChoice::Auto));
        scalar.push(background_cpu(bench, file, EngineChoice::Scalar));
    }
    cpu_row(
        "digest of a stored image beside 7 uploads, CPU of the digests beside the scalar engine"
            .into(),
        median(ours),
        median(scalar),
        2.0,
    )
}

fn background_cpu(bench: &Bench, file: &File, choice: EngineChoice) -> f64 {
    const UPLOADS: u64 = 7;
    let chunks = (bench.image_bytes / (UPLOADS + 1)) >> 20;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("threads");
    let engine = Engine::sized_for_machine(choice).expect("this machine has it");
    let file = Arc::new(file.try_clone().expect("a file can be cloned"));
    let process = Process(std::process::id());
    let before = process.cpu_seconds();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..=UPLOADS {
            let (file, stream) = (
                file.clone(),
                engine.open(&[HashAlgorithm::Md5, HashAlgorithm::Sha512]),
            );
            tasks.push(tokio::spawn(async move {
                for at in 0..chunks {
                    let mut piece = vec![0; 1 << 20];
                    file.read_exact_at(&mut piece, at << 20)
                        .expect("the file is long enough");
                    stream.feed(&Chunk::new(Bytes::from(piece))).await;
                }
                stream.finish().await
            }));
        }
        for task in tasks {
            task.await.expect("digests do not panic");
        }
    });
    let bytes = ((UPLOADS + 1) * chunks) << 20;
    (process.cpu_seconds() - before) / (bytes as f64 / GIB)
}
