//! Uploads and downloads beside Glance, nginx and the digests' own limit.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use openssl::hash::{Hasher, MessageDigest};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    measure::{Spent, median},
    peers::{self, Server},
};

/// Bytes of a GiB.
pub(crate) const GIB: f64 = (1_u64 << 30) as f64;
/// Bytes of a MiB.
pub(crate) const MIB: f64 = (1_u64 << 20) as f64;

/// What some runs of one transfer cost.
#[derive(Debug)]
pub(crate) struct Cost {
    /// Of the client that waits for it.
    pub(crate) mib_per_second: f64,
    /// Of the server, or of the command that does the work.
    pub(crate) cpu_seconds_per_gib: f64,
}

impl Spent {
    /// Of a command that has moved so many bytes.
    pub(crate) fn cost(&self, bytes: u64) -> Cost {
        Cost {
            mib_per_second: bytes as f64 / MIB / self.seconds,
            cpu_seconds_per_gib: self.cpu_seconds / (bytes as f64 / GIB),
        }
    }
}

/// Uploads of the large image, one at a time.
pub(crate) fn upload(bench: &Bench) -> Vec<Row> {
    let file = random_file(bench.image_bytes);
    let (md5, digests_cpu) = digest_limits(bench, &file);
    let glance = peers::glance_in(&bench.folder, &[]);
    let ring = peers::fresnel(&bench.folder, "");
    let threads = peers::fresnel(&bench.folder, "[fresnel]\nfile_io = threads");
    let turns = [
        (&glance, Framing::Sized),
        (&ring, Framing::Sized),
        (&glance, Framing::Chunked),
        (&ring, Framing::Chunked),
        (&threads, Framing::Sized),
    ];
    let mut costs: [Vec<Cost>; 5] = Default::default();
    // In turns, so that a machine or a disk that slows down slows all.
    for _ in 0..bench.runs {
        for (costs, (server, framing)) in costs.iter_mut().zip(turns) {
            costs.push(upload_one(bench, server, &file, framing));
        }
    }
    let [their_sized, sized, their_chunked, chunked, on_threads] = costs.map(medians);
    let mut rows = Vec::new();
    rows.push(rate(
        "upload, sized, MB/s beside Glance 33",
        &sized,
        &their_sized,
        3.0,
    ));
    rows.push(rate(
        "upload, chunked, MB/s beside Glance 33",
        &chunked,
        &their_chunked,
        2.6,
    ));
    rows.push(Row {
        work: "upload, sized, MB/s beside MD5 alone on one core".into(),
        ours: speed(&sized),
        beside: format!("{md5:.0} MiB/s"),
        ratio: sized.mib_per_second / md5,
        promise: Promise::AtLeast(0.65),
    });
    for (name, cost, promise) in [("io_uring", &sized, 1.3), ("threads", &on_threads, 1.4)] {
        rows.push(Row {
            work: format!("upload, {name}, CPU beside the two digests alone"),
            ours: format!("{:.2} CPU s/GiB", cost.cpu_seconds_per_gib),
            beside: format!("{digests_cpu:.2} CPU s/GiB"),
            ratio: cost.cpu_seconds_per_gib / digests_cpu,
            promise: Promise::AtMost(promise),
        });
    }
    rows
}

/// Downloads of the large image from the page cache.
pub(crate) fn download(bench: &Bench) -> Vec<Row> {
    let file = random_file(bench.image_bytes);
    let ours = peers::fresnel(&bench.folder, "[fresnel]\nmetrics_bind = 127.0.0.1:0");
    let id = client::create(ours.address);
    client::upload(ours.address, &id, &file, bench.image_bytes, Framing::Sized).expect("an upload");
    let path = format!("/v2/images/{id}/file");
    let nginx_folder = bench.folder.join("nginx");
    std::fs::create_dir_all(&nginx_folder).expect("the bench folder is writable");
    copy(&file, &nginx_folder.join("image"));
    let nginx = peers::nginx(&nginx_folder);
    // Interleaved, so that a machine that slows down slows both.
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for run in 0..=bench.runs {
        let mine = transfer(&ours, || client::download(ours.address, &path, None));
        let peer = transfer(&nginx, || client::download(nginx.address, "/image", None));
        // The first run of each warms the page cache.
        if run > 0 {
            a.push(mine);
            b.push(peer);
        }
    }
    let (ours, theirs) = (medians(a), medians(b));
    vec![
        Row {
            work: "download, warm, MB/s beside nginx".into(),
            ours: speed(&ours),
            beside: speed(&theirs),
            ratio: ours.mib_per_second / theirs.mib_per_second,
            promise: Promise::AtLeast(0.95),
        },
        Row {
            work: "download, warm, CPU beside nginx".into(),
            ours: format!("{:.3} CPU s/GiB", ours.cpu_seconds_per_gib),
            beside: format!("{:.3} CPU s/GiB", theirs.cpu_seconds_per_gib),
            ratio: ours.cpu_seconds_per_gib / theirs.cpu_seconds_per_gib,
            promise: Promise::AtMost(1.25),
        },
    ]
}

