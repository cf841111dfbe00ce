//! What a stream of image bytes is, found while it passes (reference D.3).
//!
//! Every inspector sees the stream in order, in pieces of any size, and keeps only the regions that
//! it needs: at most [`HELD_BYTES_MAX`] in all. Once they are captured [`Inspection::feed`] costs a
//! few comparisons a piece, whatever the piece's size. Nothing is refused early: the verdict comes
//! at the end, and it does not depend on how the stream was cut.
//!
//! What an image may do to a host that opens it with qemu (read a backing file, another file as its
//! data, an extent by its path) is refused here, also where the image calls itself `raw`.

pub mod gpt;
pub mod iso;
pub mod luks;
pub mod qcow2;
pub mod qed;
mod region;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

use std::fmt;

use super::Expect;
use region::Region;

/// Most bytes that one inspection holds, all its inspectors together.
pub const HELD_BYTES_MAX: usize =
    HEAD_BYTES + iso::DESCRIPTOR_BYTES + vhdx::HELD_BYTES_MAX + vmdk::HELD_BYTES_MAX;

/// The start of the stream that the formats with a plain header are judged by.
const HEAD_BYTES: usize = luks::HEADER_BYTES;

/// Only this container is looked into.
const INSPECTED_CONTAINER: &str = "bare";

/// The name of the only check that [`Expect::gpt_safety_checks_nonfatal`] can excuse.
const MBR_CHECK: &str = "mbr";

/// The formats that content is recognised as, by their `disk_format` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Whatever is none of the others.
    Raw,
    /// QEMU copy on write, any version.
    Qcow2,
    /// Connectix and Microsoft Virtual PC.
    Vhd,
    /// Microsoft Hyper-V.
    Vhdx,
    /// VMware, sparse with an embedded descriptor or a text descriptor alone.
    Vmdk,
    /// VirtualBox.
    Vdi,
    /// QEMU enhanced disk.
    Qed,
    /// ISO 9660 or UDF.
    Iso,
    /// A partitioned disk: GPT or a plain MBR.
    Gpt,
    /// Linux unified key setup.
    Luks,
}

impl Format {
    const ALL: [Self; 10] = [
        Self::Raw,
        Self::Qcow2,
        Self::Vhd,
        Self::Vhdx,
        Self::Vmdk,
        Self::Vdi,
        Self::Qed,
        Self::Iso,
        Self::Gpt,
        Self::Luks,
    ];

    /// The name, as in `disk_format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Qed => "qed",
            Self::Iso => "iso",
            Self::Gpt => "gpt",
            Self::Luks => "luks",
        }
    }

    /// The format of that name; `None` for those that cannot be recognised (ami, aki, ari, ploop).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one inspector says of a whole stream that has its format's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether the stream held every region that its checks need.
    pub complete: bool,
    /// Bytes of the disk inside; `None` where the format or this stream does not tell.
    pub virtual_size_bytes: Result<Option<u64>, Unreadable>,
    /// What makes it unsafe to open.
    pub safety: Result<(), Violation>,
}

/// A virtual size was declared in a way that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the virtual size cannot be read")]
pub struct Unreadable;

/// Why a stream is unsafe; for the log, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(&'static str);

/// Why an image is refused. The texts are the client's, word for word Glance's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The content is another format than the image says.
    #[error("Image disk_format {declared} does not match stream data {detected}")]
    Mismatch {
        /// The image's `disk_format`.
        declared: String,
        /// What it is.
        detected: Format,
    },
    /// One stream with the signatures of several formats: something is hidden in it.
    #[error("Multiple formats detected: {0}")]
    Multiple(String),
    /// The stream ended before its checks could run.
    #[error("Incomplete file cannot be safety checked")]
    Incomplete,
    /// A field that must be read cannot be.
    #[error("Image format inspection failed")]
    Unreadable(#[source] Unreadable),
    /// The image says that it is encrypted, and its format says that it is not.
    #[error("Image disk_format qcow2 does not match stream data that is not encrypted with LUKS")]
    Unencrypted,
    /// Opening it could harm a host.
    #[error("Image failed safety checks")]
    Unsafe(#[source] Violation),
}

/// What an accepted image is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Bytes of the disk inside, never 0; `None` where it is not known.
    pub virtual_size_bytes: Option<u64>,
    /// For the log.
    pub warnings: Vec<Warning>,
}

