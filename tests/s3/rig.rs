//! The binary on a bucket, what a client asks of it, and what is in the bucket.

use std::time::Duration;

use fresnel::{
    base::secret::Secret,
    client::s3::{Bucket, Head, Part},
    store::s3::Config,
};
use tokio::runtime::Runtime;

use crate::support::{lab, process::Fresnel, served::Served};

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
}

impl Served for Rig {
    const CLEAN_LIMIT: Duration = CLEAN_LIMIT;

    fn node(&self) -> &Fresnel {
        &self.node
    }

    fn remains(&self, image: &str) -> Vec<String> {
        let object = self.object(image).map(|head| format!("{head:?}"));
        object.into_iter().chain(self.uploads(image)).collect()
    }

    fn has(&self, image: &str, content: &[u8]) {
        let object = self.object(image).expect("an active image has an object");
        assert_eq!(object.size_bytes, content.len() as u64);
        assert_eq!(self.uploads(image), [""; 0]);
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
