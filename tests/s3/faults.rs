//! Faults of a server: it fails requests, cuts connections and falls silent, at each step of an upload; and the
//! service dies in the middle of one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::rig::{CLEAN_LIMIT, Rig, SHORT_LEASE};
use crate::support::{
    free_address,
    images::{MIB, content, data_path},
    lab,
    proxy::{Act, Proxy},
    served::Served,
    wait_until,
    wire::{Payload, Request},
};

const PATIENCE: &str = "fresnel_s3_timeout_seconds = 2\n";
/// The lease of a node is three seconds.
const LEASE_OVER: Duration = Duration::from_secs(4);
/// Less than an upload of [`LEN`] has.
const REQUESTS: usize = 7;
/// Two parts.
const LEN: usize = 6 * MIB;

/// A node on the server behind a proxy.
struct Faulty {
    proxy: Proxy,
    rig: Rig,
}

impl Faulty {
    fn start(options: &str) -> Self {
        let server = lab::s3().url.strip_prefix("http://").unwrap();
        let proxy = Proxy::start(server.parse().unwrap());
        let url = format!("http://{}", proxy.address);
        let rig = Rig::at(&url, &format!("{PATIENCE}{options}"));
        Self { proxy, rig }
    }

    /// The request of that number, from now on and from 0, is treated so. Returns how many there were.
    fn fail(&self, number: usize, act: Act) -> Arc<AtomicUsize> {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = seen.clone();
        self.proxy.rule(move |_, _| {
            let this = counted.fetch_add(1, Ordering::Relaxed);
            if this == number { act } else { Act::Pass }
        });
        seen
    }

    /// All requests from that number on are treated so, until the rule changes.
    fn fail_from(&self, number: usize, act: Act) {
        let mut seen = 0;
        self.proxy.rule(move |_, _| {
            seen += 1;
            if seen > number { act } else { Act::Pass }
        });
    }

    fn heal(&self) {
        self.proxy.rule(|_, _| Act::Pass);
    }
}

/// Whichever request fails once, and however: the image is whole, and nothing is left beside it.
#[test]
fn a_fault_is_got_over() {
    let faulty = Faulty::start("");
    let rig = &faulty.rig;
    let content = content(LEN, 1);
    for act in [Act::Answer(500), Act::Answer(503), Act::Cut, Act::CutAfter] {
        for number in 0..REQUESTS {
            let seen = faulty.fail(number, act);
            let image = rig.image(&content);
            assert!(seen.load(Ordering::Relaxed) > REQUESTS, "{act:?} {number}");
            faulty.heal();
            rig.holds(&image, &content);
            assert_eq!(rig.delete(&image).status, 204);
            rig.gone(&image);
        }
    }
}

/// Silence at any step is given up and tried again.
#[test]
fn silence_is_got_over() {
    let faulty = Faulty::start("");
    let rig = &faulty.rig;
    let content = content(LEN, 1);
    for (number, act) in [(3, Act::Hang), (4, Act::HangAfter)] {
        faulty.fail(number, act);
        let image = rig.create();
        let answer = rig.upload(&image, Payload::Sized(content.clone()));
        faulty.heal();
        // Two seconds of silence are all the patience that there is for one request.
        match answer.status {
            204 => rig.holds(&image, &content),
            503 => rig.takes_another_upload(&image),
            other => panic!("{other}: {}", rig.node.log()),
        }
    }
}

/// Whatever step the server fails from for longer than we wait: 503, `queued`, and when it is back nothing is left.
#[test]
fn a_server_that_stays_away_is_a_503() {
    let faulty = Faulty::start("");
    let rig = &faulty.rig;
    let content = content(LEN, 1);
    for (number, act) in (0..REQUESTS).zip([Act::Answer(503), Act::Cut].into_iter().cycle()) {
        faulty.fail_from(number, act);
        let image = rig.create();
        let answer = rig.upload(&image, Payload::Sized(content.clone()));
        faulty.heal();
        assert_eq!(answer.status, 503, "{number}: {}", rig.node.log());
        rig.takes_another_upload(&image);
    }
}

#[test]
fn no_server_is_a_503() {
    let url = format!("http://{}", free_address());
    let rig = Rig::at(&url, PATIENCE);
    let image = rig.create();
    let answer = rig.upload(&image, Payload::Sized(content(MIB, 1)));
    assert_eq!(answer.status, 503, "{}", rig.node.log());
    assert_eq!(rig.status(&image), "queued");
}

/// A connection that breaks in the middle of a download is gone on with; the client sees nothing.
#[test]
fn a_download_goes_on() {
    let faulty = Faulty::start("");
    let rig = &faulty.rig;
    let content = content(20 * MIB, 1);
    let image = rig.image(&content);
    for act in [Act::Answer(503), Act::Cut, Act::CutAfter] {
        // After the look at the object, the second request for bytes.
        faulty.fail(2, act);
        let answer = rig.ask(&Request::new("GET", &data_path(&image)));
        assert!(answer.body == content, "{act:?}");
    }
    faulty.heal();
    assert_eq!(rig.delete(&image).status, 204);
}

/// Its parts are gone, and a stranger's upload of the same image is not.
#[test]
fn a_killed_server_leaves_nothing_and_ends_nobody_elses() {
    let mut rig = Rig::start(SHORT_LEASE);
    let image = rig.create();
    let stranger = rig.stranger(&image);
    let mut upload = rig.begin(&image);
    upload.send(&content(14 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    rig.node.kill();
    assert_eq!(rig.uploads(&image).len(), 2);
    rig.node.restart();
    rig.wait_for(&image, "queued");
    assert_eq!(rig.uploads(&image), [stranger.as_str()]);
    rig.end(&image, &stranger);
    rig.takes_another_upload(&image);
}

/// It is killed when the server has begun the upload, and nobody has told its name to the journal.
#[test]
fn an_upload_whose_name_nobody_learnt_is_found() {
    let mut faulty = Faulty::start(SHORT_LEASE);
    let image = faulty.rig.create();
    faulty.proxy.rule(|method, target| match method {
        "POST" if target.ends_with("?uploads=") => Act::HangAfter,
        _ => Act::Pass,
    });
    let mut upload = faulty.rig.begin(&image);
    upload.send(&content(MIB, 1)).unwrap();
    let rig = &faulty.rig;
    assert!(wait_until(CLEAN_LIMIT, || rig.uploads(&image).len() == 1));
    faulty.rig.node.kill();
    faulty.heal();
    faulty.rig.node.restart();
    faulty.rig.takes_another_upload(&image);
}

/// A sleeper whose lease ran out, and whom nobody missed, goes on.
#[test]
fn a_sleeper_that_nobody_missed_publishes() {
    let rig = Rig::start(SHORT_LEASE);
    let image = rig.create();
    let mut upload = rig.begin(&image);
    upload.send(&content(12 * MIB, 1)).unwrap();
    rig.wait_for(&image, "saving");
    rig.node.signal(Signal::STOP);
    let asleep = Instant::now();
    assert!(wait_until(CLEAN_LIMIT, || asleep.elapsed() > LEASE_OVER));
    rig.node.signal(Signal::CONT);
    let answer = upload.finish().unwrap();
    assert_eq!(answer.status, 204, "{}", rig.node.log());
    rig.wait_for(&image, "active");
    assert!(rig.uploads(&image).is_empty());
}
