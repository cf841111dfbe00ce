//! Real web servers.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use super::{free_address, lab, wait_until};

/// A web server of a folder's files, ended on drop.
#[derive(Debug)]
pub(crate) struct WebServer {
    child: Child,
    folder: tempfile::TempDir,
    /// `http://ADDRESS`
    pub(crate) root: String,
}

impl WebServer {
    /// One with ranges. `/moved/?to=NAME` leads to a file, `/away` to where nobody may, `/round` back to itself.
    pub(crate) fn nginx(tls: bool) -> Self {
        lab::run(lab::script("packages").arg("nginx-light"));
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let path = folder.path().display();
        let mut listen = format!("listen {address};");
        if tls {
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
            fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
            fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
            listen = format!(
                "listen {address} ssl; ssl_certificate {path}/cert.pem; ssl_certificate_key {path}/key.pem;"
            );
        }
        let mut temporary = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            temporary += &format!("{name}_temp_path {path}/{name}; ");
        }
        let text = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; default_type application/octet-stream; {temporary}\n\
             server {{ {listen} root {path}/files; location /moved/ {{ return 302 /$arg_to; }} location /round {{ return 302 /round; }}\n\
             location /away {{ return 301 http://169.254.169.254/; }} }} }}\n"
        );
        fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(folder.path().join("nginx.conf"));
        command.arg("-e").arg(folder.path().join("log"));
        let scheme = if tls { "https" } else { "http" };
        Self::start(command, folder, format!("{scheme}://{address}"))
    }

    /// One without ranges.
    pub(crate) fn python() -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().unwrap());
        let mut command = Command::new(lab::python());
        let files = folder.path().join("files");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        command.arg(files).arg(address.port().to_string());
        Self::start(command, folder, format!("http://{address}"))
    }

    fn start(mut command: Command, folder: tempfile::TempDir, root: String) -> Self {
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        // Workers of a server that root starts are somebody else.
        for path in [folder.path(), &files] {
            let everybody = PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, everybody).unwrap();
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let address = root.rsplit('/').next().unwrap().to_owned();
        let answers = || TcpStream::connect(&address).is_ok();
        assert!(wait_until(Duration::from_secs(20), answers), "{command:?}");
        Self {
            child,
            folder,
            root,
        }
    }

    /// Publishes bytes, and says where.
    pub(crate) fn put(&self, content: &[u8]) -> String {
        let name = Uuid::new_v4().to_string();
        fs::write(self.folder.path().join("files").join(&name), content).unwrap();
        format!("{}/{name}", self.root)
    }

    /// The certificate of one under TLS.
    pub(crate) fn certificate(&self) -> Option<PathBuf> {
        Some(self.folder.path().join("cert.pem"))
    }
}

/// A server that answers badly: to every connection the bytes that are asked for by its number.
#[derive(Debug)]
pub(crate) struct Faulty {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// What a faulty server does after its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Close,
    /// Says nothing more, and does not close.
    Stall,
}

impl Faulty {
    /// `answer` is told the number of the connection, from 0. The server ends with the process.
    pub(crate) fn start(answer: impl Fn(usize) -> (Vec<u8>, Then) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        thread::spawn(move || {
            let mut stalled = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let (bytes, then) = answer(counted.fetch_add(1, Ordering::SeqCst));
                read_head(&mut socket);
                // Who asked may be gone.
                drop(socket.write_all(&bytes));
                if then == Then::Stall {
                    stalled.push(socket);
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// The same answer to everybody. `|` stands for the end of a line.
    pub(crate) fn saying(text: &str, then: Then) -> Self {
        let bytes = text.replace('|', "\r\n").into_bytes();
        Self::start(move |_| (bytes.clone(), then))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/image", self.address)
    }

    /// How many have come.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn read_head(socket: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|read| read > 0) {
        head.push(byte[0]);
    }
}

impl Drop for WebServer {
    /// nginx ends its workers at a polite request only.
    fn drop(&mut self) {
        let id = Pid::from_child(&self.child);
        let _ = kill_process(id, Signal::TERM);
        drop(self.child.wait());
    }
}
