//! Streams made by hand: what no tool makes, or what somebody would make to get at a host.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Every stream with its name.
pub(super) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = plain();
    all.extend(qcow2s());
    all.extend(disks());
    all.extend(isos());
    all.extend(small_headers());
    all.extend(vmdk_headers());
    all.extend(vmdk_descriptors());
    all.extend(vhdxs());
    all
}

/// Those that are refused here and not by Glance 33, with the format to declare.
pub(super) const STRICTER: &[(&str, &str)] = &[
    ("vmdk-parent", "vmdk"),
    ("vmdk-two-types", "vmdk"),
    ("vmdk-size-overflow", "vmdk"),
    ("vmdk-text-comment", "raw"),
    ("vmdk-text-latin1", "raw"),
    ("vmdk-text-late", "raw"),
    ("vmdk-text-long-type", "raw"),
    ("vhdx-no-metadata", "vhdx"),
    ("qcow2-size-negative", "qcow2"),
];

fn plain() -> Vec<(&'static str, Vec<u8>)> {
    let noise = (0..100 * KIB).map(|n| (n * n % 251) as u8).collect();
    vec![
        ("empty", vec![]),
        ("byte", vec![0]),
        ("zeros", vec![0; 100 * KIB]),
        ("noise", noise),
        ("text", b"just words, one after the other\n".repeat(100)),
    ]
}

fn put(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes.resize(bytes.len().max(at + value.len()), 0);
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn qcow2(version: u32) -> Vec<u8> {
    let header = put(vec![0; 64 * KIB], 0, b"QFI\xfb");
    let header = put(header, 4, &version.to_be_bytes());
    put(header, 24, &(5 * MIB as u64).to_be_bytes())
}

fn qcow2s() -> Vec<(&'static str, Vec<u8>)> {
    let features = |bits: u64| put(qcow2(3), 72, &bits.to_be_bytes());
    let size = |bytes: u64| put(qcow2(3), 24, &bytes.to_be_bytes());
    let short = |bytes: usize| qcow2(3)[..bytes].to_vec();
    vec![
        ("qcow2-v1", qcow2(1)),
        ("qcow2-v4", qcow2(4)),
        ("qcow2-511", short(511)),
        ("qcow2-512", short(512)),
        ("qcow2-backing-far", put(qcow2(2), 8, &[0xff; 8])),
        ("qcow2-features-known", features(0b1011)),
        ("qcow2-feature-data-file", features(0b0100)),
        ("qcow2-feature-4", features(1 << 4)),
        ("qcow2-feature-63", features(1 << 63)),
        ("qcow2-v2-feature-4", put(qcow2(2), 79, &[1 << 4])),
        ("qcow2-v2-data-file", put(qcow2(2), 79, &[1 << 2])),
        ("qcow2-size-0", size(0)),
        ("qcow2-size-max", size(i64::MAX as u64)),
        ("qcow2-size-negative", size(u64::MAX)),
    ]
}

/// An MBR with these partitions: boot flag, start CHS, type, end CHS, start LBA, sectors.
fn mbr(partitions: &[[u8; 16]]) -> Vec<u8> {
    let signed = put(vec![0; 40 * KIB], 510, &[0x55, 0xaa]);
    put(signed, 446, &partitions.concat())
}

const LINUX: [u8; 16] = [0x80, 1, 1, 0, 0x83, 9, 9, 9, 0, 8, 0, 0, 0, 9, 0, 0];
const PROTECTIVE: [u8; 16] = [
    0, 0, 2, 0, 0xee, 255, 255, 255, 1, 0, 0, 0, 255, 255, 255, 255,
];
const NONE: [u8; 16] = [0; 16];

fn disks() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |mut partition: [u8; 16], at: usize, value: u8| {
        partition[at] = value;
        mbr(&[partition])
    };
    let fat = |media: u8| put(put(mbr(&[]), 0x10, &[2]), 0x15, &[media]);
    let gpt = put(mbr(&[PROTECTIVE]), 512, b"EFI PART");
    vec![
        ("mbr", mbr(&[LINUX, LINUX, NONE, LINUX])),
        ("mbr-512", mbr(&[LINUX])[..512].to_vec()),
        ("mbr-511", mbr(&[LINUX])[..511].to_vec()),
        ("mbr-no-partition", mbr(&[])),
        ("mbr-boot-flag", changed(LINUX, 0, 0x40)),
        ("gpt", gpt),
        ("gpt-hybrid", mbr(&[PROTECTIVE, LINUX])),
        ("gpt-second", mbr(&[NONE, PROTECTIVE])),
        ("gpt-chs", changed(PROTECTIVE, 2, 1)),
        ("gpt-lba", changed(PROTECTIVE, 8, 2)),
        ("gpt-lba-high", changed(PROTECTIVE, 11, 1)),
        ("fat", fat(0xf8)),
        ("fat-floppy", fat(0xf0)),
    ]
}

