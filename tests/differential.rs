//! The same requests to the real Glance and to us; status, headers and bodies compared, ids and times
//! masked. The requests are data (`differential/*.http`), the differences that we want are one list
//! (`differential/known.rs`).

mod catalog;
mod compare;
mod known;
mod personas;
mod script;

use std::{io, net::SocketAddr, path::Path, thread, time::Duration};

use compare::Shown;
use known::{KNOWN, Must, named};
use script::{Step, Variables};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    barbican::Barbican,
    keystone::Keystone,
    lab::{self, Ceph, Glance},
    process::Fresnel,
    signing::Author,
    wait_until,
    web::WebServer,
    wire,
};

const SINGLE: &[&str] = &[
    "versions", "list", "images", "patch", "tags", "members", "data", "formats", "actions",
    "schemas", "info", "routes", "errors",
];
const MULTI: &[&str] = &["versions", "images", "data", "stores", "schemas", "info"];
const LIMITS: &[&str] = &["limits", "versions"];
const LOCATIONS: &[&str] = &["locations"];
const IDENTITY: &[&str] = &["identity"];
const REGISTERED: &[&str] = &["registered"];
const WEB: &[&str] = &["web"];
const CACHE: &[&str] = &["cache", "versions"];
const SIGNATURES: &[&str] = &["signatures"];
const IMPORTS: &[&str] = &["imports"];
const IMPORT_SINGLE: &[&str] = &["import_single"];
const DOWNLOADS: &[&str] = &["downloads"];
const METADEFS: &[&str] = &["metadefs"];

/// What a background task of either may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_single_store_answers_as_glance_does() {
    Pair::start(&[], &[]).compare(SINGLE);
}

#[test]
fn two_stores_answer_as_glance_does() {
    Pair::start(&["--multi"], &[]).compare(MULTI);
}

#[test]
fn metadata_definitions_answer_as_glances() {
    Pair::start(&[], &[]).compare(METADEFS);
}

#[test]
fn other_limits_and_options_answer_as_glance_does() {
    let options = [
        "DEFAULT.image_property_quota=2",
        "DEFAULT.image_tag_quota=2",
        "DEFAULT.image_member_quota=1",
        "DEFAULT.image_size_cap=1000",
        "DEFAULT.limit_param_default=2",
        "DEFAULT.api_limit_max=3",
        "DEFAULT.show_image_direct_url=true",
        "DEFAULT.show_multiple_locations=true",
        "DEFAULT.hashing_algorithm=sha256",
        "DEFAULT.public_endpoint=https://images.example.org/image",
    ];
    Pair::start(&[], &options).compare(LIMITS);
}

#[test]
fn locations_answer_as_glance_does() {
    // Glance lets only services register bytes: the headers of the requests say that one asks.
    let options = [
        "DEFAULT.show_multiple_locations=true",
        "DEFAULT.image_location_quota=1",
    ];
    Pair::start(&["--identity"], &options).compare(LOCATIONS);
}

#[test]
fn who_asks_is_answered_as_glance_answers() {
    let keystone = Keystone::shared();
    let options = [
        "cors.allowed_origin=https://horizon.example.org",
        "oslo_middleware.enable_proxy_headers_parsing=true",
    ];
    let tokens = [
        ("admin", "admin"),
        ("member", "demo-member"),
        ("nobody", "nobody"),
        ("other", "alt-member"),
        ("service", "nova"),
        ("system", "system"),
    ];
    let token = |(name, cloud): (&str, &str)| (name.to_owned(), keystone.token(cloud));
    let pair = Pair::start(&["--keystone", &keystone.url()], &options);
    let tokens = tokens.map(token).into();
    pair.compare_with([&tokens; 2], IDENTITY);
}

