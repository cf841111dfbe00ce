//! A look at a store, for the operator: what works, and in plain words what does not.

use std::sync::Arc;

use bytes::Bytes;

use super::{Finding, Shared};
use crate::{
    client::s3::{Error, Part},
    model::ImageId,
};

/// What is written, before and after.
const CONTENT: &[u8] = b"fresnel store check";

/// Looks at the bucket, and writes, reads and deletes a small object.
pub(super) async fn check(shared: &Arc<Shared>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(finding) = bucket(shared, &mut findings).await {
        findings.push(finding);
        return findings;
    }
    let key = format!("fresnel-check-{}", ImageId::random());
    if let Err((step, error)) = round_trip(shared, &key, &mut findings).await {
        findings.push(Finding::wrong(format!("cannot {step}: {error}")));
    }
    if let Err(error) = clean_up(shared, &key).await {
        findings.push(Finding::wrong(format!("cannot remove {key}: {error}")));
    }
    findings
}

async fn bucket(shared: &Shared, findings: &mut Vec<Finding>) -> Result<(), Finding> {
    let (name, host) = (&shared.config.bucket, &shared.config.host);
    let mut looked = shared.bucket.look().await;
    if looked == Err(Error::NoBucket) && shared.config.create_bucket {
        looked = match shared.bucket.make().await {
            Ok(()) => shared.bucket.look().await,
            Err(error) => Err(error),
        };
    }
    match looked {
        Ok(_) => {
            findings.push(Finding::good(format!("bucket {name} of {host} answers")));
            Ok(())
        }
        Err(Error::NoBucket) => Err(Finding::wrong(format!(
            "{host} has no bucket {name}: make it, or set s3_store_create_bucket_on_put"
        ))),
        Err(error) => Err(Finding::wrong(format!(
            "cannot use bucket {name} of {host}: {error}"
        ))),
    }
}

async fn round_trip(
    shared: &Shared,
    key: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), (&'static str, Error)> {
    let bucket = &shared.bucket;
    let at = |step| move |error| (step, error);
    let part = Part::new(vec![Bytes::from_static(CONTENT)]);
    let upload = bucket.begin(key, "check").await;
    let upload = upload.map_err(at("begin an upload"))?;
    findings.push(sums(shared, bucket.put_damaged(key, &upload, &part).await));
    let tag = bucket.put(key, &upload, 1, &part).await;
    let tags = [tag.map_err(at("send a part"))?];
    let listed = bucket.uploads(key).await;
    let listed = listed.map_err(at("list uploads, which ends those of a node that died"))?;
    if !listed.iter().any(|found| found.id == upload) {
        let missing = Error::Refused("a list without the upload".to_owned());
        return Err(("list uploads", missing));
    }
    let completed = bucket.complete(key, &upload, &tags).await;
    completed.map_err(at("complete an upload"))?;
    let len = CONTENT.len() as u64;
    let download = bucket.get(key, 0, len, None).await;
    let mut download = download.map_err(at("read a range"))?;
    let mut read = Vec::new();
    while let Some(bytes) = download.next().await.map_err(at("read a range"))? {
        read.extend_from_slice(&bytes);
    }
    if read != CONTENT {
        return Err((
            "read what was written",
            Error::Refused("other bytes".to_owned()),
        ));
    }
    findings.push(Finding::good("an object was uploaded, read and is deleted"));
    findings.push(match bucket.keys(None).await {
        Ok(_) => Finding::good("objects can be listed"),
        Err(error) => Finding::doubtful(format!(
            "objects cannot be listed, which fresnel scrub does: {error}"
        )),
    });
    findings.push(
        replaces(shared, key, &part)
            .await
            .map_err(at("upload again"))?,
    );
    Ok(())
}

/// What came of a part that is not what its CRC says.
fn sums(shared: &Shared, damaged: Result<(), Error>) -> Finding {
    match (damaged, shared.config.checksums) {
        (Err(Error::Unavailable(text)), _) => {
            Finding::wrong(format!("a part under a wrong CRC-32 got no answer: {text}"))
        }
        (Err(_), true) => Finding::good("the server verifies the CRC-32 of parts"),
        (Err(_), false) => Finding::doubtful(
            "the server verifies the CRC-32 of parts, and gets none: set \
             s3_store_enable_data_integrity_protection = true and \
             s3_store_request_checksum_calculation = when_supported",
        ),
        (Ok(()), true) => Finding::doubtful(
            "the server took a part under a wrong CRC-32: it does not verify them; \
             fresnel_s3_content_md5 may do what \
             s3_store_request_checksum_calculation = when_supported does not",
        ),
        (Ok(()), false) => {
            Finding::good("the server does not verify the CRC-32 of parts, and gets none")
        }
    }
}

/// Whether an upload can replace an object.
async fn replaces(shared: &Shared, key: &str, part: &Part) -> Result<Finding, Error> {
    let bucket = &shared.bucket;
    let upload = bucket.begin(key, "check").await?;
    let tags = [bucket.put(key, &upload, 1, part).await?];
    match bucket.complete(key, &upload, &tags).await {
        Err(Error::Exists) => Ok(Finding::good("the server refuses to replace an object")),
        Ok(()) => Ok(Finding::good(
            "the server would replace an object: before publishing we look whether there is one",
        )),
        Err(error) => Err(error),
    }
}

async fn clean_up(shared: &Shared, key: &str) -> Result<(), Error> {
    for upload in shared.bucket.uploads(key).await? {
        match shared.bucket.abort(key, &upload.id).await {
            Ok(()) | Err(Error::NoUpload) => {}
            Err(error) => return Err(error),
        }
    }
    shared.bucket.delete(key).await
}
