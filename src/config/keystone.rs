//! `[paste_deploy]`, `[keystone_authtoken]` and `[oslo_limit]`: who asks, and who we are to Keystone.

use std::{path::PathBuf, time::Duration};

use super::{Role, option::section, reader::Reader, value::Value};
use crate::{
    base::secret::Secret,
    client::{
        keystone::{self, Credentials, Domain, Endpoint, Named, Scope},
        transport,
    },
    control::auth,
};

section! {
    /// How requests are filtered. The file with the filters itself is not read.
    Paste in "paste_deploy" {
        /// Empty: everybody is an administrator; `keystone`: tokens. With `+caching` or
        /// `+cachemanagement` the same, and downloads go through the cache in `image_cache_dir`.
        flavor: Flavor = "";
    }
}

section! {
    /// Whom requests without a token stand for.
    Access in "DEFAULT" {
        /// Requests without a good token may read what is public.
        allow_anonymous_access: bool = "false";
        /// Take the limits of projects from Keystone; see `[oslo_limit]`.
        use_keystone_limits: Option<bool>;
    }
}

section! {
    /// How tokens are validated.
    Authtoken in "keystone_authtoken" {
        /// Where clients are told to get tokens; without it `auth_url`.
        www_authenticate_uri: Option<String>;
        /// Section that holds the options of the service's own credentials, where that is not this one.
        auth_section: Option<String>;
        /// Interface of the endpoint in the catalog at which Keystone is asked.
        interface: String = "internal";
        /// The same, several, the preferred one first; instead of `interface`.
        valid_interfaces: Vec<String> = "";
        /// Region of that endpoint.
        region_name: Option<String>;
        /// Seconds for a request to Keystone and its answer.
        http_connect_timeout: u32 = "30", min 1;
        /// Repetitions of a request that found no Keystone.
        http_request_max_retries: u32 = "3";
        /// PEM file with the certificates that Keystone's must be signed by, instead of the system's.
        cafile: Option<String>;
        /// PEM file with the certificate to show to Keystone.
        certfile: Option<String>;
        /// PEM file with the key of `certfile`, where it is not in there.
        keyfile: Option<String>;
        /// Trust whoever answers in Keystone's place.
        insecure: bool = "false";
        /// Seconds for which an answer about a token is remembered, and so a revoked one may still be
        /// good; -1 or 0 remembers none.
        token_cache_time: i64 = "300", max 86400;
        /// Not needed: each process remembers tokens itself, by their digests.
        memcached_servers: Vec<String> = "", was &[("keystone_authtoken", "memcache_servers")];
        /// Ask for the catalog too, which restricted application credentials need.
        include_service_catalog: bool = "true";
        /// A token with one of these roles is a service's: the expired token of a user is good beside it.
        service_token_roles: Vec<String> = "service";
        /// A service token without these roles is none.
        service_token_roles_required: bool = "true";
        /// What the access rules of application credentials call this service, as `image`; without
        /// it tokens of restricted ones are refused.
        service_type: Option<String>;
    }
}

section! {
    /// Who the service is to Keystone. In `[oslo_limit]` too.
    Plugin in "keystone_authtoken" {
        /// `password`, `v3password` or `v3applicationcredential`.
        auth_type: Option<String>, was &[("keystone_authtoken", "auth_plugin")];
        /// Where the service authenticates, with or without `/v3`.
        auth_url: Option<String>;
        /// The user, by id.
        user_id: Option<String>;
        /// The user, by name.
        username: Option<String>, was &[("keystone_authtoken", "user_name")];
        /// The domain of `username`.
        user_domain_id: Option<String>;
        /// The domain of `username`.
        user_domain_name: Option<String>;
        /// The user's password.
        password: Option<Secret>;
        /// The project of the service, by id.
        project_id: Option<String>, was &[("keystone_authtoken", "tenant_id")];
        /// The project of the service, by name.
        project_name: Option<String>, was &[("keystone_authtoken", "tenant_name")];
        /// The domain of `project_name`.
        project_domain_id: Option<String>;
        /// The domain of `project_name`.
        project_domain_name: Option<String>;
        /// The domain that stands in for those that are not set.
        default_domain_id: Option<String>;
        /// The domain that stands in for those that are not set.
        default_domain_name: Option<String>;
        /// The domain of the service, instead of a project.
        domain_id: Option<String>;
        /// The domain of the service, instead of a project.
        domain_name: Option<String>;
        /// `all`: the whole system, instead of a project.
        system_scope: Option<String>;
        /// The application credential, by id.
        application_credential_id: Option<String>;
        /// The application credential, by name; with the user whose it is.
        application_credential_name: Option<String>;
        /// Its secret.
        application_credential_secret: Option<Secret>;
    }
}