#[test]
fn registered_objects_of_a_cluster_answer_as_in_glance() {
    let ceph = lab::ceph();
    let conf = ceph.conf.display().to_string();
    let options = ["DEFAULT.show_multiple_locations=true"];
    let pair = Pair::start(&["--rbd", &conf, "--identity"], &options);
    let fsid = lab::run(ceph.command("ceph", "admin").arg("fsid"));
    let objects = [Objects::make(ceph), Objects::make(ceph)];
    let [theirs, own] = &objects
        .each_ref()
        .map(|objects| objects.variables(fsid.trim()));
    pair.compare_with([theirs, own], REGISTERED);
}

#[test]
fn images_on_the_web_answer_as_in_glance() {
    let server = WebServer::nginx(false);
    let pair = Pair::start(&["--identity"], &on_the_web());
    pair.compare_with([&published(&server); 2], WEB);
}

#[test]
#[ignore = "takes two minutes: make imports"]
fn imports_answer_as_glance_does() {
    let keystone = Keystone::shared();
    let options = ["DEFAULT.enabled_import_methods=[glance-direct,copy-image]"];
    let url = keystone.url();
    let pair = Pair::start(&["--multi", "--keystone", &url], &options);
    pair.compare_with([&people(&keystone); 2], IMPORTS);
}

#[test]
fn imports_into_one_store_answer_as_glance_does() {
    let keystone = Keystone::shared();
    let options = ["DEFAULT.enabled_import_methods=[glance-direct,copy-image]"];
    let url = keystone.url();
    let pair = Pair::start(&["--keystone", &url], &options);
    pair.compare_with([&people(&keystone); 2], IMPORT_SINGLE);
}

#[test]
fn downloads_answer_as_glance_does() {
    let keystone = Keystone::shared();
    let server = WebServer::nginx(false);
    let mut options = on_the_web().to_vec();
    options.push("DEFAULT.enabled_import_methods=[web-download,glance-download]");
    let pair = Pair::start(&["--multi", "--keystone", &keystone.url()], &options);
    let mut variables = people(&keystone);
    variables.extend(published(&server));
    pair.compare_with([&variables; 2], DOWNLOADS);
}

/// Tokens of those who import.
fn people(keystone: &Keystone) -> Variables {
    let clouds = [
        ("admin", "admin"),
        ("member", "demo-member"),
        ("other", "alt-member"),
    ];
    let token = |(name, cloud): (&str, &str)| (name.to_owned(), keystone.token(cloud));
    clouds.map(token).into()
}

fn on_the_web() -> [&'static str; 3] {
    [
        "DEFAULT.show_multiple_locations=true",
        "import_filtering_opts.allowed_hosts=[127.0.0.1]",
        "import_filtering_opts.allowed_ports=[]",
    ]
}

/// A file of that server, and where it is.
fn published(server: &WebServer) -> Variables {
    let one = server.put(b"an image on the web");
    let name = one.rsplit('/').next().unwrap_or_default().to_owned();
    let variables = [("web", server.root.clone()), ("name", name), ("one", one)];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    variables.into()
}

/// In one directory, where neither sees what the other has.
#[test]
fn a_cache_answers_as_glances() {
    let folder = tempfile::tempdir().unwrap();
    let dir = format!("DEFAULT.image_cache_dir={}", folder.path().display());
    let options = ["paste_deploy.flavor=cachemanagement", dir.as_str()];
    Pair::start(&[], &options).compare(CACHE);
}

/// The certificates are in a real Barbican, which both ask with their users' tokens.
#[test]
#[ignore = "needs Barbican: make barbican"]
fn signatures_with_barbicans_certificates_answer_as_in_glance() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let (endpoint, auth) = (
        format!("barbican.barbican_endpoint={}", barbican.url()),
        format!("barbican.auth_endpoint={}", keystone.url()),
    );
    let pair = Pair::start(&["--keystone", &keystone.url()], &[&endpoint, &auth]);
    let member = keystone.token("demo-member");
    let mut variables = Variables::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    let bytes = script::pattern(5000);
    for (name, key_type) in [("rsa", "RSA-PSS"), ("dsa", "DSA"), ("ecc", "ECC_SECP384R1")] {
        let author = Author::new(key_type);
        let signed = author.sign("SHA-256", &bytes);
        set(name, signed["img_signature"].as_str().unwrap_or_default());
        set(&format!("{name}cert"), &barbican.keep(&member, &author));
    }
    set("passphrase", &barbican.keep_passphrase(&member));
    set("other", &keystone.token("alt-member"));
    set("member", &member);
    pair.compare_with([&variables; 2], SIGNATURES);
}

