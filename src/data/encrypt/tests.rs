use proptest::prelude::*;

use super::*;

const PASSPHRASE: &[u8] = b"correct horse battery staple";

fn made(format: Format) -> Made {
    format.make(PASSPHRASE, true)
}

fn start(made: &Made) -> &[u8] {
    &made.head[..Header::len(&made.head).unwrap()]
}

fn open(header: &Header, head: &[u8], passphrase: &[u8]) -> Option<Volume> {
    let slot = &header.slots[0];
    let (from, len) = (slot.area.offset as usize, slot.area.len as usize);
    let mut area = head[from..from + len].to_vec();
    header.open(slot, passphrase, &mut area).unwrap()
}

#[test]
fn what_is_made_is_opened_with_its_passphrase_alone() {
    for format in [Format::Luks1, Format::Luks2] {
        let made = made(format);
        let header = Header::parse(start(&made)).unwrap();
        assert_eq!(header.format(), format);
        assert_eq!(header.payload, made.volume.payload);
        assert_eq!(header.payload.offset_bytes, format.head_bytes());
        let volume = open(&header, &made.head, PASSPHRASE).unwrap();
        assert_eq!(*volume.key, *made.volume.key);
        assert!(open(&header, &made.head, b"correct horse").is_none());
    }
}

#[test]
fn a_passphrase_that_may_be_guessed_costs_more() {
    let cost = |format: Format, is_random| {
        let made = format.make(PASSPHRASE, is_random);
        let header = Header::parse(start(&made)).unwrap();
        match &header.slots[0].kdf {
            Kdf::Pbkdf2 { iterations, .. } => (*iterations, 0),
            Kdf::Argon2 { memory_kib, .. } => (0, *memory_kib),
        }
    };
    assert_eq!(cost(Format::Luks1, true), (1000, 0));
    assert_eq!(cost(Format::Luks1, false), (600_000, 0));
    assert_eq!(cost(Format::Luks2, true), (1000, 0));
    assert_eq!(cost(Format::Luks2, false), (0, 65_536));
}

#[test]
fn nothing_of_a_volume_is_shown() {
    let made = made(Format::Luks1);
    let shown = format!("{:?}", made.volume);
    let key = &made.volume.key;
    assert!(
        !shown.contains(&format!("{}, {}", key[0], key[1])),
        "{shown}"
    );
}

#[test]
fn sizes_of_containers_are_known_before() {
    let luks1 = |bytes| Format::Luks1.container_bytes(bytes) - (2 << 20);
    assert_eq!(
        [luks1(0), luks1(1), luks1(512), luks1(513)],
        [0, 512, 512, 1024]
    );
    assert_eq!(Format::Luks2.container_bytes(1), (16 << 20) + 4096);
    assert_eq!(Format::Luks2.container_bytes(u64::MAX), u64::MAX);
}

#[track_caller]
fn refused(format: Format, at: usize, bytes: &[u8]) -> Refusal {
    let made = made(format);
    let mut start = start(&made).to_vec();
    start[at..at + bytes.len()].copy_from_slice(bytes);
    Header::len(&start)
        .and_then(|_| Header::parse(&start))
        .unwrap_err()
}

#[test]
fn hostile_fields_of_version_1_are_refused() {
    use Refusal::{Damaged, NoContainer, Unsupported};
    for (at, bytes, expected) in [
        (0, &b"SKUL"[..], NoContainer),
        (6, &[0, 3], Unsupported("its version of LUKS")),
        (
            8,
            b"twofish\0",
            Unsupported("a cipher other than aes-xts-plain64"),
        ),
        (
            40,
            b"cbc-essiv",
            Unsupported("a cipher other than aes-xts-plain64"),
        ),
        (72, b"ripemd160", Unsupported("its hash function")),
        (104, &[0; 4], Unsupported("a header that is apart")),
        (
            104,
            &[0, 0, 0, 9],
            Damaged("a key slot is in another's place"),
        ),
        (
            108,
            &[0, 0, 0, 48],
            Unsupported("a cipher other than aes-xts-plain64"),
        ),
        (
            108,
            &[255; 4],
            Unsupported("a cipher other than aes-xts-plain64"),
        ),
        (164, &[0; 4], Unsupported("a derivation of no iterations")),
        (
            164,
            &[255; 4],
            Unsupported("a derivation of over 10000000 iterations"),
        ),
    ] {
        assert_eq!(refused(Format::Luks1, at, bytes), expected, "at {at}");
    }
}

