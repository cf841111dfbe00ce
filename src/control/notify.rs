//! Notifications (reference H.4): what happens to images, told to whoever listens on the broker.
//!
//! A change and what is told of it are one transaction: the message, as oslo.messaging would have
//! written it, is a row of `fresnel_events` until the broker has confirmed it. So neither a crash nor a
//! broker that is away loses any. One node at a time sends them ([`send`]), in the order in which
//! they were written, and sends again what it does not know to have arrived: a consumer may see a
//! message twice, with the same `message_id`.
//!
//! Nobody who changes an image has to think of this: the repository functions of
//! [`db`](super::db) tell.

mod metadef;
mod payload;
pub mod send;

use std::{fmt::Display, sync::Arc, time::Duration};

use chrono::{NaiveDateTime, Timelike, Utc};
use serde_json::{Value, json};
use tokio::{runtime::Handle, sync::Notify};
use tracing::warn;
use uuid::Uuid;

use super::{Caller, Control, Error, import::progress};
use crate::{
    client::amqp,
    data::{self, StopReason},
    model::{Image, ImageId, Location, Member, ProjectId, Status, StoreId, Task, TaskStatus},
    store,
};

pub use metadef::{MetadefChange, Thing};

/// What the operator decided about notifications, where there are any.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `default_publisher_id`.
    pub publisher_id: String,
    /// `disabled_notifications`: event types, or what stands before their first dot.
    pub disabled: Vec<String>,
    /// How they go out: at least one.
    pub drivers: Vec<Driver>,
    /// `topics`: a message goes to the queue `topic.priority` of each.
    pub topics: Vec<String>,
    /// The broker, where a driver sends to one.
    pub broker: Option<amqp::Config>,
    /// The first pause after a broker could not be reached (`rabbit_retry_interval`); each is twice the
    /// one before.
    pub retry_wait: Duration,
    /// The longest pause (`rabbit_interval_max`).
    pub retry_wait_max: Duration,
    /// When more messages wait, the oldest are given up.
    pub events_max: u32,
}

/// `[oslo_messaging_notifications] driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `messagingv2`: in an envelope.
    Enveloped,
    /// `messaging`: the bare message.
    Bare,
    /// `log`.
    Log,
}

/// How urgent a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are oslo.messaging's")]
pub enum Priority {
    Info,
    Error,
}

impl Priority {
    /// The word of the message; the queue has it in lower case.
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Error => "ERROR",
        }
    }
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The end of its queue's name: `info` or `error`.
    pub priority: String,
    /// JSON.
    pub message: String,
}

/// Makes messages of what happens.
#[derive(Debug)]
pub struct Teller {
    publisher_id: String,
    disabled: Vec<String>,
    multistore: bool,
    /// Rows were added here.
    added: Notify,
}

impl Teller {
    /// `multistore`: whether `enabled_backends` is set, and stores are told.
    pub fn new(settings: &Settings, multistore: bool) -> Arc<Self> {
        Arc::new(Self {
            publisher_id: settings.publisher_id.clone(),
            disabled: settings.disabled.clone(),
            multistore,
            added: Notify::new(),
        })
    }

    /// `image.create` or `image.update`.
    pub(super) fn image(&self, event_type: &'static str, image: &Image) -> Option<Event> {
        self.info(event_type, || payload::image(image))
    }

    /// `image.delete`: the image as it was left.
    pub(super) fn image_deleted(&self, image: &Image, at: NaiveDateTime) -> Option<Event> {
        self.info("image.delete", || {
            payload::deleted(payload::image(image), at)
        })
    }

    /// `image.prepare`: the image is about to get its bytes.
    pub(super) fn image_prepared(&self, image: &Image, store: &StoreId) -> Option<Event> {
        self.info("image.prepare", || {
            let mut payload = payload::with_imports(payload::image(image), image);
            if self.multistore {
                payload["backend"] = store.as_str().into();
            }
            payload
        })
    }

