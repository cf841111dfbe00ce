//! Attaching a volume, and what Cinder says of where it is: what os-brick's connector does for RBD.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Error, Result, Shared};
use crate::{
    client::cinder::{self, Mode},
    store::rbd,
};

/// The longest wait for somebody else's attachment before the next try.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// What Cinder says of a volume that somebody has, or that is about to be something else.
const IS_TAKEN: &str = "to reserve";
/// Where os-brick looks for keys, since Cinder sends none (OSSN-0085).
const KEYRINGS: &str = "/etc/ceph";

/// A volume that is attached here, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) id: String,
    pub(super) volume: rbd::Volume,
}

impl Shared {
    /// Attaches a volume. [`Error::Unavailable`] while somebody else has it: it may be free later.
    pub(super) async fn attach(&self, volume: &str, mode: Mode) -> Result<Attachment> {
        let id = self.reserve(volume, mode).await?;
        let attached = self.connect(volume, &id).await;
        if attached.is_err() {
            self.detach(&id).await;
        }
        let volume = attached?;
        Ok(Attachment { id, volume })
    }

    /// Ends an attachment, as far as that is possible now.
    pub(super) async fn detach(&self, id: &str) {
        if let Err(error) = self.cinder.detach(id).await {
            warn!(store.id = %self.id, attachment = id, %error, "Left a volume attached");
        }
    }

    async fn reserve(&self, volume: &str, mode: Mode) -> Result<String> {
        let mut tries = 1;
        loop {
            match self.cinder.reserve(volume, mode).await {
                Err(cinder::Error::Refused(text)) if text.contains(IS_TAKEN) => {
                    if self.take_from_the_dead(volume).await? {
                        continue;
                    }
                    if tries == self.config.attach_tries {
                        warn!(store.id = %self.id, volume, text, "Somebody else has a volume");
                        return Err(Error::Unavailable(self.id.clone()));
                    }
                }
                reserved => return reserved.map_err(|error| self.outcome(volume, error)),
            }
            let pause = Duration::from_secs(1_u64.checked_shl(tries).unwrap_or(u64::MAX));
            sleep(pause.min(RETRY_AFTER_MAX)).await;
            tries += 1;
        }
    }

    /// Ends what processes of this host that are no more have left attached; whether there was any.
    pub(super) async fn take_from_the_dead(&self, volume: &str) -> Result<bool> {
        let failed = |error| self.outcome(volume, error);
        let volume_now = self.cinder.volume(volume).await;
        let mut dead = volume_now.map_err(failed)?.attachments;
        dead.retain(|attached| self.process.has_outlived(&attached.device));
        for attached in &dead {
            info!(store.id = %self.id, volume, device = attached.device, "Ends an attachment of a process that is no more");
            self.cinder.detach(&attached.id).await.map_err(failed)?;
        }
        Ok(!dead.is_empty())
    }

    async fn connect(&self, volume: &str, attachment: &str) -> Result<rbd::Volume> {
        let connector = json!({
            "host": self.process.host,
            "mountpoint": self.process.device(),
            "os_type": std::env::consts::OS,
            "platform": std::env::consts::ARCH,
            "multipath": false,
            "do_local_attach": false,
        });
        let failed = |error| self.outcome(volume, error);
        let told = self.cinder.connect(attachment, &connector).await;
        let place = place(&told.map_err(failed)?).map_err(|text| self.backend_error(text))?;
        if !Path::new(&place.keyring).exists() {
            let keyring = &place.keyring;
            return Err(self.backend_error(format!(
                "there is no {keyring}, the key that Cinder's volumes are opened with"
            )));
        }
        let completed = self.cinder.complete(attachment).await;
        completed.map_err(failed).map(|()| place)
    }
}

/// Where `connection_info` says that a volume is; what it must be otherwise, in words.
pub(super) fn place(told: &Value) -> Result<rbd::Volume, String> {
    match told["driver_volume_type"].as_str() {
        Some("rbd") => {}
        Some(other) => {
            return Err(format!(
                "Cinder's volumes are attached by {other} here: only those on RBD are supported \
                 (cinder_volume_type names the type of volumes)"
            ));
        }
        None => return Err("Cinder does not say where a volume is".to_owned()),
    }
    if told["encrypted"] == true {
        return Err("volumes of this type are encrypted, which is not supported".to_owned());
    }
    let incomplete = || "Cinder does not say all that is needed of a volume on RBD".to_owned();
    let text = |name: &str| told[name].as_str().filter(|text| !text.is_empty());
    let (pool, image) = text("name")
        .and_then(|name| name.split_once('/'))
        .filter(|(_, image)| !image.contains('/'))
        .ok_or_else(incomplete)?;
    let texts = |name: &str| {
        let texts = told[name].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str)
    };
    let monitors = texts("hosts").zip(texts("ports"));
    let monitors: Vec<String> = monitors.map(|(host, port)| monitor(host, port)).collect();
    let user = text("auth_username").filter(|_| !monitors.is_empty());
    let user = user.ok_or_else(incomplete)?;
    let cluster = text("cluster_name").unwrap_or("ceph");
    Ok(rbd::Volume {
        monitors,
        user: user.to_owned(),
        keyring: format!("{KEYRINGS}/{cluster}.client.{user}.keyring"),
        pool: pool.to_owned(),
        image: image.to_owned(),
    })
}

fn monitor(host: &str, port: &str) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Value {
        json!({
            "driver_volume_type": "rbd", "name": "volumes/volume-v1", "hosts": ["10.0.0.1", "::1"],
            "ports": ["6789", "3300"], "cluster_name": "ceph", "auth_enabled": true,
            "auth_username": "cinder", "secret_type": "ceph", "encrypted": false,
        })
    }

    #[test]
    fn a_volume_on_rbd_is_where_cinder_says() {
        let place = place(&told()).unwrap();
        assert_eq!(place.monitors, ["10.0.0.1:6789", "[::1]:3300"]);
        assert_eq!(
            (place.pool.as_str(), place.image.as_str()),
            ("volumes", "volume-v1")
        );
        assert_eq!(place.keyring, "/etc/ceph/ceph.client.cinder.keyring");
    }

    #[test]
    fn what_is_not_on_rbd_is_refused_in_words() {
        let refused = |name: &str, value: Value| {
            let mut told = told();
            told[name] = value;
            place(&told).unwrap_err()
        };
        assert!(refused("driver_volume_type", json!("iscsi")).contains("attached by iscsi"));
        assert!(refused("encrypted", json!(true)).contains("encrypted"));
        for (name, value) in [
            ("name", json!("volume-v1")),
            ("name", json!("pool/space/volume-v1")),
            ("hosts", json!([])),
            ("auth_username", json!("")),
            ("driver_volume_type", Value::Null),
        ] {
            assert!(refused(name, value).contains("does not say"), "{name}");
        }
    }
}