fn iso(front: Vec<u8>) -> Vec<u8> {
    let volume = put(front, 32 * KIB, b"\x01CD001\x01");
    let sized = put(volume, 32 * KIB + 80, &20u32.to_le_bytes());
    let sized = put(sized, 32 * KIB + 128, &2048u16.to_le_bytes());
    put(sized, 40 * KIB - 1, &[0])
}

fn isos() -> Vec<(&'static str, Vec<u8>)> {
    let identifier = |name: &[u8]| put(iso(vec![]), 32 * KIB + 1, name);
    vec![
        ("iso", iso(vec![])),
        ("iso-short", iso(vec![])[..34 * KIB - 1].to_vec()),
        ("iso-34k", iso(vec![])[..34 * KIB].to_vec()),
        ("iso-udf2", identifier(b"NSR02")),
        ("iso-udf3", identifier(b"NSR03")),
        ("iso-unknown", identifier(b"NSR04")),
        ("iso-boot-record", put(iso(vec![]), 32 * KIB, &[0])),
        ("iso-mbr", iso(mbr(&[LINUX]))),
        ("iso-mbr-unsafe", iso(mbr(&[]))),
        ("iso-qcow2", iso(qcow2(3))),
        (
            "iso-mbr-luks",
            iso(put(mbr(&[LINUX]), 0, b"LUKS\xba\xbe\0\x01")),
        ),
    ]
}

fn luks(version: u8, payload_sector: u32) -> Vec<u8> {
    let header = put(vec![0; 40 * KIB], 0, b"LUKS\xba\xbe\0");
    put(
        put(header, 7, &[version]),
        104,
        &payload_sector.to_be_bytes(),
    )
}

fn small_headers() -> Vec<(&'static str, Vec<u8>)> {
    let vhd = put(vec![0; 4 * KIB], 0, b"conectix");
    let vdi = put(vec![0; 4 * KIB], 0x40, &0xbeda_107fu32.to_le_bytes());
    vec![
        ("luks1", luks(1, 8)),
        ("luks2", luks(2, 8)),
        ("luks-8", luks(1, 8)[..8].to_vec()),
        ("luks-167", luks(1, 0)[..167].to_vec()),
        ("luks-591", luks(1, 0)[..591].to_vec()),
        ("luks-592", luks(1, 0)[..592].to_vec()),
        ("luks-payload-beyond", luks(1, u32::MAX)),
        (
            "luks-qcow2-vdi",
            put(luks(1, 8), 0x40, &0xbeda_107fu32.to_le_bytes()),
        ),
        ("vhd-8", vhd[..8].to_vec()),
        ("vhd-511", vhd[..511].to_vec()),
        ("vhd-no-size", vhd),
        (
            "vdi-sized",
            put(vdi, 0x170, &(7 * MIB as u64).to_le_bytes()),
        ),
        ("qed-header", put(vec![0; 4 * KIB], 0, b"QED\0")),
    ]
}

const EXTENT: &str = "RW 6144 SPARSE \"disk.vmdk\"\n";

fn descriptor(kind: &str, extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=7f1b1bd6\nparentCID=ffffffff\n\
         createType=\"{kind}\"\n\n# Extent description\n{extents}\n\
         # The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"
    )
}

/// A sparse header, with its descriptor in the 20 sectors after it.
fn vmdk(descriptor: &[u8]) -> Vec<u8> {
    let mut header = put(vec![0; 64 * KIB], 0, b"KDMV\x01\0\0\0\x03\0\0\0");
    for (at, value) in [
        (12, 6144u64),
        (20, 128),
        (28, 1),
        (36, 20),
        (48, 21),
        (56, 26),
    ] {
        header = put(header, at, &value.to_le_bytes());
    }
    put(header, 512, descriptor)
}

fn good_vmdk() -> Vec<u8> {
    vmdk(descriptor("monolithicSparse", EXTENT).as_bytes())
}

