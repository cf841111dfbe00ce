//! Images in a bucket of radosgw, beside Glance 33 on the same server.
//!
//! Client, server, radosgw and OSD share the machine: its cores are the ceiling. CPU seconds per GiB stand beside every
//! rate, and who is compared takes turns, so that a busy machine slows all alike.

use std::{fs::File, process::Stdio};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{self, Cost},
    peers::{self, Server},
};

const BUCKET: &str = "fresnel-bench";

/// Uploads whose size is declared, and their CPU.
pub(crate) fn uploads(bench: &Bench) -> Vec<Row> {
    let file = data::random_file(bench.image_bytes);
    let (ours, glance) = (ours(bench), glance());
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for _ in 0..bench.runs {
        for (server, costs) in [&ours, &glance].into_iter().zip(&mut costs) {
            costs.push(upload(bench, server, &file, Framing::Sized));
        }
    }
    let [sized, theirs] = costs.map(data::medians);
    let name = "s3 upload, sized";
    vec![
        data::rate(
            &format!("{name}, MB/s beside Glance 33"),
            &sized,
            &theirs,
            1.15,
        ),
        Row {
            work: format!("{name}, CPU beside Glance 33"),
            ours: data::speed(&sized),
            beside: data::speed(&theirs),
            ratio: sized.cpu_seconds_per_gib / theirs.cpu_seconds_per_gib,
            promise: Promise::AtMost(0.65),
        },
    ]
}

/// Uploads of unknown size: Glance's takes minutes, so there is one.
pub(crate) fn chunked(bench: &Bench) -> Vec<Row> {
    let file = data::random_file(bench.image_bytes);
    let (ours, glance) = (ours(bench), glance());
    ours.process.forget_peak();
    let mut costs = Vec::new();
    for _ in 0..bench.runs {
        costs.push(upload(bench, &ours, &file, Framing::Chunked));
    }
    let peak = ours.process.peak_mib();
    let chunked = data::medians(costs);
    let theirs = upload(bench, &glance, &file, Framing::Chunked);
    let name = "s3 upload, chunked";
    let mut rate = data::rate(
        &format!("{name}, MB/s beside Glance 33"),
        &chunked,
        &theirs,
        20.0,
    );
    rate.beside += &format!(", peak {:.0} MiB", glance.process.peak_mib());
    vec![
        rate,
        Row {
            work: format!("{name}: peak MiB"),
            ours: format!("{peak:.0} MiB"),
            beside: "256 MiB".into(),
            ratio: peak / 256.0,
            promise: Promise::AtMost(1.0),
        },
    ]
}

/// Downloads.
pub(crate) fn downloads(bench: &Bench) -> Vec<Row> {
    let file = data::random_file(bench.image_bytes);
    let servers = [ours(bench), glance()];
    let images = servers.each_ref().map(|server| {
        let id = client::create(server.address);
        let sent = client::upload(
            server.address,
            &id,
            &file,
            bench.image_bytes,
            Framing::Sized,
        );
        sent.expect("an upload");
        id
    });
    let mut costs: [Vec<Cost>; 2] = Default::default();
    // The first run warms the OSD's cache.
    for run in 0..=bench.runs {
        for ((server, id), costs) in servers.iter().zip(&images).zip(&mut costs) {
            let path = format!("/v2/images/{id}/file");
            let get = || client::download(server.address, &path, None);
            let cost = data::transfer(server, get);
            if run > 0 {
                costs.push(cost);
            }
        }
    }
    for (server, id) in servers.iter().zip(&images) {
        delete(server, id);
    }
    let [mine, theirs] = costs.map(data::medians);
    vec![data::rate(
        "s3 download, MB/s beside Glance 33",
        &mine,
        &theirs,
        1.5,
    )]
}

fn upload(bench: &Bench, server: &Server, file: &File, framing: Framing) -> Cost {
    let (bytes, id) = (bench.image_bytes, client::create(server.address));
    let cost = data::transfer(server, || {
        let seconds = client::upload(server.address, &id, file, bytes, framing)?;
        Ok((bytes, seconds))
    });
    delete(server, &id);
    cost
}

fn delete(server: &Server, id: &str) {
    client::ask(server.address, "DELETE", &format!("/v2/images/{id}"), "").expect("a delete");
}

fn ours(bench: &Bench) -> Server {
    let output = peers::lab("radosgw-up")
        .stdout(Stdio::piped())
        .output()
        .expect("the lab's script runs");
    assert!(output.status.success(), "radosgw did not start");
    let printed = String::from_utf8(output.stdout).expect("the lab prints text");
    let lines: Vec<&str> = printed.lines().collect();
    let [url, access, secret] = lines[..] else {
        panic!("radosgw-up prints three lines");
    };
    peers::fresnel(
        &bench.folder,
        &format!(
            "enabled_backends = s3:s3\n[glance_store]\ndefault_backend = s3\n[s3]\ns3_store_host = {url}\n\
             s3_store_access_key = {access}\ns3_store_secret_key = {secret}\n\
             s3_store_bucket = {BUCKET}\ns3_store_create_bucket_on_put = true\n"
        ),
    )
}

fn glance() -> Server {
    peers::glance(&["--s3", BUCKET])
}
