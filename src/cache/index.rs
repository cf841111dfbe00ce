//! Which entries there are, and which goes first when there is no room: S3-FIFO with bytes for
//! counts.
//!
//! A new entry waits in a small queue. Whoever has been read twice over when its turn comes goes to the
//! main queue; others go, and only their key is remembered, so that an image that comes back soon is
//! taken for what it is. In the main queue an entry stays as long as it is read once over from turn to
//! turn. So images that are read once pass through the small queue and never touch the main one,
//! however many they are, and however many ranges they are read in. ADR 18.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::Key;

/// The small queue gives first when it has more than this part of the room.
const SMALL_PART: u64 = 10;
/// The keys of entries that went unread.
const GHOSTS_MAX: usize = 1024;

/// What an entry is used for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    /// Its room would not come free.
    pub(super) is_busy: bool,
    /// Its room.
    pub(super) filled_bytes: u64,
    /// All that was ever sent of it.
    pub(super) served_bytes: u64,
}

/// Where an entry of the process's start goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Main,
    Small,
}

#[derive(Debug)]
pub(super) struct Index<T> {
    slots: HashMap<Key, Slot<T>>,
    small: VecDeque<Key>,
    main: VecDeque<Key>,
    ghosts: VecDeque<Key>,
    is_ghost: HashSet<Key>,
}

#[derive(Debug)]
struct Slot<T> {
    entry: Arc<T>,
    place: Place,
    /// What had been sent of it when its turn last came.
    seen_bytes: u64,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
            is_ghost: HashSet::new(),
        }
    }
}

impl<T> Index<T> {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.slots.get(key).map(|slot| slot.entry.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Key, &Arc<T>)> {
        self.slots.iter().map(|(key, slot)| (key, &slot.entry))
    }

    /// A new entry: one that went not long ago is no stranger. Gives the one in whose place it is.
    pub(super) fn insert(&mut self, key: Key, entry: Arc<T>) -> Option<Arc<T>> {
        let place = match self.is_ghost.remove(&key) {
            true => {
                self.ghosts.retain(|ghost| *ghost != key);
                Place::Main
            }
            false => Place::Small,
        };
        self.insert_at(place, key, entry)
    }

