//! `kill -9` in the middle of a background job.

use std::{fs::File, time::Duration};

use fresnel::{
    control::db::{Config, Db, JobKind, NewJob, Viewer},
    model::{Image, ImageId, Location, LocationStatus, Status},
};
use openssl::hash::{Hasher, MessageDigest};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use super::Pair;
use crate::support::wait_until;

/// The digests of so many zeroes take seconds, unoptimised as tests are.
const LEN: u64 = 64 << 20;
/// Far longer than a lease and both attempts.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn another_node_finishes_a_dead_nodes_job_mariadb() {
    another_node_finishes_a_dead_nodes_job("mariadb-up");
}

#[test]
fn another_node_finishes_a_dead_nodes_job_postgres() {
    another_node_finishes_a_dead_nodes_job("postgres-up");
}

/// While one node sleeps the other takes the job, and dies with it.
fn another_node_finishes_a_dead_nodes_job(up: &str) {
    let mut pair = Pair::start(up);
    let runtime = Runtime::new().unwrap();
    let db = runtime.block_on(Db::connect(&Config {
        url: pair.database.clone(),
        ..Config::default()
    }));
    let db = db.unwrap();
    pair.right.signal(Signal::STOP);
    let image = image(&pair);
    let job = NewJob {
        id: uuid::Uuid::new_v4(),
        kind: JobKind::Digest,
        image: image.id.clone(),
        input: serde_json::json!({
            "url": image.locations[0].url, "algorithm": "sha512", "expected": null,
        })
        .to_string(),
    };
    runtime.block_on(async {
        db.image_create(&image).await.unwrap();
        db.job_add(&job).await.unwrap();
    });
    let waits = || {
        !runtime
            .block_on(db.jobs_waiting(&JobKind::ALL, 1))
            .unwrap()
            .is_empty()
    };
    assert!(wait_until(PATIENCE, || !waits()), "{}", pair.left.log());
    pair.left.kill();
    assert_eq!(read(&runtime, &db, &image.id).checksum, None);
    pair.right.signal(Signal::CONT);
    let done = || read(&runtime, &db, &image.id).checksum.is_some();
    assert!(wait_until(PATIENCE, done), "{}", pair.right.log());
    let found = read(&runtime, &db, &image.id);
    assert_eq!(found.checksum, Some(zeroes(MessageDigest::md5())));
    assert_eq!(found.os_hash_value, Some(zeroes(MessageDigest::sha512())));
    assert!(!waits());
}

/// An active image of zeroes, without digests.
fn image(pair: &Pair) -> Image {
    let id = ImageId::random();
    std::fs::create_dir_all(&pair.images).unwrap();
    let path = pair.images.join(id.as_str());
    File::create(&path).unwrap().set_len(LEN).unwrap();
    let location = Location {
        id: None,
        url: format!("file://{}", path.display()),
        metadata: serde_json::Map::new(),
        status: LocationStatus::Active,
    };
    Image {
        status: Status::Active,
        size_bytes: Some(LEN),
        os_hash_algo: Some("sha512".to_owned()),
        locations: vec![location],
        ..Image::queued(id, chrono::Utc::now().naive_utc())
    }
}

fn read(runtime: &Runtime, db: &Db, id: &ImageId) -> Image {
    let admin = Viewer {
        project: None,
        is_admin: true,
    };
    runtime.block_on(db.image(id, &admin)).unwrap().image
}

fn zeroes(kind: MessageDigest) -> String {
    let mut hasher = Hasher::new(kind).unwrap();
    let piece = vec![0; 1 << 20];
    for _ in 0..LEN >> 20 {
        hasher.update(&piece).unwrap();
    }
    let digest = hasher.finish().unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
