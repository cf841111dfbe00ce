//! Requests to a bucket of an S3 server, or of what speaks S3's language. Knows no image.
//!
//! Requests are signed in their headers, with AWS's Signature Version 4. The bytes of parts stay out of
//! the signature: hashing them again would cost more than all the rest (docs/adr/0017-s3.md).

pub mod answer;
mod part;
mod request;
mod sign;

use std::{fmt, path::PathBuf, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Client, Method, Response, Url,
    header::{CONTENT_LENGTH, DATE, ETAG, HeaderMap, LAST_MODIFIED},
};

use super::transport;
use crate::base::secret::Secret;
use answer::Leaves;
use request::{Ask, Body};

pub use part::Part;

/// The object's metadata that says who wrote it, as a header.
const MARK: &str = "x-amz-meta-fresnel-attempt";
/// Names of a page of a listing: with the longest that S3 allows an answer is what we read of one.
const PAGE_NAMES: &str = "500";
/// No connection takes longer, where the server is there at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A bucket and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// Scheme, host and port of the server, without the bucket.
    pub endpoint: Url,
    /// The bucket.
    pub bucket: String,
    /// The bucket is part of the host's name and not of the path.
    pub virtual_host: bool,
    /// The region that requests are signed for.
    pub region: String,
    /// Who we are.
    pub access_key: Secret,
    /// The proof of it.
    pub secret_key: Secret,
    /// Send each part's CRC-32 with it.
    pub checksums: bool,
    /// Send each part's MD5 with it.
    pub content_md5: bool,
    /// PEM file with the only authorities to trust; none stands for the system's.
    pub ca_file: Option<PathBuf>,
    /// How long nothing may move, and how long a request is repeated that the server fails.
    pub patience: Duration,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server does not let us.
    #[error("it refuses: {0}")]
    Denied(String),
    /// There is an object where none may be.
    #[error("there is an object already")]
    Exists,
    /// No room, or a quota is spent.
    #[error("no room: {0}")]
    Full(String),
    /// There is no such bucket.
    #[error("there is no such bucket")]
    NoBucket,
    /// There is no such object.
    #[error("there is no such object")]
    NoObject,
    /// There is no such upload, or no more.
    #[error("there is no such upload")]
    NoUpload,
    /// The server does not take the request.
    #[error("it answers {0}")]
    Refused(String),
    /// No answer, or one that asks to come again. What was asked may have been done.
    #[error("no answer: {0}")]
    Unavailable(String),
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length.
    pub size_bytes: u64,
    /// When it was written, by the server's clock.
    pub modified: Option<DateTime<Utc>>,
    /// The version of its content, as the server names it.
    pub etag: Option<String>,
    /// Who wrote it, if that was one of us.
    pub mark: Option<String>,
}

/// An upload in parts that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Of which object.
    pub key: String,
    /// The server's name for it.
    pub id: String,
    /// When it began, by the server's clock.
    pub began: DateTime<Utc>,
}

/// A part of an upload, as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number, as it stands there.
    pub number: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it came, by the server's clock.
    pub modified: DateTime<Utc>,
}

/// What a server says of a part that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTag {
    /// From 1 to 10,000.
    pub number: u32,
    etag: String,
    crc32: Option<String>,
}

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    config: Config,
    client: Client,
    /// Of every request's address: scheme, host and port, and the path up to the key.
    base: String,
    /// As it stands in the `Host` header.
    host: String,
    /// Where the path in `base` begins.
    path_at: usize,
}

/// Bytes of an object, on their way.
pub struct Download {
    response: Response,
    patience: Duration,
}

impl Bucket {
    /// Asks nothing yet: the server may come later than we do.
    ///
    /// # Errors
    /// When certificates cannot be read.
    pub fn new(config: Config) -> Result<Self, transport::Error> {
        let connections = transport::Config {
            ca_file: config.ca_file.clone(),
            timeout: config.patience.min(CONNECT_PATIENCE),
            ..transport::Config::default()
        };
        let client = transport::builder(&connections)?.http1_only().build();
        let (host, base, path_at) = request::base(&config);
        Ok(Self {
            client: client.map_err(transport::Error::Tls)?,
            base,
            host,
            path_at,
            config,
        })
    }

    /// Whether the bucket is there, with the time by the server's clock, or by ours where it has none.
    ///
    /// # Errors
    /// [`Error::NoBucket`] and what the server says.
    pub async fn look(&self) -> Result<DateTime<Utc>, Error> {
        let ask = Ask::new(Method::HEAD, None);
        match self.send(&ask).await {
            Ok(response) => Ok(time(response.headers(), DATE.as_str()).unwrap_or_else(Utc::now)),
            Err(Error::NoObject) => Err(Error::NoBucket),
            Err(error) => Err(error),
        }
    }

