//! Images in a bucket of radosgw, beside Glance 33 and Amazon's own command on the same server.
//!
//! Client, server, radosgw and OSD share the machine: its cores are the ceiling. CPU seconds per GiB stand beside every
//! rate, and who is compared takes turns, so that a busy machine slows all alike.

use std::{
    fs::File,
    process::{Command, Stdio},
};

use crate::{
    Bench, Promise, Row,
    client::{self, Framing},
    data::{self, Cost},
    measure,
    peers::{self, Server},
};

const BUCKET: &str = "fresnel-bench";

/// Uploads whose size is declared, and their CPU.
pub(crate) fn uploads(bench: &Bench) -> Vec<Row> {
    let file = data::random_file(bench.image_bytes);
    let (ours, glance) = (Radosgw::start().ours(bench), glance());
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
    let (ours, glance) = (Radosgw::start().ours(bench), glance());
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
    let radosgw = Radosgw::start();
    let servers = [radosgw.ours(bench), glance()];
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
    let get = |server: &Server, id: &str| {
        let path = format!("/v2/images/{id}/file");
        let get = || client::download(server.address, &path, None);
        data::transfer(server, get)
    };
    let mut costs: [Vec<Cost>; 3] = Default::default();
    // The first run warms the OSD's cache.
    for run in 0..=bench.runs {
        let turn = [
            get(&servers[0], &images[0]),
            get(&servers[1], &images[1]),
            radosgw.copy(&object(&images[0]), "-", bench.image_bytes),
        ];
        if run > 0 {
            let costs = costs.iter_mut().zip(turn);
            costs.for_each(|(all, cost)| all.push(cost));
        }
    }
    for (server, id) in servers.iter().zip(&images) {
        delete(server, id);
    }
    let [mine, theirs, aws] = costs.map(data::medians);
    let name = "s3 download, MB/s beside";
    vec![
        data::rate(&format!("{name} Glance 33"), &mine, &theirs, 1.5),
        data::rate(&format!("{name} `aws s3 cp` to a pipe"), &mine, &aws, 0.9),
    ]
}

/// Without digests (`--features bench-no-digests`), beside Amazon's command with its defaults: what HTTP and our own
/// path cost.
pub(crate) fn without_digests(bench: &Bench) -> Vec<Row> {
    if !cfg!(feature = "bench-no-digests") {
        panic!("this group needs --features bench-no-digests");
    }
    let radosgw = Radosgw::start();
    let ours = radosgw.ours(bench);
    let file = data::random_file(bench.image_bytes);
    let path = data::random_path(bench.image_bytes);
    let path = path.to_str().expect("it is ASCII");
    let object = object("aws");
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for _ in 0..bench.runs {
        // First, because it makes the bucket.
        costs[0].push(upload(bench, &ours, &file, Framing::Sized));
        costs[1].push(radosgw.copy(path, &object, bench.image_bytes));
        measure::run(&mut radosgw.aws(&["rm", &object]));
    }
    let [mine, aws] = costs.map(data::medians);
    vec![data::rate(
        "s3 upload, sized, no digests, MB/s beside `aws s3 cp`",
        &mine,
        &aws,
        0.95,
    )]
}

/// An object of our bucket, as Amazon's command names it: an image's is named after it.
fn object(name: &str) -> String {
    format!("s3://{BUCKET}/{name}")
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

/// The lab's S3 server.
pub(crate) struct Radosgw {
    url: String,
    access: String,
    secret: String,
}

impl Radosgw {
    pub(crate) fn start() -> Self {
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
        let [url, access, secret] = [url, access, secret].map(str::to_owned);
        Self {
            url,
            access,
            secret,
        }
    }

    fn ours(&self, bench: &Bench) -> Server {
        let section = self.section();
        peers::fresnel(
            &bench.folder,
            &format!("enabled_backends = s3:s3\n[glance_store]\ndefault_backend = s3\n{section}"),
        )
    }

    /// The store `s3` in a configuration.
    pub(crate) fn section(&self) -> String {
        format!(
            "[s3]\ns3_store_host = {}\ns3_store_access_key = {}\ns3_store_secret_key = {}\n\
             s3_store_bucket = {BUCKET}\ns3_store_create_bucket_on_put = true",
            self.url, self.access, self.secret
        )
    }

    /// A copy by Amazon's command, its start included.
    fn copy(&self, from: &str, to: &str, bytes: u64) -> Cost {
        measure::run(&mut self.aws(&["cp", from, to])).cost(bytes)
    }

    /// With its defaults, whatever the user's own are.
    fn aws(&self, arguments: &[&str]) -> Command {
        let mut command = peers::aws();
        command
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_ACCESS_KEY_ID", &self.access)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .args(["--endpoint-url", &self.url, "s3"])
            .args(arguments)
            .arg("--only-show-errors");
        command
    }
}

fn glance() -> Server {
    peers::glance(&["--s3", BUCKET])
}
