//! Keys in the real Barbican, asked for with the tokens of the real Keystone.

use std::time::Duration;

use serde_json::json;

use super::{bytes, get, plain, put, with_key};
use crate::support::{
    app::text,
    barbican::{Barbican, User, service},
    keystone::Keystone,
    wait_until,
    wire::Request,
};

const LEN: usize = 100_000;
/// Twice as long as until a job is looked for.
const LOOKED: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(60);

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
        let answer = member.ask(plain(put(&image, &sent)));
        assert_eq!(answer.status, 204, "{}", text(&answer));
        assert!(member.ask(plain(get(&image))).body == sent);
        let consumers = barbican.about(&member.token, &key)["consumers"].clone();
        let id = image.rsplit('/').next().unwrap();
        assert_eq!(consumers[0]["resource_id"], id, "{consumers}");
        // Who may have the image, but not its key.
        let stranger = User {
            service: &service,
            token: keystone.token("alt-member"),
        };
        let answer = stranger.ask(plain(get(&image)));
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
            assert_eq!(member.ask(plain(put(&image, b"bytes"))).status, 204);
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
    assert_eq!(member.ask(plain(put(&image, b"bytes"))).status, 204);
    assert_eq!(member.ask(with_key(&image, &keys[1])).status, 200);
    let consumers = |key: &str| {
        let about = barbican.about(&member.token, key);
        about["consumers"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([consumers(&keys[0]), consumers(&keys[1])], [0, 1]);
    assert_eq!(member.ask(plain(get(&image))).body, b"bytes");
    assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
    assert_eq!(barbican.status(&member.token, &keys[0]), 200);
    assert_eq!(barbican.status(&member.token, &keys[1]), 404);
    // What has no data has not told Barbican of a need: any key could be named so.
    let key = barbican.keep_key(&member.token, &[7; 32]);
    let image = member.image(&json!({
        "os_encrypt_format": "LUKSv1",
        "os_encrypt_key_id": key,
        "os_encrypt_key_deletion_policy": "on_image_deletion",
    }));
    assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
    assert_eq!(barbican.status(&member.token, &key), 200);
    // Cinder's pair, as with Glance.
    let key = barbican.keep_key(&member.token, &[7; 32]);
    let image = member.image(&json!({
        "cinder_encryption_key_id": key,
        "cinder_encryption_key_deletion_policy": "on_image_deletion",
    }));
    assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
    assert_eq!(barbican.status(&member.token, &key), 404);
}

/// Whoever scrubs has no token: the service acts by a trust.
#[test]
#[ignore = "needs Barbican: make barbican"]
fn with_delay_a_key_goes_after_the_data() {
    let (keystone, barbican) = (Keystone::shared(), Barbican::shared());
    let service = service(&keystone, "[DEFAULT]\ndelayed_delete = true");
    let member = User {
        service: &service,
        token: keystone.token("demo-member"),
    };
    let keys = ["os_encrypt_key", "cinder_encryption_key"].map(|name| {
        let key = barbican.keep_key(&member.token, &[7; 32]);
        let mut properties = json!({"os_encrypt_format": "LUKSv1"});
        properties[format!("{name}_id")] = json!(key);
        properties[format!("{name}_deletion_policy")] = json!("on_image_deletion");
        if name != "os_encrypt_key" {
            properties["os_encrypt_key_id"] = json!(barbican.keep_key(&member.token, &[7; 32]));
        }
        let image = member.image(&properties);
        assert_eq!(member.ask(plain(put(&image, b"bytes"))).status, 204);
        assert_eq!(member.ask(Request::new("DELETE", &image)).status, 204);
        key
    });
    let status = |key: &String| barbican.status(&member.token, key);
    let is_gone = || keys.iter().any(|key| status(key) != 200);
    assert!(!wait_until(LOOKED, is_gone), "{}", service.log());
    assert_eq!(service.lines("scrub").len(), 2);
    for key in &keys {
        let gone = || status(key) == 404;
        assert!(wait_until(PATIENCE, gone), "{}", service.log());
    }
    assert!(!service.log().contains(&member.token));
}
