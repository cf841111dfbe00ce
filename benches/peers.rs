//! The servers that are compared: ours, the real Glance, nginx. All on loopback, all ended again.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{client, measure::Process};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What to measure.
    pub(crate) process: Process,
    /// Where it tells its metrics, if it does.
    pub(crate) metrics: Option<SocketAddr>,
    /// Its configuration, if it is ours.
    pub(crate) config: Option<PathBuf>,
    stop: Stop,
}

#[derive(Debug)]
enum Stop {
    Child(Child),
    Script(Command),
    /// A command, and the child that it ends.
    Asked(Command, Child),
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = match &mut self.stop {
            Stop::Child(child) => child.kill().and_then(|()| child.wait()),
            Stop::Script(command) => command.status(),
            Stop::Asked(command, child) => command.status().and_then(|_| child.wait()),
        };
        drop(ended);
    }
}

/// Our release binary with some lines of configuration.
pub(crate) fn fresnel(folder: &Path, options: &str) -> Server {
    ours(&["serve"], folder, options)
}

/// A cache node of ours in front of that service.
pub(crate) fn node(folder: &Path, upstream: SocketAddr, options: &str) -> Server {
    let upstream = format!("http://{upstream}");
    ours(&["node", "--upstream", &upstream], folder, options)
}

fn ours(words: &[&str], folder: &Path, options: &str) -> Server {
    let address = free_address();
    let (config, data) = configured(folder, address, options);
    let log = fs::File::create(data.join("log")).expect("the bench folder is writable");
    let child = Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(words)
        .arg("--config-file")
        .arg(&config)
        .stderr(log)
        .spawn()
        .expect("the binary starts");
    let process = Process(child.id());
    wait_until_it_answers(address);
    Server {
        address,
        process,
        metrics: None,
        config: Some(config),
        stop: Stop::Child(child),
    }
}

/// Brings the database that the configuration names up to date.
pub(crate) fn fresnel_synced(folder: &Path, options: &str) {
    let (config, _) = configured(folder, free_address(), options);
    let status = Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(["db", "sync", "--config-file"])
        .arg(&config)
        .stdout(Stdio::null())
        .status();
    assert!(
        status.expect("the binary starts").success(),
        "`fresnel db sync` failed"
    );
}

/// A configuration file with these options, and the data directory that it names.
fn configured(folder: &Path, address: SocketAddr, options: &str) -> (PathBuf, PathBuf) {
    let data = folder.join(format!("fresnel-{}", address.port()));
    fs::create_dir_all(&data).expect("the bench folder is writable");
    let config = data.join("bench.conf");
    let text = format!(
        "[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {}\n{options}\n[fresnel]\ndata_dir = {}\n",
        address.port(),
        data.display()
    );
    fs::write(&config, text).expect("the bench folder is writable");
    (config, data)
}

/// The real Glance under uWSGI with two workers, without authentication.
pub(crate) fn glance(arguments: &[&str]) -> Server {
    let address = free_address();
    let port = address.port().to_string();
    let status = lab("glance-up")
        .args(["--port", &port, "--workers", "2"])
        .args(arguments)
        .status();
    assert!(
        status.expect("tests/lab/glance-up runs").success(),
        "Glance did not start"
    );
    let pid = fs::read_to_string(lab_folder().join(format!("run/glance-{port}.pid")));
    let pid = pid
        .expect("glance-up leaves a pid file")
        .trim()
        .parse()
        .expect("a pid");
    wait_until_it_answers(address);
    let mut stop = lab("glance-down");
    stop.args(["--port", &port, "--wipe"]);
    Server {
        address,
        process: Process(pid),
        metrics: None,
        config: None,
        stop: Stop::Script(stop),
    }
}

/// A Glance whose files are in the bench folder, beside ours.
pub(crate) fn glance_in(folder: &Path, arguments: &[&str]) -> Server {
    let state = folder.join("glance").display().to_string();
    glance(&[&["--state", &state], arguments].concat())
}

/// nginx with sendfile, serving `folder`.
pub(crate) fn nginx(folder: &Path) -> Server {
    nginx_with(
        folder,
        "tcp_nopush on;",
        &format!("root {};", folder.display()),
    )
}

/// nginx that serves this file as `/image`, and the log of the bytes of each answer.
pub(crate) fn nginx_counted(folder: &Path, file: &Path) -> (Server, PathBuf) {
    let log = folder.join("sent");
    fs::write(&log, "").expect("the bench folder is writable");
    let outside = "log_format sent '$body_bytes_sent'; tcp_nopush on;";
    let inside = format!(
        "location = /image {{ alias {}; access_log {} sent; }}",
        file.display(),
        log.display()
    );
    (nginx_with(folder, outside, &inside), log)
}