    /// `image.upload` for each store that has the bytes now, `image.activate` where they are the
    /// first, and `image.update`. Glance goes from one store to the next: each is told while it counts as one
    /// that is still to come, and only the last as an image that is active.
    pub(super) fn image_stored(&self, before: &Image, after: &Image) -> Vec<Event> {
        // A row that is written again has the same address.
        let is_new = |new: &&Location| before.locations.iter().all(|old| old.url != new.url);
        let new: Vec<&Location> = after.locations.iter().filter(is_new).collect();
        // How far an import is, is told with the update.
        let mut stored = Image {
            properties: before.properties.clone(),
            status: before.status,
            ..after.clone()
        };
        let mut told = Vec::new();
        for (place, location) in new.iter().enumerate() {
            if place + 1 == new.len() {
                stored.status = after.status;
            }
            let with_imports = || payload::with_imports(payload::image(&stored), &stored);
            told.extend(self.info("image.upload", with_imports));
            if place + 1 < new.len() {
                let store: Vec<StoreId> = location.store().into_iter().collect();
                progress::end(&mut stored, &store);
            }
        }
        if before.status != Status::Active && after.status == Status::Active {
            told.extend(self.image("image.activate", &stored));
        }
        told.extend(self.image("image.update", after));
        told
    }

    /// `task.create`; of a task that ended as it was made, its end too.
    pub(super) fn task_made(&self, task: &Task) -> Vec<Event> {
        let made = self.task(&pending(task));
        let ended = task.status.is_over().then(|| self.task_ended(task));
        made.into_iter()
            .chain(ended.into_iter().flatten())
            .collect()
    }

    /// `task.processing`, and whatever else a status is told as.
    pub(super) fn task(&self, task: &Task) -> Option<Event> {
        let event_type = match task.status {
            TaskStatus::Pending => "task.create",
            TaskStatus::Processing => "task.processing",
            TaskStatus::Success => "task.success",
            TaskStatus::Failure => "task.failure",
        };
        self.info(event_type, || payload::task(task))
    }

    /// `task.success`, then `task.run`, which Glance tells when it has run, of the task as it was made; or
    /// `task.failure`, after which it tells no more.
    pub(super) fn task_ended(&self, task: &Task) -> Vec<Event> {
        let has_run = task.status == TaskStatus::Success;
        let run = has_run.then(|| self.info("task.run", || payload::task(&pending(task))));
        self.task(task).into_iter().chain(run.flatten()).collect()
    }

    /// `image.member.create` or `image.member.update`.
    pub(super) fn member(&self, event_type: &'static str, member: &Member) -> Option<Event> {
        self.info(event_type, || payload::member(member))
    }

    /// `image.member.delete`.
    pub(super) fn member_deleted(&self, member: &Member, at: NaiveDateTime) -> Option<Event> {
        let payload = || payload::deleted(payload::member(member), at);
        self.info("image.member.delete", payload)
    }

    /// Wakes the sender: rows were added.
    pub(super) fn wake(&self) {
        self.added.notify_one();
    }

    fn info(&self, event_type: &str, payload: impl FnOnce() -> Value) -> Option<Event> {
        self.event(event_type, Priority::Info, payload)
    }

    fn is_on(&self, event_type: &str) -> bool {
        let group = event_type.split('.').next().unwrap_or_default();
        let off = |disabled: &String| disabled == event_type || disabled == group;
        !self.disabled.iter().any(off)
    }

    fn event(
        &self,
        event_type: &str,
        priority: Priority,
        payload: impl FnOnce() -> Value,
    ) -> Option<Event> {
        self.is_on(event_type).then(|| {
            let message = json!({
                "message_id": Uuid::new_v4().to_string(),
                "publisher_id": self.publisher_id,
                "event_type": event_type,
                "priority": priority.as_str(),
                "payload": payload(),
                "timestamp": timestamp(Utc::now().naive_utc()),
                "_unique_id": Uuid::new_v4().simple().to_string(),
            });
            Event {
                priority: priority.as_str().to_lowercase(),
                message: message.to_string(),
            }
        })
    }
}

/// A task as it was made.
fn pending(task: &Task) -> Task {
    Task {
        status: TaskStatus::Pending,
        expires_at: None,
        ..task.clone()
    }
}

/// A download, or the part of one, that has ended.
#[derive(Clone, Debug)]
pub struct Sent {
    image: ImageId,
    owner: Option<ProjectId>,
    project: Option<ProjectId>,
    user: Option<String>,
}

impl Sent {
    pub(super) fn new(image: &Image, caller: &Caller) -> Self {
        Self {
            image: image.id.clone(),
            owner: image.owner.clone(),
            project: caller.project.clone(),
            user: caller.user.clone(),
        }
    }
}

