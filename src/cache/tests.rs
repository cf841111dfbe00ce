//! The cache against a model: a vector of bytes.

mod evict;
mod pace;
mod power;
mod proof;

use std::{
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU32, AtomicU64},
};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::HashAlgorithm;

/// Three chunks, the last of them short.
const SIZE: u64 = 2 * CHUNK_BYTES + 12_345;
const PIECE_BYTES: usize = 300_000;

struct Rig {
    dir: TempDir,
    cache: Cache,
    origin: Arc<Origin>,
}

/// Where the bytes of every image come from.
struct Origin {
    bytes: Vec<u8>,
    /// Whether it gives ranges.
    seeks: bool,
    fetched_bytes: AtomicU64,
    /// After so many pieces the next fill breaks off; 0 is never.
    cut_after: AtomicU32,
}

impl Origin {
    fn new(size_bytes: u64, seeks: bool) -> Arc<Self> {
        Arc::new(Self {
            bytes: content(size_bytes as usize),
            seeks,
            fetched_bytes: AtomicU64::new(0),
            cut_after: AtomicU32::new(0),
        })
    }

    /// Fetches what a fill wants, on a thread of its own.
    fn fetch(self: &Arc<Self>, mut fill: Fill) {
        let origin = self.clone();
        spawn_blocking(move || {
            let (from, to) = (fill.range().offset as usize, fill.range().end() as usize);
            let cut_after = origin.cut_after.swap(0, Relaxed) as usize;
            for (number, piece) in origin.bytes[from..to].chunks(PIECE_BYTES).enumerate() {
                if cut_after > 0 && number == cut_after {
                    return;
                }
                let bytes = Bytes::copy_from_slice(piece);
                origin.fetched_bytes.fetch_add(bytes.len() as u64, Relaxed);
                if !matches!(fill.write(&[bytes]), Ok(Flow::More)) {
                    return;
                }
            }
        });
    }

    fn digest(&self) -> String {
        // The cache compares it, and asks nobody what it is.
        blake3::hash(&self.bytes).to_hex()[..32].to_owned()
    }

    fn key(&self, image: &str) -> Key {
        Key::new(ImageId::new(image), HashAlgorithm::Md5, &self.digest()).unwrap()
    }
}

impl Rig {
    fn new(size_bytes: u64) -> Self {
        Self::with(config(), Origin::new(size_bytes, true))
    }

    fn with(config: Config, origin: Arc<Origin>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().to_owned(),
            ..config
        };
        let cache = Cache::open(config).unwrap();
        Self { dir, cache, origin }
    }

    fn restart(self) -> Self {
        let Self { dir, cache, origin } = self;
        let config = cache.shared.config.clone();
        drop(cache);
        let cache = Cache::open(config).unwrap();
        Self { dir, cache, origin }
    }

    fn reader(&self, image: &str) -> impl Future<Output = Option<Reader>> {
        let (cache, key) = (self.cache.clone(), self.origin.key(image));
        let size_bytes = self.origin.bytes.len() as u64;
        async move {
            let range = ByteRange::whole(size_bytes);
            cache.read(&key, size_bytes, range).await
        }
    }

    async fn read(&self, image: &str, from: u64, to: u64) -> Vec<u8> {
        let size_bytes = self.origin.bytes.len() as u64;
        let range = ByteRange {
            offset: from,
            len: to - from,
        };
        let key = self.origin.key(image);
        let bytes = match self.cache.read(&key, size_bytes, range).await {
            Some(reader) => read_to_end(reader, &self.origin).await,
            None => self.origin.bytes[from as usize..to as usize].to_vec(),
        };
        self.settle().await;
        bytes
    }

    /// A reader may have what it wants before the fill has the rest of the chunk.
    async fn settle(&self) {
        while self.cache.shared.all().any(|entry| entry.has_fills()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn assert_right(&self, image: &str, from: u64, to: u64) {
        let bytes = self.read(image, from, to).await;
        let expected = &self.origin.bytes[from as usize..to as usize];
        assert!(bytes == expected, "{image}: {from}..{to} is wrong");
    }

    fn fetched(&self) -> u64 {
        self.origin.fetched_bytes.load(Relaxed)
    }

    fn taken(&self) -> u64 {
        self.cache.shared.space.taken_bytes()
    }

    /// Says what an image hashes to.
    async fn prove(&self, image: &str, digest: &str) -> bool {
        let key = self.origin.key(image);
        let proof = self.cache.proof(&key).await.unwrap();
        let mut bytes = vec![0; proof.size_bytes() as usize];
        proof.read(&mut bytes, 0).unwrap();
        assert!(bytes == self.origin.bytes);
        proof.end(digest)
    }

    /// Flips a bit in the bytes of the only entry.
    fn flip(&self, at: u64) {
        let mut files = fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap);
        let data = files.find(|file| file.file_name().to_str().unwrap().ends_with(".data"));
        let path = data.unwrap().path();
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    }
}

