//! cursive and the library that it stands on: what they sign verifies here, and the other way round.

use std::{collections::BTreeMap, process::Command};

use fresnel::data::signature::{Certificate, Declared, hash_methods, key_types};
use openssl::{
    base64,
    hash::{Hasher, MessageDigest},
};
use serde_json::{Value, json};

use crate::support::{lab, signing::Author};

const ORACLE: &str = "signature/oracle.py";

fn data() -> Vec<u8> {
    (0..5000_u32).map(|at| ((at * at) >> 3) as u8).collect()
}

/// The lab's Python, whose cryptography has no binary curves any more.
fn new() -> Command {
    Command::new(lab::python())
}

/// Debian's, which has, with the lab's cursive behind it.
fn old() -> (Command, String) {
    lab::run(lab::script("packages").arg("python3-cryptography"));
    let find = "import sysconfig; print(sysconfig.get_paths()['purelib'])";
    let packages = lab::run(Command::new(lab::python()).args(["-c", find]));
    let mut python = Command::new("/usr/bin/python3");
    python.env("PYTHONNOUSERSITE", "1");
    (python, packages.trim().to_owned())
}

fn ask(command: Command, arguments: &[&str], questions: &[Value]) -> Vec<String> {
    let lines = questions.iter().map(Value::to_string);
    lab::ask_of(command, ORACLE, arguments, lines)
}

/// What we say of an image of these bytes with these properties.
fn verify(author: &Author, properties: &Value, data: &[u8]) -> String {
    let own = properties.as_object().unwrap().iter();
    let own: BTreeMap<_, _> = own
        .map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned)))
        .collect();
    let certificate = Certificate::parse(&author.certificate_pem()).unwrap();
    let declared = Declared::of(&own).and_then(|declared| declared.unwrap().with(&certificate));
    let verified = declared.and_then(|signature| {
        let digest = MessageDigest::from_name(signature.digest().as_str()).unwrap();
        let mut hasher = Hasher::new(digest).unwrap();
        hasher.update(data).unwrap();
        signature.verify(&hex(&hasher.finish().unwrap()))
    });
    verified.map_or_else(|refusal| refusal.to_string(), |()| "good".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pem(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Every kind of key with every digest, signed by either and verified by the other.
fn compare(authors: &[(&str, Author)], mut asked: impl FnMut(&[Value]) -> Vec<String>) {
    let data = data();
    let encoded = base64::encode_block(&data);
    let methods: Vec<&str> = hash_methods().collect();
    let methods = &methods;
    let cases = || {
        authors
            .iter()
            .flat_map(move |case| methods.iter().map(move |m| (case, *m)))
    };
    let theirs = cases().map(|((key_type, author), method)| {
        json!({"do": "sign", "key_type": key_type, "key": pem(author.key_pem()), "method": method,
               "data": encoded})
    });
    let signatures = asked(&theirs.collect::<Vec<_>>());
    for (((key_type, author), method), signature) in cases().zip(signatures) {
        let mut properties = author.sign(method, &data);
        assert_eq!(properties["img_signature_key_type"], *key_type);
        properties["img_signature"] = json!(signature);
        assert_eq!(
            verify(author, &properties, &data),
            "good",
            "{key_type} {method}"
        );
        let other = verify(author, &properties, &data[1..]);
        assert_eq!(
            other, "Signature verification failed",
            "{key_type} {method}"
        );
    }
    let ours = cases().map(|((_, author), method)| {
        json!({"do": "verify", "certificate": pem(author.certificate_pem()), "data": encoded,
               "properties": author.sign(method, &data)})
    });
    for (((key_type, _), method), said) in cases().zip(asked(&ours.collect::<Vec<_>>())) {
        assert_eq!(said, "good", "{key_type} {method}");
    }
}

#[test]
fn cursive_and_we_take_each_others_signatures() {
    let lasting = key_types().filter(|name| !name.contains("SECT"));
    let authors: Vec<_> = lasting.map(|name| (name, Author::new(name))).collect();
    assert_eq!(authors.len(), 4);
    compare(&authors, |questions| ask(new(), &[], questions));
}

#[test]
fn an_older_cryptography_and_we_take_those_of_binary_curves() {
    let binary = key_types().filter(|name| name.contains("SECT"));
    let authors: Vec<_> = binary.map(|name| (name, Author::new(name))).collect();
    assert_eq!(authors.len(), 4);
    compare(&authors, |questions| {
        let (python, packages) = old();
        ask(python, &[&packages], questions)
    });
}

#[test]
fn cursive_and_we_refuse_in_the_same_words() {
    let (rsa, curve) = (Author::new("RSA-PSS"), Author::new("ECC_SECP384R1"));
    let data = data();
    let mut cases = vec![
        (&rsa, rsa.sign("SHA-256", b"other")),
        (&curve, curve.sign("SHA-512", b"other")),
    ];
    let mut with = |author, name: &str, value: &str| {
        let author: &Author = author;
        let mut properties = author.sign("SHA-256", &data);
        properties[name] = json!(value);
        cases.push((author, properties));
    };
    with(&rsa, "img_signature_hash_method", "SHA-512");
    with(&curve, "img_signature_hash_method", "SHA-512");
    with(&curve, "img_signature_hash_method", "sha256");
    with(&curve, "img_signature_key_type", "ECC_SECP256R1");
    with(&curve, "img_signature_key_type", "RSA-PSS");
    with(&rsa, "img_signature_key_type", "ECC_SECP384R1");
    // The curve of the name is not looked at.
    with(&curve, "img_signature_key_type", "ECC_SECP521R1");
    with(&rsa, "img_signature", "");
    with(&rsa, "img_signature", "c2l");
    with(&rsa, "img_signature", "c2ln");
    with(&curve, "img_signature", "c2ln");
    let encoded = base64::encode_block(&data);
    let questions = cases.iter().map(|(author, properties)| {
        json!({"do": "verify", "certificate": pem(author.certificate_pem()), "data": encoded,
               "properties": properties})
    });
    let said = ask(new(), &[], &questions.collect::<Vec<_>>());
    for ((author, properties), said) in cases.iter().zip(said) {
        assert_eq!(verify(author, properties, &data), said, "{properties}");
    }
}
