//! The streams that the inspectors are judged on, as files: real ones and hand-made ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use super::hostile;

/// One stream.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

/// Everything; made once a run.
pub(super) static ALL: LazyLock<Corpus> = LazyLock::new(Corpus::make);

pub(super) struct Corpus {
    pub(super) samples: Vec<Sample>,
    _dir: tempfile::TempDir,
}

/// What `qemu-img create` makes: name, arguments with `{}` for the file, and its virtual size.
/// `B` is a backing file, `D` a data file.
pub(super) const QEMU: &[(&str, &str)] = &[
    ("raw", "-f raw {} 1M"),
    ("qcow2", "-f qcow2 {} 3M"),
    ("qcow2-v2", "-f qcow2 -o compat=0.10 {} 3M"),
    ("qcow2-lazy", "-f qcow2 -o lazy_refcounts=on {} 3M"),
    ("qcow2-zstd", "-f qcow2 -o compression_type=zstd {} 3M"),
    (
        "qcow2-extended-l2",
        "-f qcow2 -o extended_l2=on,cluster_size=128k {} 3M",
    ),
    ("qcow2-backing", "-f qcow2 -F raw -b B {} 3M"),
    (
        "qcow2-v2-backing",
        "-f qcow2 -o compat=0.10 -F raw -b B {} 3M",
    ),
    ("qcow2-data-file", "-f qcow2 -o data_file=D {} 3M"),
    (
        "qcow2-data-file-raw",
        "-f qcow2 -o data_file=D,data_file_raw=on {} 3M",
    ),
    (
        "qcow2-luks",
        "-f qcow2 --object secret,id=s,data=x -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 {} 3M",
    ),
    ("vmdk", "-f vmdk {} 3M"),
    ("vmdk-compat6", "-f vmdk -o compat6=on {} 3M"),
    ("vmdk-zeroed-grain", "-f vmdk -o zeroed_grain=on {} 3M"),
    ("vmdk-stream", "-f vmdk -o subformat=streamOptimized {} 3M"),
    ("vmdk-flat", "-f vmdk -o subformat=monolithicFlat {} 3M"),
    (
        "vmdk-split",
        "-f vmdk -o subformat=twoGbMaxExtentSparse {} 3M",
    ),
    (
        "vmdk-split-flat",
        "-f vmdk -o subformat=twoGbMaxExtentFlat {} 3M",
    ),
    ("vpc", "-f vpc -o force_size=on {} 3M"),
    ("vpc-fixed", "-f vpc -o subformat=fixed,force_size=on {} 1M"),
    ("vhdx", "-f vhdx {} 3M"),
    (
        "vhdx-fixed",
        "-f vhdx -o subformat=fixed,block_size=1M {} 1M",
    ),
    ("vdi", "-f vdi {} 3M"),
    ("vdi-static", "-f vdi -o static=on {} 1M"),
    ("qed", "-f qed {} 3M"),
    (
        "luks",
        "-f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 {} 1M",
    ),
    ("parallels", "-f parallels {} 3M"),
];

impl Corpus {
    /// The sample of that name.
    pub(super) fn get(&self, name: &str) -> &Sample {
        self.samples
            .iter()
            .find(|sample| sample.name == name)
            .unwrap_or_else(|| panic!("no sample is named {name}"))
    }

    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["B", "D"] {
            fs::write(dir.path().join(name), [0; 4096]).unwrap();
        }
        let real = QEMU.iter().map(|(name, arguments)| {
            let path = dir.path().join(name);
            create(dir.path(), &path, arguments);
            let bytes = fs::read(&path).unwrap();
            Sample { name, path, bytes }
        });
        let made = hostile::samples().into_iter().map(|(name, bytes)| {
            let path = dir.path().join(name);
            fs::write(&path, &bytes).unwrap();
            Sample { name, path, bytes }
        });
        Self {
            samples: real.chain(made).collect(),
            _dir: dir,
        }
    }
}

fn create(dir: &Path, path: &Path, arguments: &str) {
    let path = path.to_str().unwrap();
    let output = Command::new("qemu-img")
        .arg("create")
        .args(
            arguments
                .split(' ')
                .map(|a| if a == "{}" { path } else { a }),
        )
        .current_dir(dir)
        .output()
        .expect("qemu-img runs (Debian package qemu-utils)");
    assert!(
        output.status.success(),
        "qemu-img create {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
