//! The real binary as a process.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{free_address, lab, wait_until, wire};

const START_LIMIT: Duration = Duration::from_secs(60);

/// `fresnel serve` on a port and a directory of its own, killed on drop; or `fresnel node`.
#[derive(Debug)]
pub(crate) struct Fresnel {
    pub(crate) address: SocketAddr,
    /// The command and what follows it.
    words: Vec<String>,
    folder: tempfile::TempDir,
    configs: Vec<PathBuf>,
    child: Child,
}

impl Fresnel {
    /// Starts it with these lines of configuration, and waits until it answers.
    pub(crate) fn start(lines: &str) -> Self {
        Self::start_after(&[], |_| lines.to_owned())
    }

    /// The same on top of other configuration files; these lines, of its own directory, are read last.
    pub(crate) fn start_after(configs: &[&Path], lines: impl FnOnce(&Path) -> String) -> Self {
        Self::start_as(&["serve"], free_address(), configs, lines)
    }

    /// The same at an address that others know.
    pub(crate) fn start_at(address: SocketAddr, lines: &str) -> Self {
        Self::start_as(&["serve"], address, &[], |_| lines.to_owned())
    }

    /// A cache node in front of that service, with what it keeps in `cache` below its directory.
    pub(crate) fn node(upstream: SocketAddr, lines: &str) -> Self {
        let upstream = format!("http://{upstream}");
        Self::start_as(
            &["node", "--upstream", &upstream],
            free_address(),
            &[],
            |folder| {
                let cache = folder.join("cache");
                format!("[DEFAULT]\nimage_cache_dir = {}\n{lines}", cache.display())
            },
        )
    }

    fn start_as(
        words: &[&str],
        address: SocketAddr,
        configs: &[&Path],
        lines: impl FnOnce(&Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().expect("the temporary directory is writable");
        let own = folder.path().join("fresnel.conf");
        let text = format!(
            "[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {}\n[fresnel]\ndata_dir = {}\n{}\n",
            address.port(),
            folder.path().display(),
            lines(folder.path())
        );
        fs::write(&own, text).expect("the temporary directory is writable");
        let configs: Vec<_> = configs.iter().map(PathBuf::from).chain([own]).collect();
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let child = spawn(&words, folder.path(), &configs);
        let mut process = Self {
            address,
            words,
            folder,
            configs,
            child,
        };
        process.wait_until_ready();
        process
    }

    /// Its own directory, which is its data directory where the configuration names no other.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// Ends it as an operator would (SIGTERM), and says how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("the process is ours")
    }

    /// Sends it a signal: STOP puts it to sleep, CONT wakes it.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("the process is ours");
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], with the same configuration.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.words, self.folder.path(), &self.configs);
        self.wait_until_ready();
    }

    /// `fresnel` with those words and the same configuration, beside it.
    pub(crate) fn command(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fresnel"));
        command.args(words.split(' '));
        for config in &self.configs {
            command.arg("--config-file").arg(config);
        }
        command.output().expect("the binary starts")
    }

    /// The lines of such a command, which prints JSON and must succeed.
    #[track_caller]
    pub(crate) fn lines(&self, words: &str) -> Vec<Value> {
        let output = self.command(&format!("{words} --json"));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {complaint}");
        let text = String::from_utf8(output.stdout).expect("JSON is text");
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("a line is JSON")).collect()
    }

    /// The first column of what its embedded database answers, which it tells whoever asks.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let script = "import sqlite3, sys\n\
                      for row in sqlite3.connect(sys.argv[1], 30).execute(sys.argv[2]): print(row[0])";
        let path = self.folder.path().join("fresnel.sqlite");
        let mut python = Command::new("python3");
        let printed = lab::run(python.args(["-c", script]).arg(path).arg(sql));
        printed.lines().map(str::to_owned).collect()
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn wait_until_ready(&mut self) {
        let health = wire::Request::new("GET", "/healthcheck");
        let (address, child) = (self.address, &mut self.child);
        let mut ended = false;
        let answered = wait_until(START_LIMIT, || {
            ended = child.try_wait().expect("the process is ours").is_some();
            ended || wire::exchange(address, &health).is_ok_and(|answer| answer.status == 200)
        });
        assert!(answered && !ended, "fresnel did not start:\n{}", self.log());
    }
}

impl Drop for Fresnel {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        drop(ended);
    }
}

fn spawn(words: &[String], folder: &Path, configs: &[PathBuf]) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("the temporary directory is writable");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fresnel"));
    command.args(words);
    for config in configs {
        command.arg("--config-file").arg(config);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}
