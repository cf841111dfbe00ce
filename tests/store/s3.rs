//! S3 stores on a real server.

use std::time::Duration;

use fresnel::{
    base::secret::Secret,
    buf::Chunk,
    client::s3::{Bucket, Error as S3Error, Part},
    model::{Attempt, ImageId, StoreId},
    store::{
        Error, Intent, Store, Verdict, conformance,
        s3::{Config, S3Store},
    },
};

use crate::support::{free_address, lab};

const MIB: usize = 1 << 20;
/// All tests have one bucket: each has objects of its own.
const BUCKET: &str = "fresnel-store";

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_a_bucket_conform() {
    conformance::all(&open(config(), 128 * MIB)).await;
}

/// With so little memory that parts are handed on before they are as large as they should be.
#[tokio::test(flavor = "multi_thread")]
async fn objects_in_little_memory_with_checksums_conform() {
    let config = Config {
        checksums: true,
        content_md5: true,
        ..config()
    };
    conformance::all(&open(config, 12 * MIB)).await;
}

/// As Glance's driver writes it (reference E.4); and what older ones wrote is read.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_glances() {
    let store = open(config(), 128 * MIB);
    let (image, url) = put(&store, b"content").await;
    let host = lab::s3().url.strip_prefix("http://").unwrap();
    assert_eq!(url, format!("s3://{host}/{BUCKET}/{image}"));
    for old in [
        format!("s3://ACCESS:sec/ret@{host}/{BUCKET}/{image}"),
        format!("s3+http://{host}/{BUCKET}/{image}"),
    ] {
        assert!(store.owns(&old), "{old}");
        assert_eq!(store.object(&old).as_deref(), Some(url.as_str()));
        assert_eq!(store.size(&old).await.unwrap(), 7);
    }
    for foreign in [
        format!("s3://{host}/other/{image}"),
        format!("s3://other/{BUCKET}/{image}"),
    ] {
        assert!(!store.owns(&foreign), "{foreign}");
    }
    store.delete(&url).await.unwrap();
    let gone = format!("s3://ACCESS:secret@{host}/{BUCKET}/{image}");
    let error = store.size(&gone).await.unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
}

/// A process that died had told the journal its upload's name, or had not.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_another_process_is_ended() {
    for is_journalled in [true, false] {
        let (theirs, ours) = (open(config(), 128 * MIB), open(config(), 128 * MIB));
        let image = ImageId::random();
        let mut intent = intend(&theirs, &image).await;
        let mut writer = theirs.writer(&intent, None).await.unwrap();
        if is_journalled {
            intent.object = writer.object().unwrap().to_owned();
            write(&mut *writer, 17 * MIB).await.unwrap();
        }
        assert_eq!(uploads(&image).await.len(), 1);
        ours.discard(&intent).await.unwrap();
        assert_eq!(uploads(&image).await, [""; 0]);
        let late = writer.write(Chunk::new(vec![1; MIB].into())).await;
        let late = match late {
            Ok(()) => writer.commit().await.map(drop),
            failed => failed,
        };
        assert!(matches!(late, Err(Error::NotFound(_))), "{late:?}");
        assert_eq!(uploads(&image).await, [""; 0]);
    }
}

