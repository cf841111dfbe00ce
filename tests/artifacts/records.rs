//! Records: what they hold, how they live, how they are found.

use serde_json::json;

use super::{app, app_with, make, names, patch, path, post, set};
use crate::support::{
    app::{TestApp, text},
    wire::Request,
};

#[test]
fn without_the_option_there_is_nothing_of_it() {
    let app = TestApp::new();
    for target in ["/artifacts/images", "/schemas", "/quotas"] {
        assert_eq!(app.get(target).status, 300, "{target}");
    }
}

#[test]
fn versions_are_told_and_asked_for() {
    let app = app();
    let document = app.get("/artifacts");
    assert_eq!(document.status, 300);
    assert_eq!(document.json()["versions"][1]["version"], "1.1");
    let ask = |version: &str| {
        let request = Request::new("GET", "/schemas");
        app.ask(request.header("OpenStack-API-Version", version))
    };
    let latest = ask("artifact latest");
    assert_eq!(latest.status, 200);
    assert_eq!(latest.header("openstack-api-version"), Some("artifact 1.1"));
    let unknown = ask("artifact 2.0");
    assert_eq!(unknown.status, 406);
    assert_eq!(unknown.json()["max_version"], "1.1");
    assert_eq!(ask("artifact two").status, 400);
}

#[test]
fn schemas_are_those_of_the_site() {
    let app = app();
    let schemas = app.get("/schemas").json()["schemas"].clone();
    let names: Vec<&String> = schemas.as_object().unwrap().keys().collect();
    assert_eq!(names, ["all", "heat_templates", "images", "sample"]);
    let one = app.get("/schemas/images").json();
    assert_eq!(one["schemas"]["images"], schemas["images"]);
    assert_eq!(app.get("/schemas/unknown").status, 404);
}

#[test]
fn an_artifact_lives_and_ends() {
    let app = app();
    let made = make(
        &app,
        json!({"name": "a", "version": 1, "words": ["x"], "labels": {"k": "v"}}),
    );
    assert_eq!(
        (&made["status"], &made["visibility"]),
        (&json!("drafted"), &json!("private"))
    );
    assert_eq!(made["version"], "1.0.0");
    assert_eq!(made["flag"], false);
    assert_eq!(made["blob"], json!(null));
    let path = path(&made);
    assert_eq!(app.get(&path).json(), made);
    // `needed` is not there.
    assert_eq!(set(&app, &path, "status", json!("active")).status, 403);
    assert_eq!(set(&app, &path, "visibility", json!("public")).status, 403);
    assert_eq!(set(&app, &path, "needed", json!("here")).status, 200);
    let active = set(&app, &path, "status", json!("active")).json();
    assert!(active["activated_at"].is_string());
    assert_eq!(set(&app, &path, "name", json!("b")).status, 403);
    assert_eq!(set(&app, &path, "note", json!("mutable")).status, 200);
    assert_eq!(set(&app, &path, "visibility", json!("public")).status, 200);
    assert_eq!(set(&app, &path, "visibility", json!("private")).status, 403);
    assert_eq!(set(&app, &path, "status", json!("deactivated")).status, 200);
    assert_eq!(set(&app, &path, "note", json!("not now")).status, 403);
    assert_eq!(set(&app, &path, "status", json!("active")).status, 200);
    assert_eq!(set(&app, &path, "status", json!("deleted")).status, 403);
    assert_eq!(set(&app, &path, "status", json!("melted")).status, 400);
    assert_eq!(app.delete(&path).status, 204);
    assert_eq!(app.get(&path).status, 404);
}

#[test]
fn a_name_and_version_is_there_once() {
    let app = app();
    let fields = json!({"name": "a", "version": "1.0", "needed": "x"});
    let first = path(&make(&app, fields.clone()));
    assert_eq!(post(&app, "/artifacts/sample", &fields).status, 409);
    let other = path(&make(
        &app,
        json!({"name": "a", "version": "2", "needed": "x"}),
    ));
    assert_eq!(set(&app, &other, "version", json!("1")).status, 409);
    // What is public is another place than what is private, and has each once, too.
    assert_eq!(set(&app, &first, "status", json!("active")).status, 200);
    assert_eq!(set(&app, &first, "visibility", json!("public")).status, 200);
    assert_eq!(set(&app, &other, "version", json!("1")).status, 200);
    assert_eq!(set(&app, &other, "status", json!("active")).status, 200);
    assert_eq!(set(&app, &other, "visibility", json!("public")).status, 409);
}

