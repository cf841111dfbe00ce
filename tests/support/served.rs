//! Images in a store behind the real binary: what a client asks, and what must be true whatever the store is.

use std::time::Duration;

use openssl::hash::MessageDigest;
use serde_json::{Value, json};

use super::{
    images::{self, MIB, content, data_path, digest, text},
    process::Fresnel,
    wait_until,
    wire::{Payload, Request, Response, Upload},
};

/// A node of ours on a backend, where an administrator can look too.
pub(crate) trait Served {
    /// What is left of an attempt is gone by then.
    const CLEAN_LIMIT: Duration;

    fn node(&self) -> &Fresnel;

    /// What the backend has of an image, its attempts included.
    fn remains(&self, image: &str) -> Vec<String>;

    /// The backend has these bytes of an image, and nothing beside them.
    fn has(&self, image: &str, content: &[u8]);

    fn create(&self) -> String {
        images::create(self.node().address)
    }

    fn upload(&self, image: &str, body: Payload) -> Response {
        images::upload(self.node().address, image, body)
    }

    /// Begins a chunked upload.
    fn begin(&self, image: &str) -> Upload {
        Upload::begin(self.node().address, &data_path(image)).unwrap()
    }

    /// A new image of these bytes.
    fn image(&self, content: &[u8]) -> String {
        let image = self.create();
        let answer = self.upload(&image, Payload::Sized(content.to_vec()));
        assert_eq!(answer.status, 204, "{}", self.node().log());
        image
    }

    fn show(&self, image: &str) -> Value {
        images::show(self.node().address, image)
    }

    fn status(&self, image: &str) -> String {
        text(&self.show(image)["status"])
    }

    fn wait_for(&self, image: &str, status: &str) {
        let reached = wait_until(Self::CLEAN_LIMIT, || self.status(image) == status);
        let found = self.status(image);
        let log = self.node().log();
        assert!(reached, "{image} is {found}, not {status}:\n{log}");
    }

    fn delete(&self, image: &str) -> Response {
        images::delete(self.node().address, image)
    }

    fn ask(&self, request: &Request) -> Response {
        images::ask(self.node().address, request)
    }

    fn download(&self, image: &str) -> Vec<u8> {
        self.ask(&Request::new("GET", &data_path(image))).body
    }

    /// The backend has nothing of this image.
    fn gone(&self, image: &str) {
        let gone = wait_until(Self::CLEAN_LIMIT, || self.remains(image).is_empty());
        let left = self.remains(image);
        let log = self.node().log();
        assert!(gone, "{image} leaves {left:?}:\n{log}");
    }

    /// The image is as if its upload had not begun, and takes another.
    fn takes_another_upload(&self, image: &str) {
        self.wait_for(image, "queued");
        self.gone(image);
        let content = content(9 * MIB + 1, 1);
        let answer = self.upload(image, Payload::Chunked(content.clone(), MIB));
        assert_eq!(answer.status, 204, "{}", self.node().log());
        self.holds(image, &content);
        assert_eq!(self.delete(image).status, 204);
        self.gone(image);
    }

    /// The image is whole, as its record, the backend and a download say.
    fn holds(&self, image: &str, content: &[u8]) {
        let record = self.show(image);
        assert_eq!(record["status"], "active");
        assert_eq!(record["size"], content.len());
        assert_eq!(record["checksum"], digest(MessageDigest::md5(), content));
        let sha512 = digest(MessageDigest::sha512(), content);
        assert_eq!(record["os_hash_value"], sha512);
        self.has(image, content);
        assert!(self.download(image) == content, "a client gets other bytes");
    }

    /// Ranges of an image are its bytes, also across the borders of what the store reads at once.
    fn ranges_are_read(&self, content: &[u8]) {
        let image = self.image(content);
        let len = content.len();
        for (first, last) in [
            (0, 0),
            (8 * MIB - 1, 8 * MIB),
            (3, len - MIB),
            (len - 1, len),
        ] {
            let request = Request::new("GET", &data_path(&image))
                .header("range", &format!("bytes={first}-{last}"));
            let answer = self.ask(&request);
            assert_eq!(answer.status, 206);
            let last = last.min(len - 1);
            assert!(answer.body == content[first..=last], "{first}-{last}");
        }
        assert_eq!(self.delete(&image).status, 204);
    }

    /// Bytes of an artifact are an object as those of an image are, whether their length is said or not: read
    /// in ranges, gone when others take their place, and gone with the artifact.
    fn keeps_blobs(&self) {
        let create =
            Request::new("POST", "/artifacts/images").header("content-type", "application/json");
        let made = self.ask(&create.body(json!({"name": "blobs"}).to_string()));
        assert_eq!(made.status, 201, "{}", self.node().log());
        let artifact = format!("/artifacts/images/{}", text(&made.json()["id"]));
        let target = format!("{artifact}/image");
        let mut before = Vec::new();
        for chunked in [false, true] {
            let content = content(17 * MIB + 5, u64::from(chunked));
            let mut upload = Request::new("PUT", &target).header("content-type", "a/b");
            upload.body = match chunked {
                true => Payload::Chunked(content.clone(), MIB),
                false => Payload::Sized(content.clone()),
            };
            let sent = self.ask(&upload);
            assert_eq!(sent.status, 200, "{}", self.node().log());
            let sha256 = digest(MessageDigest::sha256(), &content);
            assert_eq!(sent.json()["image"]["sha256"], sha256);
            let blobs = self
                .node()
                .query("SELECT id FROM fresnel_artifact_blobs WHERE status = 'active'");
            assert_eq!(blobs.len(), 1);
            self.has(&blobs[0], &content);
            before.iter().for_each(|old: &String| self.gone(old));
            before = blobs;
            let whole = self.ask(&Request::new("GET", &target));
            assert!(whole.body == content, "a client gets other bytes");
            let (first, last) = (8 * MIB - 3, 16 * MIB + 1);
            let range = format!("bytes={first}-{last}");
            let part = self.ask(&Request::new("GET", &target).header("range", &range));
            assert!(part.status == 206 && part.body == content[first..=last]);
        }
        let deleted = self.ask(&Request::new("DELETE", &artifact));
        assert_eq!(deleted.status, 204, "{}", self.node().log());
        self.gone(&before[0]);
    }
}