section! {
    /// Where the limits of projects come from, with `use_keystone_limits`. Who the service is to
    /// Keystone is said here by the same options as in `[keystone_authtoken]` (`auth_type` and below).
    OsloLimit in "oslo_limit" {
        /// The endpoint whose limits count, by id.
        endpoint_id: Option<String>;
        /// The same by its service's type.
        endpoint_service_type: Option<String>;
        /// The same by its service's name.
        endpoint_service_name: Option<String>;
        /// The region of the limits, where `endpoint_id` is not set.
        endpoint_region_name: Option<String>;
        /// Interfaces of the endpoint in the catalog at which Keystone is asked, the preferred one first.
        valid_interfaces: Vec<String> = "internal,public";
        /// Region of that endpoint.
        region_name: Option<String>;
        /// Seconds for a request to Keystone and its answer.
        timeout: Option<u32>, min 1;
        /// PEM file with the certificates that Keystone's must be signed by, instead of the system's.
        cafile: Option<String>;
        /// PEM file with the certificate to show to Keystone.
        certfile: Option<String>;
        /// PEM file with the key of `certfile`, where it is not in there.
        keyfile: Option<String>;
        /// Trust whoever answers in Keystone's place.
        insecure: bool = "false";
    }
}

/// What the configuration says about Keystone.
#[derive(Clone, Debug, Default)]
pub struct Keystone {
    /// How tokens are validated; none without authentication.
    pub tokens: Option<Tokens>,
    /// Where limits come from; none without.
    pub limits: Option<(keystone::Config, Endpoint)>,
    /// Which filters requests go through.
    pub flavor: Flavor,
    /// Who a cache node is to its upstream; none asks without a token.
    pub own: Option<keystone::Config>,
}

/// How tokens are validated.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// How Keystone is reached.
    pub session: keystone::Config,
    /// How long answers are remembered; none is not at all.
    pub cache_time: Option<Duration>,
    /// Whether catalogs are asked for.
    pub include_catalog: bool,
    /// What makes a caller of a token.
    pub settings: auth::Settings,
}

/// Reads all of it.
pub(super) fn read(reader: &mut Reader<'_>, role: Role, warnings: &mut Vec<String>) -> Keystone {
    let flavor = Paste::read(reader, &["paste_deploy"]).flavor;
    let access = Access::read(reader, &["DEFAULT"]);
    let authtoken = Authtoken::read(reader, &["keystone_authtoken"]);
    let section = authtoken.auth_section.clone();
    let section = section.as_deref().unwrap_or("keystone_authtoken");
    let plugin = Plugin::read(reader, &[section]);
    let oslo_limit = OsloLimit::read(reader, &["oslo_limit"]);
    let limits_plugin = Plugin::read(reader, &["oslo_limit"]);
    let has_credentials = match role {
        Role::Service => flavor.authenticates,
        Role::Node => plugin.auth_type.is_some(),
    };
    let tokens = match has_credentials {
        true => authtoken.tokens(reader, plugin, section, &access, warnings),
        false => None,
    };
    // A node validates no token: it has one.
    let (tokens, own) = match role {
        Role::Service => (tokens, None),
        Role::Node => (None, tokens.map(|tokens| tokens.session)),
    };
    let limits = match access.use_keystone_limits {
        Some(true) => oslo_limit.limits(reader, limits_plugin),
        Some(false) | None => None,
    };
    Keystone {
        tokens,
        limits,
        flavor,
        own,
    }
}

