//! Containers through the data plane: any range of what is in them, from stores that give bytes and from
//! stores that give files.

use std::sync::Arc;

use fresnel::{
    base::{limits::MIB, secret::Passphrase},
    data::{
        Encryption, Piece, ReadPlan, Receipt,
        encrypt::{Container, Format, Seal},
    },
    model::{ByteRange, RangeRequest, StoreId},
    store::{
        Store,
        file::{Config, FileIo, FileIoChoice, FileStore},
        memory::MemoryStore,
    },
};
use std::os::unix::fs::FileExt;

use super::rig::{Rig, Sender, content, word};

const LEN: usize = 3 * MIB + 12_345;
const RANGES: u64 = 150;

fn passphrase() -> Passphrase {
    Passphrase::of_key(&[7; 32])
}

/// An image of that many plain bytes, as a container in a store.
async fn sealed(store: Arc<dyn Store>, format: Format, len: usize) -> (Rig, Receipt) {
    let mut rig = Rig::new(vec![store]).await;
    rig.plan.encryption = Encryption::Seal(Seal {
        format,
        passphrase: passphrase(),
    });
    let receipts = rig.ingest(Sender::of(&content(len), &[])).await.unwrap();
    (rig, receipts.into_iter().next().unwrap())
}

async fn read(rig: &Rig, receipt: &Receipt, asked: RangeRequest) -> Result<Vec<u8>, &'static str> {
    let plane = Arc::new(rig.plane.clone());
    let plan = ReadPlan {
        image: rig.plan.image.clone(),
        locations: vec![(receipt.store.clone(), receipt.url.clone())],
        range: ByteRange::whole(receipt.size_bytes),
    };
    let container = Container {
        plane: &plane,
        plan: &plan,
        cache: None,
        size_bytes: receipt.size_bytes,
    };
    let size = receipt.plain.as_ref().map(|plain| plain.size_bytes);
    let opened = container.open(&passphrase(), size, asked).await;
    let mut opened = opened.map_err(|error| word(&error))?;
    let mut bytes = Vec::new();
    while let Some(piece) = opened.egress.next().await.unwrap() {
        match piece {
            Piece::Bytes(chunk) => bytes.extend_from_slice(chunk.bytes()),
            Piece::File { file, offset, len } => {
                let start = bytes.len();
                bytes.resize(start + len as usize, 0);
                file.read_exact_at(&mut bytes[start..], offset).unwrap();
            }
        }
    }
    assert_eq!(bytes.len() as u64, opened.range.len);
    Ok(bytes)
}

fn stores(folder: &tempfile::TempDir) -> [Arc<dyn Store>; 2] {
    let io = FileIo::start(FileIoChoice::Threads).unwrap();
    let files = FileStore::open(StoreId::new("file"), Config::in_dir(folder.path()), io);
    let memory = MemoryStore::new(StoreId::new("memory"));
    [Arc::new(files.unwrap()), Arc::new(memory)]
}

#[tokio::test]
async fn any_range_is_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let sent = content(LEN);
    for (store, format) in stores(&folder)
        .into_iter()
        .zip([Format::Luks1, Format::Luks2])
    {
        let (rig, receipt) = sealed(store, format, LEN).await;
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize % below
        };
        for turn in 0..RANGES {
            let first = random(LEN);
            // Short ones, and ones over several chunks.
            let most = if turn % 3 == 0 { LEN - first } else { 9000 };
            let last = (first + random(most.max(1))).min(LEN - 1);
            let asked = RangeRequest::Range {
                first: first as u64,
                last: Some(last as u64),
            };
            let found = read(&rig, &receipt, asked).await.unwrap();
            assert!(found == sent[first..=last], "{format}: {first} to {last}");
        }
        assert!(read(&rig, &receipt, RangeRequest::Whole).await.unwrap() == sent);
    }
}

#[tokio::test]
async fn a_container_that_is_cut_or_changed_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let [files, _] = stores(&folder);
    let (rig, mut receipt) = sealed(files, Format::Luks1, 5000).await;
    let whole = receipt.size_bytes;
    for (size_bytes, expected) in [(100, "locked"), (100_000, "locked"), (whole, "")] {
        receipt.size_bytes = size_bytes;
        let found = read(&rig, &receipt, RangeRequest::Whole).await;
        assert_eq!(found.err().unwrap_or_default(), expected, "{size_bytes}");
    }
    // A stripe of the key: whoever was unlocked a moment ago stays so, nobody else is.
    let path = folder.path().join(rig.plan.image.as_str());
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(&[7; 16], 9000).unwrap();
    assert!(read(&rig, &receipt, RangeRequest::Whole).await.is_ok());
    let mut other = Rig::new(stores(&folder).into()).await;
    other.plan = rig.plan.clone();
    let found = read(&other, &receipt, RangeRequest::Whole).await;
    assert_eq!(found.unwrap_err(), "locked");
}
