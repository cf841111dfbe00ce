//! Which bytes of an image: what a client may ask for, and what that means for a size.

/// A contiguous piece of an image: `offset .. offset + len`. Both in bytes; `len` may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub len: u64,
}

impl ByteRange {
    /// All of an image of `size_bytes`.
    pub fn whole(size_bytes: u64) -> Self {
        Self {
            offset: 0,
            len: size_bytes,
        }
    }

    /// The byte after the last.
    pub fn end(self) -> u64 {
        self.offset + self.len
    }
}

/// What a download asks for, before the image's size is known (reference A.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// No range.
    Whole,
    /// `Range: bytes=first-last`, or without `last` to the end.
    Range {
        /// The first byte.
        first: u64,
        /// The last byte; beyond the end it means the end.
        last: Option<u64>,
    },
    /// `Range: bytes=-bytes`: the last so many.
    Suffix {
        /// How many; more than there are means all, and so does 0.
        bytes: u64,
    },
    /// `Content-Range: bytes first-last/*` on a request: a synonym that old clients use.
    ContentRange {
        /// The first byte.
        first: u64,
        /// The last byte; must exist.
        last: u64,
    },
}

/// Why a range is refused, in Glance's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// More than one range.
    #[error(
        "Requests with multiple ranges are not supported in Glance. You may make multiple \
         single-range requests instead."
    )]
    Multiple,
    /// No range at all.
    #[error("Invalid {0} header.")]
    Malformed(&'static str),
    /// Starts at or after the end.
    #[error(
        "Invalid start position in {header} header. Start position MUST be in the inclusive range \
         [0, {}].",
        *.size_bytes as i128 - 1
    )]
    Start {
        /// `Range` or `Content-Range`.
        header: &'static str,
        /// The image's.
        size_bytes: u64,
    },
    /// A `Content-Range` ends after the end.
    #[error(
        "Invalid stop position in Content-Range header. The stop position MUST be in the inclusive \
         range [0, {}].",
        *.size_bytes as i128 - 1
    )]
    Stop {
        /// The image's.
        size_bytes: u64,
    },
}

const RANGE: &str = "Range";
const CONTENT_RANGE: &str = "Content-Range";

impl RangeRequest {
    /// Reads the two headers; `Range` wins. As in Glance, what follows a range is ignored.
    ///
    /// # Errors
    /// [`RangeError::Multiple`] and [`RangeError::Malformed`].
    pub fn parse(range: Option<&str>, content_range: Option<&str>) -> Result<Self, RangeError> {
        if let Some(text) = range {
            if text.contains(',') {
                return Err(RangeError::Multiple);
            }
            return parse_range(text).ok_or(RangeError::Malformed(RANGE));
        }
        let Some(text) = content_range else {
            return Ok(Self::Whole);
        };
        parse_content_range(text).ok_or(RangeError::Malformed(CONTENT_RANGE))
    }

    /// The bytes of an image of `size_bytes`, and whether they are an answer to a range (206).
    ///
    /// # Errors
    /// [`RangeError::Start`] and [`RangeError::Stop`].
    pub fn resolve(self, size_bytes: u64) -> Result<ByteRange, RangeError> {
        let (header, first, end) = match self {
            Self::Whole => return Ok(ByteRange::whole(size_bytes)),
            Self::Range { first, last } => {
                let end = last.map_or(size_bytes, |last| last.saturating_add(1).min(size_bytes));
                (RANGE, first, end)
            }
            Self::Suffix { bytes: 0 } => (RANGE, 0, size_bytes),
            Self::Suffix { bytes } => (RANGE, size_bytes.saturating_sub(bytes), size_bytes),
            Self::ContentRange { last, .. } if last >= size_bytes => {
                return Err(RangeError::Stop { size_bytes });
            }
            Self::ContentRange { first, last } => (CONTENT_RANGE, first, last + 1),
        };
        if first >= size_bytes {
            return Err(RangeError::Start { header, size_bytes });
        }
        Ok(ByteRange {
            offset: first,
            len: end - first,
        })
    }
}

