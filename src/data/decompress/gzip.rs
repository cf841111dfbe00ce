//! gzip (RFC 1952): members one after the other, with zeroes between and after them, as Python's
//! `gzip` reads them.

use flate2::{Crc, Decompress};

use super::{Damage, hold, inflate};

const FIXED_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
/// A name and a comment may have any length; nobody's are longer.
const HEADER_BYTES_MAX: usize = 64 * 1024;

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

#[derive(Debug, Default)]
pub(super) struct Gzip {
    part: Part,
    /// Of a header or a trailer that is not complete.
    held: Vec<u8>,
    is_begun: bool,
}

#[derive(Debug, Default)]
enum Part {
    /// A header, or zeroes before one.
    #[default]
    Header,
    Body(Body),
    Trailer(Body),
}

#[derive(Debug)]
struct Body {
    inflater: Decompress,
    crc: Crc,
}

impl Gzip {
    /// True when there is another part to go on with.
    pub(super) fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Damage> {
        match &mut self.part {
            Part::Header => self.header(input),
            Part::Body(body) => {
                let start = out.len();
                let ended = inflate(&mut body.inflater, input, out)?;
                body.crc.update(&out[start..]);
                if ended {
                    self.end_body();
                }
                Ok(ended)
            }
            Part::Trailer(body) => {
                if !hold(&mut self.held, input, TRAILER_BYTES) {
                    return Ok(false);
                }
                let expected = [body.crc.sum(), body.crc.amount()].map(u32::to_le_bytes);
                if self.held != expected.concat() {
                    return Err(Damage("CRC check failed"));
                }
                self.held.clear();
                self.part = Part::Header;
                Ok(true)
            }
        }
    }

    pub(super) fn finish(&self) -> Result<(), Damage> {
        match self.part {
            Part::Header if self.is_begun && self.held.is_empty() => Ok(()),
            _ => Err(Damage(
                "Compressed file ended before the end-of-stream marker was reached",
            )),
        }
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<bool, Damage> {
        if self.is_begun && self.held.is_empty() {
            let zeroes = input.iter().take_while(|byte| **byte == 0).count();
            *input = &input[zeroes..];
        }
        let before = self.held.len();
        let more = input.len().min(HEADER_BYTES_MAX - before);
        self.held.extend_from_slice(&input[..more]);
        match header_len(&self.held)? {
            Some(len) => {
                *input = &input[len - before..];
                self.held.clear();
                self.is_begun = true;
                self.part = Part::Body(Body {
                    inflater: Decompress::new(false),
                    crc: Crc::new(),
                });
                Ok(true)
            }
            None if self.held.len() == HEADER_BYTES_MAX => {
                Err(Damage("the gzip header is too long"))
            }
            None => {
                *input = &input[more..];
                Ok(false)
            }
        }
    }

    fn end_body(&mut self) {
        if let Part::Body(body) = std::mem::take(&mut self.part) {
            self.part = Part::Trailer(body);
        }
    }
}

/// The length of the header at the front, if all of it is there.
fn header_len(bytes: &[u8]) -> Result<Option<usize>, Damage> {
    let magic = [0x1f, 0x8b];
    let seen = bytes.len().min(magic.len());
    if bytes[..seen] != magic[..seen] {
        return Err(Damage("Not a gzipped file"));
    }
    let Some(fixed) = bytes.get(..FIXED_BYTES) else {
        return Ok(None);
    };
    if fixed[2] != 8 {
        return Err(Damage("Unknown compression method"));
    }
    let flags = fixed[3];
    let mut at = FIXED_BYTES;
    if flags & EXTRA != 0 {
        let Some(len) = bytes.get(at..at + 2) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(len) = rest.iter().position(|byte| *byte == 0) else {
                return Ok(None);
            };
            at += len + 1;
        }
    }
    if flags & HEADER_CRC != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}
