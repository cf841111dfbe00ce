//! Who may what of whose artifacts, with real tokens; what is cached changes nothing about that.

use serde_json::{Value, json};

use super::cached::proven;
use crate::support::{
    images::{ask, text},
    keystone::Keystone,
    process::Fresnel,
    wire::{Request, Response},
};

/// A service, somebody's token, and an artifact.
struct User<'a> {
    service: &'a Fresnel,
    token: String,
    artifact: &'a str,
}

impl User<'_> {
    fn ask(&self, method: &str, below: &str, kind: &str, body: &str) -> Response {
        let target = format!("/artifacts/images{below}");
        let request = Request::new(method, &target).header("x-auth-token", &self.token);
        let request = match kind {
            "" => request,
            kind => request.header("content-type", kind).body(body),
        };
        ask(self.service.address, &request)
    }

    fn set(&self, field: &str, value: &str) -> u16 {
        let change = json!([{"op": "replace", "path": format!("/{field}"), "value": value}]);
        let kind = "application/json-patch+json";
        self.ask("PATCH", self.artifact, kind, &change.to_string())
            .status
    }

    /// The statuses of reading, downloading, a range of it, changing, uploading, naming an address and
    /// deleting.
    fn may(&self) -> [u16; 7] {
        let (artifact, blob) = (self.artifact, format!("{}/image", self.artifact));
        let range = Request::new("GET", &format!("/artifacts/images{blob}"));
        let range = range
            .header("x-auth-token", &self.token)
            .header("range", "bytes=0-1");
        let there = json!({"url": "http://example.com/", "md5": "m"}).to_string();
        [
            self.ask("GET", artifact, "", "").status,
            self.ask("GET", &blob, "", "").status,
            ask(self.service.address, &range).status,
            self.set("description", "hostile"),
            self.ask("PUT", &blob, "a/b", "other bytes").status,
            self.ask(
                "PUT",
                &blob,
                "application/vnd+openstack.glare-custom-location+json",
                &there,
            )
            .status,
            self.ask("DELETE", artifact, "", "").status,
        ]
    }

    fn sees(&self) -> Value {
        self.ask("GET", "", "", "").json()["total_count"].clone()
    }
}

#[test]
fn what_is_anothers_is_not_there() {
    let keystone = Keystone::shared();
    let service = Fresnel::start_after(&[], |folder| {
        format!(
            "artifacts = true\ncache_free_disk_mib = 0\n[DEFAULT]\nimage_cache_dir = {}\n\
             [paste_deploy]\nflavor = keystone+cachemanagement\n{}",
            folder.join("cache").display(),
            keystone.service()
        )
    });
    let as_user = |cloud: &str, artifact| User {
        service: &service,
        token: keystone.token(cloud),
        artifact,
    };
    let nobodys = as_user("demo-member", "");
    let fields = json!({"name": "a", "disk_format": "raw", "container_format": "bare"});
    let made = nobodys.ask("POST", "", "application/json", &fields.to_string());
    assert_eq!(made.status, 201, "{}", service.log());
    let artifact = format!("/{}", text(&made.json()["id"]));
    let [owner, other, admin] =
        ["demo-member", "alt-member", "admin"].map(|cloud| as_user(cloud, &artifact));
    let blob = format!("{artifact}/image");
    assert_eq!(owner.ask("PUT", &blob, "a/b", "the bytes").status, 200);
    assert_eq!(owner.ask("GET", &blob, "", "").body, b"the bytes");
    proven(&service);

    assert_eq!(other.may(), [404; 7]);
    assert_eq!(other.sees(), 0);
    assert_eq!(other.set("status", "active"), 404);
    assert_eq!(owner.set("owner", "alt"), 403);
    assert_eq!(owner.set("status", "active"), 200);
    assert_eq!(owner.set("visibility", "public"), 403);
    assert_eq!(admin.set("visibility", "public"), 200);

    assert_eq!(other.may(), [200, 403, 403, 403, 403, 403, 403]);
    assert_eq!((other.sees(), owner.sees()), (json!(1), json!(1)));
    assert_eq!(owner.set("description", "late"), 403);
    assert_eq!(admin.set("status", "deactivated"), 200);
    assert_eq!(owner.ask("GET", &blob, "", "").status, 403);
    assert_eq!(admin.ask("GET", &blob, "", "").body, b"the bytes");
    assert_eq!(owner.ask("DELETE", &artifact, "", "").status, 403);
    let nobody = User {
        token: "wrong".to_owned(),
        ..as_user("demo-member", &artifact)
    };
    assert_eq!(nobody.may(), [401; 7]);
    assert_eq!(admin.ask("DELETE", &artifact, "", "").status, 204);
}