/// The same with a footer, which `change` may spoil: marker, footer, end-of-stream marker.
fn footed(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut image = put(good_vmdk(), 56, &[0xff; 8]);
    let header = put(image[..512].to_vec(), 56, &26u64.to_le_bytes());
    let marker = put(put(vec![0; 512], 0, &[1]), 12, &[3]);
    let mut end = [marker, header, vec![0; 512]].concat();
    change(&mut end);
    image.extend(end);
    image
}

fn vmdk_headers() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, value: &[u8]| put(good_vmdk(), at, value);
    let moved_footed = put(footed(|_| {}), 28, &[2]);
    vec![
        ("vmdk-good", good_vmdk()),
        ("vmdk-10", good_vmdk()[..10].to_vec()),
        ("vmdk-63", good_vmdk()[..63].to_vec()),
        ("vmdk-64", good_vmdk()[..64].to_vec()),
        ("vmdk-512", good_vmdk()[..512].to_vec()),
        ("vmdk-in-descriptor", good_vmdk()[..600].to_vec()),
        ("vmdk-version-0", changed(4, &[0])),
        ("vmdk-version-2", changed(4, &[2])),
        ("vmdk-version-4", changed(4, &[4])),
        ("vmdk-size-overflow", changed(12, &[0xff; 8])),
        ("vmdk-no-descriptor", changed(36, &[0])),
        ("vmdk-descriptor-moved", changed(28, &[2])),
        ("vmdk-descriptor-far", changed(28, &[0xff; 8])),
        ("vmdk-descriptor-wraps", changed(35, &[0x80])),
        ("vmdk-descriptor-huge", changed(36, &[0xff; 8])),
        (
            "vmdk-descriptor-1mib",
            [put(good_vmdk(), 36, &[0xff; 2]), vec![0; MIB]].concat(),
        ),
        ("vmdk-footer", footed(|_| {})),
        ("vmdk-footer-absent", put(good_vmdk(), 56, &[0xff; 8])),
        (
            "vmdk-footer-short",
            put(good_vmdk()[..1024].to_vec(), 56, &[0xff; 8]),
        ),
        ("vmdk-footer-moved", moved_footed),
        ("vmdk-footer-magic", footed(|end| end[512] = b'X')),
        ("vmdk-footer-version", footed(|end| end[516] = 2)),
        ("vmdk-footer-sector", footed(|end| end[540] = 40)),
        ("vmdk-footer-sectors", footed(|end| end[548] = 40)),
        ("vmdk-footer-footer", footed(|end| end[568..576].fill(0xff))),
        ("vmdk-footer-marker-type", footed(|end| end[12] = 2)),
        ("vmdk-footer-marker-size", footed(|end| end[8] = 1)),
        ("vmdk-footer-marker-pad", footed(|end| end[511] = 1)),
        ("vmdk-footer-end-value", footed(|end| end[1024] = 1)),
        ("vmdk-footer-end-type", footed(|end| end[1036] = 1)),
        ("vmdk-footer-end-pad", footed(|end| end[1535] = 1)),
    ]
}