impl Authtoken {
    fn tokens(
        self,
        reader: &mut Reader<'_>,
        plugin: Plugin,
        section: &str,
        access: &Access,
        warnings: &mut Vec<String>,
    ) -> Option<Tokens> {
        let mut warn = |text: &str| warnings.push(format!("[keystone_authtoken] {text}"));
        if !self.memcached_servers.is_empty() {
            warn("memcached_servers is not needed: each process remembers tokens itself");
        }
        if !self.service_token_roles_required {
            warn("service_token_roles_required = false takes anybody's token for a service's");
        }
        if self.insecure {
            warn("insecure = true trusts whoever answers in Keystone's place");
        }
        let transport = transport::Config {
            ca_file: self.cafile.map(PathBuf::from),
            cert_file: self.certfile.map(PathBuf::from),
            key_file: self.keyfile.map(PathBuf::from),
            insecure: self.insecure,
            timeout: Duration::from_secs(self.http_connect_timeout.into()),
        };
        let (auth_url, credentials, scope) = plugin.read_out(reader, section)?;
        let authenticate_at = self.www_authenticate_uri.as_deref().unwrap_or(&auth_url);
        let settings = auth::Settings {
            allow_anonymous_access: access.allow_anonymous_access,
            service_token_roles: self.service_token_roles,
            service_token_roles_required: self.service_token_roles_required,
            service_type: self.service_type,
            authenticate_at: authenticate_at.into(),
        };
        let interfaces = match self.valid_interfaces.is_empty() {
            true => vec![self.interface],
            false => self.valid_interfaces,
        };
        let cache_time = u64::try_from(self.token_cache_time).ok();
        Some(Tokens {
            session: keystone::Config {
                auth_url,
                credentials,
                scope,
                region: self.region_name,
                interfaces: without_suffix(interfaces),
                retries: self.http_request_max_retries,
                transport,
            },
            cache_time: cache_time
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            include_catalog: self.include_service_catalog,
            settings,
        })
    }
}

impl OsloLimit {
    fn limits(
        self,
        reader: &mut Reader<'_>,
        plugin: Plugin,
    ) -> Option<(keystone::Config, Endpoint)> {
        let (auth_url, credentials, scope) = plugin.read_out(reader, "oslo_limit")?;
        let endpoint = match self.endpoint_id {
            Some(id) => Endpoint::Id(id),
            None => Endpoint::Service {
                service_type: self.endpoint_service_type,
                service_name: self.endpoint_service_name,
                region: self.endpoint_region_name,
            },
        };
        if let Endpoint::Service {
            service_type: None,
            service_name: None,
            ..
        } = &endpoint
        {
            let reason = "or endpoint_service_type or endpoint_service_name must be set";
            reader.refuse("oslo_limit", "endpoint_id", reason);
            return None;
        }
        let usual = transport::Config::default();
        let config = keystone::Config {
            auth_url,
            credentials,
            scope,
            region: self.region_name,
            interfaces: without_suffix(self.valid_interfaces),
            retries: 3,
            transport: transport::Config {
                ca_file: self.cafile.map(PathBuf::from),
                cert_file: self.certfile.map(PathBuf::from),
                key_file: self.keyfile.map(PathBuf::from),
                insecure: self.insecure,
                timeout: self
                    .timeout
                    .map_or(usual.timeout, |seconds| Duration::from_secs(seconds.into())),
            },
        };
        Some((config, endpoint))
    }
}

