//! `fresnel image sign` and `fresnel image verify`.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::signing::{Author, Says};

/// A folder with `image`, `key.pem` and `cert.pem`.
fn folder(author: &Author) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("image", &vec![7; 3_000_000]);
    put("key.pem", &author.key_pem());
    put("cert.pem", &author.certificate_pem());
    folder
}

fn fresnel(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fresnel"))
        .args(words.split(' '))
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SIGN: &str = "image sign image --key key.pem --certificate cert.pem --certificate-id";
const VERIFY: &str = "image verify image --certificate cert.pem --properties properties";

#[test]
fn what_is_signed_verifies_and_what_is_changed_does_not() {
    let author = Author::new("ECC_SECP521R1");
    let folder = folder(&author);
    let at = folder.path();
    for more in ["", " --json", " --hash-method SHA-224"] {
        let signed = fresnel(at, &format!("{SIGN} {}{more}", author.id));
        assert!(signed.status.success(), "{}", text(&signed.stderr));
        fs::write(at.join("properties"), &signed.stdout).unwrap();
        let verified = fresnel(at, VERIFY);
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        assert_eq!(text(&verified.stdout), "the signature of image is good\n");
    }
    fs::write(at.join("image"), vec![7; 2_999_999]).unwrap();
    let refused = fresnel(at, VERIFY);
    assert_eq!(refused.status.code(), Some(1));
    let said = "fresnel: Signature verification failed\n";
    assert_eq!(text(&refused.stderr), said);
}

#[test]
fn the_properties_are_printed_as_clients_take_them() {
    let author = Author::new("RSA-PSS");
    let folder = folder(&author);
    let signed = fresnel(folder.path(), &format!("{SIGN} {}", author.id));
    let lines: Vec<&str> = text(&signed.stdout).lines().collect();
    assert!(lines[0].starts_with("img_signature="), "{lines:?}");
    let certificate = format!("img_signature_certificate_uuid={}", author.id);
    let rest = [
        "img_signature_hash_method=SHA-512",
        "img_signature_key_type=RSA-PSS",
        &certificate,
    ];
    assert_eq!(lines[1..], rest);
}

#[track_caller]
fn assert_refused(author: &Author, words: &str, reason: &str) {
    let folder = folder(author);
    let other = Author::new("ECC_SECP384R1");
    fs::write(folder.path().join("other.pem"), other.certificate_pem()).unwrap();
    let output = fresnel(folder.path(), words);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(reason), "{said}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn what_the_service_would_refuse_is_not_signed() {
    let author = Author::new("ECC_SECP384R1");
    assert_refused(&author, &format!("{SIGN} x --hash-method MD5"), "SHA-224");
    let other = format!("{SIGN} x").replace("cert.pem", "other.pem");
    assert_refused(&author, &other, "the certificate is not that of the key");
    let swapped = format!("{SIGN} x").replace("--key key.pem", "--key cert.pem");
    assert_refused(&author, &swapped, "no private key in PEM");
    let over = Author::who_says(Says {
        is_over: true,
        ..Says::default()
    });
    assert_refused(&over, &format!("{SIGN} x"), "outside its valid date range");
}

/// Long work shows how far it is on a terminal, on which `script` runs it, and nowhere else.
#[test]
fn progress_is_for_terminals() {
    let author = Author::new("ECC_SECP384R1");
    let folder = folder(&author);
    let image = fs::File::create(folder.path().join("image")).unwrap();
    // A hole: hashed for a second, and no disk is read.
    image.set_len(1 << 29).unwrap();
    let words = format!("{SIGN} {}", author.id);
    let plain = fresnel(folder.path(), &words);
    assert!(
        plain.status.success() && plain.stderr.is_empty(),
        "{plain:?}"
    );
    let command = format!("{} {words}", env!("CARGO_BIN_EXE_fresnel"));
    let on_terminal = |command: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", command, "/dev/null"]);
        script.current_dir(folder.path()).output().unwrap()
    };
    let shown = on_terminal(&command);
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("image: [") && shown.contains(" of 512 MiB"),
        "{shown}"
    );
    assert!(shown.contains("img_signature="), "{shown}");
    let quiet = on_terminal(&format!("{command} --json"));
    assert!(!text(&quiet.stdout).contains("MiB"), "{quiet:?}");
}
