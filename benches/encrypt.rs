//! Encrypted images: what it costs to make a container beside storing the bytes as they come, and to read
//! what is in it beside the cipher alone and beside qemu.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::Instant,
};

use fresnel::client::key_manager::Keyring;
use fresnel_xts::{Direction, KEY_BYTES, Xts};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{Cost, GIB, MIB, medians, random_file, rate, speed, transfer},
    measure::{self, median},
    peers::{self, Server},
};

const KEY: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";
const PASSPHRASE: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PLAIN: &str = "X-Fresnel-Plain: true\r\n";
/// CPU seconds that a container may cost for each GiB, over storing the bytes as they come.
const OVER_PLAIN_MAX: f64 = 0.45;
/// The same, beside BLAKE3 and the cipher alone: what a processor without 512-bit vectors can be held to.
const OVER_PARTS_MAX: f64 = 1.35;
/// Turned in all where the cipher alone is measured, and hashed where BLAKE3 is.
const ALONE_BYTES: u64 = 1 << 30;

/// All rows.
pub(crate) fn encrypt(bench: &Bench) -> Vec<Row> {
    let file = random_file(bench.image_bytes);
    let server = peers::fresnel(&bench.folder, "");
    let port = server.address.port();
    let keyring = bench.folder.join(format!("fresnel-{port}/keyring"));
    let kept = Keyring::new(keyring).import(KEY, PASSPHRASE);
    kept.expect("the bench folder is writable");
    let mut rows = uploads(bench, &server, &file);
    rows.extend(downloads(bench, &server, &file));
    rows
}

fn uploads(bench: &Bench, server: &Server, file: &File) -> Vec<Row> {
    let mut rows = Vec::new();
    for (format, streams) in [("LUKSv1", 1), ("LUKSv1", 16), ("LUKSv2", 1)] {
        let (mut sealed, mut plain) = (Vec::new(), Vec::new());
        // In turns, so that a machine that slows down slows both.
        for _ in 0..bench.runs {
            plain.push(many(bench, server, file, None, streams));
            sealed.push(many(bench, server, file, Some(format), streams));
        }
        let (sealed, plain) = (medians(sealed), medians(plain));
        let over = sealed.cpu_seconds_per_gib - plain.cpu_seconds_per_gib;
        let work = format!("{streams} uploads into {format} at once");
        rows.push(Row {
            work: format!("{work}, CPU s/GiB over plain ones"),
            ours: speed(&sealed),
            beside: speed(&plain),
            ratio: over,
            promise: Promise::AtMost(OVER_PLAIN_MAX),
        });
        let sector_bytes = if format == "LUKSv1" { 512 } else { 4096 };
        let parts = GIB / MIB / blake3_alone() + GIB / MIB / xts_alone(sector_bytes);
        rows.push(Row {
            work: format!("{work}, CPU over plain ones beside BLAKE3 and AES-256-XTS alone"),
            ours: format!("{over:.2} CPU s/GiB"),
            beside: format!("{parts:.2} CPU s/GiB"),
            ratio: over / parts,
            promise: Promise::AtMost(OVER_PARTS_MAX),
        });
    }
    rows
}

/// So many uploads at once, of the large image's bytes together.
fn many(bench: &Bench, server: &Server, file: &File, format: Option<&str>, streams: u64) -> Cost {
    let len = (bench.image_bytes / streams).next_multiple_of(1 << 20);
    let ids: Vec<String> = (0..streams).map(|_| create(server, format)).collect();
    let headers = if format.is_some() { PLAIN } else { "" };
    let upload = |id: &str| {
        let done = client::upload_with(server.address, id, file, len, Framing::Sized, headers);
        done.expect("an upload");
    };
    let cost = transfer(server, || {
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for id in &ids {
                scope.spawn(|| upload(id));
            }
        });
        Ok((len * streams, begin.elapsed().as_secs_f64()))
    });
    for id in &ids {
        let path = format!("/v2/images/{id}");
        client::ask(server.address, "DELETE", &path, "").expect("a delete");
    }
    cost
}

