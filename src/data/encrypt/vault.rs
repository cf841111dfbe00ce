//! What keys cost: derivations a few at a time, those that take long behind each other and in nobody else's way,
//! and what came of them a moment ago.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use zeroize::Zeroizing;

use super::{Format, Header, Made, Refusal, Volume, random};
use crate::{
    base::secret::Passphrase,
    data::{Error, Result},
};

/// Derivations at once, of either kind. One that takes memory is alone among those that take long.
const DERIVATIONS_MAX: u32 = 2;
/// Steps of a slot ([`Kdf::work`](super::kdf::Kdf::work)) that are done quickly, some 0.7 seconds of one core: no
/// container that we make takes more, but for Argon2's.
const QUICK_WORK_MAX: u64 = 2_000_000;
/// Outcomes that are remembered, each some 200 bytes.
const KNOWN_MAX: usize = 256;
/// For how long at most.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// What the operator decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// KiB that a header's derivation may take, beside the pool.
    pub memory_kib_max: u32,
    /// How long one waits for its turn before [`Error::Busy`].
    pub wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_kib_max: 64 * 1024,
            wait: Duration::from_secs(30),
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
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    known: Mutex<Vec<Known>>,
    /// Digests of headers and passphrases are of no use to whoever sees them.
    salt: Zeroizing<Vec<u8>>,
}

/// A passphrase and what it was tried on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock([u8; 32]);

/// The right to derive one key.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

struct Known {
    lock: Lock,
    /// None: the passphrase does not open it.
    volume: Option<Arc<Volume>>,
    until: Instant,
}

impl Vault {
    /// An empty one.
    pub fn new(settings: Settings) -> Self {
        let [quick, slow] = [(); 2].map(|()| Arc::new(Semaphore::new(DERIVATIONS_MAX as usize)));
        Self {
            shared: Arc::new(Shared {
                settings,
                quick,
                slow,
                known: Mutex::default(),
                salt: random(32),
            }),
        }
    }

    /// A new container.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(super) async fn make(&self, format: Format, passphrase: Passphrase) -> Result<Made> {
        let takes_memory = format.takes_memory(passphrase.is_random());
        let turn = match takes_memory {
            true => self.wait(&self.shared.slow, DERIVATIONS_MAX).await?,
            false => self.wait(&self.shared.quick, 1).await?,
        };
        let work = move || format.make(passphrase.expose(), passphrase.is_random());
        Ok(derive(turn, work).await)
    }

    /// The right to try a passphrase on a slot.
    ///
    /// # Errors
    /// [`Error::Locked`] where we do not do what the slot asks for, [`Error::Busy`].
    pub(super) async fn turn(&self, header: &Header, slot: usize) -> Result<Turn> {
        let kdf = &header.slots[slot].kdf;
        let checked = kdf.check(self.shared.settings.memory_kib_max);
        checked.map_err(Error::Locked)?;
        match header.slot_work(slot) {
            _ if kdf.memory_kib() > 0 => self.wait(&self.shared.slow, DERIVATIONS_MAX).await,
            work if work > QUICK_WORK_MAX => self.wait(&self.shared.slow, 1).await,
            _ => self.wait(&self.shared.quick, 1).await,
        }
    }

    /// The volume, if the passphrase opens that slot, whose area's bytes these are.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for want of memory.
    pub(super) async fn open(
        &self,
        turn: Turn,
        header: &Arc<Header>,
        slot: usize,
        passphrase: &Passphrase,
        mut area: Zeroizing<Vec<u8>>,
    ) -> Result<Option<Volume>, Refusal> {
        let (header, passphrase) = (header.clone(), passphrase.clone());
        let work = move || header.open(&header.slots[slot], passphrase.expose(), &mut area);
        derive(turn, work).await
    }

    async fn wait(&self, derivations: &Arc<Semaphore>, permits: u32) -> Result<Turn> {
        let turn = derivations.clone().acquire_many_owned(permits);
        let turn = timeout(self.shared.settings.wait, turn).await;
        let turn = turn.map_err(|_| Error::Busy)?;
        Ok(Turn {
            _permit: turn.expect("it is never closed"),
        })
    }

    /// Of a passphrase and the parts of what it is to open.
    pub(super) fn lock(&self, parts: &[&[u8]], passphrase: &Passphrase) -> Lock {
        let salt = <&[u8; 32]>::try_from(self.shared.salt.as_slice());
        let mut hasher = blake3::Hasher::new_keyed(salt.expect("it has 32 bytes"));
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(passphrase.expose());
        Lock(hasher.finalize().into())
    }

    /// What was learned a moment ago: a volume, or that there is none to be had.
    pub(super) fn known(&self, lock: Lock) -> Option<Option<Arc<Volume>>> {
        let mut known = self.shared.known.lock();
        known.retain(|one| one.until > Instant::now());
        let found = known.iter().find(|one| one.lock == lock);
        found.map(|one| one.volume.clone())
    }

    /// Remembers it for a moment, in place of what has been here longest. Must be called within a runtime.
    pub(super) fn keep(&self, lock: Lock, volume: Option<Arc<Volume>>) {
        let mut known = self.shared.known.lock();
        known.retain(|one| one.lock != lock);
        if known.len() == KNOWN_MAX {
            known.remove(0);
        }
        known.push(Known {
            lock,
            volume,
            until: Instant::now() + KNOWN_FOR,
        });
        // Whether or not anybody comes again, the key goes.
        let shared = Arc::downgrade(&self.shared);
        Handle::current().spawn(expire(shared));
    }
}

