//! Messages to a broker of AMQP 0-9-1 (RabbitMQ): connect, declare, publish, and hear that the
//! broker has them.
//!
//! A publisher on one connection and one channel, with confirms. It buffers nothing: what the
//! broker has not confirmed is the caller's to publish again. ADR 14 says why it is our own.

pub mod frame;
mod tls;
pub mod url;

use std::{collections::HashSet, io, path::PathBuf, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;

use crate::base::limits::KIB;
use frame::{Arguments, FRAME_MIN_BYTES, Frame, Frames, Malformed, Method, Writer};

pub use url::{Host, TransportUrl, masked};

/// The largest frame that we take or send.
const FRAME_MAX_BYTES: usize = 128 * KIB;
/// The one channel.
const CHANNEL: u16 = 1;
const PERSISTENT: u8 = 2;
/// The code of a broker that has something under that name, made otherwise.
const PRECONDITION_FAILED: u16 = 406;

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const CHANNEL_CLOSE_OK: Method = (20, 41);
const EXCHANGE_DECLARE: Method = (40, 10);
const EXCHANGE_DECLARE_OK: Method = (40, 11);
const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DECLARE_OK: Method = (50, 11);
const QUEUE_BIND: Method = (50, 20);
const QUEUE_BIND_OK: Method = (50, 21);
const PUBLISH: Method = (60, 40);
const ACK: Method = (60, 80);
const NACK: Method = (60, 120);
const CONFIRM: Method = (85, 10);
const CONFIRM_OK: Method = (85, 11);

/// How to reach the broker and what to declare there.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where.
    pub url: TransportUrl,
    /// The topic exchange that messages go to (`control_exchange`).
    pub exchange: String,
    /// Exchange and queues outlive a restart of the broker (`amqp_durable_queues`).
    pub durable: bool,
    /// They go when nobody uses them any more (`amqp_auto_delete`).
    pub auto_delete: bool,
    /// Queues are quorum queues (`rabbit_quorum_queue`).
    pub quorum: bool,
    /// Speak TLS (`ssl`).
    pub tls: Option<Tls>,
    /// The longest silence of a connection that lives (`heartbeat_timeout_threshold`); none is off.
    pub heartbeat: Option<Duration>,
    /// For connecting, and for each answer.
    pub timeout: Duration,
}

/// Whom to trust and who we are.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file with the only authorities to trust; none stands for the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show.
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key.
    pub key_file: Option<PathBuf>,
}

/// A message for a queue that is declared.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its routing key.
    pub queue: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// Why the broker does not have a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("the broker does not answer")]
    Silent,
    /// It closed the connection or the channel.
    #[error("the broker refuses: {code} {text}")]
    Refused {
        /// AMQP's reply code.
        code: u16,
        /// The broker's words.
        text: String,
    },
    /// It is something else.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It answered something else than what was asked.
    #[error("the broker's answer is another than expected")]
    Unexpected,
    /// TLS cannot be set up with these files.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The result of an exchange with the broker.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What bytes go over.
trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// A connection to a broker.
pub struct Publisher {
    io: Box<dyn Io>,
    arrived: BytesMut,
    frame_max_bytes: usize,
    heartbeat: Option<Duration>,
    timeout: Duration,
    exchange: String,
    auto_delete: bool,
    quorum: bool,
    durable: bool,
    declared: HashSet<String>,
    /// The tag of the last message.
    tag: u64,
    wrote_at: Instant,
}

impl Publisher {
    /// Connects to one of the hosts, and declares the exchange.
    ///
    /// # Errors
    /// Why not.
    pub async fn connect(config: &Config, host: &Host) -> Result<Self> {
        let connecting = TcpStream::connect((host.name.as_str(), host.port));
        let tcp = timeout(config.timeout, connecting).await;
        let tcp = tcp.map_err(|_| Error::Silent)??;
        tcp.set_nodelay(true)?;
        let io: Box<dyn Io> = match &config.tls {
            None => Box::new(tcp),
            Some(files) => {
                let connecting = tls::connect(files, &host.name, tcp);
                let io = timeout(config.timeout, connecting).await;
                Box::new(io.map_err(|_| Error::Silent)??)
            }
        };
        let mut publisher = Self {
            io,
            arrived: BytesMut::with_capacity(FRAME_MIN_BYTES),
            frame_max_bytes: FRAME_MAX_BYTES,
            heartbeat: None,
            timeout: config.timeout,
            exchange: config.exchange.clone(),
            auto_delete: config.auto_delete,
            quorum: config.quorum,
            durable: config.durable || config.quorum,
            declared: HashSet::new(),
            tag: 0,
            wrote_at: Instant::now(),
        };
        publisher.greet(config, host).await?;
        publisher.open_channel().await?;
        publisher.declare_exchange().await?;
        Ok(publisher)
    }