/// Objects that somebody else has put into the pool: a MiB of zeroes each.
struct Objects {
    ceph: &'static Ceph,
    names: Vec<(&'static str, String)>,
}

impl Objects {
    fn make(ceph: &'static Ceph) -> Self {
        let names = ["one", "two", "three", "four", "five"];
        let names = names.map(|name| (name, Uuid::new_v4().to_string()));
        for (_, object) in &names {
            let object = format!("images/{object}");
            let rbd = |arguments: &[&str]| lab::run(ceph.command("rbd", "admin").args(arguments));
            rbd(&["create", "--size", "1M", &object]);
            rbd(&["snap", "create", &format!("{object}@snap")]);
            rbd(&["snap", "protect", &format!("{object}@snap")]);
        }
        Self {
            ceph,
            names: names.into(),
        }
    }

    fn variables(&self, fsid: &str) -> Variables {
        let url = |(name, object): &(&str, String)| {
            let url = format!("rbd://{fsid}/images/{object}/snap");
            ((*name).to_owned(), url)
        };
        self.names.iter().map(url).collect()
    }
}

impl Drop for Objects {
    /// What a service has deleted is gone already.
    fn drop(&mut self) {
        for (_, object) in &self.names {
            let object = format!("images/{object}");
            let rbd = |arguments: &[&str]| {
                let mut command = self.ceph.command("rbd", "admin");
                drop(command.args(arguments).output());
            };
            rbd(&["snap", "unprotect", &format!("{object}@snap")]);
            rbd(&["snap", "purge", &object]);
            rbd(&["rm", &object]);
        }
    }
}

/// Glance and us with the same configuration, both empty.
struct Pair {
    glance: Glance,
    ours: Fresnel,
}

impl Pair {
    fn start(arguments: &[&str], options: &[&str]) -> Self {
        // Imports are a part of the service of their own, with tests of their own.
        let options = ["DEFAULT.enabled_import_methods=[]"].iter().chain(options);
        let options = options.flat_map(|option| ["--set", option]);
        let arguments: Vec<_> = arguments.iter().copied().chain(options).collect();
        let glance = Glance::start(&arguments);
        let ours = Fresnel::start_after(&[&glance.config()], own_places);
        Self { glance, ours }
    }

    /// Runs the areas in order; panics with every difference that is not listed, and with every
    /// listed one that did not show.
    fn compare(&self, areas: &[&str]) {
        self.compare_with([&Variables::new(); 2], areas);
    }

    /// The same where requests name variables that no answer gives: Glance's and ours.
    fn compare_with(&self, variables: [&Variables; 2], areas: &[&str]) {
        let steps = areas.iter().flat_map(|area| script::read(area));
        self.run(&steps.collect::<Vec<_>>(), variables);
    }

