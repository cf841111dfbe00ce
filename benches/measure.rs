//! What a server costs: CPU seconds and memory of its process tree, read from `/proc`.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::client::pause;

/// A server under measurement: its main process, whose children count too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// User and system seconds of the process and all its descendants: those that live, and those that have ended
    /// and been waited for.
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

/// What a command spent until its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Of the clock.
    pub(crate) seconds: f64,
    /// Of the processor.
    pub(crate) cpu_seconds: f64,
    /// The most resident memory, MiB.
    pub(crate) peak_mib: f64,
}

/// Runs a command to its end; what it prints is read and thrown away.
pub(crate) fn run(command: &mut Command) -> Spent {
    let begin = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command is installed");
    let (id, process) = (Pid::from_child(&child), Process(child.id()));
    let mut output = child.stdout.take().expect("it was asked for");
    let ended = AtomicBool::new(false);
    let mut peak_mib: f64 = 0.0;
    let seconds = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut piece = vec![0; 1 << 20];
            while output.read(&mut piece).is_ok_and(|len| len > 0) {}
        });
        let waiter = scope.spawn(|| {
            // It stays a zombie, whose CPU can still be read.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(id), options).expect("a child of ours");
            ended.store(true, Ordering::Release);
            begin.elapsed().as_secs_f64()
        });
        while !ended.load(Ordering::Acquire) {
            peak_mib = peak_mib.max(process.peak_mib());
            pause(Duration::from_millis(50));
        }
        waiter.join().expect("it only waits")
    });
    let cpu_seconds = process.cpu_seconds();
    let status = child.wait().expect("a child of ours");
    assert!(status.success(), "{command:?}: {status}");
    Spent {
        seconds,
        cpu_seconds,
        peak_mib,
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    let Some(fields) = stat(pid) else { return 0 };
    let at = |index: usize| fields[index].parse::<u64>().unwrap_or(0);
    (11..=14).map(at).sum()
}

/// The fields of `/proc/PID/stat` after the name: state, parent, ...; user time is field 11, then come system time and
/// the same of children that have ended.
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
