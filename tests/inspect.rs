//! Format inspection (reference D.3): real and hostile streams, judged beside Glance itself.

mod corpus;
mod differential;
mod hostile;
mod oracle;
mod rules;
mod streams;

use fresnel::data::Expect;
use fresnel::data::inspect::{FormatError, Inspection, Verdict};

/// A bare image of that disk format, with Glance's defaults.
fn declared(disk_format: &str) -> Expect {
    Expect {
        disk_format: disk_format.to_owned(),
        container_format: "bare".to_owned(),
        require_match: true,
        gpt_safety_checks_nonfatal: Vec::new(),
        encrypted: None,
    }
}

/// The verdict on these bytes, fed in pieces of that size.
fn inspect_in(piece_bytes: usize, bytes: &[u8], expect: &Expect) -> Result<Verdict, FormatError> {
    let mut inspection = Inspection::new(expect);
    for piece in bytes.chunks(piece_bytes) {
        inspection.feed(piece);
    }
    inspection.finish()
}

fn inspect(bytes: &[u8], expect: &Expect) -> Result<Verdict, FormatError> {
    inspect_in(64 * 1024, bytes, expect)
}
