//! What may be fetched: `[import_filtering_opts]`, and what nobody may have through us.
//!
//! A host is resolved once. Its addresses are judged, and the connection goes to one of those that
//! passed: there is no second look-up that could answer otherwise.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tokio::{net::lookup_host, sync::Semaphore, time::timeout};

use super::{
    Refusal,
    uri::{Host, Uri},
};

/// Look-ups of names that users give, at once. Each has a thread of those that also read and write files,
/// until the resolver gives up, which no time limit of ours hastens.
static LOOKUPS: Semaphore = Semaphore::const_new(64);
/// How long a name is waited for: in the queue, and then for the resolver.
const LOOKUP_LASTS: Duration = Duration::from_secs(10);

/// Where clouds tell a machine who it is, its credentials among that.
const METADATA: &[IpAddr] = &[
    // OpenStack, Amazon, Azure, Google and others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Amazon: IPv6, and containers.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google, IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba, Azure's wire server, Oracle.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Networks that are reached only where `allowed_hosts` names the host.
const INTERNAL: &[(IpAddr, u8)] = &[
    // This host, and loopback.
    (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    // Link-local.
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    // Private, and what providers share.
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
    (IpAddr::V6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0)), 10),
    // Protocol assignments and benchmarks.
    (IpAddr::V4(Ipv4Addr::new(192, 0, 0, 0)), 24),
    (IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)), 15),
    // Multicast, reserved, broadcast.
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Networks of IPv6 whose addresses stand for one of IPv4, and the bit at which that begins.
const EMBEDDING: &[(Ipv6Addr, u8, u8)] = &[
    // Mapped and compatible.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 96),
    (Ipv6Addr::UNSPECIFIED, 96, 96),
    // NAT64, 6to4.
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, 96),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 16),
];

/// One kind of `[import_filtering_opts]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    /// Nothing else, if there is anything.
    pub allowed: Vec<T>,
    /// Counts only where `allowed` is empty.
    pub disallowed: Vec<T>,
}

/// What may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `allowed_schemes`, `disallowed_schemes`.
    pub schemes: List<String>,
    /// `allowed_hosts`, `disallowed_hosts`.
    pub hosts: List<Host>,
    /// `allowed_ports`, `disallowed_ports`.
    pub ports: List<u16>,
    /// Where this process listens.
    pub listeners: Vec<SocketAddr>,
}

impl<T: PartialEq> List<T> {
    /// Whether the lists let it through.
    pub fn admits(&self, item: &T) -> bool {
        match self.allowed.is_empty() {
            true => !self.disallowed.contains(item),
            false => self.allowed.contains(item),
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            allowed: Vec::new(),
            disallowed: Vec::new(),
        }
    }
}

impl Default for Policy {
    /// Glance's defaults.
    fn default() -> Self {
        Self {
            schemes: List {
                allowed: vec!["http".to_owned(), "https".to_owned()],
                disallowed: Vec::new(),
            },
            hosts: List::default(),
            ports: List {
                allowed: vec![80, 443],
                disallowed: Vec::new(),
            },
            listeners: Vec::new(),
        }
    }
}

impl Policy {
    /// What the address itself says against it.
    pub(super) fn judge(&self, uri: &Uri) -> Result<(), Refusal> {
        if !self.schemes.admits(&uri.scheme.as_str().to_owned()) {
            return Err(Refusal::Scheme);
        }
        if !self.hosts.admits(&uri.host) {
            return Err(Refusal::Host);
        }
        if !self.ports.admits(&uri.port) {
            return Err(Refusal::Port);
        }
        match uri.host {
            Host::Address(address) => self.judge_address(uri, address),
            Host::Name(_) => Ok(()),
        }
    }

    /// The addresses of a host that passed, in the resolver's order; never empty.
    pub(super) async fn resolve(&self, uri: &Uri) -> Result<Vec<SocketAddr>, Refusal> {
        self.judge(uri)?;
        let name = match &uri.host {
            Host::Address(address) => return Ok(vec![SocketAddr::new(*address, uri.port)]),
            Host::Name(name) => name,
        };
        let found = look_up(name.clone(), uri.port).await;
        self.passed(uri, found.ok_or(Refusal::Unresolved)?.into_iter())
    }

