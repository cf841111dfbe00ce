//! A proxy in front of an HTTP server, which does to each request what the test says. One request for each
//! connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::Mutex;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It and its answer go through.
    Pass,
    /// The server never sees it; this is its answer.
    Answer(u16),
    /// The server never sees it, and the connection is cut.
    Cut,
    /// It is done, and its answer is lost.
    CutAfter,
    /// The server never sees it, and nobody answers, until the client goes.
    Hang,
    /// It is done, and nobody answers, until the client goes.
    HangAfter,
}

/// Decides on a request by its method and its target.
type Rule = Box<dyn FnMut(&str, &str) -> Act + Send>;

/// Ended on drop.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    rule: Mutex<Rule>,
    ended: AtomicBool,
}

impl Proxy {
    /// In front of `server`; all passes.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            server,
            rule: Mutex::new(Box::new(|_, _| Act::Pass)),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, client) = (accepting.clone(), client.expect("a connection"));
                // A client or a server that goes ends the connection, and nothing else.
                thread::spawn(move || drop(shared.serve(&client)));
            }
        });
        Self { address, shared }
    }

    /// From now on requests are treated so.
    pub(crate) fn rule(&self, rule: impl FnMut(&str, &str) -> Act + Send + 'static) {
        *self.shared.rule.lock() = Box::new(rule);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let head = read_head(&mut reader)?;
        let mut words = head.split(' ');
        let (method, target) = (words.next(), words.next());
        let act = (self.rule.lock())(method.unwrap_or_default(), target.unwrap_or_default());
        match act {
            Act::Answer(status) => {
                skip_body(&mut reader, &head)?;
                write!(
                    &*client,
                    "HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            }
            Act::Cut => client.shutdown(Shutdown::Both),
            Act::Hang => until_closed(reader),
            Act::Pass => {
                let mut server = self.forward(&mut reader, &head)?;
                io::copy(&mut server, &mut &*client).map(drop)
            }
            Act::CutAfter => {
                let mut server = self.forward(&mut reader, &head)?;
                io::copy(&mut server, &mut io::sink())?;
                client.shutdown(Shutdown::Both)
            }
            Act::HangAfter => {
                let mut server = self.forward(&mut reader, &head)?;
                io::copy(&mut server, &mut io::sink())?;
                until_closed(reader)
            }
        }
    }

    /// The request goes on; where its answer comes from.
    fn forward(&self, reader: &mut impl BufRead, head: &str) -> io::Result<TcpStream> {
        let mut server = TcpStream::connect(self.server)?;
        let (line, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        write!(server, "{line}\r\nConnection: close\r\n{rest}")?;
        io::copy(&mut reader.take(body_len(head)), &mut server)?;
        Ok(server)
    }
}

/// The head of a request, with the empty line.
fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn body_len(head: &str) -> u64 {
    let mut lines = head.lines();
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    length.map_or(0, |text| text.trim().parse().expect("a length"))
}

fn skip_body(reader: &mut impl BufRead, head: &str) -> io::Result<()> {
    io::copy(&mut reader.take(body_len(head)), &mut io::sink()).map(drop)
}

/// Takes what still comes, until the client goes.
fn until_closed(mut reader: BufReader<&TcpStream>) -> io::Result<()> {
    io::copy(&mut reader, &mut io::sink()).map(drop)
}