/// On a thread that may compute. The turn lasts as long as the work does, also when nobody waits for it any more.
async fn derive<T: Send + 'static>(turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await
        .expect("deriving does not panic, and is not cancelled")
}

async fn expire(shared: Weak<Shared>) {
    tokio::time::sleep(KNOWN_FOR).await;
    if let Some(shared) = shared.upgrade() {
        let mut known = shared.known.lock();
        known.retain(|one| one.until > Instant::now());
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
    use crate::data::encrypt::{
        KeyDigest, Payload, Slot,
        kdf::{Hash, Kdf},
    };

    fn passphrase(number: u16) -> Passphrase {
        Passphrase::of_key(&number.to_be_bytes().repeat(16))
    }

    async fn volume(vault: &Vault) -> Arc<Volume> {
        let made = vault.make(Format::Luks1, passphrase(0)).await;
        Arc::new(made.unwrap().volume)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learned_is_forgotten_after_a_minute() {
        let vault = Vault::default();
        let lock = vault.lock(&[b"header"], &passphrase(1));
        let wrong = vault.lock(&[b"header", b"area"], &passphrase(1));
        assert!(vault.known(lock).is_none());
        vault.keep(lock, Some(volume(&vault).await));
        vault.keep(wrong, None);
        assert!(vault.known(lock).is_some_and(|volume| volume.is_some()));
        assert!(vault.known(wrong).is_some_and(|volume| volume.is_none()));
        let others: [(&[&[u8]], u16); 4] = [
            (&[b"header"], 2),
            (&[b"heade"], 1),
            (&[b"other!"], 1),
            (&[b"headera", b"rea"], 1),
        ];
        for (parts, number) in others {
            let other = vault.lock(parts, &passphrase(number));
            assert!(vault.known(other).is_none());
        }
        tokio::time::sleep(KNOWN_FOR + Duration::from_secs(1)).await;
        assert!(vault.shared.known.lock().is_empty(), "nobody came again");
    }

    #[tokio::test]
    async fn of_too_much_the_oldest_goes() {
        let vault = Vault::default();
        let lock = |number: usize| vault.lock(&[&number.to_be_bytes()], &passphrase(0));
        for number in 0..=KNOWN_MAX {
            vault.keep(lock(number), None);
        }
        assert!(vault.known(lock(0)).is_none());
        assert!(vault.known(lock(1)).is_some());
        assert_eq!(vault.shared.known.lock().len(), KNOWN_MAX);
    }

    #[tokio::test]
    async fn work_has_its_turn_until_it_is_done_though_nobody_waits() {
        let vault = Vault::default();
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let abandoned = tokio::spawn({
            let turn = vault
                .wait(&vault.shared.slow, DERIVATIONS_MAX)
                .await
                .unwrap();
            let work = move || {
                begin.send(()).unwrap();
                ended.recv().unwrap_err();
            };
            derive(turn, work)
        });
        spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        assert_eq!(vault.shared.slow.available_permits(), 0);
        drop(end);
        vault.wait(&vault.shared.slow, 1).await.unwrap();
    }

    /// A header with one slot of so many iterations.
    fn header(iterations: u32) -> Header {
        let kdf = |iterations| Kdf::Pbkdf2 {
            hash: Hash::Sha256,
            iterations,
            salt: vec![0; 32],
        };
        Header {
            format: Format::Luks1,
            payload: Payload {
                offset_bytes: 0,
                len_bytes: None,
                sector_bytes: 512,
                tweak: 0,
            },
            key_bytes: 64,
            slots: vec![Slot {
                kdf: kdf(iterations),
                hash: Hash::Sha256,
                area: crate::model::ByteRange { offset: 0, len: 0 },
                area_key_bytes: 64,
            }],
            digest: KeyDigest {
                kdf: kdf(1000),
                value: vec![0; 20],
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_cost_much_hold_up_only_each_other_and_not_for_ever() {
        let vault = Vault::default();
        let (costly, cheap) = (header(10_000_000), header(600_000));
        let _one = vault.turn(&costly, 0).await.unwrap();
        let _two = vault.turn(&costly, 0).await.unwrap();
        assert!(matches!(vault.turn(&costly, 0).await, Err(Error::Busy)));
        drop(vault.turn(&cheap, 0).await.unwrap());
        volume(&vault).await;
    }
}
