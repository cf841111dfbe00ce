//! What a question to the policy costs, beside Glance's own enforcer.

use std::{hint::black_box, path::Path, process::Command, time::Instant};

use fresnel::{
    control::{
        Caller, Identity, Policy,
        policy::{Rule, Target},
    },
    model::{Image, ImageId, ProjectId, Visibility},
};

use crate::{Bench, Promise, Row, measure::median, peers};

/// What a member of another project asks of a public image: two yes, three no, each to its last
/// check.
const RULES: [Rule; 5] = [
    Rule::GetImage,
    Rule::DownloadImage,
    Rule::ModifyImage,
    Rule::UploadImage,
    Rule::DeleteImage,
];
const ROUNDS: u32 = 200_000;
const THEIR_ROUNDS: u32 = 2000;

/// A question to Glance's default rules.
pub(crate) fn questions(bench: &Bench) -> Vec<Row> {
    let runs = |nanoseconds: &dyn Fn() -> f64| {
        let figures = (0..bench.runs).map(|_| nanoseconds());
        median(figures.collect())
    };
    let (ours, theirs) = (runs(&ours), runs(&theirs));
    let row = |work: &str, beside: String, ratio, promise| Row {
        work: work.to_owned(),
        ours: format!("{ours:.0} ns"),
        beside,
        ratio,
        promise,
    };
    vec![
        row(
            "a question to the default policy, ns",
            "limit".to_owned(),
            ours,
            Promise::AtMost(500.0),
        ),
        row(
            "the same, times as fast as Glance's enforcer",
            format!("{theirs:.0} ns"),
            theirs / ours,
            Promise::AtLeast(50.0),
        ),
    ]
}

fn ours() -> f64 {
    let policy = Policy::default();
    let identity = Identity {
        user_id: Some("u".to_owned()),
        project_id: Some("p".to_owned()),
        roles: ["member", "reader"].map(str::to_owned).to_vec(),
        is_admin_project: true,
        ..Identity::default()
    };
    let caller = Caller::authenticated(identity, &policy, String::new());
    let image = Image {
        visibility: Visibility::Public,
        owner: Some(ProjectId::new("q")),
        ..Image::queued(ImageId::new("i"), chrono::DateTime::UNIX_EPOCH.naive_utc())
    };
    let started = Instant::now();
    for _ in 0..ROUNDS {
        for rule in RULES {
            let target = Target::Image(black_box(&image));
            black_box(policy.holds(rule, black_box(&caller), target));
        }
    }
    started.elapsed().as_nanos() as f64 / f64::from(ROUNDS) / RULES.len() as f64
}

fn theirs() -> f64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/policy.py");
    let output = Command::new(peers::python())
        .arg(script)
        .arg(RULES.map(Rule::as_str).join(","))
        .arg(THEIR_ROUNDS.to_string())
        .output()
        .expect("the lab's Python runs");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("a number");
    printed.trim().parse().expect("a number")
}
