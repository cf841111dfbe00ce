//! The same over TLS.

use std::{io, path::Path, sync::Arc};

use fresnel::http::{Config, Listener, TlsConfig};
use rcgen::{CertificateParams, CertifiedKey, Issuer, KeyPair, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::rig::{Client, Rig, content};

/// PEM files for a server called `rig`.
struct Pki {
    folder: tempfile::TempDir,
    certificate: String,
}

impl Pki {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["rig".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).unwrap();
        let certificate = cert.pem();
        Self {
            folder,
            certificate,
        }
    }

    /// Puts these files in the place of others'.
    fn replace(&self, others: &Self) {
        for name in ["cert.pem", "key.pem"] {
            std::fs::copy(self.path().join(name), others.path().join(name)).unwrap();
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn config(&self) -> Config {
        let tls = TlsConfig {
            cert_file: self.path().join("cert.pem"),
            key_file: self.path().join("key.pem"),
            ca_file: None,
        };
        Config {
            tls: Some(tls),
            ..Config::default()
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        roots.add(certificate.unwrap()).unwrap();
        roots
    }

    async fn connect(&self, rig: &Rig) -> Client<TlsStream<TcpStream>> {
        let config = client_config().with_root_certificates(self.roots());
        handshake(rig, config.with_no_client_auth()).await
    }
}

fn client_config() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

async fn handshake(rig: &Rig, config: ClientConfig) -> Client<TlsStream<TcpStream>> {
    try_handshake(rig, config).await.unwrap()
}

async fn try_handshake(
    rig: &Rig,
    config: ClientConfig,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("rig").unwrap();
    connector.connect(name, stream).await.map(Client::new)
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_the_reload_on() {
    let (old, new) = (Pki::new(), Pki::new());
    let rig = Rig::with(old.config()).await;
    let mut open = old.connect(&rig).await;
    new.replace(&old);
    old.connect(&rig).await;
    let tls = rig.tls.clone().unwrap();
    tls.reload();
    new.connect(&rig).await;
    let roots = client_config().with_root_certificates(old.roots());
    assert!(
        try_handshake(&rig, roots.with_no_client_auth())
            .await
            .is_err()
    );
    // What is open stays, and so does the certificate when the files are unfit.
    assert_eq!(open.get("/hello").await.unwrap().text(), "hello");
    std::fs::write(old.path().join("key.pem"), "").unwrap();
    tls.reload();
    new.connect(&rig).await;
}

#[tokio::test]
async fn the_same_bytes_by_copy() {
    let pki = Pki::new();
    let rig = Rig::with(pki.config()).await;
    let mut client = pki.connect(&rig).await;
    for (offset, len, window) in [
        (1, 99_999, 4096),
        (7, 700_001, 400_000),
        (0, 1 << 20, 1 << 20),
    ] {
        let answer = client.get(&format!("/file/{offset}/{len}/{window}")).await;
        assert!(
            answer.unwrap().body == content(offset, len),
            "{offset} {len} {window}"
        );
    }
    assert_eq!(rig.egress_bytes("copy"), 99_999 + 700_001 + (1 << 20));
    assert_eq!(rig.egress_bytes("sendfile"), 0);
}

#[tokio::test]
async fn the_same_break() {
    let pki = Pki::new();
    let rig = Rig::with(pki.config()).await;
    rig.file.set_len(500_000).unwrap();
    for target in [
        "/short",
        "/file/0/1000000/1000000",
        "/file/0/600000/1000",
        "/directory",
    ] {
        let mut client = pki.connect(&rig).await;
        assert!(client.get(target).await.is_err(), "{target}");
    }
}

#[tokio::test]
async fn an_early_answer_arrives() {
    let pki = Pki::new();
    let rig = Rig::with(pki.config()).await;
    let mut client = pki.connect(&rig).await;
    client
        .send("PUT /refuse HTTP/1.1\r\nContent-Length: 8388608\r\n\r\n")
        .await;
    client.send(vec![0; 8 << 20]).await;
    assert_eq!(client.answer().await.unwrap().status(), 409);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn plain_text_is_not_answered() {
    let pki = Pki::new();
    let rig = Rig::with(pki.config()).await;
    let mut client = rig.connect().await;
    assert!(client.get("/hello").await.is_err());
    let mut client = pki.connect(&rig).await;
    assert_eq!(client.get("/hello").await.unwrap().text(), "hello");
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_where_there_is_an_authority() {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, authority_key);
    let certificate = CertificateParams::new(["client".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();

    let pki = Pki::new();
    let ca_file = pki.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let mut config = pki.config();
    config.tls.as_mut().unwrap().ca_file = Some(ca_file);
    let rig = Rig::with(config).await;

    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let known = client_config()
        .with_root_certificates(pki.roots())
        .with_client_auth_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let answer = handshake(&rig, known).await.get("/hello").await;
    assert_eq!(answer.unwrap().text(), "hello");
    // TLS 1.3 refuses after the client's side of the handshake.
    assert!(pki.connect(&rig).await.try_get("/hello").await.is_err());
}

#[tokio::test]
async fn an_unfit_file_is_named() {
    let pki = Pki::new();
    let errors = [
        ("cert.pem", "missing.pem"),
        ("key.pem", "cert.pem"),
        ("key.pem", "empty.pem"),
    ];
    std::fs::write(pki.path().join("empty.pem"), "").unwrap();
    for (replaced, by) in errors {
        let mut config = pki.config();
        let tls = config.tls.as_mut().unwrap();
        let file = if replaced == "cert.pem" {
            &mut tls.cert_file
        } else {
            &mut tls.key_file
        };
        *file = pki.path().join(by);
        let error = Listener::bind(&config).await.err().unwrap().to_string();
        assert!(error.contains(by), "{error}");
    }
}
