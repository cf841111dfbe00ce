//! The operator's configuration: oslo.config text in, the layers' own types out.
//!
//! The names are Glance's where the meaning is Glance's; what only we have is in `[fresnel]`. Every
//! option is declared once, in [`option::section`], and `docs/CONFIGURATION.md` is generated from
//! the declarations. No file is searched for.
//!
//! ```text
//! files -> dialect -> reader (older names, substitution, types, bounds) -> sections -> Config
//! ```

mod artifacts;
mod cache;
mod database;
mod default;
pub mod dialect;
#[cfg(test)]
mod docs;
mod files;
mod fresnel;
mod guards;
mod image_format;
mod import;
mod key_manager;
mod keystone;
mod listen;
mod middleware;
mod notifications;
mod option;
mod places;
mod plugins;
mod policy;
mod reader;
mod stores;
mod unsupported;
mod value;
mod web;

use std::{fmt, fs, net::SocketAddr, path::PathBuf, time::Duration};

use files::Files;
use option::Table;
use reader::Reader;

use crate::{
    base::{limits::MIB, telemetry},
    store::file::FileIoChoice,
};

pub use cache::Cache;
pub use files::Place;
pub use key_manager::Keys;
pub use keystone::{Flavor, Keystone, Tokens};
pub use option::Opt;
pub use reader::Effective;
pub use stores::{Kind, Store, Stores};

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files and directories in the order of the command line: the later one wins.
    pub files: Vec<Source>,
    /// What the environment variable `FRESNEL_DATA` holds.
    pub data_dir: Option<String>,
}

/// A file or a directory of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--config-file`
    File(PathBuf),
    /// `--config-dir`: its `*.conf` files in the order of their names.
    Dir(PathBuf),
}

/// All that is configured, each part in the type of the layer that it is for.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator should know, to be logged at the start.
    pub warnings: Vec<String>,
    /// The files that were read.
    pub files: Vec<String>,
    /// Every option with its value in force.
    pub effective: Vec<Effective>,
    /// Where the log goes.
    pub logs: telemetry::Config,
    /// Address for `/metrics`; none is off.
    pub metrics_bind: Option<SocketAddr>,
    /// Where and how the service listens.
    pub http: crate::http::Config,
    /// Where the records are.
    pub db: crate::control::db::Config,
    /// Directory of everything that has no place of its own.
    pub data_dir: PathBuf,
    /// The stores.
    pub stores: Stores,
    /// How file stores write.
    pub file_io: FileIoChoice,
    /// Who asks, and what projects may use.
    pub keystone: Keystone,
    /// Images on this node's own disk; none is no cache.
    pub cache: Option<Cache>,
    /// How a cache node reaches its upstream.
    pub upstream: crate::client::transport::Config,
    /// What a cache node believes and keeps.
    pub gateway: crate::gateway::Settings,
    /// Where the certificates of signed images are.
    pub keys: Keys,
    /// How digests are computed.
    pub digest_engine: crate::data::digest::EngineChoice,
    /// What the API tells of itself.
    pub api: crate::api::Settings,
    /// Who may do what.
    pub policy: crate::control::policy::Settings,
    /// Who may do what with which properties; none is everybody everything.
    pub protections: Option<crate::control::protect::Settings>,
    /// What may be fetched from the web for users; our own listeners are not in it yet.
    pub web: crate::client::web::Policy,
    /// How long servers on the web may be silent.
    pub web_timeouts: crate::client::web::Timeouts,
    /// Where changes are told; none is nowhere.
    pub notifications: Option<crate::control::notify::Settings>,
    /// What images may be and what is told of them.
    pub control: crate::control::Settings,
    /// The data plane.
    pub data: crate::data::Settings,
    /// Bytes for the buffers of all transfers.
    pub memory_limit_bytes: usize,
    /// Bytes of them that RBD stores may have in flight to their clusters.
    pub rbd_window_bytes: usize,
    /// How long a node's transfers are its own without a sign of life.
    pub lease: Duration,
    /// How long transfers have to end after SIGTERM.
    pub drain: Duration,
}

impl Config {
    /// An option's value in force, without secrets; empty where it is not set.
    pub fn shown(&self, section: &str, name: &str) -> String {
        let same =
            |effective: &&Effective| effective.section == section && effective.option.name == name;
        let found = self.effective.iter().find(same);
        found.map_or_else(String::new, |effective| effective.shown.join(", "))
    }
}

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file and line; none where it is in no file.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(pub Vec<Problem>);

/// Reads the configuration, or says all that is wrong with it.
pub fn load(sources: &Sources) -> Result<Config, Errors> {
    let mut problems = Vec::new();
    let files = Files::read(&sources.files, &mut problems);
    from_files(&files, Role::Service, sources.data_dir.clone(), problems)
}