/// `bytes = first - last`, with optional spaces, in any case.
fn parse_range(text: &str) -> Option<RangeRequest> {
    let unit = text.get(..5).filter(|t| t.eq_ignore_ascii_case("bytes"))?;
    let rest = text[unit.len()..].trim_start_matches(' ');
    let rest = rest.strip_prefix('=')?.trim_start_matches(' ');
    let (first, rest) = digits(rest);
    let rest = rest.trim_start_matches(' ').strip_prefix('-')?;
    let (last, _) = digits(rest.trim_start_matches(' '));
    match (first, last) {
        (None, None) => None,
        (None, Some(bytes)) => Some(RangeRequest::Suffix { bytes }),
        (Some(first), Some(last)) if last < first => None,
        (Some(first), last) => Some(RangeRequest::Range { first, last }),
    }
}

/// `bytes first-last/length`, where the length may be `*`.
fn parse_content_range(text: &str) -> Option<RangeRequest> {
    let (first, rest) = digits(text.strip_prefix("bytes ")?);
    let (last, rest) = digits(rest.strip_prefix('-')?);
    let (first, last) = (first?, last?);
    let rest = rest.strip_prefix('/')?;
    let fits = match digits(rest) {
        (Some(length), _) => last < length,
        (None, _) => rest.starts_with('*'),
    };
    (first <= last && fits).then_some(RangeRequest::ContentRange { first, last })
}

/// The number at the start of `text`, if there is one, and the rest. A number beyond 64 bits is
/// beyond every image.
fn digits(text: &str) -> (Option<u64>, &str) {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(len);
    let value = (len > 0).then(|| number.parse().unwrap_or(u64::MAX));
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(range: &str) -> Result<(u64, u64), RangeError> {
        let range = RangeRequest::parse(Some(range), None)?.resolve(10)?;
        Ok((range.offset, range.len))
    }

    fn content_of_ten(range: &str) -> Result<(u64, u64), RangeError> {
        let range = RangeRequest::parse(None, Some(range))?.resolve(10)?;
        Ok((range.offset, range.len))
    }

    #[test]
    fn ranges_of_ten_bytes() {
        assert_eq!(of_ten("bytes=0-4"), Ok((0, 5)));
        assert_eq!(of_ten("bytes=9-9"), Ok((9, 1)));
        assert_eq!(of_ten("bytes=3-"), Ok((3, 7)));
        assert_eq!(of_ten("bytes=3-99999999999999999999999"), Ok((3, 7)));
        assert_eq!(of_ten("bytes=-2"), Ok((8, 2)));
        assert_eq!(of_ten("bytes=-10"), Ok((0, 10)));
        assert_eq!(of_ten("bytes=-11"), Ok((0, 10)));
        assert_eq!(of_ten("bytes=-0"), Ok((0, 10)));
        assert_eq!(of_ten("BYTES = 1 - 2 and more"), Ok((1, 2)));
    }

    #[test]
    fn refused_ranges() {
        let start = RangeError::Start {
            header: "Range",
            size_bytes: 10,
        };
        assert_eq!(of_ten("bytes=0-1,3-4"), Err(RangeError::Multiple));
        assert_eq!(of_ten("bytes=10-"), Err(start.clone()));
        assert!(start.to_string().ends_with("range [0, 9]."));
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-3",
            "lines=0-4",
            "böte=1-2",
        ] {
            assert_eq!(of_ten(text), Err(RangeError::Malformed("Range")), "{text}");
        }
    }

    #[test]
    fn content_ranges_of_ten_bytes() {
        assert_eq!(content_of_ten("bytes 0-4/*"), Ok((0, 5)));
        assert_eq!(content_of_ten("bytes 0-9/10"), Ok((0, 10)));
        let stop = Err(RangeError::Stop { size_bytes: 10 });
        assert_eq!(content_of_ten("bytes 0-10/*"), stop);
        assert_eq!(content_of_ten("bytes 0-10/11"), stop);
        for text in [
            "bytes */10",
            "bytes 4-3/*",
            "bytes 0-4/4",
            "bytes=0-4",
            "bytes 0-4",
        ] {
            let malformed = Err(RangeError::Malformed("Content-Range"));
            assert_eq!(content_of_ten(text), malformed, "{text}");
        }
    }

    #[test]
    fn nothing_has_no_first_byte() {
        let whole = RangeRequest::parse(None, None).unwrap();
        assert_eq!(whole.resolve(0), Ok(ByteRange::whole(0)));
        let error = RangeRequest::Suffix { bytes: 5 }.resolve(0).unwrap_err();
        assert!(error.to_string().ends_with("range [0, -1]."));
    }
}