#[test]
fn hostile_slots_of_version_1_are_refused() {
    use Refusal::{Damaged, Unsupported};
    let first_slot = 208;
    for (at, bytes, expected) in [
        (
            first_slot,
            &[1; 4][..],
            Damaged("a key slot is neither free nor in use"),
        ),
        (
            first_slot,
            &[0, 0, 0xde, 0xad],
            Damaged("no key slot is in use"),
        ),
        (
            first_slot + 4,
            &[255; 4],
            Unsupported("a derivation of over 10000000 iterations"),
        ),
        (
            first_slot + 40,
            &[0; 4],
            Damaged("a key slot is in the header"),
        ),
        (
            first_slot + 40,
            &[255; 4],
            Damaged("a key slot is in another's place"),
        ),
        (
            first_slot + 44,
            &[255; 4],
            Unsupported("a number of stripes other than 4000"),
        ),
        // The second one too, in the place of the first.
        (
            first_slot + 48,
            &[
                &[0, 0xac, 0x71, 0xf3, 0, 0, 0, 9][..],
                &[0; 32],
                &[0, 0, 0, 9],
            ]
            .concat(),
            Damaged("a key slot is in another's place"),
        ),
    ] {
        assert_eq!(refused(Format::Luks1, at, bytes), expected, "at {at}");
    }
}

/// Eight slots that each ask for what one may.
#[test]
fn slots_that_cost_too_much_together_are_refused() {
    let made = made(Format::Luks1);
    let mut start = start(&made).to_vec();
    let (first, size, apart) = (208, 48, 504_u32);
    for number in 0..8 {
        let at = first + size * number as usize;
        start.copy_within(first..first + size, at);
        start[at + 4..at + 8].copy_from_slice(&kdf::ITERATIONS_MAX.to_be_bytes());
        start[at + 40..at + 44].copy_from_slice(&(8 + apart * number).to_be_bytes());
        let parsed = Header::parse(&start);
        match number {
            // Two digests of each iteration: 20 million steps a slot.
            0..=2 => assert_eq!(parsed.unwrap().slots.len(), number as usize + 1),
            _ => {
                let refusal = parsed.unwrap_err();
                assert_eq!(
                    refusal,
                    Refusal::Unsupported("what its key slots cost together")
                );
            }
        }
    }
}

/// A header of version 2 whose JSON was changed, with a checksum that is right.
fn described(change: impl Fn(String) -> String) -> Result<Header, Refusal> {
    let made = made(Format::Luks2);
    let mut start = start(&made).to_vec();
    let json = text(&start[4096..]).to_owned();
    let changed = change(json.clone());
    assert_ne!(json, changed, "nothing was changed");
    start[4096..].fill(0);
    start[4096..4096 + changed.len()].copy_from_slice(changed.as_bytes());
    start[448..512].fill(0);
    let sum = openssl::hash::hash(Hash::Sha256.digest(), &start).unwrap();
    start[448..480].copy_from_slice(&sum);
    Header::parse(&start)
}

#[test]
fn hostile_fields_of_version_2_are_refused() {
    use Refusal::{Damaged, Unsupported};
    for (at, bytes, expected) in [
        (8, &[0; 8][..], Damaged("its length is none")),
        (8, &[255; 8], Damaged("its length is none")),
        (
            8,
            &(1u64 << 32).to_be_bytes(),
            Unsupported("a header of over 128 KiB"),
        ),
        (72, b"crc32\0", Unsupported("its hash function")),
        (256, &[1; 8], Damaged("it is in another's place")),
        (448, &[7; 4], Damaged("its checksum is wrong")),
        (5000, b"\x01", Damaged("its checksum is wrong")),
    ] {
        assert_eq!(refused(Format::Luks2, at, bytes), expected, "at {at}");
    }
}

