//! Power cuts: all that was done to the files is kept, cut at every sync and between any two, and put
//! together again as a disk could have it.

use std::collections::HashMap;

use super::*;
use crate::cache::disk::trace::{Op, Trace};

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// A disk after the power was cut.
#[derive(Default)]
struct Disk {
    files: HashMap<String, Vec<u8>>,
}

impl Disk {
    /// `ops` in order, as far as they were synced; of the others, and of their sectors, `lucky` decides.
    fn after(ops: &[Op], mut lucky: impl FnMut() -> bool) -> Self {
        let mut disk = Self::default();
        for (at, op) in ops.iter().enumerate() {
            let later = &ops[at + 1..];
            match op {
                Op::Create(name, size_bytes) => {
                    let data = vec![0; *size_bytes as usize];
                    disk.files.insert(format!("{name}.data"), data);
                    disk.files.insert(format!("{name}.meta"), Vec::new());
                }
                Op::Remove(name) => {
                    disk.files.remove(&format!("{name}.data"));
                    disk.files.remove(&format!("{name}.meta"));
                }
                Op::Data(name, offset, bytes) => {
                    let is_synced = later
                        .iter()
                        .any(|op| matches!(op, Op::SyncData(of) if of == name));
                    disk.write(&format!("{name}.data"), *offset, bytes, || {
                        is_synced || lucky()
                    });
                }
                Op::Meta(name, offset, bytes) => {
                    let is_synced = later
                        .iter()
                        .any(|op| matches!(op, Op::SyncMeta(of) if of == name));
                    disk.write(&format!("{name}.meta"), *offset, bytes, || {
                        is_synced || lucky()
                    });
                }
                Op::SyncData(_) | Op::SyncMeta(_) => {}
            }
        }
        disk
    }

    /// Sector by sector; what is passed over is zeroes, as a file that has grown.
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8], mut is_lucky: impl FnMut() -> bool) {
        let Some(file) = self.files.get_mut(name) else {
            return;
        };
        for (sector, piece) in bytes.chunks(SECTOR_BYTES).enumerate() {
            if !is_lucky() {
                continue;
            }
            let at = offset as usize + sector * SECTOR_BYTES;
            file.resize(file.len().max(at + piece.len()), 0);
            file[at..at + piece.len()].copy_from_slice(piece);
        }
    }

    fn put(&self, dir: &Path) {
        for (name, bytes) in &self.files {
            fs::write(dir.join(name), bytes).unwrap();
        }
    }
}

/// A cache's life, as far as its files are concerned.
async fn recorded(origin: &Arc<Origin>) -> Vec<Op> {
    let dir = tempfile::tempdir().unwrap();
    let trace = Trace::default();
    let mut folder = Folder::new(dir.path().to_owned());
    folder.trace = Some(trace.clone());
    let config = Config {
        dir: dir.path().to_owned(),
        ..config()
    };
    let rig = Rig {
        cache: Cache::open_folder(config, folder, usize::MAX).unwrap(),
        dir,
        origin: origin.clone(),
    };
    rig.assert_right("a", CHUNK_BYTES, CHUNK_BYTES + 1).await;
    rig.cache.save();
    rig.assert_right("a", 0, 1).await;
    rig.assert_right("b", 0, SIZE).await;
    rig.cache.save();
    rig.prove("b", &origin.digest()).await;
    rig.assert_right("a", 0, SIZE).await;
    rig.cache.save();
    rig.cache.remove(&ImageId::new("b"));
    rig.assert_right("b", 0, 1).await;
    rig.cache.save();
    trace.lock().clone()
}

#[test]
fn what_a_power_cut_leaves_is_right_or_nothing() {
    run(async {
        let origin = Origin::new(SIZE, true);
        let ops = recorded(&origin).await;
        let syncs = ops.iter().enumerate().filter_map(|(at, op)| {
            let is_sync = matches!(op, Op::SyncData(_) | Op::SyncMeta(_) | Op::Remove(_));
            is_sync.then_some(at)
        });
        let mut seed = 1_u64;
        let mut ready_chunks = 0;
        for at in syncs.chain([ops.len()]) {
            // Before the sync, all or some or none of what it would have synced is there.
            for luck in 0..3_u64 {
                let lucky = || {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    luck == 2 || (luck == 1 && seed >> 63 == 1)
                };
                let dir = tempfile::tempdir().unwrap();
                Disk::after(&ops[..at], lucky).put(dir.path());
                let config = Config {
                    dir: dir.path().to_owned(),
                    ..config()
                };
                let cache = Cache::open(config).unwrap();
                let verified = cache.verify(|_, _| {});
                assert_eq!(verified.damaged_chunks, 0, "after {at} of {}", ops.len());
                ready_chunks += verified.good_chunks;
                let rig = Rig {
                    dir,
                    cache,
                    origin: origin.clone(),
                };
                rig.assert_right("a", 0, SIZE).await;
                rig.assert_right("b", 0, SIZE).await;
            }
        }
        assert!(ready_chunks > 0, "nothing was left anywhere");
    });
}
