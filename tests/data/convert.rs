//! qcow2 to raw beside `qemu-img`, which makes the images and says what is in them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

use async_trait::async_trait;
use bytes::Bytes;
use fresnel::data::{
    Source,
    convert::{
        RawDisk,
        blocks::{Blocks, FileBlocks, OutOfOrder, StreamBlocks},
        qcow2::Damage,
        qemu,
    },
    inspect::Format,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tempfile::TempDir;

use crate::support::lab;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

/// Bytes in pieces of some length.
struct Pieces {
    left: Bytes,
    len: usize,
}

#[async_trait]
impl Source for Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let len = self.len.min(self.left.len());
        Ok((len > 0).then(|| self.left.split_to(len)))
    }
}

fn pieces(bytes: Vec<u8>, len: usize) -> Pieces {
    let left = bytes.into();
    Pieces { left, len }
}

async fn read_all(mut source: impl Source) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = source.next().await? {
        assert!(!bytes.is_empty());
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn converted(blocks: impl Blocks + 'static) -> io::Result<Vec<u8>> {
    let disk = RawDisk::open(blocks, NO_LIMIT).await?;
    let len = disk.disk_bytes();
    let raw = read_all(disk).await?;
    assert_eq!(raw.len() as u64, len);
    Ok(raw)
}

async fn from_file(path: &Path) -> io::Result<Vec<u8>> {
    converted(FileBlocks::new(File::open(path).unwrap())).await
}

async fn from_stream(path: &Path, len: usize) -> io::Result<Vec<u8>> {
    let source = pieces(fs::read(path).unwrap(), len);
    converted(StreamBlocks::new(source, NO_LIMIT)).await
}

#[track_caller]
fn qemu_img(words: &[&str]) {
    lab::run(Command::new("qemu-img").args(words));
}

#[track_caller]
fn qemu_io(image: &Path, commands: &[String]) {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "qcow2"]);
    for text in commands {
        command.args(["-c", text]);
    }
    lab::run(command.arg(image));
}

/// A folder with a raw disk, and the name of an image in it.
fn disk(bytes: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (raw, image) = (folder.path().join("raw"), folder.path().join("image"));
    fs::write(&raw, bytes).unwrap();
    (folder, raw, image)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What qemu reads in an image.
fn by_qemu(image: &Path, format: &str) -> Vec<u8> {
    let raw = image.with_extension("by-qemu");
    qemu_img(&[
        "convert",
        "-f",
        format,
        "-O",
        "raw",
        text(image),
        text(&raw),
    ]);
    fs::read(raw).unwrap()
}

fn empty(size: &str, options: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        options,
        text(&image),
        size,
    ]);
    (folder, image)
}

/// Sectors of zeroes, of one byte, and of noise, one run after the other.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = (1_usize..600, 0_u8..3, any::<u64>());
    prop::collection::vec(run, 1..12).prop_map(|runs| {
        let mut bytes = Vec::new();
        for (sectors, kind, seed) in runs {
            let noise = |at: usize| {
                let mixed = (at as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (mixed >> 56) as u8
            };
            let byte = |at: usize| match kind {
                0 => 0,
                1 => 7,
                _ => noise(at),
            };
            bytes.extend((0..sectors * 512).map(byte));
        }
        bytes
    })
}

fn layout() -> impl Strategy<Value = (usize, &'static str, bool)> {
    let cluster = prop_oneof![Just(512), Just(4 * KIB), Just(64 * KIB), Just(2 * MIB)];
    (
        cluster,
        prop_oneof![Just("0.10"), Just("1.1")],
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_qemu_wrote_is_read_from_a_file_and_from_a_stream(
        bytes in content(),
        (cluster, compat, compressed) in layout(),
        piece in 1_usize..200_000,
    ) {
        let (_folder, raw, image) = disk(&bytes);
        let options = format!("cluster_size={cluster},compat={compat}");
        let mut words = vec!["convert", "-f", "raw", "-O", "qcow2", "-o", &options];
        words.extend(compressed.then_some("-c"));
        words.extend([text(&raw), text(&image)]);
        qemu_img(&words);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert!(from_file(&image).await.unwrap() == bytes);
            assert!(from_stream(&image, piece).await.unwrap() == bytes);
        });
    }
}

#[tokio::test]
async fn what_was_written_backwards_is_read_from_a_file_alone() {
    let (_folder, image) = empty("24M", "cluster_size=2M");
    let writes = (0..12)
        .rev()
        .map(|cluster| format!("write -P {} {}M 2M", cluster + 1, 2 * cluster));
    qemu_io(&image, &writes.collect::<Vec<_>>());
    assert!(from_file(&image).await.unwrap() == by_qemu(&image, "qcow2"));
    let error = from_stream(&image, 64 * KIB).await.unwrap_err();
    assert!(OutOfOrder::is_in(&error), "{error}");
    // A little disorder is none.
    let (_folder, image) = empty("4M", "cluster_size=64k");
    let writes = (0..64)
        .rev()
        .map(|at| format!("write -P {} {}k 64k", at + 1, 64 * at));
    qemu_io(&image, &writes.collect::<Vec<_>>());
    let expected = by_qemu(&image, "qcow2");
    assert!(from_file(&image).await.unwrap() == expected);
    assert!(from_stream(&image, 10_000).await.unwrap() == expected);
}