async fn read_to_end(mut reader: Reader, origin: &Arc<Origin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match reader.next(origin.seeks).await {
            Next::Window { file, offset, len } => {
                let start = bytes.len();
                bytes.resize(start + len as usize, 0);
                file.read_exact_at(&mut bytes[start..], offset).unwrap();
            }
            Next::Missing(fill) => origin.fetch(fill),
            Next::Refused(rest) => {
                bytes.extend(&origin.bytes[rest.offset as usize..rest.end() as usize]);
                return bytes;
            }
            Next::End => return bytes,
        }
    }
}

fn config() -> Config {
    Config {
        dir: PathBuf::new(),
        limit_bytes: 100 * CHUNK_BYTES,
        free_bytes: 0,
        patience: Duration::from_secs(30),
        fill_bytes_per_second: None,
        lag_bytes: None,
    }
}

/// Bytes that differ wherever they are.
fn content(len: usize) -> Vec<u8> {
    let words = (0..len as u64 / 8 + 1).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len);
    bytes
}

fn run<T>(case: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(case)
}

#[tokio::test]
async fn what_was_read_once_is_not_fetched_again() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    rig.assert_right("a", 0, SIZE).await;
    rig.assert_right("a", 5, CHUNK_BYTES + 7).await;
    assert_eq!(rig.fetched(), SIZE);
    let shown = &rig.cache.entries()[0];
    assert_eq!((shown.filled_bytes, shown.hits), (SIZE, 2));
}

#[tokio::test]
async fn a_range_fills_the_chunks_that_it_touches() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", CHUNK_BYTES + 5, CHUNK_BYTES + 6)
        .await;
    assert_eq!(rig.fetched(), CHUNK_BYTES);
    rig.assert_right("a", SIZE - 1, SIZE).await;
    assert_eq!(rig.fetched(), CHUNK_BYTES + 12_345);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_at_once_fetch_an_image_once() {
    let rig = Arc::new(Rig::new(SIZE));
    let readers = (0..50).map(|_| {
        let rig = rig.clone();
        tokio::spawn(async move { rig.assert_right("a", 0, SIZE).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    assert_eq!(rig.fetched(), SIZE);
}

#[tokio::test]
async fn an_origin_without_ranges_is_read_from_its_beginning() {
    let rig = Rig::with(config(), Origin::new(SIZE, false));
    rig.assert_right("a", SIZE - 1, SIZE).await;
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.fetched(), SIZE);
}

#[tokio::test]
async fn who_waits_takes_over_from_a_fill_that_breaks_off() {
    let rig = Rig::new(SIZE);
    for cut_after in [1, 7, 14, 20] {
        rig.origin.cut_after.store(cut_after, Relaxed);
        let image = cut_after.to_string();
        let (one, two) = (
            rig.assert_right(&image, 0, SIZE),
            rig.assert_right(&image, 9, SIZE),
        );
        tokio::join!(one, two);
    }
}

#[tokio::test]
async fn a_fill_that_nobody_reads_ends() {
    let rig = Rig::new(SIZE);
    let mut reader = rig.reader("a").await.unwrap();
    let Next::Missing(mut fill) = reader.next(true).await else {
        panic!("it is all missing");
    };
    let all = Bytes::from(rig.origin.bytes.clone());
    assert_eq!(fill.write(&[all.slice(..10)]).unwrap(), Flow::More);
    drop(reader);
    assert_eq!(fill.write(&[all.slice(10..)]).unwrap(), Flow::Done);
    assert_eq!(rig.cache.entries()[0].filled_bytes, CHUNK_BYTES);
}

#[tokio::test]
async fn what_was_saved_outlives_the_process_and_is_checked_before_it_is_sent() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    rig.cache.save();
    let rig = rig.restart();
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.fetched(), SIZE);
    rig.cache.save();
    rig.flip(CHUNK_BYTES + 3);
    let rig = rig.restart();
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.fetched(), SIZE + CHUNK_BYTES);
    rig.cache.save();
    let rig = rig.restart();
    assert_eq!(rig.cache.verify(|_, _| {}).damaged_chunks, 0);
    assert_eq!(rig.cache.entries()[0].filled_bytes, SIZE);
}

