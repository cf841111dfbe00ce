//! Certificates in the real Barbican, asked for with the tokens of the real Keystone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    app::text,
    barbican::Barbican,
    free_address,
    keystone::Keystone,
    process::Fresnel,
    signing::Author,
    wait_until,
    wire::{Request, Response, exchange},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A service behind that Keystone, with these lines of `[barbican]`.
fn service(keystone: &Keystone, lines: &str) -> Fresnel {
    Fresnel::start(&format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\n[barbican]\n{lines}\n",
        keystone.url()
    ))
}

struct User<'a> {
    service: &'a Fresnel,
    token: String,
}

impl User<'_> {
    fn ask(&self, request: Request) -> Response {
        let request = request
            .header("X-Auth-Token", &self.token)
            .header("Accept", "application/json");
        exchange(self.service.address, &request).unwrap()
    }

    /// An image that is signed so.
    fn image(&self, signed: &Value, certificate: &str) -> String {
        let mut image = json!({"disk_format": "raw", "container_format": "bare"});
        for (name, value) in signed.as_object().unwrap() {
            image[name] = value.clone();
        }
        image["img_signature_certificate_uuid"] = json!(certificate);
        let created = self.ask(Request::new("POST", "/v2/images").body(image.to_string()));
        assert_eq!(created.status, 201, "{}", text(&created));
        created.json()["self"].as_str().unwrap().to_owned()
    }

    fn put(&self, target: &str, bytes: &[u8]) -> Response {
        let request =
            Request::new("PUT", target).header("Content-Type", "application/octet-stream");
        self.ask(request.body(bytes))
    }

    fn show(&self, image: &str) -> Value {
        self.ask(Request::new("GET", image)).json()
    }
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
    let signed = author.sign("SHA-384", &bytes);
    let certificate = barbican.keep(&member.token, &author);
    let image = member.image(&signed, &certificate);
    let answer = member.put(&format!("{image}/file"), &bytes);
    assert_eq!(answer.status, 204, "{}", text(&answer));
    assert_eq!(member.show(&image)["status"], "active");
    // Of another project: Barbican shows it neither to that one nor to the service.
    let stranger = User {
        service: &service,
        token: keystone.token("alt-member"),
    };
    let image = stranger.image(&signed, &certificate);
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
        let image = member.image(&author.sign("SHA-256", signed), &certificate);
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
    let image = member.image(&author.sign("SHA-256", b"bytes"), &author.id);
    let answer = member.put(&format!("{image}/file"), b"bytes");
    assert_eq!(answer.status, 400);
    let said = text(&answer);
    assert!(
        said.contains("Unable to retrieve certificate with ID"),
        "{said}"
    );
    assert_eq!(member.show(&image)["status"], "queued");
}
