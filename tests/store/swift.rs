//! Swift stores, on a real Swift: with Keystone and the catalog, and with Swift's own authentication.

use std::time::Duration;

use fresnel::{
    base::secret::Secret,
    buf::{Chunk, Pool},
    client::{
        keystone::{self, Credentials, Domain, Named, Scope},
        swift::{self, Account, Auth, Content, V1, V3},
        transport,
    },
    model::{Attempt, ByteRange, ImageId, StoreId},
    store::{
        Entry, Error, Piece, Store, Verdict, conformance,
        swift::{Config, Reference, SwiftStore},
    },
};

use tokio::sync::mpsc;

use crate::support::{free_address, keystone::Keystone, lab};

const MIB: usize = 1 << 20;
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn objects_conform() {
    let container = new_name("conforms");
    let store = open(config(by_keystone(), &container));
    conformance::all(&store).await;
    assert_empty(by_keystone(), &container).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn objects_behind_the_first_authentication_conform() {
    let config = Config {
        seed_digits: 2,
        segment_bytes: MIB,
        get_retries: 1,
        ..config(by_itself(), "conforms")
    };
    conformance::all(&open(config)).await;
}

/// What a Glance beside us relies on (reference E.5).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn an_object_is_a_manifest_and_its_segments() {
    let (store, account) = (open(config(by_itself(), "layout")), account(by_itself()));
    let content: Vec<u8> = (0..37 * MIB).map(|n| (n / 4096) as u8).collect();
    let (image, url) = put(&store, &content).await;
    assert_eq!(url, format!("swift+config://ref1/layout/{image}"));
    let head = account.head("layout", image.as_str()).await.unwrap();
    let manifest = head.manifest.unwrap();
    let (container, prefix) = manifest.split_once('/').unwrap();
    assert_eq!(container, "layout");
    let segments = account.list(container, prefix, "").await.unwrap();
    let sizes: Vec<u64> = segments.iter().map(|segment| segment.size_bytes).collect();
    assert_eq!(sizes, [16 << 20, 16 << 20, 5 << 20]);
    assert!(segments[0].name.ends_with("-00001"));
    assert_eq!(head.size_bytes, Some(content.len() as u64));
    // Across the border of two segments.
    let range = ByteRange {
        offset: 16 * MIB as u64 - 5,
        len: 10,
    };
    assert!(read(&store, &url, range).await == content[16 * MIB - 5..16 * MIB + 5]);
    store.delete(&url).await.unwrap();
    assert!(
        account
            .list(container, prefix, "")
            .await
            .unwrap()
            .is_empty()
    );
}

/// What Glance has written: one object, or a manifest whose segments are numbered after the id.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn objects_of_glance_are_read_and_deleted() {
    let container = &new_name("glances");
    let (store, account) = (open(config(by_itself(), container)), account(by_itself()));
    account.create_container(container).await.unwrap();
    let [plain, large] = [ImageId::random(), ImageId::random()];
    let upload = async |name: &str, content: Content| {
        account.put(container, name, &content).await.unwrap();
    };
    let pieces = |text: &'static str| Content::Pieces(vec![text.into()]);
    upload(plain.as_str(), pieces("plain")).await;
    upload(&format!("{large}-00001"), pieces("lar")).await;
    upload(&format!("{large}-00002"), pieces("ge")).await;
    let manifest = Content::Manifest(format!("{container}/{large}-"));
    upload(large.as_str(), manifest).await;
    for (image, text) in [(plain, "plain"), (large, "large")] {
        // The key in an old address is not looked at.
        let url = format!("swift+http://lab%3Aglance:old@auth.example/auth/{container}/{image}");
        assert_eq!(store.size(&url).await.unwrap(), 5);
        assert!(read(&store, &url, ByteRange::whole(5)).await == text.as_bytes());
        assert_eq!(
            store.object(&url),
            store.object(&format!("swift+config://ref1/{container}/{image}"))
        );
        store.delete(&url).await.unwrap();
        assert!(matches!(store.size(&url).await, Err(Error::NotFound(_))));
    }
    assert_empty(by_itself(), container).await;
}