/// What an operator should hear of an accepted image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// It calls itself raw and is more.
    #[error("image claims 'raw' disk_format but is actually '{0}'")]
    DeclaredRaw(Format),
    /// It would be refused, but for `require_image_format_match = false`.
    #[error("image format did not match: {0}")]
    Tolerated(FormatError),
    /// It would be refused, but for `gpt_safety_checks_nonfatal`.
    #[error("non-fatal safety check {MBR_CHECK}: {0}")]
    Nonfatal(Violation),
}

/// The inspection of one stream.
#[derive(Debug)]
pub struct Inspection {
    expect: Expect,
    received_bytes: u64,
    head: Region,
    iso: Region,
    vhdx: vhdx::Inspector,
    vmdk: vmdk::Inspector,
}

impl Inspection {
    /// An inspection that has seen nothing yet.
    pub fn new(expect: &Expect) -> Self {
        Self {
            expect: expect.clone(),
            received_bytes: 0,
            head: Region::new(0, HEAD_BYTES),
            iso: Region::new(iso::DESCRIPTOR_OFFSET, iso::DESCRIPTOR_BYTES),
            vhdx: vhdx::Inspector::default(),
            vmdk: vmdk::Inspector::default(),
        }
    }

    /// The next bytes of the stream, of any number.
    pub fn feed(&mut self, bytes: &[u8]) {
        let offset = self.received_bytes;
        self.received_bytes += bytes.len() as u64;
        if self.expect.container_format != INSPECTED_CONTAINER {
            return;
        }
        self.head.feed(offset, bytes);
        self.iso.feed(offset, bytes);
        self.vhdx.feed(offset, bytes);
        self.vmdk.feed(offset, bytes);
    }

    /// The verdict on the whole stream.
    ///
    /// # Errors
    /// The image is refused; see [`FormatError`].
    pub fn finish(self) -> Result<Verdict, FormatError> {
        let mut verdict = Verdict::default();
        if self.expect.container_format != INSPECTED_CONTAINER {
            return Ok(verdict);
        }
        let Err(error) = self.judge(&mut verdict) else {
            return Ok(verdict);
        };
        let tolerable = match error {
            FormatError::Mismatch { .. }
            | FormatError::Multiple(_)
            | FormatError::Incomplete
            | FormatError::Unreadable(_) => !self.expect.require_match,
            FormatError::Unencrypted | FormatError::Unsafe(_) => false,
        };
        if !tolerable {
            return Err(error);
        }
        verdict.warnings.push(Warning::Tolerated(error));
        Ok(verdict)
    }

    /// Rules 1 to 8 of reference D.3. What is in `verdict` at an error stays true if it is tolerated.
    fn judge(&self, verdict: &mut Verdict) -> Result<(), FormatError> {
        let (detected, found) = self.detect()?;
        let recognisable = Format::from_name(&self.expect.disk_format).is_some();
        if self.is_container(detected) {
            // Whether it is the one that the image says, its own check tells.
            verdict.virtual_size_bytes = storable(found.virtual_size_bytes)?;
        } else if self.declares(detected) {
            if self.expect.encrypted.is_some()
                && detected == Format::Qcow2
                && !qcow2::is_encrypted(self.head.bytes())
            {
                return Err(FormatError::Unencrypted);
            }
            verdict.virtual_size_bytes = storable(found.virtual_size_bytes)?;
        } else if self.declares(Format::Raw) {
            verdict.virtual_size_bytes = storable(Ok(Some(self.received_bytes)))?;
            verdict.warnings.push(Warning::DeclaredRaw(detected));
        } else if recognisable || detected != Format::Raw {
            return Err(FormatError::Mismatch {
                declared: self.expect.disk_format.clone(),
                detected,
            });
        }
        if !found.complete {
            return Err(FormatError::Incomplete);
        }
        match found.safety {
            Ok(()) => Ok(()),
            Err(violation) if self.excuses(detected) => {
                verdict.warnings.push(Warning::Nonfatal(violation));
                Ok(())
            }
            Err(violation) => Err(FormatError::Unsafe(violation)),
        }
    }