    fn passed(
        &self,
        uri: &Uri,
        found: impl Iterator<Item = IpAddr>,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let passed = found.map(|address| address.to_canonical());
        let passed = passed.filter(|address| self.judge_address(uri, *address).is_ok());
        let passed: Vec<_> = passed
            .map(|address| SocketAddr::new(address, uri.port))
            .collect();
        match passed.is_empty() {
            true => Err(Refusal::Address),
            false => Ok(passed),
        }
    }

    /// What an address says against a host that has it.
    fn judge_address(&self, uri: &Uri, address: IpAddr) -> Result<(), Refusal> {
        let stands_for = meant(address);
        let meant = || std::iter::once(address).chain(stands_for);
        let never = meant().any(|address| METADATA.contains(&address))
            || meant().any(|address| self.is_own(SocketAddr::new(address, uri.port)));
        let named = self.hosts.allowed.contains(&uri.host);
        let internal = !named && meant().any(is_internal);
        let disallowed = self.hosts.allowed.is_empty()
            && meant().any(|address| self.hosts.disallowed.contains(&Host::Address(address)));
        match never || internal || disallowed {
            true => Err(Refusal::Address),
            false => Ok(()),
        }
    }

    /// Whether this process would ask itself.
    fn is_own(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| {
            let everywhere = listener.ip().is_unspecified() && is_local(address.ip());
            let there = everywhere || listener.ip().to_canonical() == address.ip();
            listener.port() == address.port() && there
        })
    }
}

/// The addresses that a name has; none where nobody says so in time.
async fn look_up(name: String, port: u16) -> Option<Vec<IpAddr>> {
    let place = timeout(LOOKUP_LASTS, LOOKUPS.acquire()).await.ok()?.ok()?;
    let asked = tokio::spawn(async move {
        let found = lookup_host((name, port)).await;
        // Not before the thread is free.
        drop(place);
        Some(found.ok()?.map(|found| found.ip()).collect())
    });
    timeout(LOOKUP_LASTS, asked).await.ok()?.ok()?
}

/// The address of IPv4 that one of IPv6 stands for.
fn meant(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let embedding = EMBEDDING
        .iter()
        .find(|(network, bits, _)| is_within(address.into(), (*network).into(), *bits));
    let (_, _, at) = embedding?;
    let rest = address.to_bits() << at >> 96;
    Some(Ipv4Addr::from_bits(rest as u32).into())
}

