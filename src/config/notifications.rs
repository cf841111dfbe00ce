//! `[oslo_messaging_notifications]` and what belongs to it, into [`notify::Settings`].

use std::time::Duration;

use super::{
    option::section,
    reader::Reader,
    value::{Many, Value},
};
use crate::{
    client::amqp::{self, Tls, TransportUrl},
    control::notify::{Driver, Settings},
};

/// For connecting to a broker, and for each of its answers.
const TIMEOUT: Duration = Duration::from_secs(10);

section! {
    /// Who tells what to whom.
    Publisher in "DEFAULT" {
        /// Who notifications say that they are from.
        default_publisher_id: String = "image.localhost";
        /// Notifications that are not sent: event types (`image.send`), or what stands before their first
        /// dot (`image`).
        disabled_notifications: Vec<String> = "";
        /// The exchange that notifications go to.
        control_exchange: String = "glance";
        /// The message broker, where `[oslo_messaging_notifications]` does not name one.
        transport_url: BrokerUrl = "rabbit://";
    }
}

section! {
    /// Notifications of what happens to images.
    Notifications in "oslo_messaging_notifications" {
        /// How they are sent: `messagingv2`, `messaging` (without an envelope), `log` or `noop`; none is off.
        driver: Many, was &[("DEFAULT", "notification_driver")];
        /// The message broker, as `rabbit://user:password@host:5672,user:password@host:5672/virtual_host`.
        transport_url: Option<BrokerUrl>, was &[("DEFAULT", "notification_transport_url")];
        /// They go to the queues `TOPIC.info` and `TOPIC.error` of each.
        topics: Vec<String> = "notifications", was &[("DEFAULT", "notification_topics")];
    }
}

section! {
    /// The connection to RabbitMQ.
    Rabbit in "oslo_messaging_rabbit" {
        /// Exchange and queues outlive a restart of the broker.
        amqp_durable_queues: bool = "false";
        /// Exchange and queues go when nobody uses them any more.
        amqp_auto_delete: bool = "false";
        /// Queues are quorum queues, which are always durable.
        rabbit_quorum_queue: bool = "false";
        /// Speak TLS.
        ssl: bool = "false";
        /// PEM file with the only authorities to trust; unset stands for the system's.
        ssl_ca_file: Option<String>;
        /// PEM file with the certificate to show.
        ssl_cert_file: Option<String>;
        /// PEM file with its key.
        ssl_key_file: Option<String>;
        /// Seconds of silence after which a connection is dead; 0 is never.
        heartbeat_timeout_threshold: u32 = "60";
        /// Seconds before a broker that could not be reached is tried again; each time it is twice as long.
        rabbit_retry_interval: u32 = "1", min 1;
        /// The most seconds of that.
        rabbit_interval_max: u32 = "30", min 1;
    }
}

/// A URL of a broker; its passwords are never shown.
#[derive(Clone)]
pub(crate) struct BrokerUrl(String);

impl std::fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&amqp::masked(&self.0))
    }
}

impl Value for BrokerUrl {
    const KIND: &'static str = "URL";
    const SHOW: fn(&str) -> String = amqp::masked;

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// The settings, where a driver is set. Only then must the broker's URL be one.
pub(super) fn read(
    reader: &mut Reader<'_>,
    warnings: &mut Vec<String>,
    events_max: u32,
) -> Option<Settings> {
    let publisher = Publisher::read(reader, &["DEFAULT"]);
    let options = Notifications::read(reader, &["oslo_messaging_notifications"]);
    let rabbit = Rabbit::read(reader, &["oslo_messaging_rabbit"]);
    let drivers = drivers(reader, warnings, &options.driver);
    if drivers.is_empty() {
        return None;
    }
    let broker = (drivers != [Driver::Log]).then(|| {
        let (section, url) = match &options.transport_url {
            Some(url) => ("oslo_messaging_notifications", url),
            None => ("DEFAULT", &publisher.transport_url),
        };
        TransportUrl::parse(&url.0)
            .map_err(|reason| reader.refuse(section, "transport_url", &reason))
            .ok()
    });
    if options.topics.is_empty() {
        let reason = "names no queue to send to";
        reader.refuse("oslo_messaging_notifications", "topics", reason);
    }
    Some(Settings {
        publisher_id: publisher.default_publisher_id,
        disabled: publisher.disabled_notifications,
        drivers,
        topics: options.topics,
        broker: broker
            .flatten()
            .map(|url| rabbit.config(url, publisher.control_exchange)),
        retry_wait: Duration::from_secs(rabbit.rabbit_retry_interval.into()),
        retry_wait_max: Duration::from_secs(rabbit.rabbit_interval_max.into()),
        events_max,
    })
}

fn drivers(reader: &mut Reader<'_>, warnings: &mut Vec<String>, named: &Many) -> Vec<Driver> {
    let mut drivers = Vec::new();
    for name in &named.0 {
        let driver = match name.as_str() {
            "messagingv2" => Driver::Enveloped,
            "messaging" => Driver::Bare,
            "log" => Driver::Log,
            "noop" | "" => continue,
            other => {
                let place = reader.place("oslo_messaging_notifications", "driver");
                let place = place.map_or_else(String::new, |place| format!("{place}: "));
                warnings.push(format!(
                    "{place}[oslo_messaging_notifications] driver: {other:?} is not supported and \
                     has no effect"
                ));
                continue;
            }
        };
        if !drivers.contains(&driver) {
            drivers.push(driver);
        }
    }
    drivers
}

impl Rabbit {
    fn config(&self, url: TransportUrl, exchange: String) -> amqp::Config {
        let path = |file: &Option<String>| file.as_ref().map(Into::into);
        let beat = u64::from(self.heartbeat_timeout_threshold);
        amqp::Config {
            url,
            exchange,
            durable: self.amqp_durable_queues,
            auto_delete: self.amqp_auto_delete,
            quorum: self.rabbit_quorum_queue,
            tls: self.ssl.then(|| Tls {
                ca_file: path(&self.ssl_ca_file),
                cert_file: path(&self.ssl_cert_file),
                key_file: path(&self.ssl_key_file),
            }),
            heartbeat: (beat > 0).then(|| Duration::from_secs(beat)),
            timeout: TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, load_text};
    use crate::control::notify::Driver;

    const URL: &str = "transport_url = rabbit://u:p@h1,u:p@h2:1/v\n";

    #[test]
    fn without_a_driver_there_are_none() {
        assert!(load_text("").unwrap().notifications.is_none());
        let noop = "[oslo_messaging_notifications]\ndriver = noop\ntransport_url = kafka://x\n";
        assert!(load_text(noop).unwrap().notifications.is_none());
    }

    #[test]
    fn the_broker_is_found_where_oslo_messaging_finds_it() {
        let text =
            format!("[DEFAULT]\n{URL}[oslo_messaging_notifications]\ndriver = messagingv2\n");
        let settings = load_text(&text).unwrap().notifications.unwrap();
        assert_eq!(settings.drivers, [Driver::Enveloped]);
        let broker = settings.broker.unwrap();
        assert_eq!(broker.exchange, "glance");
        assert_eq!(broker.url.hosts[1].port, 1);
        assert_eq!(settings.topics, ["notifications"]);
    }

    #[test]
    fn a_broker_that_we_do_not_speak_to_is_refused() {
        let text =
            "[oslo_messaging_notifications]\ndriver = messaging\ntransport_url = kafka://h\n";
        assert!(error(text).contains("[oslo_messaging_notifications] transport_url"));
    }
}
