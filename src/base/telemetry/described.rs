//! What is counted: the kind of each metric, its labels, and what it means. The same table is in
//! `docs/OPERATIONS.md`.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// A metric.
pub(super) struct Metric {
    kind: Kind,
    name: &'static str,
    /// With commas between them.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation"))]
    labels: &'static str,
    text: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

/// All that there are.
#[rustfmt::skip]
pub(super) const METRICS: &[Metric] = &[
    Metric::new(Gauge, "fresnel_build_info", "version", "1, of the version that runs"),
    Metric::new(Counter, "fresnel_http_requests_total", "method,route,status", "requests"),
    Metric::new(Histogram, "fresnel_http_request_seconds", "method,route", "from a request's head to the begin of its answer"),
    Metric::new(Gauge, "fresnel_http_connections", "", "connections that are open, of all listeners"),
    Metric::new(Counter, "fresnel_http_failed_connections_total", "reason", "connections that came to nothing: `full` (beyond `connections_max`), `accept` (no descriptors or memory), `handshake` (TLS), `head` (no HTTP)"),
    Metric::new(Counter, "fresnel_egress_bytes_total", "path", "bytes sent by `sendfile`, or through memory (`copy`)"),
    Metric::new(Counter, "fresnel_ingress_bytes_total", "", "bytes received by uploads"),
    Metric::new(Counter, "fresnel_import_bytes_total", "", "bytes read by imports"),
    Metric::new(Gauge, "fresnel_transfers", "direction", "transfers now"),
    Metric::new(Gauge, "fresnel_transfer_oldest_seconds", "", "the age of the oldest upload"),
    Metric::new(Histogram, "fresnel_upload_seconds", "outcome", "how long uploads took that are `active` now, or `failed`"),
    Metric::new(Histogram, "fresnel_download_seconds", "", "how long downloads took"),
    Metric::new(Gauge, "fresnel_pool_bytes", "store", "buffers in use"),
    Metric::new(Gauge, "fresnel_lease_age_seconds", "", "since the node's lease was renewed; beyond `lease_seconds` nothing is published"),
    Metric::new(Counter, "fresnel_db_failures_total", "kind", "statements that failed: `contended` (tried again), `broken` (the connection), `duplicate`, `refused`, `other`"),
    Metric::new(Histogram, "fresnel_keystone_request_seconds", "outcome", "requests to Keystone: `answered`, or `failed` without an answer"),
    Metric::new(Gauge, "fresnel_events_waiting", "", "notifications that the broker does not have yet, on the node that sends"),
    Metric::new(Counter, "fresnel_events_total", "outcome", "notifications `sent`, or `dropped` beyond `events_max`"),
    Metric::new(Counter, "fresnel_jobs_total", "kind,outcome", "attempts at background jobs: `done`, `failed`, `busy` without buffers, or `lost` to a delete, another node or the end of this one"),
    Metric::new(Counter, "fresnel_cache_requests_total", "outcome", "downloads through the cache: `hit` (all of it was there), `miss`, `bypass` (such an image is not cached)"),
    Metric::new(Counter, "fresnel_cache_filled_bytes_total", "", "bytes fetched into the cache"),
    Metric::new(Gauge, "fresnel_cache_bytes", "", "its size, holes not counted"),
    Metric::new(Counter, "fresnel_cache_evictions_total", "", "entries removed to make room"),
    Metric::new(Counter, "fresnel_cache_damaged_chunks_total", "", "chunks that came back from disk as something else, and are fetched again: look at the disk"),
    Metric::new(Counter, "fresnel_cache_wrong_images_total", "", "whole images that did not have their digest, and are gone: look at the store"),
    Metric::new(Counter, "fresnel_node_requests_total", "route,status", "requests of a cache node"),
    Metric::new(Histogram, "fresnel_node_request_seconds", "route", "from a request's head to the begin of its answer, at a cache node"),
    Metric::new(Gauge, "fresnel_rbd_in_flight_bytes", "", "bytes that librbd holds, also for writes that nobody waits for any more"),
    Metric::new(Counter, "fresnel_rbd_resizes_total", "store", "resizes of RBD images under way; 0 or 1 for an upload"),
    Metric::new(Counter, "fresnel_rbd_connections_total", "purpose", "connections to Ceph that were begun"),
    Metric::new(Gauge, "fresnel_s3_in_flight_bytes", "", "bytes of parts on their way"),
    Metric::new(Counter, "fresnel_s3_retries_total", "", "requests that an S3 server failed and that were repeated"),
    Metric::new(Counter, "fresnel_digest_bytes_total", "algorithm,engine", "bytes hashed; engine `scalar` is one stream after the other"),
    Metric::new(Counter, "fresnel_digest_runs_total", "algorithm,lanes", "pieces of work, by the streams that were hashed side by side"),
    Metric::new(Histogram, "fresnel_digest_wait_seconds", "algorithm", "how long a piece waited for company while a thread was free"),
    Metric::new(Gauge, "process_start_time_seconds", "", "when the process started, in seconds since 1970"),
    Metric::new(Counter, "process_cpu_seconds_total", "", "CPU time of all threads"),
    Metric::new(Gauge, "process_resident_memory_bytes", "", "memory in use"),
    Metric::new(Gauge, "process_open_fds", "", "open files"),
    Metric::new(Gauge, "process_max_fds", "", "how many may be open"),
];

impl Metric {
    const fn new(kind: Kind, name: &'static str, labels: &'static str, text: &'static str) -> Self {
        Self {
            kind,
            name,
            labels,
            text,
        }
    }

    /// Says to whoever reads the metrics what this one is.
    pub(super) fn describe(&self) {
        match self.kind {
            Counter => describe_counter!(self.name, self.text),
            Gauge => describe_gauge!(self.name, self.text),
            Histogram => describe_histogram!(self.name, self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn row(metric: &Metric) -> String {
        let labels = match metric.labels {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        format!("| `{}{labels}` | {} |", metric.name, metric.text)
    }

    #[test]
    fn the_table_for_operators_is_this_one() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
        let begins =
            |line: &&str| line.starts_with("| `fresnel_") || line.starts_with("| `process_");
        let page = page.split("## Watch").nth(1).unwrap();
        let page = page.split("\n## ").next().unwrap();
        let found: Vec<&str> = page.lines().filter(begins).collect();
        let ours: Vec<String> = METRICS.iter().map(row).collect();
        assert_eq!(found, ours);
    }

    #[test]
    fn whatever_is_counted_is_in_the_table() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut counted = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for macro_name in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
                    for (at, _) in text.match_indices(macro_name) {
                        let name = text[at + macro_name.len()..].split('"').next().unwrap();
                        counted += 1;
                        assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
                    }
                }
            }
        }
        assert!(counted > 20);
    }
}
