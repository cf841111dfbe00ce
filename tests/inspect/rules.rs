//! The rules of reference D.3, each by an example, and what real files are recognised as.

use fresnel::data::Expect;
use fresnel::data::inspect::{FormatError, Verdict};

use super::corpus::ALL;
use super::{declared, inspect};

const MIB: u64 = 1024 * 1024;

fn verdict(sample: &str, disk_format: &str) -> Result<Verdict, FormatError> {
    inspect(&ALL.get(sample).bytes, &declared(disk_format))
}

fn refusal(sample: &str, disk_format: &str) -> String {
    verdict(sample, disk_format).unwrap_err().to_string()
}

fn tolerant(disk_format: &str) -> Expect {
    Expect {
        require_match: false,
        ..declared(disk_format)
    }
}

/// What qemu-img made: its `disk_format`, and the virtual size or the refusal.
const REAL: &[(&str, &str, Result<u64, &str>)] = &[
    ("raw", "raw", Ok(MIB)),
    ("qcow2", "qcow2", Ok(3 * MIB)),
    ("qcow2-v2", "qcow2", Ok(3 * MIB)),
    ("qcow2-lazy", "qcow2", Ok(3 * MIB)),
    ("qcow2-zstd", "qcow2", Ok(3 * MIB)),
    ("qcow2-luks", "qcow2", Ok(3 * MIB)),
    ("qcow2-extended-l2", "qcow2", Err(UNSAFE)),
    ("qcow2-backing", "qcow2", Err(UNSAFE)),
    ("qcow2-v2-backing", "qcow2", Err(UNSAFE)),
    ("qcow2-data-file", "qcow2", Err(UNSAFE)),
    ("qcow2-data-file-raw", "qcow2", Err(UNSAFE)),
    ("vmdk", "vmdk", Ok(3 * MIB)),
    ("vmdk-compat6", "vmdk", Ok(3 * MIB)),
    ("vmdk-zeroed-grain", "vmdk", Ok(3 * MIB)),
    ("vmdk-stream", "vmdk", Ok(3 * MIB)),
    ("vmdk-flat", "vmdk", Err(UNSAFE)),
    ("vmdk-split", "vmdk", Err(UNSAFE)),
    ("vmdk-split-flat", "vmdk", Err(UNSAFE)),
    ("vpc", "vhd", Ok(3 * MIB)),
    (
        "vpc-fixed",
        "vhd",
        Err("Image disk_format vhd does not match stream data raw"),
    ),
    ("vhdx", "vhdx", Ok(3 * MIB)),
    ("vhdx-fixed", "vhdx", Ok(MIB)),
    ("vdi", "vdi", Ok(3 * MIB)),
    ("vdi-static", "vdi", Ok(MIB)),
    ("qed", "qed", Err(UNSAFE)),
    ("luks", "luks", Ok(MIB)),
    ("parallels", "ploop", Ok(0)),
    ("iso", "iso", Ok(20 * 2048)),
    ("gpt", "gpt", Ok(40 * 1024)),
];

const UNSAFE: &str = "Image failed safety checks";

#[test]
fn real_files_are_what_they_are() {
    for (sample, disk_format, expected) in REAL {
        let found = verdict(sample, disk_format).map(|v| v.virtual_size_bytes.unwrap_or(0));
        let found = found.map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{sample}");
    }
}

#[test]
fn what_is_not_bare_is_not_looked_into() {
    let expect = Expect {
        container_format: "ova".to_owned(),
        ..declared("vmdk")
    };
    let verdict = inspect(&ALL.get("qcow2-backing").bytes, &expect);
    assert_eq!(verdict, Ok(Verdict::default()));
}

#[test]
fn another_format_is_refused() {
    let mismatch = "Image disk_format vmdk does not match stream data qcow2";
    assert_eq!(refusal("qcow2", "vmdk"), mismatch);
    let unknown = "Image disk_format ami does not match stream data gpt";
    assert_eq!(refusal("mbr", "ami"), unknown);
}

#[test]
fn what_cannot_be_recognised_has_no_virtual_size() {
    assert_eq!(verdict("noise", "ami"), Ok(Verdict::default()));
}

#[test]
fn raw_may_be_anything_that_is_safe() {
    let verdict = verdict("qcow2", "raw").unwrap();
    let length = ALL.get("qcow2").bytes.len() as u64;
    assert_eq!(verdict.virtual_size_bytes, Some(length));
    let warning = "image claims 'raw' disk_format but is actually 'qcow2'";
    assert_eq!(verdict.warnings[0].to_string(), warning);
    assert_eq!(refusal("qcow2-backing", "raw"), UNSAFE);
    assert_eq!(refusal("luks2", "raw"), UNSAFE);
}

#[test]
fn an_empty_image_is_raw_only() {
    assert_eq!(verdict("empty", "raw"), Ok(Verdict::default()));
    let mismatch = "Image disk_format qcow2 does not match stream data raw";
    assert_eq!(refusal("empty", "qcow2"), mismatch);
}

#[test]
fn several_formats_are_refused_but_for_a_bootable_iso() {
    let several = "Multiple formats detected: qcow2,iso";
    assert_eq!(refusal("iso-qcow2", "qcow2"), several);
    assert_eq!(refusal("iso-qcow2", "iso"), several);
    let iso = verdict("iso-mbr", "iso").unwrap();
    assert_eq!(iso.virtual_size_bytes, Some(20 * 2048));
    let ambiguous = "Multiple formats detected: iso,gpt";
    assert_eq!(refusal("iso-mbr", "raw"), ambiguous);
}

#[test]
fn what_ends_before_its_checks_is_refused() {
    let incomplete = "Incomplete file cannot be safety checked";
    assert_eq!(refusal("vhd-511", "vhd"), incomplete);
    assert_eq!(refusal("vmdk-in-descriptor", "vmdk"), incomplete);
    assert_eq!(refusal("vhdx-in-item", "vhdx"), incomplete);
}

#[test]
fn a_tolerant_service_accepts_mismatch_and_never_harm() {
    let verdict = inspect(&ALL.get("qcow2").bytes, &tolerant("vmdk")).unwrap();
    assert_eq!(verdict.virtual_size_bytes, None);
    let warning =
        "image format did not match: Image disk_format vmdk does not match stream data qcow2";
    assert_eq!(verdict.warnings[0].to_string(), warning);
    let error = inspect(&ALL.get("qcow2-backing").bytes, &tolerant("qcow2")).unwrap_err();
    assert_eq!(error.to_string(), UNSAFE);
}

#[test]
fn the_mbr_check_can_be_excused_for_disks_alone() {
    let excused = |disk_format: &str| Expect {
        gpt_safety_checks_nonfatal: vec!["mbr".to_owned()],
        ..declared(disk_format)
    };
    assert_eq!(refusal("gpt-hybrid", "raw"), UNSAFE);
    let verdict = inspect(&ALL.get("gpt-hybrid").bytes, &excused("raw")).unwrap();
    assert_eq!(
        verdict.warnings[1].to_string(),
        "non-fatal safety check mbr: GPT MBR defines extra partitions"
    );
    let error = inspect(&ALL.get("qcow2-backing").bytes, &excused("qcow2")).unwrap_err();
    assert_eq!(error.to_string(), UNSAFE);
}
