//! VMware (the Virtual Disk Format 5.0 specification, and qemu's `block/vmdk.c` for what it opens):
//! a sparse header with a text descriptor at 512, or a text descriptor alone.
//!
//! A descriptor names the files that hold the disk, so only the two kinds that are one file are
//! allowed, every line must be understood, and no extent may be a path.

use super::region::{Region, Tail, field};
use super::{Found, Unreadable, Violation};

/// Most bytes that the inspector holds.
pub const HELD_BYTES_MAX: usize = HEADER_BYTES + DESCRIPTOR_BYTES_MAX + FOOTER_BYTES;

const HEADER_BYTES: usize = 512;
/// What a sparse header's fields fill.
const FIELDS_BYTES: usize = 64;
const MAGIC: &[u8] = b"KDMV";
const SECTOR_BYTES: u64 = 512;

/// The most that qemu reads of a descriptor.
const DESCRIPTOR_BYTES_MAX: usize = (1 << 20) - 1;
const DESCRIPTOR_OFFSET: u64 = 512;
const CREATE_TYPE: &str = "createtype=\"";
/// Kinds of one file, in lower case as all else of a descriptor here.
const CREATE_TYPES: [&str; 2] = ["monolithicsparse", "streamoptimized"];
const PARENT: &str = "parentfilenamehint";
const EXTENT_ACCESS: [&str; 3] = ["rw", "rdonly", "noaccess"];

/// Footer marker, footer, end-of-stream marker; a sector each.
const FOOTER_BYTES: usize = 3 * HEADER_BYTES;
const DIRECTORY_IN_FOOTER: u64 = u64::MAX;
const MARKER_TYPE_END: u32 = 0;
const MARKER_TYPE_FOOTER: u32 = 3;

/// The inspector of a stream that may be a VMDK.
#[derive(Clone, Debug)]
pub struct Inspector {
    header: Region,
    body: Option<Body>,
}

/// What follows from the header.
#[derive(Clone, Debug)]
enum Body {
    /// Not a VMDK.
    Other,
    /// It may be a descriptor.
    Text(Region),
    /// A sparse header that nobody can use.
    Malformed { has_footer: bool },
    Sparse {
        descriptor: Region,
        footer: Option<Tail>,
    },
}

impl Default for Inspector {
    fn default() -> Self {
        Self {
            header: Region::new(0, HEADER_BYTES),
            body: None,
        }
    }
}

