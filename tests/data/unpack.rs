//! What Python's `gzip` and `zipfile` make is unpacked as they unpack it; what they refuse is refused.

use std::{fs, io, path::Path, process::Command};

use async_trait::async_trait;
use bytes::Bytes;
use fresnel::data::{
    DeclaredSize, Error, Expect, Source,
    decompress::Unpacked,
    inspect::Format,
    stage::{self, Incoming, Job, Made, Plugins},
};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::support::lab;

const MIB: usize = 1 << 20;

/// Bytes in pieces of some length.
struct Pieces {
    left: Bytes,
    len: usize,
}

#[async_trait]
impl Source for Pieces {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let len = self.len.min(self.left.len());
        Ok((len > 0).then(|| self.left.split_to(len)))
    }
}

async fn read_all(source: &mut dyn Source) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = source.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

async fn unpacked(bytes: &[u8], len: usize) -> io::Result<Vec<u8>> {
    let left = Bytes::copy_from_slice(bytes);
    let mut source = Unpacked::open(Pieces { left, len }).await?;
    read_all(&mut source).await
}

/// Runs a script of Python in a folder that has the file `in`.
fn python(folder: &Path, script: &str) {
    lab::run(
        Command::new("python3")
            .current_dir(folder)
            .args(["-c", script]),
    );
}

/// What the script makes of the bytes, in the file `out`.
fn made(bytes: &[u8], script: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in"), bytes).unwrap();
    python(folder.path(), script);
    fs::read(folder.path().join("out")).unwrap()
}

/// Everything that packs one file.
const PACKERS: [&str; 8] = [
    "import gzip; open('out','wb').write(gzip.compress(open('in','rb').read()))",
    // Several members, with zeroes between and behind them, and all that a header can have.
    "import gzip; b=open('in','rb').read(); h=b'\\x1f\\x8b\\x08\\x1e'+bytes(6)+b'\\3\\0abc'+b'name\\0'+b'comment\\0'+b'\\0\\0'; \
     g=gzip.compress(b[len(b)//2:],mtime=0); \
     open('out','wb').write(gzip.compress(b[:len(b)//2])+bytes(77)+h+g[10:]+bytes(9))",
    "import gzip,shutil; shutil.copyfileobj(open('in','rb'), gzip.GzipFile('out','wb',1))",
    "import zipfile; zipfile.ZipFile('out','w',zipfile.ZIP_DEFLATED).write('in')",
    "import zipfile; zipfile.ZipFile('out','w',zipfile.ZIP_STORED).write('in')",
    "import zipfile; z=zipfile.ZipFile('out','w',zipfile.ZIP_DEFLATED); z.comment=b'said'*9; z.write('in'); z.close()",
    // The sizes behind the data, as of who cannot seek.
    "import zipfile\nclass W:\n def __init__(s): s.f=open('out','wb')\n def write(s,b): return s.f.write(b)\n \
     def flush(s): s.f.flush()\nz=zipfile.ZipFile(W(),'w',zipfile.ZIP_DEFLATED); z.write('in'); z.close()",
    "import zipfile; z=zipfile.ZipFile('out','w',zipfile.ZIP_DEFLATED)\nwith z.open('in','w',force_zip64=True) as f: f.write(open('in','rb').read())\nz.close()",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn what_python_packs_is_unpacked(
        noise in prop::collection::vec(any::<u8>(), 0..40_000),
        zeroes in 0_usize..3_000_000,
        piece in 1_usize..100_000,
    ) {
        let bytes = [noise.as_slice(), &vec![0; zeroes], noise.as_slice()].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for packer in PACKERS {
            let packed = made(&bytes, packer);
            let found = runtime.block_on(unpacked(&packed, piece));
            assert!(found.unwrap() == bytes, "{packer}");
        }
    }
}

