//! The binary on a bucket, what a client asks of it, and what is in the bucket.

use std::time::Duration;

use fresnel::{
    base::secret::Secret,
    client::s3::{Bucket, Head, Part},
    store::s3::Config,
};
use openssl::hash::MessageDigest;
use tokio::runtime::Runtime;

use crate::support::{
    images::{self, MIB, content, data_path, digest},
    lab,
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, Upload},
};

/// All tests have one bucket: each has images of its own.
pub(super) const BUCKET: &str = "fresnel-tests";
/// What is left of an attempt is gone by then.
pub(super) const CLEAN_LIMIT: Duration = Duration::from_secs(60);

/// The shortest lease, for nodes that are to die.
pub(super) const SHORT_LEASE: &str = "[fresnel]\nlease_seconds = 3\n";
/// Senders may be silent, and uploads wait for memory, for as long as a test likes; parts are as small as S3
/// lets them be.
const OPTIONS: &str =
    "min_rate_bytes_per_second = 0\nadmission_wait_seconds = 600\nmemory_limit_mib = 16\n";

/// A node of ours on a bucket.
pub(super) struct Rig {
    pub(super) node: Fresnel,
    bucket: Bucket,
    runtime: Runtime,
}

impl Rig {
    /// With further options of the store, one a line.
    pub(super) fn start(options: &str) -> Self {
        Self::at(&lab::s3().url, options)
    }

    /// The same, on the server behind another address.
    pub(super) fn at(url: &str, options: &str) -> Self {
        let store = lab::s3().store(url, BUCKET);
        Self::around(Fresnel::start(&format!("{OPTIONS}{store}{options}")))
    }

    /// Around a node that has been started.
    pub(super) fn around(node: Fresnel) -> Self {
        let bucket = Bucket::new(config().reach().unwrap()).unwrap();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(bucket.make()).unwrap();
        Self {
            node,
            bucket,
            runtime,
        }
    }

    pub(super) fn create(&self) -> String {
        images::create(self.node.address)
    }

    pub(super) fn upload(&self, image: &str, body: Payload) -> Response {
        images::upload(self.node.address, image, body)
    }

    /// Begins a chunked upload.
    pub(super) fn begin(&self, image: &str) -> Upload {
        Upload::begin(self.node.address, &data_path(image)).unwrap()
    }

    /// A new image of these bytes.
    pub(super) fn image(&self, content: &[u8]) -> String {
        let image = self.create();
        let answer = self.upload(&image, Payload::Sized(content.to_vec()));
        assert_eq!(answer.status, 204, "{}", self.node.log());
        image
    }

    pub(super) fn status(&self, image: &str) -> String {
        images::text(&images::show(self.node.address, image)["status"])
    }

    pub(super) fn wait_for(&self, image: &str, status: &str) {
        let reached = wait_until(CLEAN_LIMIT, || self.status(image) == status);
        let found = self.status(image);
        let log = self.node.log();
        assert!(reached, "{image} is {found}, not {status}:\n{log}");
    }

    pub(super) fn delete(&self, image: &str) -> Response {
        images::delete(self.node.address, image)
    }

    pub(super) fn ask(&self, request: &Request) -> Response {
        images::ask(self.node.address, request)
    }

    /// The object of an image, as somebody else sees it.
    pub(super) fn object(&self, image: &str) -> Option<Head> {
        let head = self.bucket.head(image);
        self.runtime.block_on(head).unwrap()
    }

    /// The uploads of an image that are under way.
    pub(super) fn uploads(&self, image: &str) -> Vec<String> {
        let uploads = self.bucket.uploads(image);
        let uploads = self.runtime.block_on(uploads).unwrap();
        uploads.into_iter().map(|upload| upload.id).collect()
    }

    /// Somebody else's upload of an image.
    pub(super) fn stranger(&self, image: &str) -> String {
        let begun = self.bucket.begin(image, "a stranger's");
        self.runtime.block_on(begun).unwrap()
    }

    /// Somebody else's object of that name.
    pub(super) fn put_back(&self, key: &str, content: &[u8]) {
        let part = Part::new(vec![content.to_vec().into()]);
        self.runtime.block_on(async {
            let upload = self.bucket.begin(key, "a stranger's").await.unwrap();
            let tag = self.bucket.put(key, &upload, 1, &part).await.unwrap();
            self.bucket.complete(key, &upload, &[tag]).await.unwrap();
        });
    }

    pub(super) fn remove(&self, key: &str) {
        self.runtime.block_on(self.bucket.delete(key)).unwrap();
    }

    pub(super) fn end(&self, image: &str, upload: &str) {
        let ended = self.bucket.abort(image, upload);
        self.runtime.block_on(ended).unwrap();
    }

    /// The bucket has nothing of this image: no object, and no upload.
    pub(super) fn gone(&self, image: &str) {
        let gone = wait_until(CLEAN_LIMIT, || {
            self.object(image).is_none() && self.uploads(image).is_empty()
        });
        let (object, uploads) = (self.object(image), self.uploads(image));
        let log = self.node.log();
        assert!(gone, "{image} leaves {object:?} and {uploads:?}:\n{log}");
    }

    /// The image is as if its upload had not begun, and takes another.
    pub(super) fn takes_another_upload(&self, image: &str) {
        self.wait_for(image, "queued");
        self.gone(image);
        let content = content(9 * MIB + 1, 1);
        let answer = self.upload(image, Payload::Chunked(content.clone(), MIB));
        assert_eq!(answer.status, 204, "{}", self.node.log());
        self.holds(image, &content);
        assert_eq!(self.delete(image).status, 204);
        self.gone(image);
    }

    /// The image is whole, as its record and a download say.
    pub(super) fn holds(&self, image: &str, content: &[u8]) {
        let record = images::show(self.node.address, image);
        assert_eq!(record["status"], "active");
        assert_eq!(record["size"], content.len());
        assert_eq!(record["checksum"], digest(MessageDigest::md5(), content));
        let object = self.object(image).expect("an active image has an object");
        assert_eq!(object.size_bytes, content.len() as u64);
        assert_eq!(self.uploads(image), [""; 0]);
        let download = self.ask(&Request::new("GET", &data_path(image)));
        assert!(download.body == content, "a client gets other bytes");
    }
}

fn config() -> Config {
    let server = lab::s3();
    let key = |text: &str| Secret::new(text.to_owned());
    Config::new(
        server.url.as_str(),
        BUCKET,
        key(&server.access_key),
        key(&server.secret_key),
    )
}