impl Inspector {
    /// The bytes that stand at `offset`; pieces come in order.
    pub fn feed(&mut self, offset: u64, bytes: &[u8]) {
        self.header.feed(offset, bytes);
        if self.body.is_none() && self.header.is_complete() {
            self.body = Some(Body::after(self.header.bytes()));
        }
        if let Some(body) = &mut self.body {
            body.feed(offset, bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let body = match &self.body {
            None | Some(Body::Other | Body::Malformed { .. }) => 0,
            Some(Body::Text(descriptor)) => descriptor.bytes().len(),
            Some(Body::Sparse { descriptor, footer }) => {
                let footer_bytes = footer.as_ref().map_or(0, |footer| footer.bytes().len());
                descriptor.bytes().len() + footer_bytes
            }
        };
        self.header.bytes().len() + body
    }

    /// What the stream says, if it is a VMDK.
    pub fn finish(&self) -> Option<Found> {
        let header = self.header.bytes();
        if header.len() < FIELDS_BYTES {
            return header.starts_with(MAGIC).then_some(Found {
                complete: false,
                virtual_size_bytes: Ok(None),
                safety: Ok(()),
            });
        }
        let short;
        let body = match &self.body {
            Some(body) => body,
            None => {
                short = Body::after(header);
                &short
            }
        };
        match body {
            Body::Other => None,
            Body::Text(region) => text_alone(region.bytes()),
            Body::Malformed { has_footer } => Some(Found {
                complete: !has_footer,
                virtual_size_bytes: Ok(None),
                safety: Err(Violation("vmdk header is malformed")),
            }),
            Body::Sparse { descriptor, footer } => {
                Some(sparse(header, descriptor, footer.as_ref()))
            }
        }
    }
}

impl Body {
    fn after(header: &[u8]) -> Self {
        if !header.starts_with(MAGIC) {
            if !may_be_descriptor(header) {
                return Self::Other;
            }
            let mut descriptor = Region::new(0, DESCRIPTOR_BYTES_MAX);
            descriptor.feed(0, header);
            return Self::Text(descriptor);
        }
        let fields = Fields::of(header);
        let has_footer = fields.directory == DIRECTORY_IN_FOOTER;
        if !(1..=3).contains(&fields.version) {
            return Self::Malformed { has_footer: false };
        }
        if fields.descriptor_sector.checked_mul(SECTOR_BYTES) != Some(DESCRIPTOR_OFFSET) {
            return Self::Malformed { has_footer };
        }
        let descriptor_bytes = usize::try_from(fields.descriptor_sectors)
            .ok()
            .and_then(|sectors| sectors.checked_mul(HEADER_BYTES))
            .map_or(DESCRIPTOR_BYTES_MAX, |size| size.min(DESCRIPTOR_BYTES_MAX));
        Self::Sparse {
            descriptor: Region::new(DESCRIPTOR_OFFSET, descriptor_bytes),
            footer: has_footer.then(|| {
                let mut footer = Tail::new(FOOTER_BYTES);
                footer.feed(0, header);
                footer
            }),
        }
    }

    fn feed(&mut self, offset: u64, bytes: &[u8]) {
        match self {
            Self::Other | Self::Malformed { .. } => {}
            Self::Text(descriptor) => descriptor.feed(offset, bytes),
            Self::Sparse { descriptor, footer } => {
                descriptor.feed(offset, bytes);
                if let Some(footer) = footer {
                    footer.feed(offset, bytes);
                }
            }
        }
    }
}

/// Glance asks for printable ASCII alone. qemu skips comments and blank lines, whatever they hold,
/// before it asks for a version: so a start of that kind is looked into as well.
fn may_be_descriptor(header: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t'..=b'\r' | 0x1c..=0x1f);
    matches!(header.first(), Some(b'#' | b' '))
        || header.starts_with(b"version=")
        || header.iter().all(is_text)
}

fn text_alone(bytes: &[u8]) -> Option<Found> {
    let descriptor = Descriptor::new(bytes);
    descriptor.create_type()?;
    Some(Found {
        complete: true,
        // The kinds that are allowed have a sparse header, which would tell the size.
        virtual_size_bytes: match descriptor.is_allowed() {
            true => Err(Unreadable),
            false => Ok(None),
        },
        safety: descriptor.check(),
    })
}

fn sparse(header: &[u8], descriptor: &Region, footer: Option<&Tail>) -> Found {
    let text = Descriptor::new(descriptor.bytes());
    let sized = descriptor.is_complete() && text.is_allowed();
    Found {
        complete: descriptor.is_complete() && footer.is_none_or(Tail::is_complete),
        virtual_size_bytes: match Fields::of(header).sectors.checked_mul(SECTOR_BYTES) {
            _ if !sized => Ok(None),
            Some(bytes) => Ok(Some(bytes)),
            None => Err(Unreadable),
        },
        safety: text
            .check()
            .and_then(|()| footer.map_or(Ok(()), |footer| check_footer(header, footer.bytes()))),
    }
}

/// The fields of a sparse header or footer that matter here; little-endian.
struct Fields {
    version: u32,
    sectors: u64,
    descriptor_sector: u64,
    descriptor_sectors: u64,
    directory: u64,
}

impl Fields {
    fn of(header: &[u8]) -> Self {
        Self {
            version: u32::from_le_bytes(field(header, 4)),
            sectors: u64::from_le_bytes(field(header, 12)),
            descriptor_sector: u64::from_le_bytes(field(header, 28)),
            descriptor_sectors: u64::from_le_bytes(field(header, 36)),
            directory: u64::from_le_bytes(field(header, 56)),
        }
    }
}

/// A descriptor's text, up to its first NUL, in lower case.
struct Descriptor(String);

impl Descriptor {
    fn new(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|byte| *byte == 0);
        let text = &bytes[..end.unwrap_or(bytes.len())];
        Self(String::from_utf8_lossy(text).to_ascii_lowercase())
    }

    fn create_type(&self) -> Option<&str> {
        let (_, value) = self.0.split_once(CREATE_TYPE)?;
        Some(value.split_once('"').map_or(value, |(value, _)| value))
    }

    fn is_allowed(&self) -> bool {
        self.0.is_ascii()
            && self
                .create_type()
                .is_some_and(|kind| CREATE_TYPES.contains(&kind))
    }

    fn check(&self) -> Result<(), Violation> {
        if self.0.is_empty() || !self.0.is_ascii() {
            return Err(Violation("vmdk descriptor is missing or not ASCII"));
        }
        // qemu's search for it minds the case, so that with two of them it may take the other.
        if !self.is_allowed() || self.0.matches(CREATE_TYPE).count() > 1 {
            return Err(Violation("vmdk createType is not allowed"));
        }
        // What qcow2 calls a backing file; qemu takes it from any line, a comment too.
        if self.0.contains(PARENT) {
            return Err(Violation("vmdk has a parent"));
        }
        let mut has_extent = false;
        for line in self.0.split('\n') {
            match Line::of(line.trim_matches(is_space)) {
                Line::Harmless => {}
                Line::Extent(line) if line.contains('/') => {
                    return Err(Violation("vmdk extent is a path"));
                }
                Line::Extent(_) => has_extent = true,
                Line::Unknown => return Err(Violation("vmdk descriptor has an unknown line")),
            }
        }
        match has_extent {
            true => Ok(()),
            false => Err(Violation("vmdk descriptor has no extent")),
        }
    }
}

/// One line of a descriptor.
enum Line<'a> {
    /// Blank, comment, disk database, or a header field.
    Harmless,
    Extent(&'a str),
    Unknown,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let is_field = |(key, _): (&str, &str)| !key.contains(' ');
        if line.is_empty()
            || line.starts_with('#')
            || line.starts_with("ddb")
            || line.split_once('=').is_some_and(is_field)
        {
            Self::Harmless
        } else if EXTENT_ACCESS.contains(&line.split(' ').next().unwrap_or_default()) {
            Self::Extent(line)
        } else {
            Self::Unknown
        }
    }
}