    /// Publishes in order. Returns how many of the first ones the broker has; fewer than all when
    /// it would not take the next.
    ///
    /// # Errors
    /// When the connection is of no more use: it is not known which ones the broker has.
    pub async fn publish(&mut self, messages: &[Message<'_>]) -> Result<usize> {
        for message in messages {
            if !self.declared.contains(message.queue) {
                self.declare_queue(message.queue).await?;
            }
        }
        let before = self.tag;
        for message in messages {
            let frames = self.content(message);
            self.write(frames).await?;
            self.tag += 1;
        }
        self.confirmed(before, messages.len()).await
    }

    /// A sign of life, when it is time for one.
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn beat(&mut self) -> Result<()> {
        let due = self
            .heartbeat
            .is_some_and(|most| self.wrote_at.elapsed() > most / 3);
        if due {
            let mut frames = Frames::default();
            frames.heartbeat();
            self.write(frames).await?;
        }
        Ok(())
    }

    async fn greet(&mut self, config: &Config, host: &Host) -> Result<()> {
        self.write(Frames(b"AMQP\x00\x00\x09\x01".to_vec())).await?;
        let mut start = self.answer(START).await?;
        start.u16()?;
        start.table()?;
        let offered = start.long_text()?;
        let external = config
            .tls
            .as_ref()
            .is_some_and(|tls| tls.cert_file.is_some())
            && !offered.split(' ').any(|mechanism| mechanism == "PLAIN");
        self.call(0, START_OK, |out| {
            out.table(|table| {
                table.text_entry("product", "fresnel");
                table.text_entry("version", env!("CARGO_PKG_VERSION"));
                table.table_entry("capabilities", |table| {
                    table.true_entry("authentication_failure_close");
                });
            });
            match external {
                true => out.short_text("EXTERNAL").long_text(""),
                false => {
                    let password = host.password.expose();
                    let who = zeroize::Zeroizing::new(format!("\0{}\0{password}", host.user));
                    out.short_text("PLAIN").long_text(&who)
                }
            };
            out.short_text("en_US");
        })
        .await?;
        let mut tune = self.answer(TUNE).await?;
        tune.u16()?;
        let (frame_max, heartbeat) = (tune.u32()? as usize, tune.u16()?);
        // 0 is no limit.
        if frame_max != 0 {
            self.frame_max_bytes = frame_max.clamp(FRAME_MIN_BYTES, FRAME_MAX_BYTES);
        }
        self.heartbeat = config.heartbeat.map(|ours| match heartbeat {
            0 => ours,
            theirs => ours.min(Duration::from_secs(theirs.into())),
        });
        let seconds = self.heartbeat.map_or(0, |beat| beat.as_secs());
        let frame_max = self.frame_max_bytes as u32;
        self.call(0, TUNE_OK, |out| {
            let seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
            out.u16(CHANNEL).u32(frame_max).u16(seconds);
        })
        .await?;
        let virtual_host = config.url.virtual_host.as_str();
        self.call(0, OPEN, |out| {
            out.short_text(virtual_host).short_text("").u8(0);
        })
        .await?;
        self.answer(OPEN_OK).await.map(drop)
    }

    async fn open_channel(&mut self) -> Result<()> {
        self.call(CHANNEL, CHANNEL_OPEN, |out| {
            out.short_text("");
        })
        .await?;
        self.answer(CHANNEL_OPEN_OK).await?;
        self.call(CHANNEL, CONFIRM, |out| {
            out.u8(0);
        })
        .await?;
        self.tag = 0;
        self.answer(CONFIRM_OK).await.map(drop)
    }

    /// An exchange that is there and not durable is taken as it is, as oslo.messaging does: services
    /// share one.
    async fn declare_exchange(&mut self) -> Result<()> {
        match self.try_exchange().await {
            Err(Error::Refused { code, text })
                if code == PRECONDITION_FAILED && text.contains("'durable'") && self.durable =>
            {
                warn!(exchange = self.exchange, "The exchange is not durable");
                self.durable = false;
                self.call(CHANNEL, CHANNEL_CLOSE_OK, |_| {}).await?;
                self.open_channel().await?;
                self.try_exchange().await
            }
            outcome => outcome,
        }
    }

    async fn try_exchange(&mut self) -> Result<()> {
        let (name, flags) = (self.exchange.clone(), self.flags(1, 2));
        self.call(CHANNEL, EXCHANGE_DECLARE, |out| {
            out.u16(0).short_text(&name).short_text("topic").u8(flags);
            out.table(|_| {});
        })
        .await?;
        self.answer(EXCHANGE_DECLARE_OK).await.map(drop)
    }

    /// A queue with its own name as routing key, so that nothing is lost while nobody consumes yet.
    async fn declare_queue(&mut self, name: &str) -> Result<()> {
        let (quorum, flags) = (self.quorum, self.flags(1, 3));
        self.call(CHANNEL, QUEUE_DECLARE, |out| {
            out.u16(0).short_text(name).u8(flags);
            out.table(|table| {
                if quorum {
                    table.text_entry("x-queue-type", "quorum");
                }
            });
        })
        .await?;
        self.answer(QUEUE_DECLARE_OK).await?;
        let exchange = self.exchange.clone();
        self.call(CHANNEL, QUEUE_BIND, |out| {
            out.u16(0).short_text(name).short_text(&exchange);
            out.short_text(name).u8(0).table(|_| {});
        })
        .await?;
        self.answer(QUEUE_BIND_OK).await?;
        self.declared.insert(name.to_owned());
        Ok(())
    }

    fn flags(&self, durable_bit: u8, auto_delete_bit: u8) -> u8 {
        u8::from(self.durable) << durable_bit | u8::from(self.auto_delete) << auto_delete_bit
    }

    /// The message as kombu writes it.
    fn content(&self, message: &Message<'_>) -> Frames {
        let mut frames = Frames::default();
        frames.method(CHANNEL, PUBLISH, |out| {
            out.u16(0)
                .short_text(&self.exchange)
                .short_text(message.queue)
                .u8(0);
        });
        frames.header(CHANNEL, PUBLISH.0, message.body.len(), |out| {
            // Content type, content encoding, headers, delivery mode, priority.
            out.u16(0b1111_1000_0000_0000);
            out.short_text("application/json").short_text("utf-8");
            out.table(|_| {}).u8(PERSISTENT).u8(0);
        });
        frames.body(CHANNEL, message.body.as_bytes(), self.frame_max_bytes);
        frames
    }

    /// Waits until the broker has said of each message after `before` whether it has it.
    async fn confirmed(&mut self, before: u64, count: usize) -> Result<usize> {
        let mut heard = vec![None; count];
        while heard.contains(&None) {
            let (method, mut arguments) = self.next().await?;
            let has = match method {
                ACK => true,
                NACK => false,
                _ => return Err(Error::Unexpected),
            };
            let (tag, flags) = (arguments.u64()?, arguments.u8()?);
            let multiple = flags & 1 == 1;
            for (at, one) in heard.iter_mut().enumerate() {
                let own = before + at as u64 + 1;
                if own == tag || (multiple && own <= tag) {
                    one.get_or_insert(has);
                }
            }
        }
        Ok(heard.iter().take_while(|has| **has == Some(true)).count())
    }

    async fn call(
        &mut self,
        channel: u16,
        method: Method,
        arguments: impl FnOnce(&mut Writer),
    ) -> Result<()> {
        let mut frames = Frames::default();
        frames.method(channel, method, arguments);
        self.write(frames).await
    }

    async fn answer(&mut self, expected: Method) -> Result<Arguments> {
        match self.next().await? {
            (method, arguments) if method == expected => Ok(arguments),
            _ => Err(Error::Unexpected),
        }
    }

    /// The next method that the broker sends.
    async fn next(&mut self) -> Result<(Method, Arguments)> {
        let deadline = Instant::now() + self.timeout;
        loop {
            while let Some(frame) = frame::decode(&mut self.arrived, self.frame_max_bytes)? {
                if let Frame::Method {
                    method,
                    mut arguments,
                    ..
                } = frame
                {
                    if matches!(method, CLOSE | CHANNEL_CLOSE) {
                        let (code, text) = (arguments.u16()?, arguments.short_text()?);
                        return Err(Error::Refused { code, text });
                    }
                    return Ok((method, arguments));
                }
            }
            let reading = self.io.read_buf(&mut self.arrived);
            match timeout_at(deadline, reading).await {
                Err(_) => return Err(Error::Silent),
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    async fn write(&mut self, frames: Frames) -> Result<()> {
        let writing = async {
            self.io.write_all(&frames.0).await?;
            self.io.flush().await
        };
        let written = timeout(self.timeout, writing).await;
        self.wrote_at = Instant::now();
        Ok(written.map_err(|_| Error::Silent)??)
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