    /// The same for steps that are no file's.
    fn run(&self, steps: &[Step], variables: [&Variables; 2]) {
        let [theirs, own] = variables;
        let mut glance = Server::new(self.glance.address, &self.glance.state, theirs);
        let mut ours = Server::new(self.ours.address, self.ours.folder(), own);
        let failures: Vec<_> = steps
            .iter()
            .filter_map(|step| {
                let (left, right) = thread::scope(|scope| {
                    let left = scope.spawn(|| glance.ask(step));
                    let right = ours.ask(step);
                    (left.join().expect("asking does not panic"), right)
                });
                complaint(step, &left, &right)
            })
            .collect();
        assert!(
            failures.is_empty(),
            "{} of {} answers (- Glance, + ours):\n{}",
            failures.len(),
            steps.len(),
            failures.join("\n")
        );
    }
}

/// What Glance's own file does not decide for us: log, database, directories.
fn own_places(folder: &Path) -> String {
    format!(
        "[DEFAULT]\nlog_file =\nworker_self_reference_url =\nnode_staging_uri = file://{0}/staging\n\
         [database]\nconnection = sqlite:///{0}/fresnel.sqlite\n\
         [glance_store]\nfilesystem_store_datadir = {0}/images\n\
         [fast]\nfilesystem_store_datadir = {0}/images\n\
         [slow]\nfilesystem_store_datadir = {0}/slow\n\
         [os_glance_staging_store]\nfilesystem_store_datadir = {0}/staging\n\
         [os_glance_tasks_store]\nfilesystem_store_datadir = {0}/tasks\n",
        folder.display()
    )
}

/// One of the two, with what its answers gave to the variables.
struct Server {
    address: SocketAddr,
    variables: Variables,
}

impl Server {
    fn new(address: SocketAddr, folder: &Path, variables: &Variables) -> Self {
        let mut variables = variables.clone();
        variables.insert("folder".to_owned(), folder.display().to_string());
        Self { address, variables }
    }

    fn ask(&mut self, step: &Step) -> Shown {
        let request = step.request(&self.variables);
        let mut answer = wire::exchange(self.address, &request);
        let read = |answer: &io::Result<wire::Response>| -> Value {
            let body = answer.as_ref().map_or(&[] as &[u8], |answer| &answer.body);
            serde_json::from_slice(body).unwrap_or_default()
        };
        // What never comes shows in the comparison.
        wait_until(PATIENCE, || {
            let come = step.is_come(&read(&answer));
            if !come {
                answer = wire::exchange(self.address, &request);
            }
            come
        });
        let body = read(&answer);
        let created = (step.place.clone(), "/id".to_owned());
        // An id that a server chose is masked by the place of the request that made it.
        let created = (step.creates_unnamed()).then_some(created);
        for (name, pointer) in step.keeps.iter().chain(&created) {
            if let Some(Value::String(value)) = body.pointer(pointer) {
                self.variables.insert(name.clone(), value.clone());
            }
        }
        Shown::new(&answer, &self.variables)
    }
}

/// What is wrong with two answers, if anything.
fn complaint(step: &Step, glance: &Shown, ours: &Shown) -> Option<String> {
    let differing = glance.differing(ours);
    let known = KNOWN
        .iter()
        .find_map(|known| Some((known, known.of(&step.name)?)));
    let fine = match known {
        None => differing.is_empty(),
        Some((known, Must::Show)) => differing == known.parts,
        Some((known, Must::May)) => differing.is_empty() || differing == known.parts,
    };
    if fine {
        return None;
    }
    let listed = known.map_or(String::new(), |(known, _)| {
        format!(", where {:?} says {:?}", known.entry, known.parts)
    });
    let diff = compare::diff(glance, ours);
    let (place, name, line) = (&step.place, &step.name, &step.request_line);
    Some(format!(
        "{place}: {differing:?} differ{listed}\n  {name}\n  {line}\n{diff}"
    ))
}

#[test]
fn every_known_difference_is_documented_and_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let semantics = std::fs::read_to_string(root.join("docs/SEMANTICS.md")).unwrap();
    let areas = [
        SINGLE,
        MULTI,
        LIMITS,
        LOCATIONS,
        REGISTERED,
        WEB,
        CACHE,
        IDENTITY,
        SIGNATURES,
        IMPORTS,
        IMPORT_SINGLE,
        DOWNLOADS,
        METADEFS,
    ]
    .concat();
    let steps: Vec<_> = areas.iter().flat_map(|area| script::read(area)).collect();
    for known in KNOWN {
        let heading = format!("### {}\n", known.entry);
        assert!(
            semantics.contains(&heading),
            "no {heading} in docs/SEMANTICS.md"
        );
        for name in known.steps {
            // The personas' steps are in no file: their test makes them.
            let made = name.starts_with("personas: ");
            let found = made || steps.iter().any(|step| named(name, &step.name).is_some());
            assert!(found, "{}: no step is called {name:?}", known.entry);
        }
    }
}
