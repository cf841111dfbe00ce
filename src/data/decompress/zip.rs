//! A zip archive of one file (APPNOTE 6.3), from its front. Python's `zipfile`, which Glance has,
//! reads the directory at its end; here the file is unpacked as it passes, and the directory must then
//! say the same as the file's own header did.

use flate2::{Crc, Decompress};

use super::{Damage, hold, inflate};

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;
/// Descriptor, directory entry with its three texts of 64 KiB, and the end with its comment.
const TAIL_BYTES_MAX: usize = 512 * 1024;

/// Encrypted, patched, strongly encrypted: not unpacked by Python either.
const FLAGS_REFUSED: u16 = 1 << 0 | 1 << 5 | 1 << 6;
/// The sizes are behind the data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const EXTRA_64: u16 = 1;

const SEVERAL: Damage = Damage("Archive contains more than one file.");
const CONTRADICTION: Damage = Damage("the archive's directory does not match its file");
const CUT: Damage = Damage("the archive is cut off");

#[derive(Debug, Default)]
pub(super) struct Zip {
    part: Part,
    held: Vec<u8>,
    header: Header,
    crc: Crc,
    /// Of the file, as it is packed.
    packed_bytes: u64,
    /// Of the file, unpacked.
    bytes: u64,
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    Header,
    Stored {
        left_bytes: u64,
    },
    Deflated(Decompress),
    Tail,
}

/// What the file's own header says.
#[derive(Debug, Default)]
struct Header {
    flags: u16,
    method: u16,
    crc: u32,
    packed_bytes: u64,
    bytes: u64,
    name: Vec<u8>,
}

impl Zip {
    /// True when there is another part to go on with.
    pub(super) fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Damage> {
        match &mut self.part {
            Part::Header => self.begin(input),
            Part::Stored { left_bytes: 0 } => {
                self.part = Part::Tail;
                Ok(true)
            }
            Part::Stored { left_bytes } => {
                let left = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let room = out.capacity() - out.len();
                let (taken, rest) = input.split_at(left.min(room).min(input.len()));
                out.extend_from_slice(taken);
                self.crc.update(taken);
                *left_bytes -= taken.len() as u64;
                self.bytes += taken.len() as u64;
                self.packed_bytes += taken.len() as u64;
                *input = rest;
                Ok(*left_bytes == 0)
            }
            Part::Deflated(inflater) => {
                let (start, before) = (out.len(), input.len());
                let ended = inflate(inflater, input, out)?;
                self.crc.update(&out[start..]);
                self.bytes += (out.len() - start) as u64;
                self.packed_bytes += (before - input.len()) as u64;
                if ended {
                    self.part = Part::Tail;
                }
                Ok(ended)
            }
            Part::Tail => {
                if hold(&mut self.held, input, TAIL_BYTES_MAX) && !input.is_empty() {
                    return Err(SEVERAL);
                }
                Ok(false)
            }
        }
    }

    pub(super) fn finish(&self) -> Result<(), Damage> {
        match self.part {
            Part::Tail => self.check(),
            _ => Err(CUT),
        }
    }

    fn begin(&mut self, input: &mut &[u8]) -> Result<bool, Damage> {
        if !hold(&mut self.held, input, LOCAL_BYTES) {
            return Ok(false);
        }
        let texts = [26, 28].map(|at| usize::from(number16(&self.held, at)));
        let len = LOCAL_BYTES + texts[0] + texts[1];
        if !hold(&mut self.held, input, len) {
            return Ok(false);
        }
        let (name, extra) = self.held[LOCAL_BYTES..len].split_at(texts[0]);
        let mut sizes = [22, 18].map(|at| u64::from(number32(&self.held, at)));
        wide(extra, &mut sizes)?;
        self.header = Header {
            flags: number16(&self.held, 6),
            method: number16(&self.held, 8),
            crc: number32(&self.held, 14),
            bytes: sizes[0],
            packed_bytes: sizes[1],
            name: name.to_vec(),
        };
        self.held.clear();
        if self.header.flags & FLAGS_REFUSED != 0 {
            return Err(Damage("the archive's file is encrypted or patched"));
        }
        self.part = match self.header.method {
            DEFLATED => Part::Deflated(Decompress::new(false)),
            STORED if self.has_descriptor() => {
                return Err(Damage("the archive's file is stored without its size"));
            }
            STORED => Part::Stored {
                left_bytes: self.header.packed_bytes,
            },
            _ => return Err(Damage("That compression method is not supported")),
        };
        Ok(true)
    }

    fn has_descriptor(&self) -> bool {
        self.header.flags & FLAG_DESCRIPTOR != 0
    }

    /// What is behind the data agrees with it, and nothing else is there.
    fn check(&self) -> Result<(), Damage> {
        let found = [self.bytes, self.packed_bytes];
        let header = &self.header;
        let said = [header.bytes, header.packed_bytes];
        if !self.has_descriptor() && (said != found || header.crc != self.crc.sum()) {
            return Err(Damage("Bad CRC-32 for file"));
        }
        let tail = self.behind_descriptor()?;
        let rest = self.directory(tail)?;
        end(rest)
    }

