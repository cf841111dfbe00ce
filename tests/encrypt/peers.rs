//! Containers between us, qemu and cryptsetup.

use std::{fs, path::Path};

use super::{PASSPHRASE, bytes, decrypted, folder, get, image, key, put, run, said, sealed, tried};
use crate::support::app::TestApp;

const MIB: usize = 1 << 20;
const LUKS_IN: &str = "driver=luks,key-secret=s,file.driver=file,file.filename=";

/// What qemu reads in a container of version 1.
pub(super) fn by_qemu(folder: &Path, container: &str) -> Vec<u8> {
    let source = format!("{LUKS_IN}{container}");
    let secret = "secret,id=s,file=pass";
    let words = [
        "convert",
        "--object",
        secret,
        "--image-opts",
        &source,
        "-O",
        "raw",
        "read",
    ];
    run("qemu-img", folder, &words);
    fs::read(folder.join("read")).unwrap()
}

/// What cryptsetup reads in a container: decrypted in place.
fn by_cryptsetup(folder: &Path, container: &str) -> Vec<u8> {
    fs::copy(folder.join(container), folder.join("copy")).unwrap();
    let words = "reencrypt --decrypt --header header --key-file pass --batch-mode \
                 --force-offline-reencrypt copy";
    run(
        "cryptsetup",
        folder,
        &words.split_whitespace().collect::<Vec<_>>(),
    );
    fs::read(folder.join("copy")).unwrap()
}

#[test]
fn they_open_what_we_made() {
    let app = TestApp::new();
    let sent = bytes(3 * MIB + 512);
    let folder = folder();
    let folder = folder.path();
    for format in ["LUKSv1", "LUKSv2"] {
        let image = sealed(&app, format, &sent);
        fs::write(folder.join(format), app.ask(get(&image)).body).unwrap();
        let dump = run("cryptsetup", folder, &["luksDump", format]);
        let dump = String::from_utf8_lossy(&dump.stdout);
        assert!(dump.contains("xts-plain64"), "{dump}");
        let opens = |file: &str| {
            let words = ["open", "--test-passphrase", "--key-file", file, format];
            tried("cryptsetup", folder, &words).status.success()
        };
        fs::write(folder.join("other"), "hunter2").unwrap();
        assert!(opens("pass") && !opens("other"), "{format}");
    }
    assert!(by_qemu(folder, "LUKSv1") == sent);
}

#[test]
fn we_open_what_they_made() {
    let app = TestApp::new();
    let folder = folder();
    let folder = folder.path();
    let right = key(&app, PASSPHRASE);
    let sent = bytes(2 * MIB);
    fs::write(folder.join("raw"), &sent).unwrap();
    // By qemu.
    let words = "convert --object secret,id=s,file=pass -f raw -O luks -o key-secret=s,iter-time=10 raw luks";
    run("qemu-img", folder, &words.split(' ').collect::<Vec<_>>());
    let image = image(&app, "LUKSv1", &right);
    let answer = app.ask(put(&image, &fs::read(folder.join("luks")).unwrap()));
    assert_eq!(answer.status, 204, "{}", said(&answer));
    assert!(decrypted(&app, &image) == sent);
    // By cryptsetup: one with AES-128 and an old hash, one as it is by default but for its costs.
    for (name, format, more) in [
        (
            "small",
            "LUKSv1",
            "--type luks1 --key-size 256 --hash sha1 --pbkdf-force-iterations 2000",
        ),
        (
            "large",
            "LUKSv1",
            "--type luks1 --key-size 512 --hash sha512 --pbkdf-force-iterations 2000",
        ),
        (
            "new",
            "LUKSv2",
            "--type luks2 --pbkdf-memory 65536 --pbkdf-force-iterations 4",
        ),
        (
            "slow",
            "LUKSv2",
            "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 2000 --sector-size 4096",
        ),
    ] {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_len(20 * MIB as u64).unwrap();
        let words = format!("luksFormat --batch-mode --key-file pass {more} {name}");
        run("cryptsetup", folder, &words.split(' ').collect::<Vec<_>>());
        let image = self::image(&app, format, &right);
        let answer = app.ask(put(&image, &fs::read(folder.join(name)).unwrap()));
        assert_eq!(answer.status, 204, "{name}: {}", said(&answer));
        let wrong = self::image(&app, format, &key(&app, b"hunter2"));
        let answer = app.ask(put(&wrong, &fs::read(folder.join(name)).unwrap()));
        assert_eq!(answer.status, 415, "{name}: {}", said(&answer));
    }
    // What is in them, as qemu writes it.
    for name in ["large", "small"] {
        let target = format!("{LUKS_IN}{name}");
        let words = [
            "--object",
            "secret,id=s,file=pass",
            "--image-opts",
            &target,
            "-c",
            "write -P 0x5a 1M 64k",
        ];
        run("qemu-io", folder, &words);
        let image = self::image(&app, "LUKSv1", &right);
        let answer = app.ask(put(&image, &fs::read(folder.join(name)).unwrap()));
        assert_eq!(answer.status, 204, "{name}: {}", said(&answer));
        assert_eq!(decrypted(&app, &image)[MIB..][..65_536], [0x5a; 65_536]);
    }
}

#[test]
fn what_is_in_a_container_of_version_2_is_read_by_cryptsetup() {
    let app = TestApp::new();
    let sent = bytes(3 * MIB);
    let folder = folder();
    let image = sealed(&app, "LUKSv2", &sent);
    fs::write(folder.path().join("LUKSv2"), app.ask(get(&image)).body).unwrap();
    assert!(by_cryptsetup(folder.path(), "LUKSv2")[..sent.len()] == sent);
}
