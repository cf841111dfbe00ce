//! What keys cost: derivations a few at a time, and volumes that were unlocked a moment ago.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking};
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
    derivations: Semaphore,
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
                derivations: Semaphore::new(DERIVATIONS_MAX as usize),
                unlocked: Mutex::default(),
                salt: random(32),
            }),
        }
    }

    /// A new container.
    pub(super) async fn make(&self, format: Format, passphrase: Passphrase) -> Made {
        let work = move || format.make(passphrase.expose(), passphrase.is_random());
        self.derive(true, work).await
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

    /// On a thread that may compute, in its turn.
    async fn derive<T: Send + 'static>(
        &self,
        takes_memory: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permits = if takes_memory { DERIVATIONS_MAX } else { 1 };
        let turn = self.shared.derivations.acquire_many(permits).await;
        let turn = turn.expect("it is never closed");
        let done = spawn_blocking(work).await;
        drop(turn);
        done.expect("deriving does not panic, and is not cancelled")
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