impl Control {
    /// `image.send`: a client has got the bytes that it asked for, or, as an error, fewer, because a
    /// store failed. It is no change, so it is queued on its own, after the fact and in the background: a
    /// crash in between loses it.
    pub fn image_sent(&self, sent: &Sent, sent_bytes: u64, whole: bool) {
        let priority = if whole {
            Priority::Info
        } else {
            Priority::Error
        };
        let event = self.db.teller().and_then(|teller| {
            teller.event("image.send", priority, || payload::sent(sent, sent_bytes))
        });
        self.tell_alone(event);
    }

    /// `image.upload` of a failure: no image, but the reason; `refused` is what the project's limits said,
    /// where those were it. What becomes of the image is told with that change; this goes as
    /// [`Control::image_sent`] does.
    pub(super) fn not_stored(&self, image: &ImageId, error: &data::Error, refused: Option<&Error>) {
        let event = self.db.teller().and_then(|teller| {
            let reason = || Value::String(reason(image, error, refused));
            teller.event("image.upload", Priority::Error, reason)
        });
        self.tell_alone(event);
    }

    fn tell_alone(&self, event: Option<Event>) {
        // Without a runtime the process ends.
        let (Some(event), Ok(runtime)) = (event, Handle::try_current()) else {
            return;
        };
        let db = self.db.clone();
        runtime.spawn(async move {
            if let Err(error) = db.event_add(&event).await {
                warn!(%error, "A notification is lost");
            }
        });
    }
}

/// Why an image was not stored, in Glance's words; it has the last for whatever it has no others for.
fn reason(image: &ImageId, error: &data::Error, refused: Option<&Error>) -> String {
    let internal = |error: &dyn Display| {
        format!("Failed to upload image data for image {image} due to internal error: {error}")
    };
    match (refused, error) {
        (Some(refused), _) => internal(refused),
        (None, data::Error::Store(store::Error::Full(_))) => Error::MediaFull.to_string(),
        (None, data::Error::Store(store::Error::Denied(_))) => Error::MediaDenied.to_string(),
        (None, data::Error::Stopped(StopReason::Deleted)) => {
            Error::GoneDuringUpload(image.clone()).to_string()
        }
        (None, other) => internal(other),
    }
}

/// Python's `str` of a `datetime`.
fn timestamp(time: NaiveDateTime) -> String {
    let format = match time.nanosecond() / 1000 {
        0 => "%Y-%m-%d %H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S%.6f",
    };
    time.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn teller(disabled: &[&str]) -> Arc<Teller> {
        let settings = Settings {
            publisher_id: "image.host1".to_owned(),
            disabled: disabled.iter().map(|&name| name.to_owned()).collect(),
            drivers: Vec::new(),
            topics: Vec::new(),
            broker: None,
            retry_wait: Duration::ZERO,
            retry_wait_max: Duration::ZERO,
            events_max: 1,
        };
        Teller::new(&settings, true)
    }

    fn image() -> Image {
        Image::queued(ImageId::random(), DateTime::UNIX_EPOCH.naive_utc())
    }

    #[test]
    fn a_message_is_what_oslo_messaging_writes() {
        let event = teller(&[]).image("image.create", &image()).unwrap();
        let message: Value = serde_json::from_str(&event.message).unwrap();
        let names: Vec<&String> = message.as_object().unwrap().keys().collect();
        let expected = "message_id publisher_id event_type priority payload timestamp _unique_id";
        assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(message["publisher_id"], "image.host1");
        assert_eq!(message["priority"], "INFO");
        assert_eq!(message["payload"]["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!(event.priority, "info");
    }

    #[test]
    fn a_type_or_its_group_is_turned_off() {
        let off = |disabled, event_type| teller(&[disabled]).image(event_type, &image()).is_none();
        assert!(off("image", "image.create"));
        assert!(off("image.create", "image.create"));
        assert!(!off("image.create", "image.update"));
        // As in Glance, whose groups end at the first dot.
        assert!(!off("image.member", "image.member.create"));
    }

    #[test]
    fn times_are_pythons() {
        let time = DateTime::from_timestamp_micros(1_500_000)
            .unwrap()
            .naive_utc();
        assert_eq!(timestamp(time), "1970-01-01 00:00:01.500000");
        assert_eq!(
            timestamp(DateTime::UNIX_EPOCH.naive_utc()),
            "1970-01-01 00:00:00"
        );
    }
}