#[test]
fn what_no_type_takes_is_refused() {
    let app = app();
    for (fields, status) in [
        (json!({"count": 1}), 400),
        (json!({"name": ""}), 400),
        (json!({"name": "a", "version": "dummy"}), 400),
        (json!({"name": "a", "status": "active"}), 400),
        (json!({"name": "a", "id": "x"}), 403),
        (json!({"name": "a", "colour": "red"}), 400),
        (json!({"name": "a", "blob": {}}), 400),
        (json!({"name": "a", "words": ["x", "x"]}), 400),
        (json!({"name": "a", "words": ["a", "b", "c", "d"]}), 400),
        (json!({"name": "a", "labels": []}), 400),
        (json!({"name": "a", "link": "somewhere"}), 400),
        (
            json!({"name": "a", "link": "/artifacts/sample/3b8d1a92-9c0c-4c5c-8c53-2b1f4d9b0a11"}),
            400,
        ),
    ] {
        let refused = post(&app, "/artifacts/sample", &fields);
        assert_eq!(refused.status, status, "{fields}: {}", text(&refused));
    }
    assert_eq!(
        post(&app, "/artifacts/unknown", &json!({"name": "a"})).status,
        404
    );
    assert_eq!(
        post(&app, "/artifacts/all", &json!({"name": "a"})).status,
        403
    );
    let plain = Request::new("POST", "/artifacts/sample").header("Content-Type", "text/plain");
    assert_eq!(app.ask(plain.body("{}")).status, 415);
}

/// As much as a body holds, and numbers beyond any column.
#[test]
fn what_is_huge_is_refused_at_once() {
    let app = app();
    let words: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let labels = words.iter().map(|word| (word.clone(), json!("x")));
    let labels: serde_json::Map<_, _> = labels.take(60_000).collect();
    for fields in [
        json!({"name": "a", "tags": words}),
        json!({"name": "a", "words": words}),
        json!({"name": "a", "labels": labels}),
        json!({"name": "a", "count": u64::MAX}),
        json!({"name": "a", "count": 1e300}),
        json!({"name": "a", "count": "9223372036854775808"}),
        json!({"name": "a", "share": "1e999"}),
        json!({"name": "n".repeat(256)}),
        json!({"name": "a", "version": "65536"}),
        json!({"name": "a", "metadata": {"k".repeat(256): "x"}}),
    ] {
        let refused = post(&app, "/artifacts/sample", &fields);
        assert_eq!(refused.status, 400, "{:.80}", fields.to_string());
    }
    make(
        &app,
        json!({"name": "a", "count": i64::MIN, "share": f64::MIN}),
    );
    let copy = json!({"op": "copy", "from": "/labels", "path": "/metadata"});
    let first = app.get("/artifacts/sample").json()["artifacts"][0].clone();
    for (count, status) in [(1000, 200), (1001, 400)] {
        let copies = json!(vec![copy.clone(); count]);
        assert_eq!(patch(&app, &path(&first), &copies).status, status);
    }
    let keys = "id,name,".repeat(3000);
    let marker = first["id"].as_str().unwrap();
    let page = app.get(&format!("/artifacts/sample?sort={keys}id&marker={marker}"));
    assert_eq!(page.status, 200, "{}", text(&page));
    for query in [
        "count=99999999999999999999",
        "limit=99999999999999999999",
        "share=nan",
        &format!("tags={}", "t,".repeat(3000)),
        &format!("tags-any={}", "t,".repeat(3000)),
        &"name=or:eq:a&".repeat(3000),
    ] {
        let refused = app.get(&format!("/artifacts/sample?{query}"));
        assert_eq!(refused.status, 400, "{query:.40}");
    }
}

