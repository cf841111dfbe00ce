//! Whatever comes and however it is cut: the same verdict, and no panic.

use proptest::prelude::*;
use proptest::sample::Index;

use super::corpus::ALL;
use super::{declared, inspect, inspect_in};
use fresnel::data::inspect::Inspection;

const FORMATS: [&str; 9] = [
    "raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "iso", "gpt", "luks",
];
/// Enough for every header and table of the samples, but not their empty clusters.
const SPOILED_BYTES_MAX: usize = 3 << 20;

fn spoiled_sample() -> impl Strategy<Value = Vec<u8>> {
    let patches = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (any::<Index>(), patches, any::<Index>()).prop_map(|(sample, patches, end)| {
        let bytes = &sample.get(&ALL.samples).bytes;
        let mut bytes = bytes[..bytes.len().min(SPOILED_BYTES_MAX)].to_vec();
        let patches = if bytes.is_empty() { vec![] } else { patches };
        for (at, byte) in patches {
            // Three of four in the first KiB, where most headers are.
            let near = if byte % 4 == 0 {
                bytes.len()
            } else {
                bytes.len().min(1024)
            };
            bytes[at.index(near)] = byte;
        }
        // Half of them whole.
        let cut = end.index(2 * bytes.len() + 1);
        bytes.truncate(cut);
        bytes
    })
}

proptest! {
    #[test]
    fn the_cut_of_a_stream_does_not_change_its_verdict(
        bytes in spoiled_sample(),
        disk_format in prop::sample::select(&FORMATS[..]),
        pieces in prop::collection::vec(1usize..100_000, 1..20),
    ) {
        let expect = declared(disk_format);
        let whole = inspect_in(bytes.len().max(1), &bytes, &expect);
        let mut inspection = Inspection::new(&expect);
        let mut rest = &bytes[..];
        for piece_bytes in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(rest.len().min(*piece_bytes));
            inspection.feed(piece);
            inspection.feed(&[]);
            rest = after;
        }
        prop_assert_eq!(inspection.finish(), whole);
    }

    #[test]
    fn no_bytes_make_an_inspection_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        for magic in [&b""[..], b"QFI\xfb", b"KDMV", b"LUKS\xba\xbe", b"conectix", b"QED\0", b"#"] {
            let bytes = [magic, &bytes].concat();
            let verdict = inspect(&bytes, &declared("raw"));
            prop_assert_eq!(&verdict, &inspect_in(7, &bytes, &declared("raw")));
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_verdict_of_the_whole() {
    for sample in &ALL.samples {
        let bytes = &sample.bytes[..sample.bytes.len().min(36 * 1024)];
        let whole = inspect(bytes, &declared("raw"));
        assert_eq!(
            inspect_in(1, bytes, &declared("raw")),
            whole,
            "{}",
            sample.name
        );
    }
}