/// Sixteen uploads at once, then sixteen downloads: memory is flat in the image's size.
pub(crate) fn many(bench: &Bench) -> Vec<Row> {
    const STREAMS: usize = 16;
    let mut peaks = Vec::new();
    for divisor in [8, 2] {
        let len = bench.image_bytes / divisor;
        let file = random_file(len);
        let server = peers::fresnel(&bench.folder, "");
        server.process.forget_peak();
        let ids: Vec<String> = (0..STREAMS)
            .map(|_| client::create(server.address))
            .collect();
        std::thread::scope(|scope| {
            for id in &ids {
                let (file, to) = (&file, server.address);
                scope.spawn(move || {
                    client::upload(to, id, file, len, Framing::Sized).expect("an upload")
                });
            }
        });
        std::thread::scope(|scope| {
            for id in &ids {
                let (path, to) = (format!("/v2/images/{id}/file"), server.address);
                scope.spawn(move || client::download(to, &path, None).expect("a download"));
            }
        });
        peaks.push(server.process.peak_mib());
        for id in &ids {
            client::ask(server.address, "DELETE", &format!("/v2/images/{id}"), "")
                .expect("a delete");
        }
    }
    vec![
        Row {
            work: "16 uploads, then 16 downloads at once: peak MiB".into(),
            ours: format!("{:.0} MiB", peaks[1]),
            beside: "limit".into(),
            ratio: peaks[1],
            promise: Promise::AtMost(256.0),
        },
        Row {
            work: "the same with images four times as large: growth of the peak".into(),
            ours: format!("{:.0} MiB", peaks[1]),
            beside: format!("{:.0} MiB", peaks[0]),
            ratio: peaks[1] / peaks[0],
            promise: Promise::AtMost(1.15),
        },
    ]
}

fn upload_one(bench: &Bench, server: &Server, file: &File, framing: Framing) -> Cost {
    let id = client::create(server.address);
    let cost = transfer(server, || {
        let seconds = client::upload(server.address, &id, file, bench.image_bytes, framing)?;
        Ok((bench.image_bytes, seconds))
    });
    client::ask(server.address, "DELETE", &format!("/v2/images/{id}"), "").expect("a delete");
    cost
}

/// Does some work and says what it cost the server.
pub(crate) fn transfer(
    server: &Server,
    work: impl FnOnce() -> std::io::Result<(u64, f64)>,
) -> Cost {
    let before = server.process.cpu_seconds();
    let (bytes, seconds) = work().expect("a transfer");
    let cpu = server.process.cpu_seconds() - before;
    Cost {
        mib_per_second: bytes as f64 / MIB / seconds,
        cpu_seconds_per_gib: cpu / (bytes as f64 / GIB),
    }
}

/// The middle of each figure.
pub(crate) fn medians(costs: Vec<Cost>) -> Cost {
    Cost {
        mib_per_second: median(costs.iter().map(|c| c.mib_per_second).collect()),
        cpu_seconds_per_gib: median(costs.iter().map(|c| c.cpu_seconds_per_gib).collect()),
    }
}

/// A cost as a row shows it.
pub(crate) fn speed(cost: &Cost) -> String {
    format!(
        "{:.0} MiB/s, {:.2} CPU s/GiB",
        cost.mib_per_second, cost.cpu_seconds_per_gib
    )
}

/// A row of two rates.
pub(crate) fn rate(work: &str, ours: &Cost, theirs: &Cost, least: f64) -> Row {
    Row {
        work: work.to_owned(),
        ours: speed(ours),
        beside: speed(theirs),
        ratio: ours.mib_per_second / theirs.mib_per_second,
        promise: Promise::AtLeast(least),
    }
}

/// MD5's MiB/s on one core, and the CPU seconds per GiB of MD5 and SHA-512 together.
pub(crate) fn digest_limits(bench: &Bench, file: &File) -> (f64, f64) {
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        let md5 = digest_seconds(file, MessageDigest::md5());
        let sha512 = digest_seconds(file, MessageDigest::sha512());
        let gib = DIGEST_BYTES as f64 / GIB;
        rates.push(gib * 1024.0 / md5);
        cpus.push((md5 + sha512) / gib);
    }
    (median(rates), median(cpus))
}

const DIGEST_BYTES: u64 = 512 << 20;
const RANDOM: &str = "/dev/shm/fresnel-bench-image";

fn digest_seconds(file: &File, digest: MessageDigest) -> f64 {
    use std::os::unix::fs::FileExt;
    let mut piece = vec![0; 1 << 20];
    let mut hasher = Hasher::new(digest).expect("OpenSSL has it");
    let mut seconds = 0.0;
    for offset in (0..DIGEST_BYTES).step_by(1 << 20) {
        file.read_exact_at(&mut piece, offset)
            .expect("the file is long enough");
        let begin = Instant::now();
        hasher.update(&piece).expect("hashing cannot fail");
        seconds += begin.elapsed().as_secs_f64();
    }
    hasher.finish().expect("hashing cannot fail");
    seconds
}

/// Random bytes in memory (tmpfs), so that the client reads no disk.
pub(crate) fn random_file(len: u64) -> File {
    if std::fs::metadata(RANDOM).is_ok_and(|m| m.len() >= len) {
        return File::open(RANDOM).expect("the file that was just seen");
    }
    let mut file = File::create(RANDOM).expect("/dev/shm is writable");
    let mut random = File::open("/dev/urandom").expect("Linux");
    let copied = std::io::copy(&mut std::io::Read::take(&mut random, len), &mut file);
    assert_eq!(copied.expect("/dev/shm has room"), len);
    file.flush().expect("/dev/shm has room");
    File::open(RANDOM).expect("the file that was just written")
}

/// The same for who reads a file by its path, to its end: so many bytes and no more.
pub(crate) fn random_path(len: u64) -> PathBuf {
    // A bench of larger images may have left a longer one.
    drop(random_file(len));
    let file = File::options().write(true).open(RANDOM);
    let cut = file.and_then(|file| file.set_len(len));
    cut.expect("the file that was just written");
    RANDOM.into()
}

/// Copies a whole file.
pub(crate) fn copy(from: &File, to: &Path) {
    let mut from = from.try_clone().expect("a file can be cloned");
    std::io::Seek::rewind(&mut from).expect("a file can be rewound");
    let mut to = File::create(to).expect("the bench folder is writable");
    std::io::copy(&mut from, &mut to).expect("the disk has room");
}
