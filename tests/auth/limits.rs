//! Unified limits, as the real Keystone gives them.

use fresnel::{
    base::secret::Secret,
    client::{
        keystone::{Config, Credentials, Domain, Endpoint, Limits, Named, Scope, Session},
        transport,
    },
};
use serde_json::{Value, json};

use crate::support::keystone::Keystone;

fn limits(keystone: &Keystone) -> Limits {
    let session = Session::new(Config {
        auth_url: keystone.url(),
        credentials: Credentials::Password {
            user: Named::Name {
                name: "glance".into(),
                domain: Domain::Name("Default".into()),
            },
            password: Secret::new("lab".into()),
        },
        scope: Some(Scope::SYSTEM),
        region: None,
        interfaces: vec!["internal".into()],
        retries: 0,
        transport: transport::Config::default(),
    });
    let endpoint = Endpoint::Service {
        service_type: Some("image".into()),
        service_name: None,
        region: Some("RegionOne".into()),
    };
    Limits::new(session.unwrap().into(), endpoint)
}

#[tokio::test]
async fn a_projects_own_limit_stands_before_the_registered_one() {
    let keystone = Keystone::shared();
    let services = keystone.ask("GET", "/services?type=image", &Value::Null);
    let project = json!({"project": {"name": format!("limits-{}", std::process::id()), "domain_id": "default"}});
    let project = keystone.ask("POST", "/projects", &project);
    let project = project["project"]["id"].as_str().unwrap();
    let limit = json!({
        "service_id": services["services"][0]["id"], "region_id": "RegionOne", "project_id": project,
        "resource_name": "image_count_total", "resource_limit": 5,
    });
    keystone.ask("POST", "/limits", &json!({"limits": [limit]}));
    let limits = limits(&keystone);
    let own = limits.of(Some(project)).await.unwrap();
    assert_eq!(
        (own["image_count_total"], own["image_size_total"]),
        (5, 1000)
    );
    let registered = limits.of(None).await.unwrap();
    assert_eq!(registered["image_count_total"], 100);
    let id = keystone.ask(
        "GET",
        &format!("/limits?project_id={project}"),
        &Value::Null,
    );
    let id = id["limits"][0]["id"].as_str().unwrap();
    let raised = json!({"limit": {"resource_limit": 6}});
    keystone.ask("PATCH", &format!("/limits/{id}"), &raised);
    let renewed = limits.renewed(Some(project)).await.unwrap();
    assert_eq!(renewed["image_count_total"], 6);
    keystone.ask("DELETE", &format!("/projects/{project}"), &Value::Null);
}