impl Plugin {
    /// Where we authenticate, as whom, and for what; what is missing is refused.
    fn read_out(
        self,
        reader: &mut Reader<'_>,
        section: &str,
    ) -> Option<(String, Credentials, Option<Scope>)> {
        let mut refuse = |name: &str, reason: &str| {
            reader.refuse(section, name, reason);
            None
        };
        let default = domain(self.default_domain_id, self.default_domain_name);
        let user_domain = domain(self.user_domain_id, self.user_domain_name).or(default.clone());
        let project_domain = domain(self.project_domain_id, self.project_domain_name).or(default);
        let user = named(self.user_id, self.username, user_domain);
        let Some(auth_url) = self.auth_url else {
            return refuse("auth_url", "must be set");
        };
        let missing_user = "or user_id must be set, a name together with its domain";
        let credentials = match self.auth_type.as_deref() {
            Some("password" | "v3password") => {
                let Some(password) = self.password else {
                    return refuse("password", "must be set");
                };
                match user {
                    Some(user) => Credentials::Password { user, password },
                    None => return refuse("username", missing_user),
                }
            }
            Some("v3applicationcredential") => {
                let Some(secret) = self.application_credential_secret else {
                    return refuse("application_credential_secret", "must be set");
                };
                let (id, name) = (
                    self.application_credential_id,
                    self.application_credential_name,
                );
                match (id, name, user) {
                    (Some(id), _, _) => Credentials::Application { id, secret },
                    (None, Some(name), Some(user)) => {
                        Credentials::ApplicationOf { user, name, secret }
                    }
                    (None, Some(_), None) => return refuse("username", missing_user),
                    (None, None, _) => {
                        let reason = "or application_credential_name must be set";
                        return refuse("application_credential_id", reason);
                    }
                }
            }
            Some(other) => {
                let reason = format!(
                    "{other:?} is not one of password, v3password, v3applicationcredential"
                );
                return refuse("auth_type", &reason);
            }
            None => {
                return refuse(
                    "auth_type",
                    "must be set: password, v3password or v3applicationcredential",
                );
            }
        };
        let scope = match (&credentials, self.system_scope.as_deref()) {
            // It has its own.
            (Credentials::Application { .. } | Credentials::ApplicationOf { .. }, _) => None,
            (Credentials::Password { .. }, Some("all")) => Some(Scope::SYSTEM),
            (Credentials::Password { .. }, Some(_)) => {
                return refuse("system_scope", "can only be all");
            }
            (Credentials::Password { .. }, None) => {
                let project = named(self.project_id, self.project_name, project_domain);
                let domain = domain(self.domain_id, self.domain_name);
                project.map(Scope::Project).or(domain.map(Scope::Domain))
            }
        };
        Some((auth_url, credentials, scope))
    }
}

fn domain(id: Option<String>, name: Option<String>) -> Option<Domain> {
    id.map(Domain::Id).or(name.map(Domain::Name))
}

fn named(id: Option<String>, name: Option<String>, domain: Option<Domain>) -> Option<Named> {
    let by_name = || {
        Some(Named::Name {
            name: name?,
            domain: domain?,
        })
    };
    id.map(|id| Named::Id { id }).or_else(by_name)
}

/// `internalURL` is an old spelling.
fn without_suffix(interfaces: Vec<String>) -> Vec<String> {
    let short = |name: String| name.strip_suffix("URL").unwrap_or(&name).to_owned();
    interfaces.into_iter().map(short).collect()
}

/// A flavor of Glance 33's `glance-api-paste.ini`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flavor {
    /// Whether requests need tokens.
    pub authenticates: bool,
    /// Whether there is an image cache.
    pub caches: bool,
    /// Whether the image cache has its paths of before 2.14.
    pub manages_cache: bool,
}

impl Value for Flavor {
    const KIND: &'static str = "paste flavor";

