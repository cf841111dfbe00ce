//! Logs and metrics: set up once, at the start of the process.

mod described;
mod file;
mod process;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::{Subscriber, error, info};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
};

use described::{METRICS, Metric};
use file::LogFile;

/// Histograms hold what they observed until they are asked to sum it up.
const UPKEEP_SECONDS: u64 = 5;
/// How often it is looked whether the log file is still the one that its name means.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Bounds of the histograms, whose unit is seconds.
const BUCKETS_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0,
];

/// Where the log goes and how much of it there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Level debug instead of info, where the environment variable `RUST_LOG` does not decide.
    pub debug: bool,
    /// Lines of JSON instead of text.
    pub json: bool,
    /// A file that the log is appended to, instead of standard error.
    pub file: Option<PathBuf>,
    /// Standard error too, where there is a file.
    pub stderr: bool,
    /// The file is opened again when its name means another, or none any more.
    pub follow: bool,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error("cannot write the log to {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `RUST_LOG` is not a list of levels.
    #[error("RUST_LOG is not a list of levels: {0}")]
    Filter(String),
    /// Something in the process has set them up before.
    #[error("logs or metrics are set up already")]
    Twice,
}

/// Sends the process's log where the configuration says. Call once.
pub fn start_logs(config: &Config) -> Result<Logs, Error> {
    let file = config.file.clone().map(LogFile::open).transpose()?;
    let file = file.map(Arc::new);
    let subscriber = subscriber(config, file.clone(), filter(config)?);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    Ok(Logs { file })
}

/// The process's log, which whoever rotates it has opened again.
#[derive(Clone, Debug)]
pub struct Logs {
    /// None where it goes to standard error.
    file: Option<Arc<LogFile>>,
}

impl Logs {
    /// Whether it goes to a file.
    pub fn are_in_a_file(&self) -> bool {
        self.file.is_some()
    }

    /// From now on lines go to the file that has the configured name, which is made where there is none.
    /// They go on to the old one where that fails.
    pub fn reopen(&self) {
        let Some(file) = &self.file else {
            return;
        };
        match file.reopen() {
            Ok(()) => info!("The log goes on in this file"),
            Err(error) => error!(%error, "The log stays in this file"),
        }
    }

    /// Does so whenever the name means another file, or none; runs as long as the process.
    pub async fn follow(self) {
        let Some(file) = &self.file else {
            return;
        };
        let mut ticks = tokio::time::interval(FOLLOW_EVERY);
        loop {
            ticks.tick().await;
            if file.has_moved() {
                self.reopen();
            }
        }
    }
}

/// Begins to count. Until then, and where it is never called, counting costs nothing. Call once.
pub fn start_metrics() -> Result<Metrics, Error> {
    let builder = PrometheusBuilder::new().set_buckets(BUCKETS_SECONDS);
    let builder = builder.expect("there are buckets");
    let metrics = builder.install_recorder().map(Metrics);
    let metrics = metrics.map_err(|_| Error::Twice)?;
    METRICS.iter().for_each(Metric::describe);
    process::introduce();
    Ok(metrics)
}

/// What has been counted.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All of it in Prometheus' text format.
    pub fn render(&self) -> String {
        process::look();
        self.0.render()
    }

    /// Keeps the memory of histograms bounded; runs as long as the process.
    pub async fn upkeep(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(UPKEEP_SECONDS));
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn filter(config: &Config) -> Result<EnvFilter, Error> {
    match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(levels) if !levels.is_empty() => {
            EnvFilter::try_new(levels).map_err(|error| Error::Filter(error.to_string()))
        }
        _ if config.debug => Ok(EnvFilter::new("info,fresnel=debug")),
        _ => Ok(EnvFilter::new("info")),
    }
}

fn subscriber(
    config: &Config,
    file: Option<Arc<LogFile>>,
    filter: EnvFilter,
) -> impl Subscriber + use<> {
    let to_stderr = file.is_none() || config.stderr;
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    layers.extend(file.map(|file| layer(config, file)));
    layers.extend(to_stderr.then(|| layer(config, io::stderr)));
    tracing_subscriber::registry().with(layers).with(filter)
}

fn layer<S, W>(config: &Config, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false);
    if config.json {
        return layer.json().flatten_event(true).boxed();
    }
    layer.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(config: Config) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let config = Config {
            file: Some(path.clone()),
            ..config
        };
        let file = Arc::new(LogFile::open(path.clone()).unwrap());
        let subscriber = subscriber(&config, Some(file), EnvFilter::new("info"));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", request_id = "req-1");
            span.in_scope(|| tracing::info!(bytes = 3, "Stored"));
            tracing::debug!("hidden");
        });
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn text_lines_hold_the_fields_and_the_request() {
        let log = logged(Config::default());
        assert_eq!(log.lines().count(), 1);
        assert!(log.contains("INFO request{request_id=\"req-1\"}"), "{log}");
        assert!(log.contains("Stored bytes=3"), "{log}");
    }

    #[test]
    fn json_lines_hold_the_fields_and_the_request() {
        let log = logged(Config {
            json: true,
            ..Config::default()
        });
        let line: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(line["message"], "Stored");
        assert_eq!(line["bytes"], 3);
        assert_eq!(line["span"]["request_id"], "req-1");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let config = Config {
            file: Some("/nowhere/at/all.log".into()),
            ..Config::default()
        };
        let error = start_logs(&config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write the log to /nowhere/at/all.log"
        );
    }

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = start_metrics().unwrap();
        metrics::counter!("fresnel_telemetry_test_total", "path" => "copy").increment(2);
        let text = metrics.render();
        assert!(
            text.contains("fresnel_telemetry_test_total{path=\"copy\"} 2"),
            "{text}"
        );
        for line in [
            "# HELP process_open_fds open files",
            "# TYPE process_cpu_seconds_total counter",
            concat!(
                "fresnel_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(text.contains(line), "{line}:\n{text}");
        }
    }
}
