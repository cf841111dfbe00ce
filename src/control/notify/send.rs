//! The sender: takes messages from the database to the broker, on one node at a time.
//!
//! Which node is decided by the row of `fresnel_duties` and the node's lease. A row goes once the
//! broker has confirmed its message. A node that slept through its lease may send a batch once more;
//! it can take no row away.

use std::time::Duration;

use metrics::{counter, gauge};
use serde_json::{Value, json};
use tokio::{select, time::sleep};
use tracing::{error, info, warn};

use super::{Driver, Priority, Settings, Teller};
use crate::{
    client::amqp::{self, Message, Publisher},
    control::{
        Leases,
        db::{self, Db, Duty, Waiting},
    },
};

/// How often it looks for messages of other nodes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The messages of one batch.
const BATCH_MAX: u32 = 256;
/// Their bytes: of one batch, unless its first message alone has more.
const BATCH_MAX_BYTES: u64 = 1 << 20;

/// Sends for ever.
pub async fn run(db: Db, leases: &Leases, settings: &Settings) {
    let Some(teller) = db.teller().cloned() else {
        return;
    };
    let mut sender = Sender {
        db,
        leases,
        settings,
        host: 0,
        publisher: None,
    };
    let mut wait = settings.retry_wait;
    loop {
        match sender.look().await {
            Ok(Sent::All) => {
                wait = settings.retry_wait;
                sender.rest(&teller).await;
            }
            Ok(Sent::Some) => wait = settings.retry_wait,
            Err(cause) => {
                warn!("Notifications wait: {cause}");
                sender.publisher = None;
                sender.host += 1;
                sleep(wait).await;
                wait = (wait * 2).min(settings.retry_wait_max);
            }
        }
    }
}

/// What one look has done.
enum Sent {
    /// Nothing is left that is this node's to send.
    All,
    /// There is more.
    Some,
}

/// Why messages stay where they are.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Broker(#[from] amqp::Error),
    #[error("the broker does not take a message")]
    NotTaken,
    #[error(transparent)]
    Db(#[from] db::Error),
}

struct Sender<'a> {
    db: Db,
    leases: &'a Leases,
    settings: &'a Settings,
    /// Which of the broker's hosts is next.
    host: usize,
    publisher: Option<Publisher>,
}

impl Sender<'_> {
    /// Sends a batch.
    async fn look(&mut self) -> Result<Sent, Failed> {
        let node = self.leases.node();
        let batch = self.db.events_waiting(BATCH_MAX, BATCH_MAX_BYTES).await?;
        if batch.is_empty() {
            gauge!("fresnel_events_waiting").set(0.0);
            return Ok(Sent::All);
        }
        if !self.db.duty_claim(Duty::Events, node).await? {
            self.publisher = None;
            return Ok(Sent::All);
        }
        self.trim().await?;
        let done = self.send(&batch).await?;
        let ids: Vec<i64> = batch[..done].iter().map(|event| event.id).collect();
        if !ids.is_empty() {
            self.db.events_done(&ids, node).await?;
            counter!("fresnel_events_total", "outcome" => "sent").increment(done as u64);
        }
        match done < batch.len() {
            true => Err(Failed::NotTaken),
            false => Ok(Sent::Some),
        }
    }

    /// Gives the oldest up where there are too many.
    async fn trim(&self) -> Result<(), Failed> {
        let waiting = self.db.events_count().await?;
        gauge!("fresnel_events_waiting").set(waiting as f64);
        let over = waiting.saturating_sub(self.settings.events_max.into());
        if over > 0 {
            let dropped = self.db.events_drop(over).await?;
            error!(
                dropped,
                "More notifications wait than [fresnel] events_max: the oldest are given up"
            );
            counter!("fresnel_events_total", "outcome" => "dropped").increment(dropped);
        }
        Ok(())
    }

    /// Returns how many of the first ones are where they should be.
    async fn send(&mut self, batch: &[Waiting]) -> Result<usize, Failed> {
        let mut done = batch.len();
        for driver in &self.settings.drivers {
            match driver {
                Driver::Log => batch.iter().for_each(log),
                Driver::Bare => {
                    let bodies = batch.iter().map(|event| event.message.clone());
                    let bodies: Vec<String> = bodies.collect();
                    done = done.min(self.publish(batch, &bodies).await?);
                }
                Driver::Enveloped => {
                    let bodies = batch.iter().map(|event| enveloped(&event.message));
                    let bodies: Vec<String> = bodies.collect();
                    done = done.min(self.publish(batch, &bodies).await?);
                }
            }
        }
        Ok(done)
    }

    /// The same messages to every topic.
    async fn publish(&mut self, batch: &[Waiting], bodies: &[String]) -> Result<usize, Failed> {
        let topics = self.settings.topics.iter();
        let mut done = batch.len();
        for topic in topics {
            let queue = |event: &Waiting| format!("{topic}.{}", event.priority);
            let queues: Vec<String> = batch.iter().map(queue).collect();
            let messages = queues.iter().zip(bodies);
            let messages = messages.map(|(queue, body)| Message { queue, body });
            let messages: Vec<Message<'_>> = messages.collect();
            done = done.min(self.publisher().await?.publish(&messages).await?);
        }
        Ok(done)
    }

    /// The connection, or a new one to the next of the hosts.
    async fn publisher(&mut self) -> Result<&mut Publisher, Failed> {
        if self.publisher.is_none() {
            let broker = self.settings.broker.as_ref();
            let broker = broker.expect("a driver that sends has a broker");
            let hosts = &broker.url.hosts;
            let host = &hosts[self.host % hosts.len()];
            self.publisher = Some(Publisher::connect(broker, host).await?);
            info!(host = host.name, port = host.port, "Sending notifications");
        }
        Ok(self.publisher.as_mut().expect("it was just made"))
    }

    /// Waits for more, and keeps the connection.
    async fn rest(&mut self, teller: &Teller) {
        select! {
            () = teller.added.notified() => {}
            () = sleep(LOOK_EVERY) => {}
        }
        if let Some(publisher) = &mut self.publisher
            && publisher.beat().await.is_err()
        {
            self.publisher = None;
        }
    }
}

/// Message format 2.0 of oslo.messaging.
fn enveloped(message: &str) -> String {
    json!({"oslo.version": "2.0", "oslo.message": message}).to_string()
}

fn log(event: &Waiting) {
    let message: Value = serde_json::from_str(&event.message).unwrap_or_default();
    let kind = message["event_type"].as_str().unwrap_or_default();
    match event.priority == Priority::Error.as_str().to_lowercase() {
        true => error!(target: "oslo.messaging.notification", event = kind, "{message}"),
        false => info!(target: "oslo.messaging.notification", event = kind, "{message}"),
    }
}