#[tokio::test]
async fn what_is_not_packed_goes_through() {
    for bytes in [&b""[..], b"PK", b"plain bytes", b"\x1f\x8b\x09not gzip"] {
        assert_eq!(unpacked(bytes, 1).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn what_python_refuses_is_refused() {
    let gzip = made(b"some bytes", PACKERS[0]);
    let zip = made(b"some bytes", PACKERS[3]);
    let script = "import zipfile; z=zipfile.ZipFile('out','w'); z.write('in'); z.writestr('b','b'); z.close()";
    let two = made(b"some bytes", script);
    let garbage = [gzip.as_slice(), b"garbage"].concat();
    let mut wrong_sum = gzip.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    let mut other_name = zip.clone();
    let at = zip
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    other_name[at + 46] = b'X';
    let lha = b"..-lh5-.....".to_vec();
    for bytes in [
        &gzip[..gzip.len() - 1],
        &gzip[..12],
        &zip[..zip.len() - 1],
        &two,
        &garbage,
        &wrong_sum,
        &other_name,
        &lha,
    ] {
        let error = unpacked(bytes, 7).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
    let several = unpacked(&two, 7).await.unwrap_err();
    assert_eq!(several.to_string(), "Archive contains more than one file.");
}

/// A staged file, and what its image says of it.
struct Stage {
    folder: tempfile::TempDir,
    job: Job,
}

fn staged(bytes: &[u8], disk_format: &str) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("staged"), bytes).unwrap();
    let expect = Expect {
        disk_format: disk_format.to_owned(),
        container_format: "bare".to_owned(),
        require_match: true,
        gpt_safety_checks_nonfatal: Vec::new(),
        encrypted: None,
    };
    let job = Job {
        expect,
        limit_bytes: 4 * MIB as u64,
        min_rate_bytes_per_second: 0,
        scratch: folder.path().join("scratch"),
    };
    Stage { folder, job }
}

async fn open(stage: &Stage, decompress: bool, convert: Option<Format>) -> Result<Made, Error> {
    let plugins = Plugins {
        decompress,
        convert,
    };
    stage::open(plugins, stage.file(), &stage.job).await
}

impl Stage {
    fn file(&self) -> Incoming {
        Incoming::File(self.folder.path().join("staged"))
    }

    /// The same bytes, as they would come from the web.
    fn stream(&self) -> Incoming {
        let bytes = fs::read(self.folder.path().join("staged")).unwrap();
        let size = DeclaredSize::Exact(bytes.len() as u64);
        let (left, len) = (bytes.into(), 70_000);
        Incoming::Stream(Box::new(Pieces { left, len }), size)
    }

    /// The files beside the staged one.
    fn others(&self) -> usize {
        self.folder.path().read_dir().unwrap().count() - 1
    }

    /// They go on a thread that may wait.
    async fn is_tidied(&self) {
        let tidied = async {
            while self.others() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let wait = std::time::Duration::from_secs(30);
        tokio::time::timeout(wait, tidied).await.unwrap();
    }
}

/// The bytes of a disk, and an image of it made by `qemu-img`.
fn image(format: &str) -> (Vec<u8>, Vec<u8>) {
    let disk: Vec<u8> = (0..2 * MIB).map(|at| (at >> 12) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    let (raw, made) = (folder.path().join("raw"), folder.path().join("made"));
    fs::write(&raw, &disk).unwrap();
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", format]);
    if format == "vmdk" {
        command.args(["-o", "subformat=streamOptimized"]);
    }
    lab::run(command.arg(raw).arg(&made));
    (disk, fs::read(made).unwrap())
}

#[tokio::test]
async fn plugins_work_one_after_the_other() {
    let (disk, qcow2) = image("qcow2");
    let packed = made(&qcow2, PACKERS[0]);
    let to_raw = Some(Format::Raw);
    let cases = [
        (&qcow2, false, to_raw, &disk, "raw", 0),
        (&packed, true, to_raw, &disk, "raw", 1),
        (&packed, true, None, &qcow2, "qcow2", 0),
        (&qcow2, true, Some(Format::Qcow2), &qcow2, "qcow2", 0),
        (&packed, false, None, &packed, "qcow2", 0),
    ];
    for (bytes, decompress, convert, expected, format, files) in cases {
        let stage = staged(bytes, "qcow2");
        let mut made = open(&stage, decompress, convert).await.unwrap();
        assert_eq!((made.disk_format.as_str(), stage.others()), (format, files));
        if let DeclaredSize::Exact(len) = made.size {
            assert_eq!(len, expected.len() as u64);
        }
        let found = read_all(made.source.as_mut()).await.unwrap();
        assert!(found == *expected);
        drop(made);
        stage.is_tidied().await;
    }
}

#[tokio::test]
async fn a_stream_is_converted_from_a_file_that_goes() {
    let (disk, qcow2) = image("qcow2");
    let stage = staged(&made(&qcow2, PACKERS[0]), "qcow2");
    let plugins = Plugins {
        decompress: true,
        convert: Some(Format::Raw),
    };
    let made = stage::open(plugins, stage.stream(), &stage.job).await;
    let mut made = made.unwrap();
    assert_eq!((made.disk_format.as_str(), stage.others()), ("raw", 1));
    assert!(read_all(made.source.as_mut()).await.unwrap() == disk);
    drop(made);
    stage.is_tidied().await;
}

#[tokio::test]
async fn qemu_img_helps_where_it_must() {
    let (disk, vmdk) = image("vmdk");
    let stage = staged(&vmdk, "vmdk");
    let mut made = open(&stage, false, Some(Format::Raw)).await.unwrap();
    assert_eq!((made.disk_format.as_str(), stage.others()), ("raw", 1));
    assert!(read_all(made.source.as_mut()).await.unwrap() == disk);
    drop(made);
    stage.is_tidied().await;
}

#[tokio::test]
async fn what_is_not_what_it_says_is_not_converted() {
    let (_, qcow2) = image("qcow2");
    for declared in ["raw", "vmdk"] {
        let stage = staged(&qcow2, declared);
        let error = open(&stage, true, Some(Format::Raw)).await.err().unwrap();
        assert!(matches!(error, Error::Format(_)), "{error}");
        stage.is_tidied().await;
    }
    let stage = staged(&made(&qcow2, PACKERS[3]), "qcow2");
    let small = Job {
        limit_bytes: 100_000,
        ..stage.job.clone()
    };
    let plugins = Plugins {
        decompress: true,
        convert: Some(Format::Raw),
    };
    let left = stage::open(plugins, stage.file(), &small);
    let error = left.await.err().unwrap();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    stage.is_tidied().await;
}