#[test]
fn a_patch_is_all_or_nothing() {
    let app = app();
    let made = make(
        &app,
        json!({"name": "a", "words": ["x"], "labels": {"k": "v"}}),
    );
    let path = path(&made);
    let half = json!([
        {"op": "add", "path": "/words/-", "value": "y"},
        {"op": "replace", "path": "/labels/none", "value": "z"},
    ]);
    assert_eq!(patch(&app, &path, &half).status, 400);
    assert_eq!(app.get(&path).json(), made);
    let whole = json!([
        {"op": "add", "path": "/words/-", "value": "y"},
        {"op": "move", "from": "/labels/k", "path": "/metadata/k"},
        {"op": "add", "path": "/tags", "value": ["t", "t"]},
        {"op": "replace", "path": "/count", "value": "7"},
    ]);
    let after = patch(&app, &path, &whole).json();
    assert_eq!(after["words"], json!(["x", "y"]));
    assert_eq!(
        (&after["labels"], &after["metadata"]),
        (&json!({}), &json!({"k": "v"}))
    );
    assert_eq!(
        (&after["tags"], &after["count"]),
        (&json!(["t"]), &json!(7))
    );
    for (operations, status) in [
        (json!([{"op": "remove", "path": "/note"}]), 400),
        (json!([{"op": "replace", "path": "/id", "value": "x"}]), 403),
        (
            json!([{"op": "replace", "path": "/blob", "value": null}]),
            400,
        ),
        (
            json!([{"op": "add", "path": "/colour", "value": "red"}]),
            400,
        ),
        (json!([{"op": "replace", "path": "/", "value": "x"}]), 400),
        (json!({"op": "replace", "path": "/note", "value": "x"}), 400),
    ] {
        assert_eq!(
            patch(&app, &path, &operations).status,
            status,
            "{operations}"
        );
    }
}

