//! What keys cost: derivations a few at a time, and volumes that were unlocked a moment ago.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking, time::Instant};
use zeroize::Zeroizing;

use super::{Format, Header, Made, Refusal, Volume, random};
use crate::base::secret::Passphrase;

/// Derivations at once. One that takes memory is alone.
const DERIVATIONS_MAX: u32 = 2;
/// Volumes that stay unlocked, each some 200 bytes.
const VOLUMES_MAX: usize = 256;
/// For how long at most.
const UNLOCKED_FOR: Duration = Duration::from_secs(60);

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// KiB that a header's derivation may take, beside the pool.
    pub memory_kib_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_kib_max: 64 * 1024,
        }
    }
}

/// One a process. What is in it is overwritten when it leaves, and shown by nobody.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    derivations: Arc<Semaphore>,
    unlocked: Mutex<Vec<Unlocked>>,
    /// Digests of headers and passphrases are of no use to whoever sees them.
    salt: Zeroizing<Vec<u8>>,
}

/// A header and a passphrase that opens it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock([u8; 32]);

struct Unlocked {
    lock: Lock,
    volume: Arc<Volume>,
    until: Instant,
}

impl Vault {
    /// An empty one.
    pub fn new(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                derivations: Arc::new(Semaphore::new(DERIVATIONS_MAX as usize)),
                unlocked: Mutex::default(),
                salt: random(32),
            }),
        }
    }

    /// A new container.
    pub(super) async fn make(&self, format: Format, passphrase: Passphrase) -> Made {
        let takes_memory = format.takes_memory(passphrase.is_random());
        let work = move || format.make(passphrase.expose(), passphrase.is_random());
        self.derive(takes_memory, work).await
    }

    /// The volume, if the passphrase opens that slot, whose area's bytes these are.
    pub(super) async fn open(
        &self,
        header: &Arc<Header>,
        slot: usize,
        passphrase: &Passphrase,
        mut area: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Volume>, Refusal> {
        let kdf = &header.slots[slot].kdf;
        kdf.check(self.shared.settings.memory_kib_max)?;
        let takes_memory = kdf.memory_kib() > 0;
        let (header, passphrase) = (header.clone(), passphrase.clone());
        let work = move || header.open(&header.slots[slot], passphrase.expose(), &mut area);
        self.derive(takes_memory, work).await
    }

    /// On a thread that may compute, in its turn, which lasts as long as the work does, also when nobody waits
    /// for it any more.
    async fn derive<T: Send + 'static>(
        &self,
        takes_memory: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permits = if takes_memory { DERIVATIONS_MAX } else { 1 };
        let derivations = self.shared.derivations.clone();
        let turn = derivations.acquire_many_owned(permits).await;
        let turn = turn.expect("it is never closed");
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await
            .expect("deriving does not panic, and is not cancelled")
    }

    pub(super) fn lock(&self, header: &[u8], passphrase: &Passphrase) -> Lock {
        let salt = <&[u8; 32]>::try_from(self.shared.salt.as_slice());
        let mut hasher = blake3::Hasher::new_keyed(salt.expect("it has 32 bytes"));
        hasher.update(&(header.len() as u64).to_le_bytes());
        hasher.update(header);
        hasher.update(passphrase.expose());
        Lock(hasher.finalize().into())
    }

    /// A volume that was unlocked a moment ago.
    pub(super) fn unlocked(&self, lock: Lock) -> Option<Arc<Volume>> {
        let mut unlocked = self.shared.unlocked.lock();
        unlocked.retain(|one| one.until > Instant::now());
        let found = unlocked.iter().find(|one| one.lock == lock);
        found.map(|one| one.volume.clone())
    }

    /// Keeps a volume for a moment, in place of the one that has been here longest. Must be called within
    /// a runtime.
    pub(super) fn keep(&self, lock: Lock, volume: Volume) -> Arc<Volume> {
        let volume = Arc::new(volume);
        let mut unlocked = self.shared.unlocked.lock();
        unlocked.retain(|one| one.lock != lock);
        if unlocked.len() == VOLUMES_MAX {
            unlocked.remove(0);
        }
        unlocked.push(Unlocked {
            lock,
            volume: volume.clone(),
            until: Instant::now() + UNLOCKED_FOR,
        });
        // Whether or not anybody comes again, the key goes.
        let shared = Arc::downgrade(&self.shared);
        Handle::current().spawn(expire(shared));
        volume
    }
}

async fn expire(shared: Weak<Shared>) {
    tokio::time::sleep(UNLOCKED_FOR).await;
    if let Some(shared) = shared.upgrade() {
        let mut unlocked = shared.unlocked.lock();
        unlocked.retain(|one| one.until > Instant::now());
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn passphrase(number: u16) -> Passphrase {
        Passphrase::of_key(&number.to_be_bytes().repeat(16))
    }

    async fn volume(vault: &Vault) -> Volume {
        vault.make(Format::Luks1, passphrase(0)).await.volume
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlocked_volume_is_forgotten_after_a_minute() {
        let vault = Vault::default();
        let lock = vault.lock(b"header", &passphrase(1));
        assert!(vault.unlocked(lock).is_none());
        vault.keep(lock, volume(&vault).await);
        assert!(vault.unlocked(lock).is_some());
        let others = [(&b"header"[..], 2), (b"heade", 1), (b"other!", 1)];
        for (header, number) in others {
            let other = vault.lock(header, &passphrase(number));
            assert!(vault.unlocked(other).is_none());
        }
        tokio::time::sleep(UNLOCKED_FOR + Duration::from_secs(1)).await;
        assert!(vault.shared.unlocked.lock().is_empty(), "nobody came again");
    }

    #[tokio::test]
    async fn of_too_many_volumes_the_oldest_goes() {
        let vault = Vault::default();
        let lock = |number: usize| vault.lock(&number.to_be_bytes(), &passphrase(0));
        let payload = volume(&vault).await.payload;
        for number in 0..=VOLUMES_MAX {
            let key = Zeroizing::new(vec![7; 64]);
            vault.keep(lock(number), Volume { key, payload });
        }
        assert!(vault.unlocked(lock(0)).is_none());
        assert!(vault.unlocked(lock(1)).is_some());
        assert_eq!(vault.shared.unlocked.lock().len(), VOLUMES_MAX);
    }

    #[tokio::test]
    async fn work_has_its_turn_until_it_is_done_though_nobody_waits() {
        let vault = Vault::default();
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let abandoned = tokio::spawn({
            let vault = vault.clone();
            let work = move || {
                begin.send(()).unwrap();
                ended.recv().unwrap_err();
            };
            async move { vault.derive(true, work).await }
        });
        spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        assert_eq!(vault.shared.derivations.available_permits(), 0);
        drop(end);
        vault.derive(true, || ()).await;
    }
}