    /// The one format that the stream has the signature of.
    fn detect(&self) -> Result<(Format, Found), FormatError> {
        let total_bytes = self.received_bytes;
        let head = self.head.bytes();
        let is_declared = self.expect.encrypted.is_some();
        let found = [
            (Format::Qcow2, qcow2::inspect(head)),
            (Format::Vhd, vhd::inspect(head)),
            (Format::Vhdx, self.vhdx.finish()),
            (Format::Vmdk, self.vmdk.finish()),
            (Format::Vdi, vdi::inspect(head)),
            (Format::Qed, qed::inspect(head)),
            (Format::Iso, iso::inspect(self.iso.bytes())),
            (Format::Gpt, gpt::inspect(head, total_bytes)),
            (Format::Luks, luks::inspect(head, total_bytes, is_declared)),
        ];
        let matched: Vec<(Format, Found)> = found
            .into_iter()
            .filter_map(|(format, found)| Some((format, found?)))
            .collect();
        match matched.as_slice() {
            [] => Ok((Format::Raw, Found::raw(total_bytes))),
            [one] => Ok(*one),
            // An ISO that boots as a disk has a partition table in front. It may call itself an
            // ISO; as raw it stays ambiguous.
            [(Format::Iso, iso), (Format::Gpt, _)] if !self.declares(Format::Raw) => {
                Ok((Format::Iso, *iso))
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(format, _)| format.name()).collect();
                Err(FormatError::Multiple(names.join(",")))
            }
        }
    }

    /// Encrypted data of an image that says so; qcow2 has its own way to be.
    fn is_container(&self, format: Format) -> bool {
        self.expect.encrypted.is_some() && format == Format::Luks && !self.declares(Format::Qcow2)
    }

    fn declares(&self, format: Format) -> bool {
        self.expect.disk_format == format.name()
    }

    fn excuses(&self, detected: Format) -> bool {
        let nonfatal = &self.expect.gpt_safety_checks_nonfatal;
        detected == Format::Gpt && nonfatal.iter().any(|check| check == MBR_CHECK)
    }
}

impl Found {
    fn raw(total_bytes: u64) -> Self {
        Self {
            complete: true,
            virtual_size_bytes: Ok(Some(total_bytes)),
            safety: Ok(()),
        }
    }
}

/// A size as the database holds it: a signed 64-bit number, and 0 is not known.
fn storable(size_bytes: Result<Option<u64>, Unreadable>) -> Result<Option<u64>, FormatError> {
    match size_bytes {
        Ok(Some(bytes)) if i64::try_from(bytes).is_err() => {
            Err(FormatError::Unreadable(Unreadable))
        }
        Ok(bytes) => Ok(bytes.filter(|bytes| *bytes > 0)),
        Err(unreadable) => Err(FormatError::Unreadable(unreadable)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, HELD_BYTES_MAX, Inspection};

    /// What is held after three copies of `fill` of 1 MiB with `head` in front.
    fn held_bytes(head: &[u8], fill: u8) -> usize {
        let mut inspection = Inspection::new(&Expect {
            disk_format: "raw".to_owned(),
            container_format: "bare".to_owned(),
            require_match: true,
            gpt_safety_checks_nonfatal: Vec::new(),
            encrypted: None,
        });
        inspection.feed(head);
        for _ in 0..3 {
            inspection.feed(&vec![fill; 1 << 20]);
        }
        inspection.head.bytes().len()
            + inspection.iso.bytes().len()
            + inspection.vhdx.held_bytes()
            + inspection.vmdk.held_bytes()
    }

    #[test]
    fn what_is_held_is_bounded() {
        for head in [&b"KDMV\x01\0\0\0"[..], b"vhdxfile", b"# text\n", b""] {
            for fill in [0x00, 0xff, b'#'] {
                assert!(held_bytes(head, fill) <= HELD_BYTES_MAX);
            }
        }
        assert!(held_bytes(b"#", b'#') > 1 << 20);
    }

    #[test]
    fn plain_bytes_leave_little_behind() {
        assert!(held_bytes(b"", 0) < 8 * 1024);
    }
}
