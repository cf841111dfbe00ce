//! Containers in a pool of Ceph: what librbd itself, by way of qemu, reads in them.

use std::{fs, path::Path};

use serde_json::json;

use super::{bytes, folder, plain, run};
use crate::support::{
    lab,
    process::Fresnel,
    wire::{Request, Response, exchange},
};

const MIB: usize = 1 << 20;
/// No whole objects, but whole sectors.
const LEN: usize = 9 * MIB + 4096;
const KEY: &str = "6b5d1c5e-6a0c-4d55-9b8e-6f7f6f1f2a01";

fn by_librbd(folder: &Path, conf: &str, image: &str, format: &str) -> Vec<u8> {
    let source = json!({
        "driver": "rbd",
        "pool": "images",
        "image": image,
        "snapshot": "snap",
        "conf": conf,
        "user": "admin",
        "encrypt": {"format": format, "key-secret": "s"},
    });
    let source = format!("json:{source}");
    let secret = "secret,id=s,file=pass";
    let words = ["convert", "--object", secret, &source, "-O", "raw", "read"];
    run("qemu-img", folder, &words);
    fs::read(folder.join("read")).unwrap()
}

#[test]
fn librbd_reads_what_we_encrypted() {
    let ceph = lab::ceph();
    lab::run(lab::script("packages").arg("qemu-block-extra"));
    let service = Fresnel::start(&ceph.store());
    let folder = folder();
    let folder = folder.path();
    let import = format!(
        "key import --id {KEY} --passphrase-file {}",
        folder.join("pass").display()
    );
    assert!(service.command(&import).status.success());
    let ask = |request: Request| -> Response { exchange(service.address, &request).unwrap() };
    let sent = bytes(LEN);
    let conf = ceph.conf.display().to_string();
    for (property, format) in [("LUKSv1", "luks"), ("LUKSv2", "luks2")] {
        let body = json!({
            "disk_format": "raw",
            "container_format": "bare",
            "os_encrypt_format": property,
            "os_encrypt_key_id": KEY,
        });
        let created = ask(Request::new("POST", "/v2/images").body(body.to_string()));
        let path = created.json()["self"].as_str().unwrap().to_owned();
        let put = Request::new("PUT", &format!("{path}/file"))
            .header("Content-Type", "application/octet-stream");
        let answer = ask(plain(put).body(sent.clone()));
        assert_eq!(answer.status, 204, "{}", service.log());
        let id = path.rsplit('/').next().unwrap();
        assert!(by_librbd(folder, &conf, id, format) == sent, "{property}");
        let part = plain(Request::new("GET", &format!("{path}/file")));
        let part = ask(part.header("Range", "bytes=4000000-9000000"));
        assert!(part.body == sent[4_000_000..=9_000_000], "{property}");
        assert_eq!(ask(Request::new("DELETE", &path)).status, 204);
    }
}