fn vmdk_descriptors() -> Vec<(&'static str, Vec<u8>)> {
    let sparse = |text: &str| vmdk(text.as_bytes());
    let kind = |kind: &str| descriptor(kind, EXTENT);
    let good = || kind("monolithicSparse");
    let flat = |path: &str| descriptor("monolithicFlat", &format!("RW 6144 FLAT \"{path}\" 0\n"));
    let long =
        kind(&"x".repeat(64)) + "createType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/shadow\" 0\n";
    let after = |before: String| before.into_bytes();
    vec![
        ("vmdk-flat-path", sparse(&flat("/etc/shadow"))),
        ("vmdk-flat-name", sparse(&flat("disk-flat.vmdk"))),
        (
            "vmdk-path",
            sparse(&descriptor(
                "monolithicSparse",
                "RW 1 SPARSE \"/etc/shadow\"\n",
            )),
        ),
        (
            "vmdk-no-extent",
            sparse(&descriptor("monolithicSparse", "")),
        ),
        ("vmdk-unknown-line", sparse(&(good() + "what is this\n"))),
        ("vmdk-field-with-space", sparse(&(good() + "two words=1\n"))),
        ("vmdk-crlf", sparse(&good().replace('\n', "\r\n"))),
        ("vmdk-upper", sparse(&good().to_uppercase())),
        ("vmdk-unterminated", sparse("createType=\"monolithicSparse")),
        (
            "vmdk-no-type",
            sparse(&good().replace("createType", "otherType")),
        ),
        ("vmdk-latin1", put(good_vmdk(), 600, &[0xe9])),
        ("vmdk-nul-first", put(good_vmdk(), 512, &[0])),
        (
            "vmdk-two-types",
            sparse(&(good() + "createType=\"monolithicFlat\"\n")),
        ),
        (
            "vmdk-parent",
            sparse(&(good() + "parentFileNameHint=\"/etc/shadow\"\n")),
        ),
        ("vmdk-text-flat", after(flat("/etc/shadow"))),
        ("vmdk-text-sparse", after(good())),
        (
            "vmdk-text-63",
            after("createType=\"monolithicFlat\"".into()),
        ),
        (
            "vmdk-text-unterminated",
            after("#".repeat(64) + "\ncreateType=\"monolithicFlat"),
        ),
        (
            "vmdk-text-comment",
            after("# caf\u{e9}\n".to_owned() + &flat("/etc/shadow")),
        ),
        (
            "vmdk-text-latin1",
            after(flat("/etc/shadow") + &"#".repeat(512) + "\u{e9}"),
        ),
        (
            "vmdk-text-late",
            after("#".repeat(70 * KIB) + "\n" + &flat("/etc/shadow")),
        ),
        ("vmdk-text-long-type", after(long)),
    ]
}

const GUID_METADATA: [u8; 16] =
    *b"\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e";
const GUID_SIZE: [u8; 16] = *b"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8";

/// Where the parts of [`vhdx`] stand.
const REGIONS: usize = 192 * KIB;
const METADATA: usize = 512 * KIB;
const ITEM: usize = 64 * KIB;

/// A VHDX of 9 MiB, as far as its size is concerned; each table's entry of interest is the second.
fn vhdx() -> Vec<u8> {
    let image = put(vec![0; METADATA + ITEM + 64 * KIB], 0, b"vhdxfile");
    let image = put(image, REGIONS, b"regi\0\0\0\0\x02");
    let image = put(image, REGIONS + 48, &GUID_METADATA);
    let image = put(image, REGIONS + 64, &(METADATA as u64).to_le_bytes());
    let image = put(image, METADATA, b"metadata\0\0\x02");
    let image = put(image, METADATA + 64, &GUID_SIZE);
    let image = put(image, METADATA + 80, &(ITEM as u32).to_le_bytes());
    let image = put(image, METADATA + 84, &8u32.to_le_bytes());
    put(image, METADATA + ITEM, &(9 * MIB as u64).to_le_bytes())
}

fn vhdxs() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |at: usize, value: &[u8]| put(vhdx(), at, value);
    let metadata_at = |offset: u64| changed(REGIONS + 64, &offset.to_le_bytes());
    let short = |bytes: usize| vhdx()[..bytes].to_vec();
    vec![
        ("vhdx-good", vhdx()),
        ("vhdx-8", short(8)),
        ("vhdx-in-regions", short(REGIONS + 100)),
        ("vhdx-in-metadata", short(METADATA + 100)),
        ("vhdx-in-item", short(METADATA + ITEM + 7)),
        ("vhdx-no-regions", changed(REGIONS, b"x")),
        ("vhdx-regions-0", changed(REGIONS + 8, &[0])),
        ("vhdx-regions-2047", changed(REGIONS + 8, &[0xff, 0x07])),
        ("vhdx-regions-2048", changed(REGIONS + 8, &[0x00, 0x08])),
        ("vhdx-regions-max", changed(REGIONS + 8, &[0xff; 4])),
        ("vhdx-metadata-far", metadata_at(u64::MAX)),
        ("vhdx-metadata-behind", metadata_at(0)),
        ("vhdx-no-metadata", changed(METADATA, b"x")),
        ("vhdx-metadata-0", changed(METADATA + 10, &[0])),
        ("vhdx-metadata-2047", changed(METADATA + 10, &[0xff, 0x07])),
        ("vhdx-metadata-2048", changed(METADATA + 10, &[0x00, 0x08])),
        ("vhdx-item-far", changed(METADATA + 80, &[0xff; 4])),
        ("vhdx-item-0", changed(METADATA + 84, &[0])),
        ("vhdx-item-4", changed(METADATA + 84, &[4])),
        ("vhdx-item-huge", changed(METADATA + 84, &[0xff; 4])),
    ]
}
