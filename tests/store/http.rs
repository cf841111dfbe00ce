//! Stores of the web, on real servers: nginx, which knows ranges, under TLS too; and Python's, which
//! does not.

use std::sync::Arc;

use fresnel::{
    client::web::{Config, Host, List, Policy, Web},
    model::StoreId,
    store::{Error, Store, Verdict, conformance, http::HttpStore},
};

use crate::support::web::WebServer;

#[tokio::test]
async fn what_nginx_serves_conforms() {
    let server = WebServer::nginx(false);
    let store = open(Config::default());
    conformance::reads(&store, |content| server.put(content)).await;
}

#[tokio::test]
async fn what_is_served_under_tls_conforms() {
    let server = WebServer::nginx(true);
    let store = open(Config {
        ca_file: server.certificate(),
        ..Config::default()
    });
    conformance::reads(&store, |content| server.put(content)).await;
}

#[tokio::test]
async fn a_server_without_ranges_conforms() {
    let server = WebServer::python();
    let store = open(Config::default());
    conformance::reads(&store, |content| server.put(content)).await;
}

#[tokio::test]
async fn certificates_are_verified_where_the_operator_says_so() {
    let server = WebServer::nginx(true);
    let url = server.put(b"secret");
    let careless = open(Config {
        insecure: true,
        ..Config::default()
    });
    assert_eq!(careless.size(&url).await.unwrap(), 6);
    let other = WebServer::nginx(true);
    let careful = open(Config {
        ca_file: other.certificate(),
        insecure: true,
        ..Config::default()
    });
    let error = careful.size(&url).await.unwrap_err();
    assert!(matches!(error, Error::BadAddress(_)), "{error:?}");
}

#[tokio::test]
async fn redirections_are_followed_as_far_as_they_may_lead() {
    let server = WebServer::nginx(false);
    let url = server.put(b"moved");
    let name = url.rsplit('/').next().unwrap();
    let store = open(Config::default());
    let moved = format!("{}/moved/?to={name}", server.root);
    assert_eq!(store.size(&moved).await.unwrap(), 5);
    for bad in ["/away", "/round"] {
        let error = store.size(&format!("{}{bad}", server.root)).await;
        assert!(
            matches!(error, Err(Error::BadAddress(_))),
            "{bad}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_check_says_what_to_think_of() {
    let findings = open(Config {
        insecure: true,
        ..Config::default()
    })
    .check()
    .await;
    let verdicts: Vec<_> = findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Good, Verdict::Doubtful]);
}

/// With loopback named, at any port.
fn open(config: Config) -> HttpStore {
    let policy = Policy {
        hosts: List {
            allowed: vec![Host::parse("127.0.0.1").unwrap()],
            disallowed: Vec::new(),
        },
        ports: List::default(),
        ..Policy::default()
    };
    let web = Web::new(Arc::new(policy), config).unwrap();
    HttpStore::new(StoreId::new("web"), web)
}
