//! The real parts of `tests/lab`. A part that does not start fails the test: nothing is skipped.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::free_address;

/// The real Glance on a port of its own, ended and wiped on drop.
#[derive(Debug)]
pub(crate) struct Glance {
    pub(crate) address: SocketAddr,
    /// Its directory: `conf/glance-api.conf`, `images`, `glance.log`.
    pub(crate) state: PathBuf,
    arguments: Vec<String>,
}

impl Glance {
    /// Starts it with further arguments of `tests/lab/glance-up`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let address = free_address();
        let port = address.port().to_string();
        let arguments = [&["--port", &port], arguments].concat();
        let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        run(script("glance-up").args(&arguments));
        let state = std::fs::read_to_string(folder().join(format!("run/glance-{port}.state")))
            .expect("glance-up leaves the path of its state");
        Self {
            address,
            state: state.trim().into(),
            arguments,
        }
    }

    /// Starts it again after [`Self::kill`], on what it had written.
    pub(crate) fn restart(&self) {
        run(script("glance-up").args(&self.arguments).arg("--no-sync"));
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.state.join("conf/glance-api.conf")
    }

    /// Ends it as a crash would; what it has written stays.
    pub(crate) fn kill(&self) {
        let port = self.address.port().to_string();
        run(script("glance-down").args(["--kill", "--port", &port]));
    }
}

impl Drop for Glance {
    fn drop(&mut self) {
        let port = self.address.port().to_string();
        let ended = script("glance-down")
            .args(["--wipe", "--port", &port])
            .status();
        drop(ended);
    }
}

/// A real Ceph cluster: pools `images`, `images-data` and `volumes`, users `glance` and `cinder`.
#[derive(Debug)]
pub(crate) struct Ceph {
    /// Its `ceph.conf`; the keyrings lie beside it.
    pub(crate) conf: PathBuf,
}

/// The cluster that all tests share: nobody kills it, and everybody removes what they made.
pub(crate) fn ceph() -> &'static Ceph {
    static SHARED: OnceLock<Ceph> = OnceLock::new();
    SHARED.get_or_init(|| Ceph { conf: ceph_up(&[]) })
}

impl Ceph {
    /// A command (`ceph`, `rados`, `rbd`, ...) as this user.
    pub(crate) fn command(&self, program: &str, user: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CEPH_CONF", &self.conf).args(["--id", user]);
        command
    }
}

fn ceph_up(arguments: &[&str]) -> PathBuf {
    let printed = run(script("ceph-up").args(arguments));
    printed.trim().into()
}

/// The URL of a new and empty database on the lab's MariaDB.
pub(crate) fn mariadb(name: &str) -> String {
    let printed = run(script("mariadb-up").args(["--database", name]));
    let url = printed.lines().last().expect("mariadb-up prints a URL");
    url.to_owned()
}

/// The Python interpreter of the lab's virtual environment, which is made if it is missing.
pub(crate) fn python() -> PathBuf {
    let path = run(&mut script("venv"));
    Path::new(path.trim()).join("bin/python")
}

/// A command of `tests/lab`.
pub(crate) fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/lab")
            .join(name),
    )
}

/// Runs a command to its end and returns what it printed; panics with its complaint when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the lab prints text")
}

/// Where the lab keeps what it needs.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("FRESNEL_LAB").map_or_else(|| "/tmp/fresnel-lab".into(), PathBuf::from)
}