    fn parse(text: &str) -> Result<Self, String> {
        let (authenticates, caches, manages_cache) = match text.trim() {
            "" => (false, false, false),
            "caching" => (false, true, false),
            "cachemanagement" => (false, true, true),
            "keystone" => (true, false, false),
            "keystone+caching" => (true, true, false),
            "keystone+cachemanagement" => (true, true, true),
            other => {
                return Err(format!(
                    "{other:?} is none of Glance's flavors: empty, keystone, and both with caching \
                     or cachemanagement"
                ));
            }
        };
        Ok(Self {
            authenticates,
            caches,
            manages_cache,
        })
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret";
    const SHOW: fn(&str) -> String = |_| "***".to_owned();

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{errors, load_node_text, load_text, shown};

    const OURS: &str = "auth_url = http://k:5000\nauth_type = password\nusername = glance\n\
                        password = hunter2\nuser_domain_name = Default\n\
                        project_name = service\nproject_domain_id = default\n";

    fn with_flavor(flavor: &str, lines: &str) -> String {
        format!("[paste_deploy]\nflavor = {flavor}\n[keystone_authtoken]\n{lines}")
    }

    #[test]
    fn with_tokens_the_service_listens_everywhere() {
        let config = load_text(&with_flavor("keystone", OURS)).unwrap();
        assert_eq!(config.http.bind_host, "0.0.0.0");
        let tokens = config.keystone.tokens.unwrap();
        assert_eq!(&*tokens.settings.authenticate_at, "http://k:5000");
        assert_eq!(tokens.session.interfaces, ["internal"]);
        let project = Named::Name {
            name: "service".into(),
            domain: Domain::Id("default".into()),
        };
        assert_eq!(tokens.session.scope, Some(Scope::Project(project)));
        assert_eq!(tokens.cache_time, Some(Duration::from_secs(300)));
        let open = load_text(&with_flavor("", OURS)).unwrap();
        assert_eq!(open.http.bind_host, "127.0.0.1");
        assert!(open.keystone.tokens.is_none());
    }

    #[test]
    fn a_node_has_a_token_where_it_has_credentials() {
        let config = load_node_text(&with_flavor("keystone", OURS)).unwrap();
        assert!(config.keystone.tokens.is_none());
        assert_eq!(config.keystone.own.unwrap().auth_url, "http://k:5000");
        let without = with_flavor("keystone", "auth_url = http://k:5000\n");
        assert!(load_node_text(&without).unwrap().keystone.own.is_none());
        let half = with_flavor("", "auth_type = password\nauth_url = http://k:5000\n");
        assert!(load_node_text(&half).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = load_text(&with_flavor("keystone", OURS)).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(shown(&config, "keystone_authtoken", "password"), ["***"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            ("", "auth_url: must be set"),
            ("auth_url = http://k", "auth_type: must be set"),
            (
                "auth_url = http://k\nauth_type = v3oidcpassword",
                "auth_type: \"v3oidcpassword\"",
            ),
            (
                "auth_url = http://k\nauth_type = password",
                "password: must be set",
            ),
            (
                "auth_url = http://k\nauth_type = password\npassword = p\nusername = u",
                "username: or user_id must be set, a name together with its domain",
            ),
        ];
        for (lines, expected) in cases {
            let errors = errors(&with_flavor("keystone", lines));
            assert!(errors[0].contains(expected), "{errors:?}");
        }
        let errors = errors(&with_flavor("trusted-auth", OURS));
        assert!(
            errors[0].starts_with("a.conf:2: [paste_deploy] flavor: "),
            "{errors:?}"
        );
    }

    #[test]
    fn our_credentials_may_have_a_section_of_their_own() {
        let text = format!(
            "{}[us]\n{OURS}",
            with_flavor("keystone", "auth_section = us\n")
        );
        let config = load_text(&text).unwrap();
        assert_eq!(config.warnings, [""; 0]);
        assert_eq!(
            config.keystone.tokens.unwrap().session.auth_url,
            "http://k:5000"
        );
    }

    #[test]
    fn restricted_by_time_or_not_at_all() {
        for (time, expected) in [
            ("-1", None),
            ("0", None),
            ("9", Some(Duration::from_secs(9))),
        ] {
            let lines = format!("{OURS}token_cache_time = {time}\n");
            let config = load_text(&with_flavor("keystone", &lines)).unwrap();
            assert_eq!(config.keystone.tokens.unwrap().cache_time, expected);
        }
    }
}