#[track_caller]
fn assert_refused_json(changes: &[(&str, &str, Refusal)]) {
    for (from, to, expected) in changes {
        let found = described(|json| json.replace(from, to));
        let found = found.and_then(|header| {
            // What a slot costs is looked at before it is tried.
            header.slots[0].kdf.check(65_536).map(|()| header)
        });
        assert_eq!(&found.unwrap_err(), expected, "{from} {to}");
    }
}

#[test]
fn hostile_json_of_version_2_is_refused() {
    use Refusal::{Damaged, Unsupported};
    assert_refused_json(&[
        ("{\"keyslots", "{{\"keyslots", Damaged("its JSON is none")),
        (
            "\"segments\":{",
            "\"sediments\":{",
            Damaged("a part of its JSON is missing"),
        ),
        (
            "\"crypt\"",
            "\"linear\"",
            Unsupported("its kind of payload"),
        ),
        (
            "\"dynamic\"",
            "\"17\"",
            Damaged("the payload is no whole sectors"),
        ),
        (
            "\"dynamic\"",
            "\"-1\"",
            Damaged("a number of its JSON is none"),
        ),
        (
            "\"dynamic\"",
            "\"18446744073709551104\"",
            Damaged("the payload is no whole sectors"),
        ),
        (
            "\"sector_size\":4096",
            "\"sector_size\":4095",
            Damaged("its sectors have no such size"),
        ),
    ]);
}

#[test]
fn hostile_slots_of_version_2_are_refused() {
    use Refusal::{Damaged, Unsupported};
    assert_refused_json(&[
        (
            "\"offset\":\"32768\"",
            "\"offset\":\"18446744073709551000\"",
            Damaged("a key slot is beyond everything"),
        ),
        (
            "\"offset\":\"32768\"",
            "\"offset\":\"4096\"",
            Damaged("a key slot has no room"),
        ),
        (
            "\"key_size\":64,\"af\"",
            "\"key_size\":4294967295,\"af\"",
            Damaged("a key slot has no room"),
        ),
        (
            "\"stripes\":4000",
            "\"stripes\":1",
            Unsupported("its kind of stripes"),
        ),
        (
            "\"iterations\":1000",
            "\"iterations\":4294967295",
            Unsupported("a derivation of over 10000000 iterations"),
        ),
        (
            "\"json_size\"",
            "\"requirements\":{\"mandatory\":[\"x\"]},\"json_size\"",
            Unsupported("what its header requires"),
        ),
    ]);
}

#[test]
fn an_argon2_that_wants_more_memory_than_there_is_is_not_tried() {
    let kdf = "\"type\":\"argon2id\",\"time\":4,\"memory\":1048576,\"cpus\":4";
    let header = described(|json| {
        let at = json.find("\"kdf\":{").unwrap() + 7;
        let end = at + json[at..].find(",\"salt\"").unwrap();
        format!("{}{kdf}{}", &json[..at], &json[end..])
    });
    let refusal = header.unwrap().slots[0].kdf.check(65_536).unwrap_err();
    assert!(refusal.is_ours());
    assert!(refusal.to_string().contains("key_derivation_memory_mib"));
}

proptest! {
    /// No bytes of a header make it panic or ask for more than there is.
    #[test]
    fn any_change_of_a_header_is_refused_or_harmless(
        second: bool, changes in prop::collection::vec((0usize..592, any::<u8>()), 1..8)
    ) {
        let made = made(if second { Format::Luks2 } else { Format::Luks1 });
        let mut start = start(&made).to_vec();
        for (at, byte) in changes {
            start[at] = byte;
        }
        if let Ok(header) = Header::parse(&start) {
            prop_assert!(header.slots.len() <= SLOTS_MAX);
            prop_assert!(header.areas().all(|area| area.len <= 256_000));
        }
    }
}
