//! Keys in the real Barbican, asked for with the tokens of the real Keystone.

use serde_json::{Value, json};

use super::{bytes, plain, with_key};
use crate::support::{
    app::text,
    barbican::Barbican,
    keystone::Keystone,
    process::Fresnel,
    wire::{Request, Response, exchange},
};

const LEN: usize = 100_000;

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

    fn image(&self, properties: &Value) -> String {
        let mut image = json!({"disk_format": "raw", "container_format": "bare"});
        for (name, value) in properties.as_object().unwrap() {
            image[name] = value.clone();
        }
        let created = self.ask(Request::new("POST", "/v2/images").body(image.to_string()));
        assert_eq!(created.status, 201, "{}", text(&created));
        created.json()["self"].as_str().unwrap().to_owned()
    }

    fn put(&self, image: &str, bytes: &[u8]) -> Response {
        let request = Request::new("PUT", &format!("{image}/file"));
        let request = request.header("Content-Type", "application/octet-stream");
        self.ask(plain(request).body(bytes))
    }

    fn get(&self, image: &str) -> Response {
        self.ask(plain(Request::new("GET", &format!("{image}/file"))))
    }
}

fn service(keystone: &Keystone, lines: &str) -> Fresnel {
    Fresnel::start(&format!(
        "[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\nauth_url = {}\n\
         auth_type = password\nusername = glance\npassword = lab\nuser_domain_name = Default\n\
         project_name = service\nproject_domain_name = Default\n[barbican]\n{lines}\n",
        keystone.url()
    ))
}

#[test]
#[ignore = "needs Barbican: make barbican"]
fn a_key_is_its_users_and_goes_with_the_image() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let service = service(&keystone, "send_service_user_token = true");
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let sent = bytes(LEN);
    for format in ["LUKSv1", "LUKSv2"] {
        let key = barbican.keep_key(&member.token, &[7; 32]);
        let image = member.image(&json!({
            "os_encrypt_format": format,
            "os_encrypt_key_id": key,
            "os_encrypt_key_deletion_policy": "on_image_deletion",
            "visibility": "community",
        }));
        let answer = member.put(&image, &sent);
        assert_eq!(answer.status, 204, "{}", text(&answer));
        assert!(member.get(&image).body == sent);
        let consumers = barbican.about(&member.token, &key)["consumers"].clone();
        let id = image.rsplit('/').next().unwrap();
        assert_eq!(consumers[0]["resource_id"], id, "{consumers}");
        // Who may have the image, but not its key.
        let stranger = User {
            service: &service,
            token: keystone.token("alt-member"),
        };
        let answer = stranger.get(&image);
        assert_eq!(answer.status, 400);
        let reason = "Unable to retrieve the encryption key";
        assert!(text(&answer).contains(reason), "{}", text(&answer));
        assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
        assert_eq!(barbican.status(&member.token, &key), 404);
    }
    for secret in [&member.token, "07070707"] {
        assert!(!service.log().contains(secret));
    }
}

#[test]
#[ignore = "needs Barbican: make barbican"]
fn a_key_that_others_need_stays() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let service = service(&keystone, "");
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let key = barbican.keep_key(&member.token, &[7; 32]);
    let images: Vec<String> = (0..2)
        .map(|_| {
            let image = member.image(&json!({
                "os_encrypt_format": "LUKSv1",
                "os_encrypt_key_id": key,
                "os_encrypt_key_deletion_policy": "True",
            }));
            assert_eq!(member.put(&image, b"bytes").status, 204);
            image
        })
        .collect();
    for (image, status) in images.iter().zip([200, 404]) {
        assert_eq!(member.ask(Request::new("DELETE", image)).status, 204);
        assert_eq!(barbican.status(&member.token, &key), status);
    }
    // Another secret with the same key: who needs which is told at once.
    let keys = [(); 2].map(|()| barbican.keep_key(&member.token, &[7; 32]));
    let image = member.image(&json!({
        "os_encrypt_format": "LUKSv1",
        "os_encrypt_key_id": keys[0],
        "os_encrypt_key_deletion_policy": "on_image_deletion",
    }));
    assert_eq!(member.put(&image, b"bytes").status, 204);
    assert_eq!(member.ask(with_key(&image, &keys[1])).status, 200);
    let consumers = |key: &str| {
        let about = barbican.about(&member.token, key);
        about["consumers"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([consumers(&keys[0]), consumers(&keys[1])], [0, 1]);
    assert_eq!(member.get(&image).body, b"bytes");
    assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
    assert_eq!(barbican.status(&member.token, &keys[0]), 200);
    assert_eq!(barbican.status(&member.token, &keys[1]), 404);
    // Cinder's pair, as with Glance.
    let key = barbican.keep_key(&member.token, &[7; 32]);
    let image = member.image(&json!({
        "cinder_encryption_key_id": key,
        "cinder_encryption_key_deletion_policy": "on_image_deletion",
    }));
    assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
    assert_eq!(barbican.status(&member.token, &key), 404);
}