    pub(super) fn insert_at(&mut self, place: Place, key: Key, entry: Arc<T>) -> Option<Arc<T>> {
        let older = self.remove(&key);
        match place {
            Place::Main => self.main.push_back(key.clone()),
            Place::Small => self.small.push_back(key.clone()),
        }
        let slot = Slot {
            entry,
            place,
            seen_bytes: 0,
        };
        self.slots.insert(key, slot);
        older
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<T>> {
        let slot = self.slots.remove(key)?;
        match slot.place {
            Place::Main => self.main.retain(|other| other != key),
            Place::Small => self.small.retain(|other| other != key),
        }
        Some(slot.entry)
    }

    /// Takes out the entry whose turn it is; `None` when all are busy or there is none.
    pub(super) fn evict(
        &mut self,
        limit_bytes: u64,
        look: impl Fn(&Arc<T>) -> Use,
    ) -> Option<Arc<T>> {
        let small = self.small.iter().filter_map(|key| self.slots.get(key));
        let small_bytes: u64 = small.map(|slot| look(&slot.entry).filled_bytes).sum();
        let first = match small_bytes > limit_bytes / SMALL_PART {
            true => self.out_of_small(&look),
            false => self.out_of_main(&look),
        };
        // One queue can be all busy, or have gone over into the other.
        first
            .or_else(|| self.out_of_small(&look))
            .or_else(|| self.out_of_main(&look))
    }

    fn out_of_small(&mut self, look: &impl Fn(&Arc<T>) -> Use) -> Option<Arc<T>> {
        for _ in 0..self.small.len() {
            let key = self.small.pop_front()?;
            let slot = self.slots.get_mut(&key)?;
            let used = look(&slot.entry);
            if used.is_busy {
                self.small.push_back(key);
            } else if used.served_bytes >= 2 * used.filled_bytes.max(1) {
                slot.seen_bytes = used.served_bytes;
                slot.place = Place::Main;
                self.main.push_back(key);
            } else {
                self.remember(key.clone());
                return self.slots.remove(&key).map(|slot| slot.entry);
            }
        }
        None
    }

    fn out_of_main(&mut self, look: &impl Fn(&Arc<T>) -> Use) -> Option<Arc<T>> {
        // Twice: in the second round nobody has been read since the first.
        for _ in 0..2 * self.main.len() {
            let key = self.main.pop_front()?;
            let slot = self.slots.get_mut(&key)?;
            let used = look(&slot.entry);
            let since = used.served_bytes.saturating_sub(slot.seen_bytes);
            if used.is_busy || since >= used.filled_bytes.max(1) {
                slot.seen_bytes = used.served_bytes;
                self.main.push_back(key);
            } else {
                return self.slots.remove(&key).map(|slot| slot.entry);
            }
        }
        None
    }

    fn remember(&mut self, key: Key) {
        if self.ghosts.len() == GHOSTS_MAX
            && let Some(oldest) = self.ghosts.pop_front()
        {
            self.is_ghost.remove(&oldest);
        }
        if self.is_ghost.insert(key.clone()) {
            self.ghosts.push_back(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::model::{HashAlgorithm, ImageId};

    /// An entry of 10 bytes, in a cache of 100.
    #[derive(Debug, Default)]
    struct Entry {
        served: AtomicU64,
        is_busy: AtomicBool,
    }

    #[derive(Default)]
    struct Rig(Index<Entry>);

    impl Rig {
        fn add(&mut self, name: &str) -> Arc<Entry> {
            let entry = Arc::new(Entry::default());
            while self.0.entries().count() >= 10 {
                self.evict().unwrap();
            }
            self.0.insert(key(name), entry.clone());
            entry
        }

        fn evict(&mut self) -> Option<Arc<Entry>> {
            self.0.evict(100, |entry| Use {
                is_busy: entry.is_busy.load(Relaxed),
                filled_bytes: 10,
                served_bytes: entry.served.load(Relaxed),
            })
        }

        fn has(&self, name: &str) -> bool {
            self.0.get(&key(name)).is_some()
        }
    }

    fn key(name: &str) -> Key {
        let digest = "0123456789abcdef0123456789abcdef";
        Key::new(ImageId::new(name), HashAlgorithm::Md5, digest).unwrap()
    }

    #[test]
    fn what_is_read_again_outlives_any_number_of_images_that_are_not() {
        let mut rig = Rig::default();
        let hot = rig.add("hot");
        hot.served.store(20, Relaxed);
        for scan in 0..1000 {
            rig.add(&scan.to_string()).served.store(10, Relaxed);
            hot.served.fetch_add(1, Relaxed);
        }
        assert!(rig.has("hot"));
        assert!(!rig.has("0"));
    }

    #[test]
    fn what_is_not_read_any_more_goes_from_the_main_queue_too() {
        let mut rig = Rig::default();
        let old: Vec<_> = (0..10).map(|name| rig.add(&format!("old{name}"))).collect();
        old.iter().for_each(|entry| entry.served.store(20, Relaxed));
        for scan in 0..30 {
            rig.add(&scan.to_string()).served.store(20, Relaxed);
        }
        assert!((0..10).all(|name| !rig.has(&format!("old{name}"))));
    }

    #[test]
    fn who_comes_back_soon_is_no_stranger() {
        let mut rig = Rig::default();
        rig.add("back");
        for scan in 0..10 {
            rig.add(&scan.to_string());
        }
        assert!(!rig.has("back"));
        rig.add("back");
        for scan in 10..100 {
            rig.add(&scan.to_string());
        }
        assert!(rig.has("back"));
    }

    #[test]
    fn the_busy_stay_and_are_no_endless_loop() {
        let mut rig = Rig::default();
        let entries: Vec<_> = (0..5).map(|name| rig.add(&name.to_string())).collect();
        entries
            .iter()
            .for_each(|entry| entry.is_busy.store(true, Relaxed));
        assert!(rig.evict().is_none());
        entries[3].is_busy.store(false, Relaxed);
        assert!(Arc::ptr_eq(&rig.evict().unwrap(), &entries[3]));
        assert!(rig.evict().is_none());
    }

    #[test]
    fn what_is_removed_is_in_no_queue() {
        let mut rig = Rig::default();
        rig.add("a");
        assert!(rig.0.remove(&key("a")).is_some());
        assert!(rig.evict().is_none());
        rig.add("a");
        assert!(rig.evict().is_some() && rig.evict().is_none());
    }
}
