//! The real parts of `tests/lab`. A part that does not start fails the test: nothing is skipped.

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use rustix::fs::{FlockOperation, flock};

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
    /// Held while daemons may be killed: one test at a time, of any checkout of the project.
    _alone: Option<File>,
}

/// The cluster that all tests share: nobody kills it, and everybody removes what they made.
pub(crate) fn ceph() -> &'static Ceph {
    static SHARED: OnceLock<Ceph> = OnceLock::new();
    SHARED.get_or_init(|| Ceph {
        conf: ceph_up(&[]),
        _alone: None,
    })
}

/// The cluster for faults, whole and without quotas; nobody else has it meanwhile.
pub(crate) fn ceph_for_faults() -> Ceph {
    std::fs::create_dir_all(folder()).expect("the lab's folder can be made");
    let path = folder().join(".ceph-faults-test.lock");
    let alone = File::create(path).expect("the lab's folder is writable");
    flock(&alone, FlockOperation::LockExclusive).expect("a file can be locked");
    let ceph = Ceph {
        conf: ceph_up(&["--faults"]),
        _alone: Some(alone),
    };
    ceph.quota("images", 0);
    ceph
}

impl Ceph {
    /// A command (`ceph`, `rados`, `rbd`, ...) as this user.
    pub(crate) fn command(&self, program: &str, user: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CEPH_CONF", &self.conf).args(["--id", user]);
        command
    }

    /// What `rbd` prints as client.admin.
    pub(crate) fn rbd(&self, arguments: &[&str]) -> String {
        run(self.command("rbd", "admin").args(arguments))
    }

    /// The lines of configuration that make pool `images` the only store, named `rbd1`; more options of it may follow.
    pub(crate) fn store(&self) -> String {
        format!(
            "[DEFAULT]\nenabled_backends = rbd1:rbd\n[glance_store]\ndefault_backend = rbd1\n[rbd1]\n\
             rbd_store_ceph_conf = {}\nrbd_store_user = glance\nrbd_store_pool = images\n",
            self.conf.display()
        )
    }

    /// Limits a pool to so many bytes; 0 is no limit.
    pub(crate) fn quota(&self, pool: &str, max_bytes: u64) {
        let bytes = max_bytes.to_string();
        let set = ["osd", "pool", "set-quota", pool, "max_bytes", &bytes];
        run(self.command("ceph", "admin").args(set));
    }

    /// Ends a daemon (`mon.a`, `osd.0`) as a crash would.
    pub(crate) fn kill(&self, daemon: &str) {
        assert!(self._alone.is_some(), "the shared cluster stays up");
        run(script("ceph-down").args(["--faults", "--kill", daemon]));
    }

    /// Starts what was killed.
    pub(crate) fn recover(&self) {
        ceph_up(&["--faults"]);
    }
}

/// A real S3 server, Ceph's radosgw, and a user that may make buckets.
#[derive(Debug)]
pub(crate) struct S3Server {
    /// With its scheme.
    pub(crate) url: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// The S3 server that all tests share: nobody ends it, and everybody removes what they made.
pub(crate) fn s3() -> &'static S3Server {
    static SHARED: OnceLock<S3Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        let printed = run(&mut script("radosgw-up"));
        let mut lines = printed.lines().map(str::to_owned);
        let mut line = || lines.next().expect("radosgw-up prints three lines");
        S3Server {
            url: line(),
            access_key: line(),
            secret_key: line(),
        }
    })
}

impl S3Server {
    /// The lines of configuration that make a bucket of it the only store, named `s3`, reached at `url`;
    /// more options of it may follow.
    pub(crate) fn store(&self, url: &str, bucket: &str) -> String {
        let Self {
            access_key,
            secret_key,
            ..
        } = self;
        format!(
            "[DEFAULT]\nenabled_backends = s3:s3\n[glance_store]\ndefault_backend = s3\n[s3]\n\
             s3_store_host = {url}\ns3_store_access_key = {access_key}\ns3_store_secret_key = {secret_key}\n\
             s3_store_bucket = {bucket}\ns3_store_create_bucket_on_put = true\n"
        )
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

/// The answers of a script of ours below `tests`, a line for each question: one Python process for a batch, with
/// Glance and what it stands on at hand.
pub(crate) fn ask(script: &str, questions: impl Iterator<Item = String>) -> Vec<String> {
    ask_of(Command::new(python()), script, &[], questions)
}

/// The same of another interpreter, and with arguments for the script.
pub(crate) fn ask_of(
    mut python: Command,
    script: &str,
    arguments: &[&str],
    questions: impl Iterator<Item = String>,
) -> Vec<String> {
    let mut python = python
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests")
                .join(script),
        )
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the lab's Python runs");
    let lines: Vec<String> = questions.map(|question| question + "\n").collect();
    let asked = lines.len();
    let mut input = python.stdin.take().unwrap();
    let feeder = thread::spawn(move || input.write_all(lines.concat().as_bytes()));
    let output = python.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
    feeder.join().unwrap().expect("the script reads to the end");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<String> = stdout.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), asked, "{script}: {stderr}");
    answers
}

/// The interpreter of the virtual environment that has Nova's and Cinder's code too.
pub(crate) fn consumers_python() -> PathBuf {
    python_with("consumers")
}

/// The same with Ironic's.
pub(crate) fn ironic_python() -> PathBuf {
    python_with("ironic")
}

fn python_with(layer: &str) -> PathBuf {
    let path = run(script("venv").arg(layer));
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