    /// What is behind the descriptor, if there must be one. It is written in four ways.
    fn behind_descriptor(&self) -> Result<&[u8], Damage> {
        let tail = self.held.as_slice();
        if !self.has_descriptor() {
            return Ok(tail);
        }
        let crc = self.crc.sum().to_le_bytes();
        let sizes = [self.packed_bytes, self.bytes];
        let wide: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let narrow: Vec<u8> = sizes
            .iter()
            .flat_map(|size| (*size as u32).to_le_bytes())
            .collect();
        for signature in [DESCRIPTOR, b""] {
            for sizes in [&narrow, &wide] {
                let descriptor = [signature, &crc[..], &sizes[..]].concat();
                match tail.strip_prefix(descriptor.as_slice()) {
                    Some(rest) if rest.starts_with(CENTRAL) => return Ok(rest),
                    Some(rest) if rest.starts_with(LOCAL) => return Err(SEVERAL),
                    _ => {}
                }
            }
        }
        Err(Damage("Bad CRC-32 for file"))
    }

    /// The directory's one entry says what we found. Returns what is behind it.
    fn directory<'a>(&self, tail: &'a [u8]) -> Result<&'a [u8], Damage> {
        if tail.starts_with(LOCAL) {
            return Err(SEVERAL);
        }
        let entry = part(tail, CENTRAL, CENTRAL_BYTES)?;
        let texts = [28, 30, 32].map(|at| usize::from(number16(entry, at)));
        let (name_end, extra_end) = (texts[0], texts[0] + texts[1]);
        let rest = &tail[CENTRAL_BYTES..];
        let rest_at = extra_end + texts[2];
        let (texts, rest) = rest.split_at_checked(rest_at).ok_or(CUT)?;
        let mut numbers = [24, 20, 42].map(|at| u64::from(number32(entry, at)));
        wide(&texts[name_end..extra_end], &mut numbers)?;
        let agrees = number16(entry, 8) == self.header.flags
            && number16(entry, 10) == self.header.method
            && number32(entry, 16) == self.crc.sum()
            && numbers == [self.bytes, self.packed_bytes, 0]
            && texts[..name_end] == self.header.name;
        if !agrees {
            return Err(CONTRADICTION);
        }
        if rest.starts_with(CENTRAL) {
            return Err(SEVERAL);
        }
        Ok(rest)
    }
}

/// The end of an archive of one file, and of the stream.
fn end(mut rest: &[u8]) -> Result<(), Damage> {
    if rest.starts_with(END_64) {
        let entries = number64(part(rest, END_64, END_64_BYTES)?, 32);
        if entries != 1 {
            return Err(SEVERAL);
        }
        let len = number64(rest, 4).saturating_add(12);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        rest = rest.get(len..).ok_or(CUT)?;
        part(rest, LOCATOR_64, LOCATOR_64_BYTES)?;
        rest = &rest[LOCATOR_64_BYTES..];
        return ended(rest, &[1, u16::MAX]);
    }
    ended(rest, &[1])
}

fn ended(rest: &[u8], entries: &[u16]) -> Result<(), Damage> {
    let end = part(rest, END, END_BYTES)?;
    if !entries.contains(&number16(end, 10)) {
        return Err(SEVERAL);
    }
    match rest.len() - END_BYTES == usize::from(number16(end, 20)) {
        true => Ok(()),
        false => Err(Damage("there is more behind the archive")),
    }
}

/// So many bytes from the front, which begin with the signature.
fn part<'a>(bytes: &'a [u8], signature: &[u8], len: usize) -> Result<&'a [u8], Damage> {
    match bytes.get(..len) {
        Some(part) if part.starts_with(signature) => Ok(part),
        Some(_) => Err(CONTRADICTION),
        None => Err(CUT),
    }
}

/// Numbers that did not fit are in an extra field, in their order.
fn wide(mut extra: &[u8], numbers: &mut [u64]) -> Result<(), Damage> {
    const NARROW_MAX: u64 = u32::MAX as u64;
    while extra.len() >= 4 {
        let (id, len) = (number16(extra, 0), usize::from(number16(extra, 2)));
        let field = extra.get(4..4 + len).ok_or(CUT)?;
        extra = &extra[4 + len..];
        if id != EXTRA_64 {
            continue;
        }
        let mut values = field.chunks_exact(8);
        for number in numbers.iter_mut().filter(|number| **number == NARROW_MAX) {
            *number = number64(values.next().ok_or(CUT)?, 0);
        }
    }
    Ok(())
}

fn number16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from(number16(bytes, at)) | u32::from(number16(bytes, at + 2)) << 16
}

fn number64(bytes: &[u8], at: usize) -> u64 {
    u64::from(number32(bytes, at)) | u64::from(number32(bytes, at + 4)) << 32
}
