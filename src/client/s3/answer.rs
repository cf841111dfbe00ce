//! What an S3 server says, in XML.

use std::time::Duration;

use chrono::{DateTime, Utc};
use quick_xml::{Reader, events::Event};
use reqwest::Response;
use tokio::time::timeout;

use super::{Error, PartTag, Stored, Upload, request::unavailable};

/// Bytes of an answer: a list of 1000 uploads has half of it.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;

/// The elements of an answer that have no elements in them: their names, without a prefix, and their
/// texts, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves(Vec<(String, String)>);

impl Leaves {
    /// Reads an answer to its end.
    pub(super) async fn read(mut response: Response, patience: Duration) -> Result<Self, Error> {
        let mut answer = Vec::new();
        loop {
            let next = timeout(patience, response.chunk()).await;
            let next = next.map_err(|_| Error::Unavailable("it takes too long".to_owned()))?;
            let Some(bytes) = next.map_err(|error| unavailable(&error))? else {
                break;
            };
            answer.extend_from_slice(&bytes);
            if answer.len() > ANSWER_LIMIT_BYTES {
                return Err(Error::Refused("more than we read".to_owned()));
            }
        }
        let parsed = Self::parse(&answer);
        parsed.ok_or_else(|| Error::Refused("no XML".to_owned()))
    }

    /// Reads a document; none when it is no XML. An empty one has no elements.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(str::from_utf8(document).ok()?);
        let mut leaves = Vec::new();
        let mut open: Option<(String, String)> = None;
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    open = Some((name, String::new()));
                }
                Event::Text(text) => {
                    if let Some((_, open)) = &mut open {
                        open.push_str(&text.xml10_content());
                    }
                }
                Event::GeneralRef(entity) => {
                    if let Some((_, open)) = &mut open {
                        let letter = entity.resolve_char_ref().ok()?;
                        match letter {
                            Some(letter) => open.push(letter),
                            None => open.push(predefined(&entity)?),
                        }
                    }
                }
                // The end of an element with elements in it finds nothing open.
                Event::End(_) => leaves.extend(open.take()),
                Event::Eof => return Some(Self(leaves)),
                _ => {}
            }
        }
    }

    /// The text of the first element of that name.
    pub fn first(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(leaf, _)| leaf == name);
        found.map(|(_, text)| text.clone())
    }

    /// The texts of all elements of that name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(leaf, _)| leaf == name);
        found.map(|(_, text)| text.clone()).collect()
    }

    /// The uploads of a list.
    pub fn uploads(&self) -> Vec<Upload> {
        let (mut uploads, mut key, mut id) = (Vec::new(), None, None);
        for (name, text) in &self.0 {
            match name.as_str() {
                "Key" => key = Some(text.clone()),
                "UploadId" => id = Some(text.clone()),
                "Initiated" => {
                    if let (Some(key), Some(id), Some(began)) = (key.take(), id.take(), time(text))
                    {
                        uploads.push(Upload { key, id, began });
                    }
                }
                _ => {}
            }
        }
        uploads
    }

    /// The parts of a list, whose members come in any order.
    pub fn parts(&self) -> Vec<Stored> {
        let (mut parts, mut number, mut modified, mut size) = (Vec::new(), None, None, None);
        for (name, text) in &self.0 {
            match name.as_str() {
                "PartNumber" => number = Some(text.clone()),
                "LastModified" => modified = time(text),
                "Size" => size = text.parse().ok(),
                _ => continue,
            }
            if let (Some(named), Some(modified_at), Some(size_bytes)) = (&number, modified, size) {
                parts.push(Stored {
                    number: named.clone(),
                    size_bytes,
                    modified: modified_at,
                });
                (number, modified, size) = (None, None, None);
            }
        }
        parts
    }

    /// What an error means: by its code, and where it has none by its status.
    pub(super) fn error(&self, status: u16) -> Error {
        let code = self.first("Code").unwrap_or_default();
        let text = match self.first("Message").filter(|text| !text.is_empty()) {
            Some(message) => format!("{status} {code}: {message}"),
            None => format!("{status} {code}"),
        };
        match (code.as_str(), status) {
            ("NoSuchBucket", _) => Error::NoBucket,
            ("NoSuchUpload", _) => Error::NoUpload,
            ("NoSuchKey", _) | ("", 404) => Error::NoObject,
            ("PreconditionFailed", _) | ("", 412) => Error::Exists,
            ("QuotaExceeded" | "InsufficientStorage", _) | (_, 507) => Error::Full(text),
            ("RequestTimeout" | "OperationAborted" | "ConditionalRequestConflict", _) => {
                Error::Unavailable(text)
            }
            (_, 401 | 403) => Error::Denied(text),
            ("InternalError" | "SlowDown" | "ServiceUnavailable", _) => Error::Unavailable(text),
            (_, 429 | 500 | 502..=504) => Error::Unavailable(text),
            _ => Error::Refused(text),
        }
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.to_utc())
}