/// The same for a cache node: its upstream authenticates, so it may listen anywhere without.
pub fn load_node(sources: &Sources) -> Result<Config, Errors> {
    let mut problems = Vec::new();
    let mut files = Files::read(&sources.files, &mut problems);
    files.add("fresnel node", NODE, &mut problems);
    from_files(&files, Role::Node, sources.data_dir.clone(), problems)
}

/// What the process is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `fresnel serve`
    Service,
    /// `fresnel node`
    Node,
}

/// Every option that is supported.
pub(crate) fn all_options() -> impl Iterator<Item = &'static Opt> {
    TABLES.iter().flat_map(|table| table.options)
}

/// All declarations, in the order of the reference page.
pub(crate) const TABLES: &[Table] = &[
    listen::Listen::TABLE,
    default::Api::TABLE,
    keystone::Access::TABLE,
    default::Images::TABLE,
    cache::ImageCache::TABLE,
    import::Import::TABLE,
    default::Backends::TABLE,
    default::Logs::TABLE,
    database::Database::TABLE,
    keystone::Paste::TABLE,
    keystone::Authtoken::TABLE,
    keystone::Plugin::TABLE,
    keystone::OsloLimit::TABLE,
    stores::GlanceStore::TABLE,
    stores::AnyStore::TABLE,
    stores::FILE,
    stores::HTTP,
    stores::RBD,
    stores::S3,
    stores::SWIFT,
    stores::CINDER,
    import::StagingStore::TABLE,
    import::Tasks::TABLE,
    key_manager::KeyManager::TABLE,
    key_manager::Barbican::TABLE,
    image_format::ImageFormat::TABLE,
    policy::OsloPolicy::TABLE,
    policy::Protection::TABLE,
    middleware::Cors::TABLE,
    middleware::Middleware::TABLE,
    middleware::Healthcheck::TABLE,
    web::ImportFiltering::TABLE,
    plugins::ImageImport::TABLE,
    plugins::ImageConversion::TABLE,
    plugins::InjectMetadata::TABLE,
    plugins::GlanceDownload::TABLE,
    notifications::Publisher::TABLE,
    notifications::Notifications::TABLE,
    notifications::Rabbit::TABLE,
    fresnel::Fresnel::TABLE,
];

/// What is so of every node.
const NODE: &str = "[fresnel]\nallow_unauthenticated = true\n[paste_deploy]\nflavor =\n";

fn from_files(
    files: &Files,
    role: Role,
    data_dir: Option<String>,
    mut problems: Vec<Problem>,
) -> Result<Config, Errors> {
    let environment = data_dir.map(|path| ("fresnel", "data_dir", path));
    let mut reader = Reader::new(files, environment.into_iter().collect());
    let mut warnings = Vec::new();
    guards::check(&mut reader);
    let listen = listen::Listen::read(&mut reader, &["DEFAULT"]);
    let api = default::Api::read(&mut reader, &["DEFAULT"]);
    let logs = default::Logs::read(&mut reader, &["DEFAULT"]);
    let database = database::Database::read(&mut reader, &["database"]);
    let images = default::Images::read(&mut reader, &["DEFAULT"]);
    let formats = image_format::ImageFormat::read(&mut reader, &["image_format"]);
    let fresnel = fresnel::Fresnel::read(&mut reader, &["fresnel"]);
    fresnel.check(&mut reader);
    let keystone = keystone::read(&mut reader, role, &mut warnings);
    let keys = key_manager::read(&mut reader, &fresnel, &keystone, &mut warnings);
    let http = listen.settings(&mut reader, &fresnel, keystone.tokens.is_some());
    let filters = middleware::read(&mut reader, http.bind_port);
    let metrics_bind = metrics_bind(&mut reader, fresnel.metrics_bind.as_deref());
    let cache = cache::read(&mut reader, keystone.flavor, &fresnel, &mut warnings);
    let gateway = fresnel.gateway(&mut reader, cache.as_ref());
    let image_schema = image_schema(&mut reader, fresnel.image_schema_file.as_deref());
    let notifications = notifications::read(&mut reader, &mut warnings, fresnel.events_max);
    let (policy, protections) = policy::read(&mut reader, files, &mut warnings);
    let web = web::read(&mut reader);
    let stores = stores::read(&mut reader, &images, &mut warnings);
    let import = import::read(
        &mut reader,
        &stores,
        fresnel.staging_store.as_deref(),
        api.public_endpoint.as_ref(),
        &mut warnings,
    );
    let artifacts = artifacts::read(&mut reader, &fresnel, &stores);
    warnings.extend(web::warning(&reader, &web, &stores, &import));
    warnings.extend(unsupported::warnings(&reader, &stores));
    let findings = reader.finish();
    problems.extend(findings.problems);
    if !problems.is_empty() {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        return Err(Errors(problems));
    }
    Ok(Config {
        warnings,
        upstream: fresnel.upstream(),
        gateway,
        files: files.names().to_vec(),
        effective: findings.effective,
        logs: logs.settings(),
        metrics_bind,
        http,
        db: database.settings(Duration::from_secs(fresnel.database_timeout_seconds.into())),
        data_dir: fresnel.data_dir.clone().into(),
        file_io: fresnel.file_io,
        cache,
        keystone,
        keys,
        api: filters.add(api.settings(image_schema)),
        digest_engine: fresnel.digest_engine,
        policy,
        protections,
        notifications,
        web,
        web_timeouts: fresnel::web_timeouts(fresnel.web_timeout_seconds),
        data: data_settings(&fresnel),
        memory_limit_bytes: fresnel.memory_limit_mib as usize * MIB,
        rbd_window_bytes: fresnel.rbd_window_mib as usize * MIB,
        lease: Duration::from_secs(fresnel.lease_seconds.into()),
        drain: Duration::from_secs(fresnel.drain_seconds.into()),
        control: control_settings(images, formats, fresnel, import, artifacts, &stores),
        stores,
    })
}