    /// Makes the bucket; one that is there already and ours is success.
    ///
    /// # Errors
    /// What the server says.
    pub async fn make(&self) -> Result<(), Error> {
        let mut ask = Ask::new(Method::PUT, None);
        if self.config.region != sign::DEFAULT_REGION {
            let region = &self.config.region;
            ask.body = Body::Text(Bytes::from(format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
                 </CreateBucketConfiguration>"
            )));
        }
        match self.send(&ask).await {
            Ok(_) => Ok(()),
            Err(Error::Refused(text)) if text.contains("BucketAlreadyOwnedByYou") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What is known of an object; none if there is none.
    ///
    /// # Errors
    /// What the server says.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, Error> {
        let ask = Ask::new(Method::HEAD, Some(key));
        let response = match self.send(&ask).await {
            Ok(response) => response,
            Err(Error::NoObject) => return Ok(None),
            Err(error) => return Err(error),
        };
        let headers = response.headers();
        let size = text(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let no_size = || Error::Refused("no Content-Length".to_owned());
        Ok(Some(Head {
            size_bytes: size.ok_or_else(no_size)?,
            modified: time(headers, LAST_MODIFIED.as_str()),
            etag: text(headers, ETAG.as_str()).map(str::to_owned),
            mark: text(headers, MARK).map(str::to_owned),
        }))
    }

    /// Some bytes of an object: of the version `etag`, where one is named. Not repeated.
    ///
    /// # Errors
    /// [`Error::NoObject`] also when the version is another; and what the server says.
    pub async fn get(
        &self,
        key: &str,
        offset: u64,
        len: u64,
        etag: Option<&str>,
    ) -> Result<Download, Error> {
        let mut ask = Ask::new(Method::GET, Some(key));
        let last = offset + len.saturating_sub(1);
        ask.header("range", format!("bytes={offset}-{last}"));
        if let Some(etag) = etag {
            ask.header("if-match", etag.to_owned());
        }
        let response = match self.try_once(&ask).await {
            Err(Error::Exists) => Err(Error::NoObject),
            other => other,
        }?;
        match response.status().as_u16() {
            206 => Ok(Download {
                response,
                patience: self.config.patience,
            }),
            other => Err(Error::Refused(format!("{other} to a request for a range"))),
        }
    }

    /// Removes an object; that there is none is success.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.send(&Ask::new(Method::DELETE, Some(key))).await {
            Ok(_) | Err(Error::NoObject) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload of an object that is to bear a mark. Not repeated: after
    /// [`Error::Unavailable`] there may be one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn begin(&self, key: &str, mark: &str) -> Result<String, Error> {
        let mut ask = Ask::new(Method::POST, Some(key));
        ask.query("uploads", "");
        ask.header(MARK, mark.to_owned());
        if self.config.checksums {
            ask.header("x-amz-checksum-algorithm", "CRC32".to_owned());
        }
        let leaves = self.leaves(self.try_once(&ask).await?).await?;
        let id = leaves.first("UploadId");
        id.ok_or_else(|| Error::Refused("no UploadId".to_owned()))
    }

    /// Sends a part.
    ///
    /// # Errors
    /// [`Error::NoUpload`] when the upload was ended; and what the server says.
    pub async fn put(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        part: &Part,
    ) -> Result<PartTag, Error> {
        let sums = part.sums(self.config.checksums, self.config.content_md5);
        self.put_with(key, upload, number, part, sums.await).await
    }

    /// Sends a part under checksums that are not its own.
    ///
    /// # Errors
    /// What the server says; success is that it does not look.
    pub async fn put_damaged(&self, key: &str, upload: &str, part: &Part) -> Result<(), Error> {
        let mut sums = part.sums(true, self.config.content_md5).await;
        sums.damage();
        self.put_with(key, upload, 1, part, sums).await.map(drop)
    }

    async fn put_with(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        part: &Part,
        sums: part::Sums,
    ) -> Result<PartTag, Error> {
        let mut ask = Ask::new(Method::PUT, Some(key));
        ask.query("partNumber", &number.to_string());
        ask.query("uploadId", upload);
        if let Some(crc32) = &sums.crc32 {
            ask.header("x-amz-checksum-crc32", crc32.clone());
        }
        if let Some(md5) = &sums.md5 {
            ask.header("content-md5", md5.clone());
        }
        ask.body = Body::Part(part.clone());
        let response = self.send(&ask).await.map_err(of_upload)?;
        let etag = text(response.headers(), ETAG.as_str());
        let no_etag = || Error::Refused("no ETag of a part".to_owned());
        Ok(PartTag {
            number,
            etag: etag.ok_or_else(no_etag)?.to_owned(),
            crc32: sums.crc32,
        })
    }

