//! Nova's and Ironic's own code through a node, in front of ours and of Glance.

use std::{net::SocketAddr, path::Path, process::Command};

use crate::support::{
    lab::{self, Glance},
    process::Fresnel,
};

#[test]
fn through_a_node_in_front_of_ours() {
    let upstream = Fresnel::start("");
    pass(upstream.address);
}

#[test]
fn through_a_node_in_front_of_glance() {
    let upstream = Glance::start(&[]);
    pass(upstream.address);
}

/// Runs both tests of `tests/clients`.
fn pass(upstream: SocketAddr) {
    let node = Fresnel::node(upstream, "[fresnel]\ncache_free_disk_mib = 0\n");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let consumers = [
        (lab::consumers_python(), "nova_test.py"),
        (lab::ironic_python(), "ironic_test.py"),
    ];
    for (python, file) in consumers {
        lab::run(
            Command::new(python)
                .args(["-W", "ignore"])
                .arg(folder.join(file))
                .env("FRESNEL_URL", format!("http://{}", node.address)),
        );
    }
}
