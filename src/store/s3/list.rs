//! What lies in the bucket, whoever put it there: uploads that are under way, and objects.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{Entry, Error, Intent, Result, Shared, Stat, draft::Trace, without_credentials};
use crate::{
    client::s3,
    model::{Attempt, ImageId},
};

/// Tells every upload and every object. Of an upload the server says the object, and not the attempt.
pub(super) async fn list(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<()> {
    let listed = async {
        uploads(shared, found).await?;
        objects(shared, found).await
    };
    match listed.await {
        // The first upload makes it.
        Err(s3::Error::NoBucket) if shared.config.create_bucket => Ok(()),
        listed => listed.map_err(|error| shared.outcome("", error)),
    }
}

async fn uploads(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<(), s3::Error> {
    let mut last = None;
    loop {
        let page = shared.bucket.all_uploads(last.as_ref()).await?;
        let Some(end) = page.last().cloned() else {
            return Ok(());
        };
        for upload in page {
            let object = Trace::Upload(upload.id).object(&shared.config.bucket, &upload.key);
            let draft = Entry::Draft(Intent::new(
                ImageId::new(upload.key),
                Attempt::UNKNOWN,
                object,
            ));
            if found.send(draft).await.is_err() {
                return Ok(());
            }
        }
        last = Some(end);
    }
}

async fn objects(shared: &Shared, found: &mpsc::Sender<Entry>) -> Result<(), s3::Error> {
    let mut last: Option<String> = None;
    loop {
        let page = shared.bucket.keys(last.as_deref()).await?;
        let Some(end) = page.last().cloned() else {
            return Ok(());
        };
        for key in page {
            let object = Entry::Object(shared.url(&key));
            if found.send(object).await.is_err() {
                return Ok(());
            }
        }
        last = Some(end);
    }
}

pub(super) async fn stat(shared: &Shared, entry: &Entry) -> Result<Stat> {
    match entry {
        Entry::Object(url) => {
            // Whatever was told has a key, also what could be no image's.
            let key = match url.strip_prefix(&shared.url("")) {
                Some(key) => key,
                None => shared.key(url)?,
            };
            let head = shared.head(key).await?;
            let head = head.ok_or_else(|| Error::NotFound(without_credentials(url.clone())))?;
            Ok(Stat {
                size_bytes: head.size_bytes,
                modified: head.modified.map(SystemTime::from),
            })
        }
        Entry::Draft(intent) => of_upload(shared, intent).await,
    }
}

/// Its parts together, and when the last of them came; where there are none, when it began.
async fn of_upload(shared: &Shared, intent: &Intent) -> Result<Stat> {
    let (key, bucket) = (intent.image.as_str(), &shared.bucket);
    let trace = Trace::parse(&intent.object, &shared.config.bucket, key);
    let Some(Trace::Upload(id)) = trace else {
        return Err(Error::BadAddress(intent.object.clone()));
    };
    let failed = |error| shared.outcome(key, error);
    let (mut size_bytes, mut modified, mut last) = (0, None::<DateTime<Utc>>, None);
    loop {
        let page = bucket.parts(key, &id, last.as_ref()).await;
        let page = page.map_err(failed)?;
        let Some(end) = page.last().cloned() else {
            break;
        };
        for part in page {
            size_bytes += part.size_bytes;
            modified = modified.max(Some(part.modified));
        }
        last = Some(end);
    }
    if modified.is_none() {
        let uploads = bucket.uploads(key).await.map_err(failed)?;
        let begun = uploads.into_iter().find(|upload| upload.id == id);
        modified = begun.map(|upload| upload.began);
    }
    Ok(Stat {
        size_bytes,
        modified: modified.map(SystemTime::from),
    })
}
