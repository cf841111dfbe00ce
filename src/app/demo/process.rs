//! The service as a child process, and what it uses.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{base::limits::MIB, config::Config};

/// How long the service may take to listen.
const START_TIME_MAX: Duration = Duration::from_secs(30);

const START_LOOK_EVERY: Duration = Duration::from_millis(20);

/// A service on a scratch directory; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

/// What some work took of the service.
#[derive(Debug)]
pub(super) struct Usage {
    /// From begin to end.
    pub(super) wall_seconds: f64,
    /// User and system time of all its threads.
    pub(super) cpu_seconds: f64,
}

impl Server {
    pub(super) async fn start(scratch: &Path, config: &Config) -> anyhow::Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = scratch.join("fresnel.conf");
        let text = format!(
            "[DEFAULT]\nbind_host = {}\nbind_port = {}\nlog_file = {}\n\
             [fresnel]\ndata_dir = {}\nmemory_limit_mib = {}\n",
            address.ip(),
            address.port(),
            scratch.join("log").display(),
            scratch.display(),
            config.memory_limit_bytes / MIB,
        );
        fs::write(&file, text)?;
        let program = std::env::current_exe().context("cannot find the program itself")?;
        let mut command = Command::new(program);
        let child = command
            .arg("serve")
            .arg("--config-file")
            .arg(&file)
            .spawn()?;
        let mut server = Self { child, address };
        server.wait_until_it_listens().await?;
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does some work, and says what it took.
    pub(super) fn measure(
        &self,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Usage> {
        let (begin, before) = (Instant::now(), self.cpu_seconds()?);
        work()?;
        Ok(Usage {
            wall_seconds: begin.elapsed().as_secs_f64(),
            cpu_seconds: self.cpu_seconds()? - before,
        })
    }

    /// The most memory that it ever held.
    pub(super) fn peak_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.context("no peak in /proc")?.parse()?;
        Ok(kib * 1024)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name in parentheses: user and system time are the fields 11 and 12.
        let (_, fields) = stat.rsplit_once(") ").context("no times in /proc")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>()?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    async fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the service did not start: {status}");
            }
            if begin.elapsed() > START_TIME_MAX {
                bail!("the service does not listen on {}", self.address);
            }
            tokio::time::sleep(START_LOOK_EVERY).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing that is worth a drain; both calls fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