    /// Publishes an upload, unless there is an object already and the server looks. Not repeated:
    /// after [`Error::Unavailable`] it may be published.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::NoUpload`]; and what the server says.
    pub async fn complete(&self, key: &str, upload: &str, parts: &[PartTag]) -> Result<(), Error> {
        let mut ask = Ask::new(Method::POST, Some(key));
        ask.query("uploadId", upload);
        ask.header("if-none-match", "*".to_owned());
        ask.body = Body::Text(Bytes::from(answer::parts(parts)));
        // A server that takes long says 200 first, and how it went afterwards.
        let response = self.try_once(&ask).await.map_err(of_upload)?;
        let leaves = self.leaves(response).await?;
        match leaves.first("Code") {
            Some(_) => Err(of_upload(leaves.error(200))),
            None => Ok(()),
        }
    }

    /// Ends an upload: nothing of it is left.
    ///
    /// # Errors
    /// [`Error::NoUpload`] when it had ended; and what the server says.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<(), Error> {
        let mut ask = Ask::new(Method::DELETE, Some(key));
        ask.query("uploadId", upload);
        self.send(&ask).await.map(drop).map_err(of_upload)
    }

    /// Whether an upload has parts.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; and what the server says.
    pub async fn has_parts(&self, key: &str, upload: &str) -> Result<bool, Error> {
        let mut ask = Ask::new(Method::GET, Some(key));
        ask.query("max-parts", "1");
        ask.query("uploadId", upload);
        let response = self.send(&ask).await.map_err(of_upload)?;
        let leaves = self.leaves(response).await?;
        Ok(leaves.first("PartNumber").is_some())
    }

    /// A page of the parts of an upload, those after the one that is named; an empty one after the last.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; and what the server says.
    pub async fn parts(
        &self,
        key: &str,
        upload: &str,
        after: Option<&Stored>,
    ) -> Result<Vec<Stored>, Error> {
        let mut ask = Ask::new(Method::GET, Some(key));
        ask.query("max-parts", PAGE_NAMES);
        if let Some(part) = after {
            ask.query("part-number-marker", &part.number);
        }
        ask.query("uploadId", upload);
        let response = self.send(&ask).await.map_err(of_upload)?;
        Ok(self.leaves(response).await?.parts())
    }

    /// The uploads of one object, at most 1000.
    ///
    /// # Errors
    /// What the server says.
    pub async fn uploads(&self, key: &str) -> Result<Vec<Upload>, Error> {
        let mut ask = Ask::new(Method::GET, None);
        ask.query("prefix", key);
        ask.query("uploads", "");
        let leaves = self.leaves(self.send(&ask).await?).await?;
        let mut uploads = leaves.uploads();
        uploads.retain(|upload| upload.key == key);
        Ok(uploads)
    }

    /// A page of all uploads, those after the one that is named; an empty one after the last.
    ///
    /// # Errors
    /// What the server says.
    pub async fn all_uploads(&self, after: Option<&Upload>) -> Result<Vec<Upload>, Error> {
        let mut ask = Ask::new(Method::GET, None);
        if let Some(upload) = after {
            ask.query("key-marker", &upload.key);
        }
        ask.query("max-uploads", PAGE_NAMES);
        if let Some(upload) = after {
            ask.query("upload-id-marker", &upload.id);
        }
        ask.query("uploads", "");
        Ok(self.leaves(self.send(&ask).await?).await?.uploads())
    }

    /// A page of the keys of all objects, those after the one that is named; an empty one after the last.
    ///
    /// # Errors
    /// What the server says.
    pub async fn keys(&self, after: Option<&str>) -> Result<Vec<String>, Error> {
        let mut ask = Ask::new(Method::GET, None);
        ask.query("list-type", "2");
        ask.query("max-keys", PAGE_NAMES);
        if let Some(key) = after {
            ask.query("start-after", key);
        }
        Ok(self.leaves(self.send(&ask).await?).await?.all("Key"))
    }

    async fn leaves(&self, response: Response) -> Result<Leaves, Error> {
        Leaves::read(response, self.config.patience).await
    }
}

impl Download {
    /// The next bytes; none at their end. The caller counts.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = tokio::time::timeout(self.patience, self.response.chunk()).await;
        match next {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(request::unavailable(&error)),
            Err(_) => Err(Error::Unavailable("it stopped in the middle".to_owned())),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.config).finish()
    }
}

/// Some servers say of an upload that is not there that it is the object.
fn of_upload(error: Error) -> Error {
    match error {
        Error::NoObject => Error::NoUpload,
        other => other,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn time(headers: &HeaderMap, name: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc2822(text(headers, name)?);
    time.ok().map(|time| time.to_utc())
}