#[test]
fn lists_are_filtered_and_sorted() {
    let app = app();
    for (index, version) in ["1.0", "1.1", "2.0-beta", "2.0", "10.0"]
        .into_iter()
        .enumerate()
    {
        make(
            &app,
            json!({
                "name": format!("n{index}"), "version": version, "count": index, "share": 0.5 - index as f64,
                "tags": [format!("t{index}"), "all"], "labels": {"k": format!("v{index}")}, "words": [format!("w{index}")],
            }),
        );
    }
    for (query, expected) in [
        ("name=n1", &["n1"][..]),
        ("name=in:n1,n2&sort=name:asc", &["n1", "n2"]),
        ("name=like:n%25&limit=2&sort=name:asc", &["n0", "n1"]),
        ("name=neq:n0&count=lt:3&sort=name:asc", &["n1", "n2"]),
        ("count=in:0,4&sort=count:desc", &["n4", "n0"]),
        ("share=gt:-1&sort=share:asc", &["n1", "n0"]),
        ("share=eq:-0.5", &["n1"]),
        ("flag=False&count=4", &["n4"]),
        ("tags=all,t3", &["n3"]),
        ("tags-any=t1,t2&sort=name:asc", &["n1", "n2"]),
        ("labels=k&count=0", &["n0"]),
        ("labels.k=v2", &["n2"]),
        ("words=in:w0,w1&sort=name:desc", &["n1", "n0"]),
        ("version=gte:2.0-beta&sort=version:asc", &["n2", "n3", "n4"]),
        ("version=lt:2.0&sort=version:desc", &["n2", "n1", "n0"]),
        ("version=1", &["n0"]),
        ("name=or:eq:n0&tags=or:all,t4&sort=name:asc", &["n0", "n4"]),
        ("created_at=gt:2100-01-01T00:00:00Z", &[]),
    ] {
        assert_eq!(names(&app, query), expected, "{query}");
    }
    for query in [
        "colour=x",
        "count=x",
        "count=like:1",
        "sort=flag",
        "sort=name:up",
        "limit=-1",
        "sort=count,share",
    ] {
        assert_eq!(
            app.get(&format!("/artifacts/sample?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn of_each_name_the_latest() {
    let app = app();
    for (name, version, count) in [
        ("a", "1.0", 1),
        ("a", "20.0", 2),
        ("a", "3.0", 1),
        ("b", "1.0-rc", 1),
        ("b", "1.0", 2),
    ] {
        make(
            &app,
            json!({"name": name, "version": version, "count": count}),
        );
    }
    let latest = |query: &str| {
        let listed = app
            .get(&format!(
                "/artifacts/sample?version=latest&sort=name:asc{query}"
            ))
            .json();
        let listed = listed["artifacts"].as_array().unwrap().iter();
        listed
            .map(|one| one["version"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(latest(""), ["20.0.0", "1.0.0"]);
    assert_eq!(latest("&count=1"), ["3.0.0", "1.0.0-rc"]);
}

#[test]
fn pages_follow_each_other() {
    let app = app();
    for index in 0..5 {
        make(
            &app,
            json!({"name": format!("n{index}"), "count": index / 2}),
        );
    }
    for sort in [
        "count:asc",
        "count:desc,name:asc",
        "name:desc",
        "version:asc",
        "created_at:asc",
    ] {
        let mut seen = Vec::new();
        let mut next = Some(format!("/artifacts/sample?limit=2&sort={sort}"));
        while let Some(target) = next {
            let page = app.get(&target).json();
            assert_eq!(page["total_count"], 5);
            let shown = page["artifacts"].as_array().unwrap();
            seen.extend(
                shown
                    .iter()
                    .map(|one| one["name"].as_str().unwrap().to_owned()),
            );
            next = page["next"].as_str().map(str::to_owned);
        }
        let whole = names(&app, &format!("sort={sort}"));
        assert_eq!(seen, whole, "{sort}");
        assert_eq!(seen.len(), 5);
    }
    let stranger = "/artifacts/sample?marker=3b8d1a92-9c0c-4c5c-8c53-2b1f4d9b0a11";
    assert_eq!(app.get(stranger).status, 404);
}

#[test]
fn all_shows_every_type() {
    let app = app();
    let sample = make(&app, json!({"name": "a"}));
    assert_eq!(
        post(&app, "/artifacts/images", &json!({"name": "a"})).status,
        201
    );
    let all = app.get("/artifacts/all?sort=type_name:asc").json();
    assert_eq!(all["total_count"], 2);
    assert_eq!(all["artifacts"][1]["type_name"], "sample");
    assert_eq!(all["artifacts"][1].get("count"), None);
    let path = format!("/artifacts/all/{}", sample["id"].as_str().unwrap());
    assert_eq!(app.get(&path).status, 200);
    assert_eq!(set(&app, &path, "description", json!("x")).status, 403);
    assert_eq!(app.delete(&path).status, 403);
}

#[test]
fn projects_have_as_many_as_they_may() {
    let app = app_with(&[
        ("max_artifact_number", 2),
        ("max_artifact_number:images", 1),
    ]);
    make(&app, json!({"name": "a"}));
    assert_eq!(
        post(&app, "/artifacts/images", &json!({"name": "a"})).status,
        201
    );
    let refused = post(&app, "/artifacts/sample", &json!({"name": "b"}));
    assert_eq!(refused.status, 403);
    assert!(text(&refused).contains("global quota limit is 2"));
    let raise = json!([{"project_id": "p", "project_quotas": [{"quota_name": "max_artifact_number", "quota_value": 3}]}]);
    let put = |body: &serde_json::Value| {
        let request = Request::new("PUT", "/quotas").header("Content-Type", "application/json");
        app.ask(request.body(body.to_string()))
    };
    assert_eq!(put(&raise).status, 200);
    let all = app.get("/quotas").json();
    assert_eq!(all["quotas"], raise);
    assert_eq!(all["global_quotas"]["max_artifact_number:images"], 1);
    assert_eq!(
        app.get("/project-quotas/p").json()[0]["project_quotas"][0]["quota_value"],
        3
    );
    for wrong in [
        json!({}),
        json!([{"project_id": "p"}]),
        json!([{"project_id": "p", "project_quotas": [{"quota_name": "a:b:c", "quota_value": 1}]}]),
    ] {
        assert_eq!(put(&wrong).status, 400, "{wrong}");
    }
}

#[test]
fn errors_are_glares() {
    let app = app();
    let refused = app.get("/artifacts/sample/none").json();
    assert_eq!(refused["code"], 404);
    assert_eq!(refused["error"]["type"], "ArtifactNotFound");
    assert_eq!(
        refused["error"]["message"],
        "Artifact with id=none not found."
    );
    let put = app.put("/artifacts/sample");
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST")));
}