#[tokio::test]
async fn what_was_not_saved_is_fetched_again() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    let rig = rig.restart();
    assert_eq!(rig.cache.entries()[0].filled_bytes, 0);
    rig.assert_right("a", 0, SIZE).await;
    assert_eq!(rig.fetched(), 2 * SIZE);
}

#[tokio::test]
async fn verify_finds_what_is_damaged() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    rig.cache.save();
    rig.flip(0);
    let rig = rig.restart();
    let verified = rig.cache.verify(|_, _| {});
    assert_eq!((verified.good_chunks, verified.damaged_chunks), (2, 1));
    assert_eq!(rig.cache.entries()[0].filled_bytes, SIZE - CHUNK_BYTES);
}

#[tokio::test]
async fn a_scrub_comes_round_to_every_chunk() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    rig.cache.save();
    rig.flip(SIZE - 1);
    let rig = rig.restart();
    let mut scrub = Scrub::default();
    for _ in 0..3 {
        scrub.step(&rig.cache.shared);
    }
    assert_eq!(rig.cache.entries()[0].filled_bytes, 2 * CHUNK_BYTES);
    rig.assert_right("a", 0, SIZE).await;
}

#[tokio::test]
async fn the_limit_holds_whatever_is_read() {
    let limit_bytes = 7 * CHUNK_BYTES;
    let limited = Config {
        limit_bytes,
        ..config()
    };
    let rig = Rig::with(limited, Origin::new(SIZE, true));
    for image in 0..10 {
        rig.assert_right(&image.to_string(), 0, SIZE).await;
        assert!(rig.taken() <= limit_bytes);
    }
    assert!((2..=3).contains(&rig.cache.entries().len()));
    let rig = rig.restart();
    assert!(rig.taken() <= limit_bytes);
}

#[tokio::test]
async fn an_image_larger_than_the_cache_is_not_cached() {
    let small = Config {
        limit_bytes: SIZE,
        ..config()
    };
    let rig = Rig::with(small, Origin::new(SIZE, true));
    assert!(rig.reader("a").await.is_none());
    let none = Config {
        limit_bytes: 0,
        ..config()
    };
    let rig = Rig::with(none, Origin::new(SIZE, true));
    assert!(rig.reader("a").await.is_none());
}

/// The floor of free disk is above what is there, from the second image on.
#[tokio::test]
async fn a_full_disk_is_read_past() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    let Rig { dir, cache, origin } = rig;
    cache.save();
    drop(cache);
    let full = Config {
        dir: dir.path().to_owned(),
        free_bytes: u64::MAX,
        ..config()
    };
    let cache = Cache::open(full).unwrap();
    let rig = Rig { dir, cache, origin };
    rig.assert_right("a", 0, SIZE).await;
    rig.assert_right("b", 0, SIZE).await;
    assert_eq!(rig.fetched(), SIZE, "the second was read past the cache");
}

/// Room for one image.
fn tight() -> Config {
    Config {
        limit_bytes: 4 * CHUNK_BYTES,
        ..config()
    }
}

/// Room for one image and a half: the second takes what is free, and the rest is read past.
#[tokio::test]
async fn who_is_read_is_not_evicted() {
    let rig = Rig::with(tight(), Origin::new(SIZE, true));
    let mut reader = rig.reader("a").await.unwrap();
    let Next::Missing(fill) = reader.next(true).await else {
        panic!("it is all missing");
    };
    rig.origin.fetch(fill);
    rig.assert_right("a", 0, SIZE).await;
    rig.assert_right("b", 0, SIZE).await;
    rig.assert_right("a", 0, SIZE).await;
    let bytes = read_to_end(reader, &rig.origin).await;
    assert!(bytes == rig.origin.bytes);
    assert!(rig.taken() <= 4 * CHUNK_BYTES);
    assert_eq!(rig.cache.entries().len(), 2);
    assert!(rig.fetched() < SIZE + 2 * CHUNK_BYTES);
}

#[tokio::test]
async fn a_running_read_outlives_the_removal_of_its_entry() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, CHUNK_BYTES).await;
    let reader = rig.reader("a").await.unwrap();
    let removed = rig.cache.remove(&ImageId::new("a"));
    assert_eq!((removed.entries, removed.bytes), (1, CHUNK_BYTES));
    assert!(rig.cache.entries().is_empty());
    assert!(rig.taken() > 0, "its room is not free yet");
    let bytes = read_to_end(reader, &rig.origin).await;
    assert!(bytes == rig.origin.bytes);
    assert_eq!(rig.taken(), 0);
    let left = fs::read_dir(rig.dir.path()).unwrap().count();
    assert_eq!(left, 1, "the lock");
}

