//! What an operator says of a Cinder store.

use std::time::Duration;

use crate::client::cinder;

/// A Cinder store.
#[derive(Clone, Debug)]
pub struct Config {
    /// How Cinder is reached, and in whose project the volumes are.
    pub cinder: cinder::Config,
    /// Whether addresses name the store: they do with `enabled_backends`.
    pub multistore: bool,
    /// `cinder_volume_type`; none is Cinder's default.
    pub volume_type: Option<String>,
    /// `cinder_state_transition_timeout`: for a volume to be made, extended or removed.
    pub patience: Duration,
    /// `cinder_attachment_retry_attempts`: how often a volume that somebody else has is asked for.
    pub attach_tries: u32,
    /// `cinder_do_extend_attached`: volumes are made larger while they are attached.
    pub extend_attached: bool,
}

impl Config {
    /// A store of volumes of Cinder's default type, with the defaults of everything else.
    pub fn of(cinder: cinder::Config) -> Self {
        Self {
            cinder,
            multistore: true,
            volume_type: None,
            patience: Duration::from_secs(300),
            attach_tries: 5,
            extend_attached: false,
        }
    }
}