/// What is a manifest's is told with it, ours and Glance's; what is nobody's, each for itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn segments_are_listed_with_their_object() {
    let container = &new_name("listed");
    let (store, account) = (open(config(by_itself(), container)), account(by_itself()));
    let (_, ours) = put(&store, &vec![1; 17 * MIB]).await;
    let [large, lost] = [ImageId::random(), ImageId::random()];
    let upload = async |name: &str, content: Content| {
        account.put(container, name, &content).await.unwrap();
    };
    let address = |name: &str| format!("swift+config://ref1/{container}/{name}");
    let names = [
        format!("{lost}-00001"),
        format!("{lost}-00002"),
        "folder/x".to_owned(),
    ];
    for name in names.iter().chain([&format!("{large}-00001")]) {
        upload(name, Content::Pieces(vec!["part".into()])).await;
    }
    let manifest = Content::Manifest(format!("{container}/{large}-"));
    upload(large.as_str(), manifest).await;
    let mut expected = vec![ours.clone(), address(large.as_str())];
    expected.extend(names.iter().map(|name| address(name)));
    let (found, mut listed) = mpsc::channel(100);
    store.list(found).await.unwrap();
    let mut addresses = Vec::new();
    while let Some(entry) = listed.recv().await {
        let stat = store.stat(&entry).await.unwrap();
        assert!(stat.modified.is_some() && stat.size_bytes > 0, "{entry:?}");
        let Entry::Object(url) = entry else {
            panic!("a draft: {entry:?}")
        };
        addresses.push(url);
    }
    addresses.sort();
    expected.sort();
    assert_eq!(addresses, expected);
    for name in names {
        account.delete(container, &name, false).await.unwrap();
    }
    for url in [ours, address(large.as_str())] {
        store.delete(&url).await.unwrap();
    }
    assert_empty(by_itself(), container).await;
}

/// Another process's writer finds its segments gone, and takes back what it published.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn an_attempt_of_another_process_is_fenced() {
    let container = &new_name("fenced");
    let [theirs, ours] = [(); 2].map(|()| open(config(by_itself(), container)));
    let image = ImageId::random();
    let intent = theirs
        .intend(&image, Attempt::random(), None)
        .await
        .unwrap();
    let mut writer = theirs.writer(&intent, None).await.unwrap();
    for _ in 0..20 {
        let chunk = Chunk::new(vec![1; MIB].into());
        writer.write(chunk).await.unwrap();
    }
    ours.discard(&intent).await.unwrap();
    writer.commit().await.expect_err("it is fenced");
    ours.discard(&intent).await.unwrap();
    assert_empty(by_itself(), container).await;
    let again = ours.intend(&image, Attempt::random(), None).await.unwrap();
    let writer = ours.writer(&again, None).await.unwrap();
    let url = writer.commit().await.unwrap().url;
    ours.delete(&url).await.unwrap();
}

/// A writer that published in the moment in which it was fenced, and died.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn a_manifest_without_segments_is_in_nobodys_way() {
    let (store, account) = (open(config(by_itself(), "dangling")), account(by_itself()));
    account.create_container("dangling").await.unwrap();
    let image = ImageId::random();
    let manifest = format!("dangling/{image}.{}-", Attempt::random());
    let left = Content::Manifest(manifest);
    account
        .put("dangling", image.as_str(), &left)
        .await
        .unwrap();
    let intent = store.intend(&image, Attempt::random(), None).await.unwrap();
    let mut writer = store.writer(&intent, None).await.unwrap();
    writer.write(Chunk::new("again".into())).await.unwrap();
    let url = writer.commit().await.unwrap().url;
    assert!(read(&store, &url, ByteRange::whole(5)).await == b"again");
    store.delete(&url).await.unwrap();
}

