//! The addresses of objects in Swift (reference E.5): `swift+config://<reference>/<container>/<id>`,
//! and the older ones with credentials, `swift+https://<account>:<user>:<key>@<auth>/<container>/<id>`.

use percent_encoding::percent_decode_str;

use super::{config::Reference, draft};

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The place of its account among the store's references.
    pub(super) reference: usize,
    pub(super) container: String,
    pub(super) object: String,
}

impl Address {
    /// Reads an address of one of these accounts. Credentials in it say whose account it is, and
    /// nothing else: who we are, only the configuration says.
    pub(super) fn parse(url: &str, references: &[Reference]) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if rest.contains("://") {
            return None;
        }
        let (authority, path) = match (scheme, rest.rsplit_once('@')) {
            ("swift+config", None) => (None, rest),
            ("swift" | "swift+http" | "swift+https", Some((credentials, path))) => {
                (Some(credentials), path)
            }
            _ => return None,
        };
        let (path, object) = path.rsplit_once('/')?;
        let (place, container) = path.rsplit_once('/')?;
        if !draft::is_name(object) || !draft::is_name(container) {
            return None;
        }
        let reference = match authority {
            None => references.iter().position(|known| known.name == place)?,
            Some(credentials) => {
                let credentials = percent_decode_str(credentials).decode_utf8().ok()?;
                let (user, _) = credentials.rsplit_once(':')?;
                references.iter().position(|known| {
                    known.user.as_deref() == Some(user) && known.auth_address == place
                })?
            }
        };
        Some(Self {
            reference,
            container: container.to_owned(),
            object: object.to_owned(),
        })
    }
}

/// The address of an object, as Glance writes it where it has a `swift_store_config_file`, and reads
/// it everywhere.
pub(super) fn write(reference: &str, container: &str, object: &str) -> String {
    format!("swift+config://{reference}/{container}/{object}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::secret::Secret,
        client::{
            swift::{self, Auth, V1},
            transport,
        },
    };

    fn reference(name: &str, user: &str) -> Reference {
        Reference {
            name: name.to_owned(),
            auth_address: "auth.example:5000/v3".to_owned(),
            user: Some(user.to_owned()),
            account: swift::Config {
                auth: Auth::V1(V1 {
                    url: String::new(),
                    user: String::new(),
                    key: Secret::new(String::new()),
                }),
                endpoint: None,
                transport: transport::Config::default(),
            },
        }
    }

    #[test]
    fn an_address_is_of_an_account_that_is_known() {
        let known = [
            reference("ref1", "service:glance"),
            reference("ref2", "o:p"),
        ];
        let read = |url: &str| {
            let address = Address::parse(url, &known)?;
            Some((address.reference, address.container, address.object))
        };
        let found = |reference, container: &str, object: &str| {
            Some((reference, container.to_owned(), object.to_owned()))
        };
        assert_eq!(
            read(&write("ref2", "glance", "id")),
            found(1, "glance", "id")
        );
        for url in [
            "swift+https://service:glance:key@auth.example:5000/v3/glance/id",
            "swift+http://service%3Aglance:k%40y@auth.example:5000/v3/glance/id",
            "swift://service:glance:old-key@auth.example:5000/v3/glance/id",
        ] {
            assert_eq!(read(url), found(0, "glance", "id"), "{url}");
        }
        for url in [
            "",
            "swift",
            "swift://",
            "swift+config://",
            "swift+config://ref1/glance",
            "swift+config://ref3/glance/id",
            "swift+config://ref1/glance/",
            "swift+config://ref1//id",
            "swift+config://ref1/glance/..",
            "swift+config://u:k@ref1/glance/id",
            "swift+config://ref1/more/glance/id",
            "swift+https://auth.example:5000/v3/glance/id",
            "swift+https://service:other:key@auth.example:5000/v3/glance/id",
            "swift+https://service:glance:key@elsewhere.example/v3/glance/id",
            "swift+https://a:b:c@http://auth.example:5000/v3/glance/id",
            "file:///glance/id",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }
}
