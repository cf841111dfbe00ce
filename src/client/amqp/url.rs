//! `transport_url` as oslo.messaging reads it:
//! `rabbit://user:password@host:port[,user:password@host:port...]/virtual_host`.

use percent_encoding::percent_decode_str;

use crate::base::secret::Secret;

const PORT: u16 = 5672;
const NOBODY: &str = "guest";

/// Where brokers are.
#[derive(Clone, Debug)]
pub struct TransportUrl {
    /// All of one cluster, each good.
    pub hosts: Vec<Host>,
    /// `/` where the URL names none.
    pub virtual_host: String,
}

/// A broker, and who we are to it.
#[derive(Clone, Debug)]
pub struct Host {
    /// A name or an address, without brackets.
    pub name: String,
    /// 5672 unless the URL says otherwise.
    pub port: u16,
    /// `guest` where the URL names nobody, as RabbitMQ has it.
    pub user: String,
    /// The user's.
    pub password: Secret,
}

impl TransportUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without its passwords.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if !matches!(scheme, "rabbit" | "kombu") {
            return Err(format!(
                "{scheme:?} is no transport that is supported: rabbit is"
            ));
        }
        let rest = rest
            .strip_prefix("//")
            .ok_or("it has no // after rabbit:")?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let named = hosts.split(',').filter(|host| !host.is_empty());
        let mut hosts = named.map(host).collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            hosts.push(host("localhost")?);
        }
        let virtual_host = decoded(path)?;
        Ok(Self {
            hosts,
            virtual_host: match virtual_host.is_empty() {
                true => "/".to_owned(),
                false => virtual_host,
            },
        })
    }
}

/// The URL without its passwords, to be shown.
pub fn masked(url: &str) -> String {
    let masked = url.split(',').map(|part| {
        let Some((before, host)) = part.rsplit_once('@') else {
            return part.to_owned();
        };
        let start = before.find("//").map_or(0, |at| at + 2);
        match before[start..].split_once(':') {
            Some((user, _)) => format!("{}{user}:***@{host}", &before[..start]),
            None => part.to_owned(),
        }
    });
    masked.collect::<Vec<_>>().join(",")
}

fn host(text: &str) -> Result<Host, String> {
    let (who, place) = match text.rsplit_once('@') {
        Some((who, place)) => (Some(who), place),
        None => (None, text),
    };
    let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (NOBODY.to_owned(), NOBODY.to_owned()),
    };
    let (name, port) = match place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => port
            .parse()
            .map_err(|_| format!("{name} has no port number after its colon"))?,
        None => PORT,
    };
    Ok(Host {
        name: name.to_owned(),
        port,
        user,
        password: Secret::new(password),
    })
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| "its %xx are not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> Result<(Vec<String>, String), String> {
        let url = TransportUrl::parse(url)?;
        let host = |h: &Host| format!("{}:{}@{}:{}", h.user, h.password.expose(), h.name, h.port);
        Ok((url.hosts.iter().map(host).collect(), url.virtual_host))
    }

    #[test]
    fn urls_are_read_as_oslo_messaging_reads_them() {
        let one = shown("rabbit://glance:p%40ss@10.0.0.1:5671/cloud");
        assert_eq!(
            one.unwrap(),
            (vec!["glance:p@ss@10.0.0.1:5671".into()], "cloud".into())
        );
        let two = shown("rabbit://a:b@h1:1,c:d@[::1]:2//").unwrap();
        assert_eq!(two.0, ["a:b@h1:1", "c:d@::1:2"]);
        assert_eq!(two.1, "/");
        let none = shown("rabbit://").unwrap();
        assert_eq!(none.0, ["guest:guest@localhost:5672"]);
        assert_eq!(none.1, "/");
    }

    #[test]
    fn what_is_no_url_of_a_broker_says_so() {
        assert!(shown("kafka://h").unwrap_err().contains("\"kafka\""));
        assert!(shown("rabbit://u:secret@h:x/").is_err_and(|e| !e.contains("secret")));
        assert!(shown("rabbit").is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = "rabbit://a:b@h1:1,c:d@h2:2/v";
        assert_eq!(masked(url), "rabbit://a:***@h1:1,c:***@h2:2/v");
        assert_eq!(masked("rabbit://h1,h2/"), "rabbit://h1,h2/");
    }
}