/// At every server of Swift: the upload fails, and a retry finds nothing in its way.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn an_upload_to_a_server_that_goes_away_leaves_nothing() {
    let swift = Own::start();
    let account = account(swift.auth());
    for server in ["proxy", "object", "container"] {
        let store = open(config(swift.auth(), "faults"));
        let image = ImageId::random();
        let intent = store.intend(&image, Attempt::random(), None).await.unwrap();
        let mut writer = store.writer(&intent, None).await.unwrap();
        for _ in 0..20 {
            let chunk = Chunk::new(vec![1; MIB].into());
            writer.write(chunk).await.unwrap();
        }
        swift.kill(server);
        writer.commit().await.expect_err("a server is away");
        swift.up();
        store.discard(&intent).await.unwrap();
        let left = account.list("faults", "", "").await.unwrap();
        assert!(left.is_empty(), "{server}: {left:?}");
        let again = store.intend(&image, Attempt::random(), None).await.unwrap();
        let mut writer = store.writer(&again, None).await.unwrap();
        writer.write(Chunk::new("again".into())).await.unwrap();
        let url = writer.commit().await.unwrap().url;
        store.delete(&url).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn a_check_finds_nothing_wrong() {
    for auth in [by_keystone(), by_itself()] {
        let findings = open(config(auth, "checked")).check().await;
        assert!(!findings.is_empty());
        for finding in &findings {
            assert_eq!(finding.verdict, Verdict::Good, "{finding}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes on a busy machine: make swift"]
async fn a_check_says_what_is_wrong() {
    let wrong = |config: Config| async move {
        let findings = open(config).check().await;
        let last = findings.last().unwrap().clone();
        assert_eq!(last.verdict, Verdict::Wrong, "{last}");
        last.text
    };
    let missing = Config {
        create_container: false,
        ..config(by_itself(), "nowhere")
    };
    assert!(wrong(missing).await.contains("no container nowhere"));
    let Auth::V1(mut who) = by_itself() else {
        panic!("it is the first")
    };
    who.key = Secret::new("wrong".to_owned());
    let said = wrong(config(Auth::V1(who), "checked")).await;
    assert!(said.contains("refuses our credentials"), "{said}");
    let Auth::Keystone(mut who) = by_keystone() else {
        panic!("it is Keystone")
    };
    who.service_type = "no-such-store".to_owned();
    let said = wrong(config(Auth::Keystone(who), "checked")).await;
    assert!(said.contains("the catalog has no no-such-store"), "{said}");
}

/// A Swift of one's own, to be killed.
struct Own {
    port: String,
}

impl Own {
    fn start() -> Self {
        // It takes the next four ports too.
        let port = free_address().port().clamp(1024, 65000).to_string();
        let own = Self { port };
        own.up();
        own
    }

    fn up(&self) {
        lab::run(lab::script("swift-up").args(["--port", &self.port]));
    }

    fn kill(&self, server: &str) {
        lab::run(lab::script("swift-down").args(["--port", &self.port, "--kill", server]));
    }

    fn auth(&self) -> Auth {
        first(&format!("http://127.0.0.1:{}", self.port))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut down = lab::script("swift-down");
        drop(down.args(["--port", &self.port, "--wipe"]).output());
    }
}

/// So that a listing shows what this run has left, and nothing else.
fn new_name(of: &str) -> String {
    format!("{of}-{}", Attempt::random())
}

fn by_itself() -> Auth {
    let url = lab::run(&mut lab::script("swift-up"));
    first(url.trim())
}

fn first(url: &str) -> Auth {
    Auth::V1(V1 {
        url: format!("{url}/auth/v1.0"),
        user: "lab:glance".to_owned(),
        key: Secret::new("lab".to_owned()),
    })
}

fn by_keystone() -> Auth {
    lab::run(&mut lab::script("swift-up"));
    let named = |name: &str| Named::Name {
        name: name.to_owned(),
        domain: Domain::Id("default".to_owned()),
    };
    Auth::Keystone(Box::new(V3 {
        keystone: keystone::Config {
            auth_url: Keystone::shared().url(),
            credentials: Credentials::Password {
                user: named("glance"),
                password: Secret::new("lab".to_owned()),
            },
            scope: Some(Scope::Project(named("service"))),
            region: None,
            interfaces: vec!["public".to_owned()],
            retries: 3,
            transport: transport::Config::default(),
        },
        service_type: "object-store".to_owned(),
        region: Some("RegionOne".to_owned()),
        interface: "public".to_owned(),
    }))
}

fn reached(auth: Auth) -> swift::Config {
    swift::Config {
        auth,
        endpoint: None,
        transport: transport::Config::default(),
    }
}

fn account(auth: Auth) -> Account {
    Account::new(reached(auth)).unwrap()
}

fn config(auth: Auth, container: &str) -> Config {
    let reference = Reference {
        name: "ref1".to_owned(),
        auth_address: "auth.example/auth".to_owned(),
        user: Some("lab:glance".to_owned()),
        account: reached(auth),
    };
    Config {
        create_container: true,
        ..Config::in_container(reference, container)
    }
}

/// As another process has it.
fn open(config: Config) -> SwiftStore {
    SwiftStore::open(StoreId::new("swift"), config).unwrap()
}

async fn put(store: &SwiftStore, content: &[u8]) -> (ImageId, String) {
    let image = ImageId::random();
    let intent = store.intend(&image, Attempt::random(), None).await.unwrap();
    let mut writer = store.writer(&intent, None).await.unwrap();
    for piece in content.chunks(MIB) {
        let chunk = Chunk::new(piece.to_vec().into());
        writer.write(chunk).await.unwrap();
    }
    (image, writer.commit().await.unwrap().url)
}

async fn read(store: &SwiftStore, url: &str, range: ByteRange) -> Vec<u8> {
    let pool = Pool::new(8 * MIB, std::slice::from_ref(store.id()));
    let claim = pool.claim(store.id(), Duration::MAX);
    let mut reader = store.reader(url, range, claim).await.unwrap();
    let mut content = Vec::new();
    while let Some(Piece::Bytes(chunk)) = reader.next().await.unwrap() {
        content.extend_from_slice(chunk.bytes());
    }
    content
}

async fn assert_empty(auth: Auth, container: &str) {
    let left = account(auth).list(container, "", "").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
