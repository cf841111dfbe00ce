//! A container that passes on its way to a store: whether it is one, and whether its key opens it. Held is
//! the header, and the area of one slot at a time.

use std::sync::Arc;

use tracing::warn;
use zeroize::Zeroizing;

use super::{Format, Header, Refusal, START_BYTES, Vault, version};
use crate::{base::secret::Passphrase, data::Error};

/// What a container must be.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its version.
    pub format: Format,
    /// What must open it; none where the key cannot be had.
    pub passphrase: Option<Passphrase>,
}

/// The check of one stream.
pub struct Probe {
    check: Check,
    vault: Vault,
    passed_bytes: u64,
    state: State,
}

enum State {
    Header {
        held: Vec<u8>,
        len: usize,
    },
    Slot {
        header: Arc<Header>,
        number: usize,
        area: Zeroizing<Vec<u8>>,
        /// What kept a slot before this one from being tried.
        untried: Option<Refusal>,
    },
    /// Of a header that somebody else may read there is none.
    Judged(Result<Option<Arc<Header>>, Refusal>),
}

impl Probe {
    /// Of a stream of which nothing has passed yet.
    pub fn new(check: Check, vault: Vault) -> Self {
        Self {
            check,
            vault,
            passed_bytes: 0,
            state: State::Header {
                held: Vec::new(),
                len: START_BYTES,
            },
        }
    }

    /// The next bytes of the stream, of any number. Waits for a derivation where a slot has passed.
    pub async fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !matches!(self.state, State::Judged(_)) {
            let taken = self.take(bytes);
            bytes = &bytes[taken..];
            self.passed_bytes += taken as u64;
            self.advance().await;
        }
    }

    /// The payload's bytes, where they are known, after `total_bytes` have passed.
    ///
    /// # Errors
    /// What is wrong with the container.
    pub fn finish(self, total_bytes: u64) -> Result<Option<u64>, Refusal> {
        let header = match self.state {
            State::Header { .. } => return Err(Refusal::NoContainer),
            State::Slot { .. } => return Err(Refusal::Damaged("it ends in its key slots")),
            State::Judged(verdict) => verdict?,
        };
        let Some(header) = header else {
            return Ok(None);
        };
        header.payload_bytes(total_bytes).map(Some)
    }

    /// Holds what it needs of the bytes, and says how many of them it has looked at.
    fn take(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Header { held, len } => {
                let taken = bytes.len().min(*len - held.len());
                held.extend_from_slice(&bytes[..taken]);
                taken
            }
            State::Slot {
                header,
                number,
                area,
                ..
            } => {
                let place = header.slots[*number].area;
                if let Some(before) = place.offset.checked_sub(self.passed_bytes)
                    && before > 0
                {
                    return usize::try_from(before).map_or(bytes.len(), |n| n.min(bytes.len()));
                }
                let lacking = place.len as usize - area.len();
                let taken = bytes.len().min(lacking);
                area.extend_from_slice(&bytes[..taken]);
                taken
            }
            State::Judged(_) => bytes.len(),
        }
    }

    async fn advance(&mut self) {
        let judged = State::Judged(Ok(None));
        self.state = match std::mem::replace(&mut self.state, judged) {
            State::Header { held, len } if held.len() == len => self.read(held),
            State::Slot {
                header,
                number,
                area,
                untried,
            } if area.len() as u64 == header.slots[number].area.len => {
                self.attempt(header, number, area, untried).await
            }
            unchanged => unchanged,
        };
    }

    fn read(&self, held: Vec<u8>) -> State {
        let declared = self.check.format;
        let parsed = version(&held).and_then(|found| match found == declared {
            false => Err(Refusal::Version { declared, found }),
            true => Header::len(&held),
        });
        let parsed = match parsed {
            Ok(len) if len > held.len() => return State::Header { held, len },
            Ok(_) => Header::parse(&held),
            Err(refusal) => Err(refusal),
        };
        match parsed {
            Ok(header) if self.check.passphrase.is_none() => {
                State::Judged(Ok(Some(Arc::new(header))))
            }
            Ok(header) => slot(Arc::new(header), 0, None),
            Err(refusal) if refusal.is_ours() => {
                warn!(%refusal, "A LUKS container is stored unchecked");
                State::Judged(Ok(None))
            }
            Err(refusal) => State::Judged(Err(refusal)),
        }
    }

    async fn attempt(
        &self,
        header: Arc<Header>,
        number: usize,
        area: Zeroizing<Vec<u8>>,
        mut untried: Option<Refusal>,
    ) -> State {
        let passphrase = self.check.passphrase.as_ref();
        let passphrase = passphrase.expect("slots are looked at only with one");
        let opened = match self.vault.turn(&header, number).await {
            Ok(turn) => {
                self.vault
                    .open(turn, &header, number, passphrase, area)
                    .await
            }
            Err(Error::Locked(refusal)) => Err(refusal),
            // Bytes that are half here are not given up for want of a check.
            Err(_) => Err(Refusal::Unsupported(
                "its derivation while others take so long",
            )),
        };
        match opened {
            Ok(Some(_)) => return State::Judged(Ok(Some(header))),
            Ok(None) => {}
            Err(refusal) => untried = Some(refusal),
        }
        if number + 1 < header.slots.len() {
            return slot(header, number + 1, untried);
        }
        match untried {
            Some(refusal) => {
                warn!(%refusal, "A LUKS container is stored, but its key was not tried");
                State::Judged(Ok(Some(header)))
            }
            None => State::Judged(Err(Refusal::WrongKey)),
        }
    }
}

fn slot(header: Arc<Header>, number: usize, untried: Option<Refusal>) -> State {
    let len = usize::try_from(header.slots[number].area.len).unwrap_or_default();
    State::Slot {
        area: Zeroizing::new(Vec::with_capacity(len)),
        header,
        number,
        untried,
    }
}
