//! `[key_manager]` and `[barbican]`: where the certificates are that images are signed with, and the keys
//! of encrypted ones.

use std::{path::PathBuf, time::Duration};

use super::{Keystone, fresnel::Fresnel, option::section, reader::Reader, value::Value};
use crate::client::{key_manager::barbican, transport};

section! {
    /// Where the certificates are that images are signed with, and the keys of encrypted images.
    KeyManager in "key_manager" {
        /// `barbican`, or `file`: the directory `[fresnel] keyring_dir`. Unset: `barbican` with the flavor
        /// `keystone`, and `file` without. Any other refuses to start.
        backend: Option<Backend>, was &[("key_manager", "api_class")];
    }
}

section! {
    /// How Barbican is reached. It is asked with the token of whoever uploads or imports.
    Barbican in "barbican" {
        /// Its address. Unset: what the catalog of the service's own token says.
        barbican_endpoint: Option<String>;
        /// Version of its API; only `v1` is spoken.
        barbican_api_version: String = "v1";
        /// Interface of its endpoint in the catalog: `public`, `internal` or `admin`.
        barbican_endpoint_type: String = "public";
        /// Region of its endpoint in the catalog.
        barbican_region_name: Option<String>;
        /// Trust only a Barbican whose certificate is good; `false` trusts whoever answers.
        verify_ssl: bool = "true";
        /// PEM file with the certificates that Barbican's must be signed by, instead of the system's.
        verify_ssl_path: Option<String>;
        /// The service's own token goes with the user's, so that a token that expires meanwhile is still
        /// taken.
        send_service_user_token: bool = "false";
        /// Seconds for a request and its answer.
        timeout: u32 = "30", min 1;
    }
}

/// Which key manager.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Barbican.
    Barbican(barbican::Config),
    /// The directory.
    File(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Barbican,
    File,
}

/// Reads all of it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    fresnel: &Fresnel,
    keystone: &Keystone,
    warnings: &mut Vec<String>,
) -> Keys {
    let chosen = KeyManager::read(reader, &["key_manager"]).backend;
    let barbican = Barbican::read(reader, &["barbican"]);
    let folder = fresnel.keyring_dir.clone();
    let folder = folder.unwrap_or_else(|| reader.path_below_data_dir("keyring"));
    let usual = match keystone.tokens {
        Some(_) => Backend::Barbican,
        None => Backend::File,
    };
    if chosen.unwrap_or(usual) == Backend::File {
        return Keys::File(folder.into());
    }
    if keystone.tokens.is_none() {
        let reason =
            "barbican needs [paste_deploy] flavor = keystone: it is asked with users' tokens";
        reader.refuse("key_manager", "backend", reason);
    }
    if !barbican.verify_ssl {
        warnings.push(
            "[barbican] verify_ssl = false trusts whoever answers in Barbican's place".to_owned(),
        );
    }
    if barbican.barbican_api_version != "v1" {
        reader.refuse("barbican", "barbican_api_version", "can only be v1");
    }
    let interfaces = ["public", "internal", "admin"];
    if !interfaces.contains(&barbican.barbican_endpoint_type.as_str()) {
        let reason = format!("is not one of {}", interfaces.join(", "));
        reader.refuse("barbican", "barbican_endpoint_type", &reason);
    }
    Keys::Barbican(barbican::Config {
        endpoint: barbican.barbican_endpoint,
        region: barbican.barbican_region_name,
        interface: barbican.barbican_endpoint_type,
        send_service_token: barbican.send_service_user_token,
        transport: transport::Config {
            ca_file: barbican.verify_ssl_path.map(PathBuf::from),
            insecure: !barbican.verify_ssl,
            timeout: Duration::from_secs(barbican.timeout.into()),
            ..transport::Config::default()
        },
    })
}

impl Value for Backend {
    const KIND: &'static str = "one of `barbican`, `file`";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "barbican" | "castellan.key_manager.barbican_key_manager.BarbicanKeyManager" => {
                Ok(Self::Barbican)
            }
            "file" => Ok(Self::File),
            other => Err(format!(
                "{other:?} is not supported, and image signatures could not be verified, nor images decrypted: {}",
                Self::KIND
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::tests::{error, load_text};

    const KEYSTONE: &str = "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\n\
                            auth_url = http://k:5000\nauth_type = password\nuser_id = u\n\
                            password = hunter2\n";

    #[test]
    fn it_is_barbican_where_there_are_tokens_and_a_directory_where_there_are_none() {
        let keys = |text: &str| load_text(text).unwrap().keys;
        let Keys::File(folder) = keys("") else {
            panic!("Barbican without a token");
        };
        assert_eq!(folder, Path::new("./fresnel-data/keyring"));
        let Keys::Barbican(barbican) = keys(KEYSTONE) else {
            panic!("not Barbican");
        };
        assert_eq!(barbican.interface, "public");
        let own = "[key_manager]\nbackend = file\n[fresnel]\nkeyring_dir = /keys\n";
        let Keys::File(folder) = keys(&format!("{KEYSTONE}{own}")) else {
            panic!("not a directory");
        };
        assert_eq!(folder, Path::new("/keys"));
    }

    #[test]
    fn a_key_manager_that_cannot_be_asked_refuses_to_start() {
        for (lines, reason) in [
            (
                "[key_manager]\nbackend = vault\n",
                "\"vault\" is not supported",
            ),
            (
                "[key_manager]\nbackend = barbican\n",
                "needs [paste_deploy] flavor = keystone",
            ),
            (
                &format!("{KEYSTONE}[barbican]\nbarbican_api_version = v2\n"),
                "can only be v1",
            ),
        ] {
            let refused = error(lines);
            assert!(refused.contains(reason), "{refused}");
        }
        let class = "[key_manager]\nbackend = castellan.key_manager.barbican_key_manager.BarbicanKeyManager\n";
        assert!(load_text(&format!("{KEYSTONE}{class}")).is_ok());
    }
}