#[tokio::test]
async fn clean_removes_what_stands_still() {
    let rig = Rig::new(SIZE);
    rig.assert_right("whole", 0, SIZE).await;
    rig.assert_right("part", 0, 1).await;
    assert_eq!(rig.cache.clean(Duration::from_secs(60)).entries, 0);
    assert_eq!(rig.cache.clean(Duration::ZERO).entries, 1);
    assert_eq!(rig.cache.entries()[0].key.image().as_str(), "whole");
}

#[tokio::test]
async fn what_is_no_entry_is_removed_or_left_alone() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, SIZE).await;
    rig.cache.save();
    let stray = format!("{}-{}", "0".repeat(32), "1".repeat(8));
    let path = |name: &str| rig.dir.path().join(name);
    fs::write(path(&format!("{stray}.data")), "orphan").unwrap();
    let torn = format!("{}-{}", "2".repeat(32), "3".repeat(8));
    fs::write(path(&format!("{torn}.data")), "x").unwrap();
    fs::write(path(&format!("{torn}.meta")), "fresnelc").unwrap();
    fs::write(path("README"), "somebody's").unwrap();
    let rig = rig.restart();
    let names = fs::read_dir(rig.dir.path()).unwrap();
    let names: Vec<_> = names.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(
        names.len(),
        4,
        "the entry's two, the lock, somebody's: {names:?}"
    );
    assert_eq!(rig.cache.entries().len(), 1);
}

#[tokio::test]
async fn an_entry_that_this_process_cannot_open_is_not_removed() {
    let rig = Rig::new(SIZE);
    rig.assert_right("a", 0, 1).await;
    rig.cache.save();
    let Rig { dir, cache, .. } = rig;
    let config = cache.shared.config.clone();
    drop(cache);
    let names = fs::read_dir(dir.path()).unwrap();
    let mut paths = names.map(|file| file.unwrap().path());
    let data = paths.find(|path| path.extension().is_some_and(|kind| kind == "data"));
    let data = data.unwrap();
    let aside = dir.path().join("aside");
    fs::rename(&data, &aside).unwrap();
    std::os::unix::fs::symlink(&data, &data).unwrap();
    let refused = Cache::open(config.clone());
    assert!(matches!(refused, Err(Error::Dir { .. })));
    fs::rename(&aside, &data).unwrap();
    assert_eq!(Cache::open(config).unwrap().entries().len(), 1);
}

#[tokio::test]
async fn a_directory_has_one_process() {
    let rig = Rig::new(SIZE);
    let again = Cache::open(rig.cache.shared.config.clone());
    assert!(matches!(again, Err(Error::Locked(_))));
}

/// What happens to a cache.
#[derive(Clone, Debug)]
enum Act {
    Read(u64, u64),
    /// Two at once.
    ReadBoth(u64, u64),
    Cut(u32),
    Save,
    Clear,
    Restart,
    /// In a file, while no process has it.
    Flip(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let range = || (0..SIZE, 1..SIZE).prop_map(|(at, len)| (at, (at + len).min(SIZE)));
    let act = prop_oneof![
        4 => range().prop_map(|(from, to)| Act::Read(from, to)),
        2 => range().prop_map(|(from, to)| Act::ReadBoth(from, to)),
        2 => (1..20_u32).prop_map(Act::Cut),
        2 => Just(Act::Save),
        1 => Just(Act::Clear),
        2 => Just(Act::Restart),
        1 => (0..SIZE).prop_map(Act::Flip),
    ];
    proptest::collection::vec(act, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, every byte that is served is right.
    #[test]
    fn every_byte_is_right(acts in acts(), seeks: bool) {
        run(async {
            let mut rig = Rig::with(config(), Origin::new(SIZE, seeks));
            for act in acts {
                match act {
                    Act::Read(from, to) => rig.assert_right("a", from, to).await,
                    Act::ReadBoth(from, to) => {
                        let one = rig.assert_right("a", 0, to);
                        tokio::join!(one, rig.assert_right("a", from, SIZE));
                    }
                    Act::Cut(pieces) => rig.origin.cut_after.store(pieces, Relaxed),
                    Act::Save => rig.cache.save(),
                    Act::Clear => {
                        rig.cache.clear();
                    }
                    Act::Restart => rig = rig.restart(),
                    Act::Flip(at) => {
                        if !rig.cache.entries().is_empty() {
                            rig.flip(at);
                            rig = rig.restart();
                        }
                    }
                }
            }
        });
    }
}
