//! What a server costs: CPU seconds and memory of its process tree, read from `/proc`.

use std::{collections::HashMap, fs};

/// A server under measurement: its main process, whose children count too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system seconds of the process and all its live descendants.
    pub(crate) fn cpu_seconds(self) -> f64 {
        let ticks: u64 = self.tree().iter().map(|pid| cpu_ticks(*pid)).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    /// Resident memory now, MiB.
    pub(crate) fn rss_mib(self) -> f64 {
        self.sum_kib("VmRSS:") / 1024.0
    }

    /// The peak of resident memory since the last [`Process::forget_peak`], MiB.
    pub(crate) fn peak_mib(self) -> f64 {
        self.sum_kib("VmHWM:") / 1024.0
    }

    /// Starts a new peak.
    pub(crate) fn forget_peak(self) {
        for pid in self.tree() {
            fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of ours");
        }
    }

    fn sum_kib(self, field: &str) -> f64 {
        let of = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        self.tree().iter().filter_map(of).sum()
    }

    fn tree(self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").expect("Linux").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            if let Some(parent) = stat(pid).and_then(|fields| fields[1].parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.0];
        let mut next = 0;
        while let Some(pid) = tree.get(next).copied() {
            tree.extend(children.remove(&pid).unwrap_or_default());
            next += 1;
        }
        tree
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    let Some(fields) = stat(pid) else { return 0 };
    let at = |index: usize| fields[index].parse::<u64>().unwrap_or(0);
    at(11) + at(12)
}

/// The fields of `/proc/PID/stat` after the name: state, parent, ...; user time is field 11.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// The middle of some figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "no figures");
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