/// ASCII white space as Python has it.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r' | '\x1c'..='\x1f')
}

/// qemu believes the footer where there is one, so it must say what the header says.
fn check_footer(header: &[u8], footer: &[u8]) -> Result<(), Violation> {
    let (Some(start), Some(end)) = (
        footer.first_chunk::<HEADER_BYTES>(),
        footer.last_chunk::<HEADER_BYTES>(),
    ) else {
        return Err(Violation("vmdk has no footer"));
    };
    let footer = &footer[HEADER_BYTES.min(footer.len())..];
    let (in_header, in_footer) = (Fields::of(header), Fields::of(footer));
    if !footer.starts_with(MAGIC) || in_header.version != in_footer.version {
        return Err(Violation("vmdk footer is of another version"));
    }
    if in_header.descriptor_sector != in_footer.descriptor_sector
        || in_header.descriptor_sectors != in_footer.descriptor_sectors
    {
        return Err(Violation("vmdk footer names another descriptor"));
    }
    if in_footer.directory == DIRECTORY_IN_FOOTER {
        return Err(Violation("vmdk footer names another footer"));
    }
    if !is_marker(start, MARKER_TYPE_FOOTER) {
        return Err(Violation("vmdk footer marker is invalid"));
    }
    if !is_marker(end, MARKER_TYPE_END) || field::<8>(end, 0) != [0; 8] {
        return Err(Violation("vmdk end-of-stream marker is invalid"));
    }
    Ok(())
}

/// A marker of that type: its number of sectors is free, it has no data and is padded with zeros.
fn is_marker(sector: &[u8; HEADER_BYTES], kind: u32) -> bool {
    let size = u32::from_le_bytes(field(sector, 8));
    let padded = sector[16..].iter().all(|byte| *byte == 0);
    size == 0 && u32::from_le_bytes(field(sector, 12)) == kind && padded
}