fn create(server: &Server, format: Option<&str>) -> String {
    let Some(format) = format else {
        return client::create(server.address);
    };
    let body = format!(
        r#"{{"disk_format":"raw","container_format":"bare","os_encrypt_format":"{format}","os_encrypt_key_id":"{KEY}"}}"#
    );
    client::create_with(server.address, "", &body)
}

fn downloads(bench: &Bench, server: &Server, file: &File) -> Vec<Row> {
    let id = create(server, Some("LUKSv1"));
    let len = bench.image_bytes;
    let sent = client::upload_with(server.address, &id, file, len, Framing::Sized, PLAIN);
    sent.expect("an upload");
    let path = format!("/v2/images/{id}/file");
    let port = server.address.port();
    let container = bench.folder.join(format!("fresnel-{port}/images/{id}"));
    let (mut ours, mut qemu, mut xts) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=bench.runs {
        let mine = transfer(server, || {
            let fetched = client::fetch_with(server.address, &path, None, PLAIN)?;
            Ok((fetched.bytes, fetched.seconds))
        });
        let peer = by_qemu(&bench.folder, &container, len);
        // The first run of each warms the page cache.
        if run > 0 {
            ours.push(mine);
            qemu.push(peer);
            xts.push(xts_alone(512));
        }
    }
    let (ours, qemu, xts) = (medians(ours), medians(qemu), median(xts));
    vec![
        Row {
            work: "plain download from LUKSv1, warm, MB/s beside AES-256-XTS on one core".into(),
            ours: speed(&ours),
            beside: format!("{xts:.0} MiB/s"),
            ratio: ours.mib_per_second / xts,
            promise: Promise::AtLeast(0.6),
        },
        rate(
            "the same, MB/s beside qemu-img convert from the same container",
            &ours,
            &qemu,
            5.0,
        ),
    ]
}

/// Reads what is in the container and writes it nowhere.
fn by_qemu(folder: &Path, container: &Path, len: u64) -> Cost {
    let secret = folder.join("passphrase");
    fs::write(&secret, PASSPHRASE).expect("the bench folder is writable");
    let mut command = Command::new("qemu-img");
    command
        .arg("convert")
        .arg("--object")
        .arg(format!("secret,id=s,file={}", secret.display()))
        .arg("--image-opts")
        .arg(format!(
            "driver=luks,key-secret=s,file.driver=file,file.filename={}",
            container.display()
        ))
        .args(["-n", "--target-image-opts"])
        .arg(format!("driver=null-co,size={len}"));
    measure::run(&mut command).cost(len)
}

/// MiB/s of BLAKE3 on one core, over pieces that stay in its cache.
fn blake3_alone() -> f64 {
    let (mut hasher, piece) = (blake3::Hasher::new(), vec![7; 64 << 10]);
    let begin = Instant::now();
    for _ in 0..ALONE_BYTES / piece.len() as u64 {
        hasher.update(&piece);
    }
    std::hint::black_box(hasher.finalize());
    ALONE_BYTES as f64 / MIB / begin.elapsed().as_secs_f64()
}

/// MiB/s of the cipher on one core, over a chunk that stays in its cache.
fn xts_alone(sector_bytes: usize) -> f64 {
    let key: [u8; KEY_BYTES] = std::array::from_fn(|at| at as u8);
    let mut xts = Xts::new(&key, Direction::Decrypt).expect("two halves that differ");
    let mut chunk = vec![7; 1 << 20];
    let begin = Instant::now();
    for number in 0..ALONE_BYTES >> 20 {
        let step = sector_bytes as u64 / 512;
        xts.turn(&mut chunk, sector_bytes, number * 2048, step);
    }
    ALONE_BYTES as f64 / MIB / begin.elapsed().as_secs_f64()
}