/// The body that publishes an upload.
pub(super) fn parts(tags: &[PartTag]) -> String {
    let parts = tags.iter().map(|tag| {
        let PartTag {
            number,
            etag,
            crc32,
        } = tag;
        let etag = quick_xml::escape::escape(etag.as_str());
        let sum = crc32.as_ref().map_or_else(String::new, |sum| {
            format!("<ChecksumCRC32>{sum}</ChecksumCRC32>")
        });
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{sum}</Part>")
    });
    let parts: String = parts.collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}\
         </CompleteMultipartUpload>"
    )
}

fn predefined(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"<?xml version="1.0"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
 <Bucket>glance</Bucket><KeyMarker></KeyMarker><Prefix>a</Prefix><UploadIdMarker/>
 <Upload><Key>a</Key><UploadId>2~x&amp;y</UploadId>
  <Initiator><ID>lab</ID></Initiator><Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>
 <Upload><Key>ab</Key><UploadId>2~z</UploadId><Initiated>2026-01-02T03:04:05.678Z</Initiated></Upload>
</ListMultipartUploadsResult>"#;

    #[test]
    fn a_list_of_uploads_is_read() {
        let uploads = Leaves::parse(LIST.as_bytes()).unwrap().uploads();
        let named = uploads.iter().map(|upload| (&*upload.key, &*upload.id));
        assert!(named.eq([("a", "2~x&y"), ("ab", "2~z")]));
        assert_eq!(uploads[0].began.timestamp_millis(), 1_767_323_045_678);
    }

    #[test]
    fn a_list_of_parts_is_read_in_any_order_of_their_members() {
        let time = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>";
        let list = format!(
            "<ListPartsResult><PartNumberMarker>0</PartNumberMarker><MaxParts>9</MaxParts>\
             <Part>{time}<PartNumber>1</PartNumber><ETag>x</ETag><Size>5</Size></Part>\
             <Part><PartNumber>2</PartNumber>{time}<ETag>y</ETag><Size>7</Size></Part>\
             </ListPartsResult>"
        );
        let parts = Leaves::parse(list.as_bytes()).unwrap().parts();
        let read = parts.iter().map(|part| (&*part.number, part.size_bytes));
        assert!(read.eq([("1", 5), ("2", 7)]));
    }

    #[test]
    fn errors_are_told_by_their_codes() {
        let error = |document: &str, status| {
            let leaves = Leaves::parse(document.as_bytes()).unwrap();
            leaves.error(status)
        };
        let coded = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        assert_eq!(error(&coded("NoSuchUpload"), 404), Error::NoUpload);
        assert_eq!(error("", 404), Error::NoObject);
        assert_eq!(error("", 412), Error::Exists);
        let denied = error(&coded("SignatureDoesNotMatch"), 403);
        assert_eq!(denied.to_string(), "it refuses: 403 SignatureDoesNotMatch");
        assert!(matches!(
            error(&coded("SlowDown"), 503),
            Error::Unavailable(_)
        ));
        assert!(matches!(
            error(&coded("InternalError"), 200),
            Error::Unavailable(_)
        ));
        assert!(matches!(
            error(&coded("QuotaExceeded"), 403),
            Error::Full(_)
        ));
    }

    #[test]
    fn what_is_no_xml_is_told() {
        assert_eq!(Leaves::parse(b"<a><b></a>"), None);
        assert_eq!(Leaves::parse(b"<a>&nbsp;</a>"), None);
        assert_eq!(Leaves::parse(b"no"), Some(Leaves::default()));
    }
}