#[tokio::test]
async fn what_was_overwritten_discarded_and_kept_in_snapshots_is_as_it_is_now() {
    let (_folder, image) = empty("9M", "cluster_size=64k");
    let write = [
        "write -P 1 0 4M",
        "write -P 2 5M 3k",
        "write -P 3 9433088 4k",
    ];
    qemu_io(&image, &write.map(str::to_owned));
    qemu_img(&["snapshot", "-q", "-c", "then", text(&image)]);
    let change = [
        "write -P 4 1M 1M",
        "write -z 2M 64k",
        "discard 3M 1M",
        "write -P 5 100k 1",
    ];
    qemu_io(&image, &change.map(str::to_owned));
    assert!(from_file(&image).await.unwrap() == by_qemu(&image, "qcow2"));
}

/// Its last cluster ends with the file, in the middle.
#[tokio::test]
async fn a_file_that_ends_in_a_cluster_is_whole_and_one_that_ends_before_it_is_not() {
    let (_folder, image) = empty("1M", "cluster_size=64k");
    qemu_io(&image, &["write -P 9 960k 512".to_owned()]);
    let expected = by_qemu(&image, "qcow2");
    let (file, len) = (
        File::options().write(true).open(&image).unwrap(),
        5 * 64 * KIB as u64,
    );
    file.set_len(len + 512).unwrap();
    assert!(from_file(&image).await.unwrap() == expected);
    assert!(from_stream(&image, 1000).await.unwrap() == expected);
    file.set_len(len).unwrap();
    for cut in [from_file(&image).await, from_stream(&image, 1000).await] {
        assert_eq!(damage(&cut.unwrap_err()), Damage::Cut);
    }
}

fn damage(error: &io::Error) -> Damage {
    *error.get_ref().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn what_is_not_read_here_is_told() {
    let (folder, base) = empty("1M", "cluster_size=64k");
    let image = folder.path().join("other");
    let made = |options: &[&str]| {
        let create = ["create", "-q", "-f", "qcow2"];
        qemu_img(&[&create, options, &[text(&image), "1M"]].concat());
    };
    made(&["-F", "qcow2", "-b", text(&base)]);
    assert_eq!(
        damage(&from_file(&image).await.unwrap_err()),
        Damage::BackingFile
    );
    let data = format!("data_file={}", text(&folder.path().join("data")));
    made(&["-o", &data]);
    assert_eq!(
        damage(&from_file(&image).await.unwrap_err()),
        Damage::DataFile
    );
    made(&["-o", "compression_type=zstd"]);
    let unsupported = damage(&from_file(&image).await.unwrap_err());
    assert!(
        matches!(unsupported, Damage::Unsupported(_)),
        "{unsupported}"
    );
    fs::write(&image, vec![0; MIB]).unwrap();
    assert_eq!(
        damage(&from_file(&image).await.unwrap_err()),
        Damage::Foreign
    );
    let small = RawDisk::open(FileBlocks::new(File::open(&base).unwrap()), MIB as u64 - 1).await;
    assert_eq!(damage(&small.unwrap_err()), Damage::TooLarge);
    let source = pieces(fs::read(&base).unwrap(), 1000);
    let endless = converted(StreamBlocks::new(source, 1000)).await;
    assert_eq!(damage(&endless.unwrap_err()), Damage::TooLarge);
}

#[tokio::test]
async fn qemu_img_converts_the_rest_within_its_limits() {
    let bytes: Vec<u8> = (0..2 * MIB).map(|at| (at >> 9) as u8).collect();
    let (folder, raw, image) = disk(&bytes);
    let formats = [
        (Format::Vmdk, "vmdk"),
        (Format::Vdi, "vdi"),
        (Format::Vhdx, "vhdx"),
        (Format::Qcow2, "qcow2"),
    ];
    let out = folder.path().join("out");
    for (format, name) in formats {
        qemu_img(&["convert", "-f", "raw", "-O", name, text(&raw), text(&image)]);
        let limit_bytes = 3 * MIB as u64;
        qemu::convert(&image, format, &out, Format::Raw, limit_bytes)
            .await
            .unwrap();
        assert!(fs::read(&out).unwrap() == bytes, "{name}");
        fs::remove_file(&out).unwrap();
    }
    let refused = qemu::convert(&image, Format::Qcow2, &out, Format::Raw, MIB as u64).await;
    refused.unwrap_err();
    assert!(!out.exists());
    let wrong = qemu::convert(&raw, Format::Qcow2, &out, Format::Raw, NO_LIMIT).await;
    assert!(wrong.unwrap_err().to_string().contains("qemu-img"));
}
