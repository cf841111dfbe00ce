//! `glance-download`: another service of the catalog, asked as the user, by a trust or with a token that is in
//! the memory of one node alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Region, behind};
use crate::support::{
    keystone::Keystone,
    process::Fresnel,
    proxy::{Act, Proxy},
    wait_until,
    wire::{Request, Response, exchange},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A service that asks this Keystone, and its user.
struct Site {
    server: Fresnel,
    token: String,
}

impl Site {
    fn ask(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Response {
        let kind = match method {
            "PUT" => "application/octet-stream",
            _ => "application/json",
        };
        let request = Request::new(method, path)
            .header("x-auth-token", &self.token)
            .header("content-type", kind);
        exchange(self.server.address, &request.body(body.as_ref())).unwrap()
    }

    fn create(&self, image: &Value) -> String {
        let made = self.ask("POST", "/v2/images", image.to_string());
        assert_eq!(made.status, 201);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    fn show(&self, image: &str) -> Value {
        let request = Request::new("GET", &format!("/v2/images/{image}"));
        let request = request.header("x-auth-token", &self.token);
        exchange(self.server.address, &request).unwrap().json()
    }

    fn import(&self, image: &str, region: &str, remote: &str) {
        let method = json!({
            "name": "glance-download",
            "glance_region": region,
            "glance_image_id": remote,
        });
        let path = format!("/v2/images/{image}/import");
        let answer = self.ask("POST", &path, json!({"method": method}).to_string());
        assert_eq!(answer.status, 202);
    }

    /// The image without a task, and what its last task says.
    #[track_caller]
    fn ended(&self, image: &str) -> (Value, String) {
        let free = || self.show(image).get("os_glance_import_task").is_none();
        assert!(wait_until(PATIENCE, free), "{}", self.server.log());
        let tasks = Request::new("GET", &format!("/v2/images/{image}/tasks"));
        let tasks = tasks.header("x-auth-token", &self.token);
        let tasks = exchange(self.server.address, &tasks).unwrap().json();
        let message = tasks["tasks"][0]["message"].as_str().unwrap().to_owned();
        (self.show(image), message)
    }
}

fn importing(keystone: &Keystone) -> Fresnel {
    Fresnel::start(&format!(
        "lease_seconds = 3\n{}[DEFAULT]\nenabled_import_methods = [glance-download]\n",
        behind(keystone, "")
    ))
}

#[test]
fn an_image_of_another_region_comes_with_its_formats_and_properties() {
    let keystone = Keystone::shared();
    let there = Fresnel::start(&behind(&keystone, ""));
    let region = Region::new(&keystone, there.address);
    // The catalog is the token's.
    let token = keystone.token("demo-member");
    let there = Site {
        server: there,
        token: token.clone(),
    };
    let remote = there.create(&json!({
        "disk_format": "raw",
        "container_format": "bare",
        "hw_disk_bus": "scsi",
        "os_type": "linux",
        "own": "stays",
    }));
    let data = format!("/v2/images/{remote}/file");
    assert_eq!(there.ask("PUT", &data, [7; 100_000]).status, 204);
    let here = Site {
        server: importing(&keystone),
        token,
    };
    let queued = json!({"disk_format": "qcow2", "container_format": "ova"});
    let image = here.create(&queued);
    here.import(&image, &region.name.to_uppercase(), &remote);
    let (shown, message) = here.ended(&image);
    assert_eq!(shown["status"], "active", "{message}");
    assert_eq!(
        (&shown["disk_format"], &shown["container_format"]),
        (&json!("raw"), &json!("bare"))
    );
    assert_eq!(
        (&shown["hw_disk_bus"], &shown["os_type"]),
        (&json!("scsi"), &json!("linux"))
    );
    assert_eq!((&shown["size"], shown.get("own")), (&json!(100_000), None));
    assert_eq!(shown["checksum"], there.show(&remote)["checksum"]);

    let image = here.create(&queued);
    for (region, remote, said) in [
        (
            region.name.as_str(),
            uuid::Uuid::new_v4().to_string(),
            "answers 404",
        ),
        ("nowhere", remote, "The catalog has no such image service"),
    ] {
        here.import(&image, region, &remote);
        let (shown, _) = here.ended(&image);
        assert_eq!(
            (&shown["status"], &shown["disk_format"]),
            (&json!("queued"), &json!("qcow2"))
        );
        let tasks = Request::new("GET", &format!("/v2/images/{image}/tasks"));
        let tasks = tasks.header("x-auth-token", &here.token);
        let tasks = exchange(here.server.address, &tasks).unwrap();
        let tasks = String::from_utf8(tasks.body).unwrap();
        assert!(tasks.contains(said), "{tasks}");
    }
    assert!(!here.server.log().contains(&here.token));
}

/// A user and a project of a test's own, removed on drop; whose trusts are seen.
struct User<'a> {
    keystone: &'a Keystone,
    project: String,
}

impl<'a> User<'a> {
    fn new(keystone: &'a Keystone) -> Self {
        let name = format!("fresnel-{}", uuid::Uuid::new_v4().simple());
        let made = json!({"project": {"name": name, "domain_id": "default"}});
        let made = keystone.ask("POST", "/projects", &made);
        let project = made["project"]["id"].as_str().unwrap().to_owned();
        let id = |path: &str, kind: &str| {
            let found = keystone.ask("GET", path, &Value::Null);
            found[kind][0]["id"].as_str().unwrap().to_owned()
        };
        let user = id("/users?name=demo-member", "users");
        let role = id("/roles?name=member", "roles");
        let path = format!("/projects/{project}/users/{user}/roles/{role}");
        keystone.ask("PUT", &path, &Value::Null);
        Self { keystone, project }
    }

    fn token(&self) -> String {
        self.keystone.token_in("demo-member", &self.project)
    }

    fn trusts(&self) -> usize {
        let all = self.keystone.ask("GET", "/OS-TRUST/trusts", &Value::Null);
        let all = all["trusts"].as_array().unwrap().iter();
        let own = all.filter(|trust| trust["project_id"] == self.project.as_str());
        own.count()
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        let path = format!("/projects/{}", self.project);
        self.keystone.ask("DELETE", &path, &Value::Null);
    }
}

/// Another region's image service, which a test can silence, with an image of a user's.
struct There {
    proxy: Proxy,
    image: String,
    _server: Fresnel,
}

impl There {
    fn new(keystone: &Keystone, token: &str) -> Self {
        let there = Site {
            server: Fresnel::start(&behind(keystone, "token_cache_time = -1")),
            token: token.to_owned(),
        };
        let image = there.create(&json!({"disk_format": "raw", "container_format": "bare"}));
        let data = format!("/v2/images/{image}/file");
        assert_eq!(there.ask("PUT", &data, [7; 100_000]).status, 204);
        let proxy = Proxy::start(there.server.address);
        Self {
            proxy,
            image,
            _server: there.server,
        }
    }

    /// Hears of every request and answers none; how many there were.
    fn silence(&self) -> Arc<AtomicUsize> {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        self.proxy.rule(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Act::Hang
        });
        asked
    }
}

#[test]
fn an_import_outlives_the_token_and_the_node_of_its_user() {
    let keystone = Keystone::shared();
    outlives(&keystone, |token| keystone.revoke(token));
}

/// The same with a token whose time comes.
#[test]
#[ignore = "waits for tokens to be over: make imports"]
fn an_import_outlives_a_token_that_lives_for_seconds() {
    let keystone = Keystone::start(&["token.expiration=30", "token.allow_expired_window=0"]);
    outlives(&keystone, |token| {
        let is_over = || Keystone::shared().validate(token).is_null();
        assert!(wait_until(PATIENCE, is_over));
    });
}

/// The node dies when it has asked the other service, and `end` ends the user's token.
fn outlives(keystone: &Keystone, end: impl FnOnce(&str)) {
    let lasting = Keystone::shared();
    let user = User::new(&lasting);
    let there = There::new(keystone, &user.token());
    let region = Region::new(&lasting, there.proxy.address);
    let mut here = Site {
        server: importing(keystone),
        token: keystone.token_in("demo-member", &user.project),
    };
    let asked = there.silence();
    let image = here.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    here.import(&image, &region.name, &there.image);
    assert!(wait_until(PATIENCE, || asked.load(Ordering::Relaxed) > 0));
    assert_eq!(user.trusts(), 1);
    here.server.kill();
    end(&here.token);
    there.proxy.rule(|_, _| Act::Pass);
    here.server.restart();
    let is_active = || shown(&here.server, &image, &user.token())["status"] == "active";
    assert!(wait_until(PATIENCE, is_active), "{}", here.server.log());
    assert!(wait_until(PATIENCE, || user.trusts() == 0));
    assert!(!here.server.log().contains(&here.token));
}

/// The image, as it is seen with that token; tokens may be over in seconds.
fn shown(server: &Fresnel, image: &str, token: &str) -> Value {
    let request = Request::new("GET", &format!("/v2/images/{image}"));
    let request = request.header("x-auth-token", token);
    exchange(server.address, &request).unwrap().json()
}

#[test]
fn a_trust_whose_node_died_is_ended_by_another() {
    let keystone = Keystone::shared();
    let user = User::new(&keystone);
    let there = There::new(&keystone, &user.token());
    let region = Region::new(&keystone, there.proxy.address);
    let mut here = Site {
        server: importing(&keystone),
        token: user.token(),
    };
    let asked = there.silence();
    let image = here.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    here.import(&image, &region.name, &there.image);
    assert!(wait_until(PATIENCE, || asked.load(Ordering::Relaxed) > 0));
    here.server.kill();
    assert_eq!(user.trusts(), 1);
    here.server.restart();
    // The image goes, and its job with it, while that is still the dead node's.
    let path = format!("/v2/images/{image}");
    assert_eq!(here.ask("DELETE", &path, "").status, 204);
    let none = wait_until(PATIENCE, || user.trusts() == 0);
    assert!(none, "{}", here.server.log());
}

#[test]
#[ignore = "waits for tokens to be over: make imports"]
fn a_token_that_may_make_no_trust_is_helped_by_the_services() {
    const LIFE: Duration = Duration::from_secs(60);
    let lasting = Keystone::shared();
    let keystone = Keystone::start(&["token.expiration=60", "token.allow_expired_window=600"]);
    let fresh = || lasting.credential_token("demo-member", "demo-member");
    let there = There::new(&keystone, &fresh());
    let region = Region::new(&lasting, there.proxy.address);
    let server = importing(&keystone);
    let old = keystone.credential_token("demo-member", "demo-member");
    let began = Instant::now();
    let here = Site { server, token: old };
    let image = here.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    // The data is asked for when the token is over, and ours is not.
    let (waiting, token) = (Keystone::shared(), here.token.clone());
    there.proxy.rule(move |_, target| {
        if target.ends_with("/file") {
            let is_over = || waiting.validate(&token).is_null();
            assert!(wait_until(PATIENCE, is_over));
        }
        Act::Pass
    });
    assert!(wait_until(LIFE, || began.elapsed() > LIFE * 2 / 3));
    here.import(&image, &region.name, &there.image);
    let is_active = || shown(&here.server, &image, &fresh())["status"] == "active";
    assert!(wait_until(PATIENCE, is_active), "{}", here.server.log());
}

#[test]
fn where_neither_is_to_be_had_the_request_is_refused() {
    let keystone = Keystone::shared();
    let token = keystone.credential_token("demo-member", "demo-member");
    // An administrator may validate tokens, and has not the role service.
    let lines = format!(
        "lease_seconds = 3\n{}[DEFAULT]\nenabled_import_methods = [glance-download]\n",
        behind(&keystone, "")
            .replace("username = glance", "username = admin")
            .replace("project_name = service", "project_name = admin")
    );
    let here = Site {
        server: Fresnel::start(&lines),
        token,
    };
    let image = here.create(&json!({"disk_format": "raw", "container_format": "bare"}));
    let method = json!({
        "name": "glance-download",
        "glance_region": "anywhere",
        "glance_image_id": uuid::Uuid::new_v4().to_string(),
    });
    let path = format!("/v2/images/{image}/import");
    let answer = here.ask("POST", &path, json!({"method": method}).to_string());
    assert_eq!(answer.status, 403, "{}", here.server.log());
    assert_eq!(here.show(&image)["status"], "queued");
}
