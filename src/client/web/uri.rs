//! The address of something on the web, read so that nobody can read it otherwise.
//!
//! What programs read differently is refused: backslashes and control characters, numbers that only
//! some take for an address of IPv4 (`127.1`, `0x7f000001`, `017700000001`), zones of IPv6.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use super::Refusal;
use crate::base::secret::Secret;

/// The longest name that the DNS has.
const NAME_BYTES_MAX: usize = 253;
/// A longer address is refused.
const URI_BYTES_MAX: usize = 8192;

/// What a path is written without.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An address with its parts.
#[derive(Clone, Debug)]
pub struct Uri {
    pub(super) scheme: Scheme,
    /// `user:password`, decoded.
    pub(super) credentials: Option<Secret>,
    pub(super) host: Host,
    /// Also where it is not written.
    pub(super) port: u16,
    /// Path and query, percent-encoded; begins with `/`.
    target: String,
}

/// The schemes that there is a client for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// A host in one spelling, so that two of it are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name in lower case, in ASCII, without a dot at its end.
    Name(String),
    /// An address. One of IPv4 in IPv6 is one of IPv4.
    Address(IpAddr),
}

impl Uri {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Scheme`], [`Refusal::Host`], [`Refusal::Port`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = Err(Refusal::Malformed);
        if text.len() > URI_BYTES_MAX || text.chars().any(char::is_control) {
            return malformed;
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return malformed;
        };
        let scheme = Scheme::parse(scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if authority.contains('\\') || authority.contains(char::is_whitespace) {
            return malformed;
        }
        // The last `@` ends the credentials: what is before it is no host, whatever it looks like.
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(decoded(credentials)?), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        let target = rest.split('#').next().unwrap_or_default();
        let target = utf8_percent_encode(target, UNSAFE).to_string();
        Ok(Self {
            scheme,
            credentials,
            host,
            port: port.unwrap_or_else(|| scheme.port()),
            target: match target.starts_with('/') {
                true => target,
                false => format!("/{target}"),
            },
        })
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, written or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as a request line has them.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The whole, without credentials.
    pub fn bare(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority(), self.target)
    }

    /// Host and port, as the `Host` header has them.
    pub(super) fn authority(&self) -> String {
        match self.port == self.scheme.port() {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether both are asked at the same place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// Where a redirection from here leads: an address, or a path here.
    pub(super) fn join(&self, location: &str) -> Result<Self, Refusal> {
        if location.contains("://") {
            return Self::parse(location);
        }
        let here = url::Url::parse(&self.bare()).map_err(|_| Refusal::Malformed)?;
        let there = here.join(location).map_err(|_| Refusal::Malformed)?;
        Self::parse(there.as_str())
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, Refusal> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err(Refusal::Scheme),
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub(super) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Host {
    /// Reads a host as it stands in an address; IPv6 with or without brackets.
    ///
    /// # Errors
    /// [`Refusal::Host`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if bracketed.is_some() || text.contains(':') {
            let address: Ipv6Addr = bracketed
                .unwrap_or(text)
                .parse()
                .map_err(|_| Refusal::Host)?;
            return Ok(Self::Address(address.to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if text.contains('%') {
            return Err(Refusal::Host);
        }
        // It takes every number that any program takes for an address for one.
        match url::Host::parse(text) {
            Ok(url::Host::Domain(name)) => Self::name(&name),
            Ok(url::Host::Ipv4(_) | url::Host::Ipv6(_)) | Err(_) => Err(Refusal::Host),
        }
    }

    fn name(text: &str) -> Result<Self, Refusal> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let label = |label: &str| !label.is_empty() && label.chars().all(letter);
        let is_name = name.len() <= NAME_BYTES_MAX
            && name.split('.').all(label)
            && !name.chars().all(|c| c.is_ascii_digit() || c == '.');
        is_name
            .then(|| Self::Name(name.to_ascii_lowercase()))
            .ok_or(Refusal::Host)
    }
}

/// Splits what follows the credentials. A port that is not written, or empty, is none.
fn host_and_port(place: &str) -> Result<(Host, Option<u16>), Refusal> {
    let (host, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, "")) => (format!("[{address}]"), ""),
        Some((address, rest)) => {
            let port = rest.strip_prefix(':').ok_or(Refusal::Malformed)?;
            (format!("[{address}]"), port)
        }
        None => {
            let (host, port) = place.split_once(':').unwrap_or((place, ""));
            (host.to_owned(), port)
        }
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse().ok().filter(|port| *port > 0);
            Some(port.ok_or(Refusal::Port)?)
        }
        _ => return Err(Refusal::Malformed),
    };
    Ok((Host::parse(&host)?, port))
}

fn decoded(credentials: &str) -> Result<Secret, Refusal> {
    let text = Zeroizing::new(percent_decode_str(credentials).collect::<Vec<u8>>());
    let text = std::str::from_utf8(&text).map_err(|_| Refusal::Malformed)?;
    Ok(Secret::new(text.to_owned()))
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        for (text, host, port) in [
            ("http://example.org", "example.org", 80),
            ("HTTPS://EXAMPLE.org./x", "example.org", 443),
            ("http://example.org:8080/x?y#z", "example.org", 8080),
            ("http://example.org:/x", "example.org", 80),
            ("http://10.0.0.1:81", "10.0.0.1", 81),
            ("http://[::1]:81", "[::1]", 81),
            ("http://[0:0::0:1]", "[::1]", 80),
            ("http://[::ffff:169.254.169.254]/", "169.254.169.254", 80),
            ("http://[::ffff:7f00:1]/", "127.0.0.1", 80),
            // Not the host that it looks like.
            ("http://good.example@evil.example/", "evil.example", 80),
            ("http://good.example:80@127.0.0.1:82/", "127.0.0.1", 82),
            ("http://a@b@c.example", "c.example", 80),
            ("http://evil.example#@good.example/", "evil.example", 80),
            ("http://evil.example?@good.example/", "evil.example", 80),
            ("http://bücher.example/", "xn--bcher-kva.example", 80),
        ] {
            let uri = Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (uri.host.to_string().as_str(), uri.port),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused() {
        for text in [
            "",
            "example.org",
            "http:/example.org",
            "http:example.org",
            "http://",
            "http:///path",
            "http://:80/",
            "http://@/",
            " http://example.org",
            "http://exa mple.org/",
            "http://example.org\t/",
            "http://exam\nple.org/",
            "http://evil.example\\@good.example/",
            "http://good.example\\.evil.example/",
            "http://example..org/",
            "http://.example.org/",
            "http://exam%70le.org/",
            "http://127.0.0.%31/",
            "http://example.org:x/",
            "http://example.org:+80/",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://example.org:80:81/",
            // Forms of 127.0.0.1.
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://017700000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.1/",
            "http://127.0.0.1./",
            "http://127.000.000.001/",
            "http://１２７.０.０.１/",
            "http://①②⑦.0.0.1/",
            "http://127。0。0。1/",
            // IPv6.
            "http://::1/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[::1%25eth0]/",
            "http://[fe80::1%eth0]/",
            "http://[127.0.0.1]/",
            "http://[v1.fe80::a]/",
            // Schemes.
            "ftp://example.org/",
            "file:///etc/passwd",
            "gopher://example.org/",
            "swift+http://example.org/",
        ] {
            assert!(Uri::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn targets_are_written_as_requests_have_them() {
        for (text, target) in [
            ("http://h", "/"),
            ("http://h?q=1", "/?q=1"),
            ("http://h/a b/ü%20?x=\"#frag", "/a%20b/%C3%BC%20?x=%22"),
        ] {
            assert_eq!(Uri::parse(text).unwrap().target(), target, "{text}");
        }
    }

    #[test]
    fn redirections_are_read_as_addresses_are() {
        let here = Uri::parse("https://u:p@h.example:8443/a/b?q").unwrap();
        for (location, there) in [
            ("/c", "https://h.example:8443/c"),
            ("c", "https://h.example:8443/a/c"),
            ("//other.example/c", "https://other.example/c"),
            ("http://[::1]/", "http://[::1]/"),
        ] {
            let joined = here.join(location).unwrap();
            assert_eq!(joined.bare(), there);
            assert!(joined.credentials.is_none());
        }
        for bad in [
            "http://0x7f000001/",
            "//127.1\\/",
            "ftp://h/",
            "http://127.1/",
        ] {
            let joined = here.join(bad);
            // The library has made a plain address of it, which is judged as such.
            let plain = |uri: &Uri| matches!(uri.host, Host::Address(_));
            assert!(joined.as_ref().map_or(true, plain), "{bad}: {joined:?}");
        }
    }

    #[test]
    fn debug_output_shows_no_password() {
        let uri = Uri::parse("http://me:hunter2@h/").unwrap();
        assert!(!format!("{uri:?} {}", uri.bare()).contains("hunter2"));
        assert_eq!(uri.credentials.unwrap().expose(), "me:hunter2");
    }
}