/// Uploads under the same name that others began stay: before us, or with a part of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_upload_is_ended() {
    let (theirs, ours) = (open(config(), 128 * MIB), open(config(), 128 * MIB));
    let (image, bucket) = (ImageId::random(), bucket());
    let key = image.as_str();
    bucket.make().await.unwrap();
    let earlier = bucket.begin(key, "earlier").await.unwrap();
    // The server's clock has passed the second, and what clocks may differ.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let intent = intend(&theirs, &image).await;
    let writer = theirs.writer(&intent, None).await.unwrap();
    let other = bucket.begin(key, "other").await.unwrap();
    let part = Part::new(vec!["theirs".into()]);
    bucket.put(key, &other, 1, &part).await.unwrap();
    ours.discard(&intent).await.unwrap();
    let mut left = uploads(&image).await;
    left.sort();
    let mut strangers = [earlier, other];
    strangers.sort();
    assert_eq!(left, strangers);
    drop(writer);
    for upload in strangers {
        bucket.abort(key, &upload).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_parts_cannot_hold_is_refused_at_the_start() {
    let store = open(config(), 12 * MIB);
    let limit = 60_000 * MIB as u64;
    let image = ImageId::random();
    let intend = |size| store.intend(&image, Attempt::random(), Some(size));
    intend(limit).await.unwrap();
    let error = intend(limit + 1).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit_bytes, .. } if limit_bytes == limit));
    assert!(error.to_string().contains("[fresnel] memory_limit_mib"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_nothing_wrong() {
    let findings = open(config(), 128 * MIB).check().await;
    assert!(findings.len() > 3);
    for finding in &findings {
        assert_eq!(finding.verdict, Verdict::Good, "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_is_wrong() {
    let wrong = |config: Config| async move {
        let findings = open(config, 128 * MIB).check().await;
        let last = findings.last().unwrap().clone();
        assert_eq!(last.verdict, Verdict::Wrong, "{last}");
        last.text
    };
    let said = wrong(Config {
        secret_key: Secret::new("another".into()),
        ..config()
    });
    assert!(said.await.contains("refuses: 403"));
    let said = wrong(Config {
        bucket: "fresnel-nowhere".into(),
        create_bucket: false,
        ..config()
    });
    assert!(said.await.contains("has no bucket fresnel-nowhere"));
    let said = wrong(Config {
        host: free_address().to_string(),
        patience: Duration::from_secs(1),
        ..config()
    });
    assert!(said.await.contains("no connection"));
}

/// What the server verifies it refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_under_another_md5_is_refused() {
    let config = Config {
        content_md5: true,
        ..config()
    };
    let bucket = Bucket::new(config.reach().unwrap()).unwrap();
    let key = ImageId::random();
    bucket.make().await.unwrap();
    let upload = bucket.begin(key.as_str(), "test").await.unwrap();
    let part = Part::new(vec!["a part".into()]);
    let refused = bucket.put_damaged(key.as_str(), &upload, &part).await;
    assert!(matches!(refused, Err(S3Error::Refused(_))), "{refused:?}");
    bucket.abort(key.as_str(), &upload).await.unwrap();
}

fn config() -> Config {
    let server = lab::s3();
    let key = |text: &str| Secret::new(text.to_owned());
    let mut config = Config::new(
        server.url.as_str(),
        BUCKET,
        key(&server.access_key),
        key(&server.secret_key),
    );
    config.create_bucket = true;
    config
}

/// With a memory of its own, as another process has it.
fn open(config: Config, share_bytes: usize) -> S3Store {
    S3Store::open(StoreId::new("s3"), config, share_bytes).unwrap()
}

/// The bucket, as somebody else has it.
fn bucket() -> Bucket {
    Bucket::new(config().reach().unwrap()).unwrap()
}

/// What the server has of uploads of an image.
async fn uploads(image: &ImageId) -> Vec<String> {
    let uploads = bucket().uploads(image.as_str()).await.unwrap();
    uploads.into_iter().map(|upload| upload.id).collect()
}

async fn intend(store: &S3Store, image: &ImageId) -> Intent {
    let intent = store.intend(image, Attempt::random(), None).await;
    intent.unwrap()
}

async fn write(writer: &mut dyn fresnel::store::Writer, len: usize) -> Result<(), Error> {
    for _ in 0..len / MIB {
        writer.write(Chunk::new(vec![1; MIB].into())).await?;
    }
    Ok(())
}

async fn put(store: &S3Store, content: &'static [u8]) -> (ImageId, String) {
    let image = ImageId::random();
    let intent = intend(store, &image).await;
    let mut writer = store.writer(&intent, None).await.unwrap();
    writer.write(Chunk::new(content.into())).await.unwrap();
    (image, writer.commit().await.unwrap().url)
}
