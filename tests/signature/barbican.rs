//! Certificates in the real Barbican, asked for with the tokens of the real Keystone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    app::text,
    barbican::{Barbican, User, service},
    free_address,
    keystone::Keystone,
    signing::Author,
    wait_until,
    wire::Request,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is signed so, by whoever has that certificate.
fn certified(mut signed: Value, certificate: &str) -> Value {
    signed["img_signature_certificate_uuid"] = json!(certificate);
    signed
}

#[test]
#[ignore = "needs Barbican: make barbican"]
fn a_certificate_is_found_by_the_catalog_and_asked_for_as_its_user() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let service = service(&keystone, "");
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let author = Author::new("ECC_SECT571R1");
    let bytes = vec![7; 100_000];
    let certificate = barbican.keep(&member.token, &author);
    let signed = certified(author.sign("SHA-384", &bytes), &certificate);
    let image = member.image(&signed);
    let answer = member.put(&format!("{image}/file"), &bytes);
    assert_eq!(answer.status, 204, "{}", text(&answer));
    assert_eq!(member.show(&image)["status"], "active");
    // Of another project: Barbican shows it neither to that one nor to the service.
    let stranger = User {
        service: &service,
        token: keystone.token("alt-member"),
    };
    let image = stranger.image(&signed);
    let answer = stranger.put(&format!("{image}/file"), &bytes);
    let said = text(&answer);
    assert_eq!(answer.status, 400);
    let expected = format!("Unable to retrieve certificate with ID: {certificate}.");
    assert!(said.ends_with(&expected), "{said}");
    assert_eq!(stranger.show(&image)["status"], "queued");
    assert!(!service.log().contains(&stranger.token));
}

#[test]
#[ignore = "needs Barbican: make barbican"]
fn an_import_is_verified_with_what_its_user_could_read() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let service = service(&keystone, "");
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let author = Author::new("RSA-PSS");
    let certificate = barbican.keep(&member.token, &author);
    let bytes = vec![7; 100_000];
    for (signed, status) in [(&bytes[..], "active"), (&b"other"[..], "queued")] {
        let image = member.image(&certified(author.sign("SHA-256", signed), &certificate));
        assert_eq!(member.put(&format!("{image}/stage"), &bytes).status, 204);
        let import = Request::new("POST", &format!("{image}/import"));
        let body = json!({"method": {"name": "glance-direct"}}).to_string();
        assert_eq!(member.ask(import.body(body)).status, 202);
        let ended = || member.show(&image).get("os_glance_import_task").is_none();
        assert!(wait_until(PATIENCE, ended), "{}", member.show(&image));
        assert_eq!(member.show(&image)["status"], status);
    }
}

#[test]
#[ignore = "needs Barbican: make barbican"]
fn without_barbican_nothing_that_is_signed_is_taken() {
    let keystone = Keystone::shared();
    let lines = format!("barbican_endpoint = http://{}", free_address());
    let service = service(&keystone, &lines);
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let author = Author::new("ECC_SECP384R1");
    let image = member.image(&certified(author.sign("SHA-256", b"bytes"), &author.id));
    let answer = member.put(&format!("{image}/file"), b"bytes");
    assert_eq!(answer.status, 400);
    let said = text(&answer);
    assert!(
        said.contains("Unable to retrieve certificate with ID"),
        "{said}"
    );
    assert_eq!(member.show(&image)["status"], "queued");
}