fn is_internal(address: IpAddr) -> bool {
    let mut networks = INTERNAL.iter();
    networks.any(|(network, bits)| is_within(address, *network, *bits))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// Whether an address is one of this machine's: only those can be bound to.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: &Policy, uri: &str) -> Result<(), Refusal> {
        policy.judge(&Uri::parse(uri)?)
    }

    fn hosts(names: &[&str]) -> Vec<Host> {
        names
            .iter()
            .map(|name| Host::parse(name).unwrap())
            .collect()
    }

    fn naming(names: &[&str]) -> Policy {
        let mut policy = Policy::default();
        policy.hosts.allowed = hosts(names);
        policy
    }

    #[test]
    fn internal_addresses_are_reached_only_by_those_who_name_them() {
        for host in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fc00::1]",
            "[fdff::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b:1::a00:1]",
            "[2002:7f00:1::]",
            "[2002:c0a8:101::1]",
        ] {
            let uri = format!("http://{host}/");
            let refused = judge(&Policy::default(), &uri);
            assert_eq!(refused, Err(Refusal::Address), "{host}");
            assert_eq!(judge(&naming(&[host]), &uri), Ok(()), "{host}");
        }
    }

    #[test]
    fn others_are_reached() {
        for host in [
            "93.184.216.34",
            "172.15.0.1",
            "172.32.0.1",
            "100.128.0.1",
            "[2606:2800:220:1::]",
            "[64:ff9b::5db8:d822]",
            "[2002:5db8:d822::]",
            "example.org",
        ] {
            let uri = format!("http://{host}/");
            assert_eq!(judge(&Policy::default(), &uri), Ok(()), "{host}");
        }
    }

    #[test]
    fn metadata_is_nobodys() {
        for host in [
            "169.254.169.254",
            "[fd00:ec2::254]",
            "[fe80::a9fe:a9fe]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            let refused = judge(&naming(&[host]), &format!("http://{host}/latest/meta-data"));
            assert_eq!(refused, Err(Refusal::Address), "{host}");
        }
    }

    #[test]
    fn a_name_is_as_good_as_its_addresses() {
        let uri = Uri::parse("http://inside.example/").unwrap();
        let of = |policy: &Policy, found: &[&str]| {
            policy.passed(&uri, found.iter().map(|address| address.parse().unwrap()))
        };
        let closed = Policy::default();
        assert_eq!(of(&closed, &["127.0.0.1", "::1"]), Err(Refusal::Address));
        assert_eq!(of(&closed, &["::ffff:10.1.1.1"]), Err(Refusal::Address));
        assert_eq!(of(&closed, &[]), Err(Refusal::Address));
        let mixed = of(&closed, &["10.0.0.1", "93.184.216.34"]);
        assert_eq!(mixed, Ok(vec!["93.184.216.34:80".parse().unwrap()]));
        let open = naming(&["inside.example"]);
        assert!(of(&open, &["127.0.0.1"]).is_ok());
        let metadata = of(&open, &["169.254.169.254", "fd00:ec2::254"]);
        assert_eq!(metadata, Err(Refusal::Address));
        let mut closed = Policy::default();
        closed.hosts.disallowed = hosts(&["93.184.216.34"]);
        assert_eq!(of(&closed, &["93.184.216.34"]), Err(Refusal::Address));
    }

    #[test]
    fn our_own_listeners_are_nobodys() {
        let asked = |listener: &str, uri: &str| {
            let mut policy = naming(&["127.0.0.1", "127.0.0.2", "::1"]);
            policy.ports.allowed = vec![9292];
            policy.listeners = vec![listener.parse().unwrap()];
            judge(&policy, uri)
        };
        let own = "http://127.0.0.1:9292/v2/images";
        assert_eq!(asked("127.0.0.1:9292", own), Err(Refusal::Address));
        assert_eq!(asked("0.0.0.0:9292", own), Err(Refusal::Address));
        assert_eq!(asked("[::]:9292", own), Err(Refusal::Address));
        assert_eq!(
            asked("[::]:9292", "http://[::1]:9292/"),
            Err(Refusal::Address)
        );
        assert_eq!(
            asked("0.0.0.0:9292", "http://127.0.0.2:9292/"),
            Err(Refusal::Address)
        );
        assert_eq!(asked("127.0.0.2:9292", own), Ok(()));
        assert_eq!(asked("127.0.0.1:9293", own), Ok(()));
    }

    #[test]
    fn of_two_lists_of_a_kind_the_allowed_one_counts() {
        type Change = fn(&mut Policy);
        let uri = "http://example.org:8080/";
        let with = |change: Change| {
            let mut policy = Policy {
                ports: List::default(),
                ..Policy::default()
            };
            change(&mut policy);
            judge(&policy, uri)
        };
        let host = || Host::parse("example.org").unwrap();
        let cases: [(Result<(), Refusal>, Change); 6] = [
            (Ok(()), |_| {}),
            (Err(Refusal::Port), |p| p.ports.disallowed = vec![8080]),
            (Err(Refusal::Port), |p| p.ports.allowed = vec![80]),
            (Ok(()), |p| {
                p.ports.allowed = vec![8080];
                p.ports.disallowed = vec![8080];
            }),
            (Err(Refusal::Scheme), |p| {
                p.schemes.allowed = vec!["https".into()]
            }),
            (Err(Refusal::Scheme), |p| {
                p.schemes.allowed = Vec::new();
                p.schemes.disallowed = vec!["http".into()];
            }),
        ];
        for (expected, change) in cases {
            assert_eq!(with(change), expected);
        }
        let mut policy = Policy::default();
        policy.hosts.disallowed = vec![host()];
        for spelling in [
            "http://example.org/",
            "http://EXAMPLE.ORG./",
            "http://x@example.org/",
        ] {
            assert_eq!(judge(&policy, spelling), Err(Refusal::Host), "{spelling}");
        }
        policy.hosts.allowed = vec![host()];
        assert_eq!(judge(&policy, "http://example.org/"), Ok(()));
        assert_eq!(judge(&policy, "http://other.example/"), Err(Refusal::Host));
    }

    #[test]
    fn a_port_counts_where_it_is_not_written_too() {
        let mut policy = Policy::default();
        policy.ports.allowed = vec![443];
        assert_eq!(judge(&policy, "https://example.org/"), Ok(()));
        assert_eq!(judge(&policy, "http://example.org/"), Err(Refusal::Port));
        assert_eq!(judge(&policy, "http://example.org:443/"), Ok(()));
    }
}