/// nginx as a cache of slices in front of ours, which is asked whether a caller may have this image. Without
/// `tcp_nopush`, which has it wait 40 ms after each slice.
pub(crate) fn nginx_cache(folder: &Path, upstream: SocketAddr, image: &str) -> Server {
    let outside = format!(
        "proxy_cache_path {0}/slices levels=1:2 keys_zone=slices:10m max_size=100g;\n\
         proxy_cache_path {0}/answers keys_zone=answers:1m;\n",
        folder.display()
    );
    let inside = format!(
        "location / {{ auth_request /auth; slice 1m; proxy_cache slices;\n\
         proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range;\n\
         proxy_http_version 1.1; proxy_cache_valid 200 206 1h; proxy_pass http://{upstream}; }}\n\
         location = /auth {{ internal; proxy_pass_request_body off;\n\
         proxy_set_header Content-Length \"\"; proxy_set_header Range \"\";\n\
         proxy_cache answers; proxy_cache_key $http_x_auth_token$request_uri;\n\
         proxy_cache_valid 204 300s;\n\
         proxy_pass http://{upstream}/v2/fresnel/images/{image}/access; }}\n"
    );
    nginx_with(folder, &outside, &inside)
}

/// nginx with further lines around its server and in it.
fn nginx_with(folder: &Path, outside: &str, inside: &str) -> Server {
    let address = free_address();
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process on; worker_processes 2; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
         user root; events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; default_type application/octet-stream;\n\
         client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3;\n\
         uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
         {outside} server {{ listen {address}; {inside} }} }}\n",
        folder.display()
    );
    fs::write(&config, text).expect("the bench folder is writable");
    let command = || {
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&config).stderr(Stdio::null());
        nginx
    };
    let child = command()
        .spawn()
        .expect("nginx is installed (make bench installs it)");
    let process = Process(child.id());
    wait_until_it_answers(address);
    let mut stop = command();
    stop.args(["-s", "stop"]);
    Server {
        address,
        process,
        metrics: None,
        config: None,
        // Killed, it would leave its workers behind.
        stop: Stop::Asked(stop, child),
    }
}

/// The URL of an empty database on the lab's MariaDB, which is started if it is not running.
pub(crate) fn mariadb(name: &str) -> String {
    let output = lab("mariadb-up")
        .arg("--database")
        .arg(name)
        .stdout(Stdio::piped())
        .output();
    let output = output.expect("mariadb-up runs");
    assert!(output.status.success(), "MariaDB did not start");
    let text = String::from_utf8(output.stdout).expect("a URL is text");
    text.lines()
        .last()
        .expect("mariadb-up prints a URL")
        .to_owned()
}

/// The URL of the lab's Keystone, which is started if it is not running.
pub(crate) fn keystone() -> String {
    let output = lab("keystone-up").stdout(Stdio::piped()).output();
    let output = output.expect("keystone-up runs");
    assert!(output.status.success(), "Keystone did not start");
    let text = String::from_utf8(output.stdout).expect("a URL is text");
    text.trim().to_owned()
}

/// The interpreter of the lab's virtual environment.
pub(crate) fn python() -> PathBuf {
    venv(&[]).join("bin/python")
}

/// Amazon's own command.
pub(crate) fn aws() -> Command {
    Command::new(venv(&["aws"]).join("bin/aws"))
}

fn venv(layer: &[&str]) -> PathBuf {
    let output = lab("venv").args(layer).stdout(Stdio::piped()).output();
    let output = output.expect("tests/lab/venv runs");
    assert!(output.status.success(), "tests/lab/venv: {output:?}");
    let venv = String::from_utf8(output.stdout).expect("the lab prints text");
    venv.trim().into()
}

/// A command of `tests/lab`.
pub(crate) fn lab(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("tests/lab").join(script));
    command.stdout(Stdio::null());
    command
}

fn lab_folder() -> PathBuf {
    std::env::var_os("FRESNEL_LAB").map_or_else(|| "/tmp/fresnel-lab".into(), PathBuf::from)
}

/// A port that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    socket.local_addr().expect("a bound socket has an address")
}

fn wait_until_it_answers(address: SocketAddr) {
    let begin = Instant::now();
    while client::ask(address, "GET", "/", "").is_err() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{address} does not answer"
        );
        client::pause(Duration::from_millis(50));
    }
}