fn data_settings(fresnel: &fresnel::Fresnel) -> crate::data::Settings {
    let admission_wait = Duration::from_secs(fresnel.admission_wait_seconds.into());
    crate::data::Settings {
        admission_wait,
        min_rate_bytes_per_second: fresnel.min_rate_bytes_per_second.into(),
        lag_max: Duration::from_secs(fresnel.target_lag_seconds.into()),
        vault: crate::data::encrypt::Settings {
            memory_kib_max: fresnel.key_derivation_memory_mib * 1024,
            wait: admission_wait,
        },
    }
}

fn metrics_bind(reader: &mut Reader<'_>, text: Option<&str>) -> Option<SocketAddr> {
    let text = text?;
    let address = text.parse().ok();
    if address.is_none() {
        let reason = format!("{text:?} is not an address and a port, as 127.0.0.1:9293");
        reader.refuse("fresnel", "metrics_bind", &reason);
    }
    address
}

/// The text of the file, which must be JSON.
fn image_schema(reader: &mut Reader<'_>, path: Option<&str>) -> Option<String> {
    let path = path?;
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    let checked = text.and_then(|text| {
        let json: Result<serde_json::Value, _> = serde_json::from_str(&text);
        json.map(|_| text).map_err(|error| error.to_string())
    });
    checked
        .map_err(|error| {
            reader.refuse("fresnel", "image_schema_file", &format!("{path}: {error}"));
        })
        .ok()
}

fn control_settings(
    images: default::Images,
    formats: image_format::ImageFormat,
    fresnel: fresnel::Fresnel,
    import: crate::control::import::Settings,
    artifacts: crate::control::artifact::Settings,
    stores: &Stores,
) -> crate::control::Settings {
    crate::control::Settings {
        image_member_quota: images.image_member_quota.0,
        image_property_quota: images.image_property_quota.0,
        image_tag_quota: images.image_tag_quota.0,
        image_location_quota: images.image_location_quota.0,
        user_storage_quota_bytes: Some(images.user_storage_quota.0).filter(|bytes| *bytes > 0),
        image_size_cap_bytes: images.image_size_cap,
        size_hint_property: fresnel.size_hint_property,
        disk_formats: formats.disk_formats,
        container_formats: formats.container_formats,
        require_image_format_match: formats.require_image_format_match,
        gpt_safety_checks_nonfatal: formats.gpt_safety_checks_nonfatal,
        vmdk_allowed_types: formats.vmdk_allowed_types,
        hashing_algorithm: images.hashing_algorithm,
        show_image_direct_url: images.show_image_direct_url,
        show_multiple_locations: images.show_multiple_locations,
        do_secure_hash: images.do_secure_hash,
        http_retries: images.http_retries,
        delayed_delete: images.delayed_delete,
        scrub_time: Duration::from_secs(images.scrub_time.into()),
        multistore: stores.multistore,
        stores: stores
            .stores
            .iter()
            .map(|store| store.settings.clone())
            .filter(|store| store.id != import.staging.store)
            .collect(),
        certificates: crate::control::signature::Certificates {
            check: fresnel.check_certificates,
            trusted: fresnel.trusted_certificate_ids,
        },
        import,
        artifacts,
    }
}

impl Problem {
    fn nowhere(message: String) -> Self {
        Self {
            place: None,
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Errors {}

#[cfg(test)]
mod tests;
