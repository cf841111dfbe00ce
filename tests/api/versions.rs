//! `/`, `/versions` and the choice of a version.

use crate::support::{
    app::{TestApp, multistore},
    wire::Request,
};
use fresnel::{api, control::Settings};

fn ids(app: &TestApp) -> Vec<String> {
    let versions = app.get("/versions").json();
    let versions = versions["versions"].as_array().unwrap().clone();
    versions
        .iter()
        .map(|v| v["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn one_version_is_current_and_links_to_itself() {
    let app = TestApp::new();
    let versions = app.get("/versions");
    assert_eq!(versions.status, 200);
    let versions = versions.json()["versions"].as_array().unwrap().clone();
    let current = versions.iter().filter(|v| v["status"] == "CURRENT");
    assert_eq!(current.count(), 1);
    let href = versions[0]["links"][0]["href"].as_str().unwrap();
    assert!(href.starts_with("http://127.0.0.1:") && href.ends_with("/v2/"));
}

#[test]
fn only_versions_whose_promises_are_kept_are_listed() {
    let absent = ["v2.14", "v2.16", "v2.18"];
    for app in [
        TestApp::new(),
        TestApp::with(multistore(Settings::default()), api::Settings::default()),
    ] {
        let listed = ids(&app);
        assert!(
            listed.iter().all(|id| !absent.contains(&id.as_str())),
            "{listed:?}"
        );
    }
    for of_several in ["v2.8", "v2.10", "v2.11", "v2.12", "v2.13"] {
        assert!(!ids(&TestApp::new()).contains(&of_several.to_owned()));
    }
}

#[test]
fn whatever_names_no_version_gets_the_choice() {
    let app = TestApp::new();
    for path in ["/", "/v3/images", "/images", "/v2.18/images"] {
        assert_eq!(app.get(path).status, 300, "{path}");
    }
    assert_eq!(app.get("/v2.5/images").status, 200);
    let media_type = "application/vnd.openstack.images-v2.5";
    let request = Request::new("GET", "/images").header("Accept", media_type);
    assert_eq!(app.ask(request).status, 200);
}

#[test]
fn the_public_endpoint_stands_in_the_links() {
    let settings = api::Settings {
        public_endpoint: Some("https://images.example.org/image/".into()),
        ..api::Settings::default()
    };
    let app = TestApp::with(Settings::default(), settings);
    let href = app.get("/").json()["versions"][0]["links"][0]["href"].clone();
    assert_eq!(href, "https://images.example.org/image/v2/");
}
