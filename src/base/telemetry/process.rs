//! What the process itself takes, under the names that Prometheus' own libraries have for it.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics::{counter, gauge};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Looks, for whoever reads the metrics now. What cannot be read is left as it was.
pub(super) fn look() {
    if let Some(seconds) = cpu_seconds() {
        counter!("process_cpu_seconds_total").absolute(seconds);
    }
    if let Some(bytes) = resident_bytes() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is this directory.
        gauge!("process_open_fds").set(open.count().saturating_sub(1) as f64);
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        gauge!("process_max_fds").set(limit as f64);
    }
}

/// Says once what does not change, when the process starts.
pub(super) fn introduce() {
    gauge!("fresnel_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH);
    gauge!("process_start_time_seconds").set(started.unwrap_or_default().as_secs_f64());
}

/// User and system time of all threads, in whole seconds.
fn cpu_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in parentheses: they are the fields 11 and 12.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>().ok()?;
    Some(ticks / clock_ticks_per_second())
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}
