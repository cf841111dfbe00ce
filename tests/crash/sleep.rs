//! A node that sleeps past its lease (SIGSTOP, a paused virtual machine) and wakes.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{OPTIONS, Pair, content, download, files, put, queue, settled, status, upload::Upload};
use crate::support::{process::Fresnel, wait_until};

const LEN: usize = 8 << 20;
/// That of [`OPTIONS`].
const LEASE: Duration = Duration::from_secs(3);

/// Alone, it has lost nothing: the upload goes on.
#[test]
fn a_sleeper_that_nobody_missed_publishes() {
    let node = Fresnel::start(OPTIONS);
    let (image, ours) = (queue(&node), content(LEN, 1));
    let mut upload = Upload::begin(&node, &image, LEN);
    upload.send(&ours[..LEN / 2]);
    assert!(wait_until(super::RECOVERY_LIMIT, || status(&node, &image) == "saving"));
    node.signal(Signal::STOP);
    let stopped_at = Instant::now();
    assert!(wait_until(super::RECOVERY_LIMIT, || stopped_at.elapsed()
        > LEASE * 3 / 2));
    node.signal(Signal::CONT);
    upload.send(&ours[LEN / 2..]);
    assert_eq!(upload.answer(), Some(204));
    assert!(download(&node, &image) == ours);
}

#[test]
fn a_sleeper_publishes_nothing_mariadb() {
    a_sleeper_publishes_nothing("mariadb-up");
}

#[test]
fn a_sleeper_publishes_nothing_postgres() {
    a_sleeper_publishes_nothing("postgres-up");
}

/// It sleeps in the middle of two uploads. One image the other node uploads meanwhile, the other
/// image stays as it is: when the sleeper wakes and gets the rest, it publishes neither.
fn a_sleeper_publishes_nothing(up: &str) {
    let pair = Pair::start(up);
    let images = [queue(&pair.left), queue(&pair.left)];
    let ours = content(LEN, 1);
    let begin = |image: &String| {
        let mut upload = Upload::begin(&pair.left, image, LEN);
        upload.send(&ours[..LEN / 2]);
        upload
    };
    let mut uploads: Vec<Upload> = images.iter().map(begin).collect();
    let begun = |image: &String| status(&pair.right, image) == "saving";
    assert!(wait_until(super::RECOVERY_LIMIT, || images
        .iter()
        .all(begun)));
    pair.left.signal(Signal::STOP);
    for image in &images {
        assert_eq!(settled(&pair.right, image), "queued");
    }
    assert!(files(&pair.images).is_empty());
    let theirs = content(LEN, 2);
    assert_eq!(put(&pair.right, &images[0], &theirs).status, 204);
    pair.left.signal(Signal::CONT);
    for upload in &mut uploads {
        upload.send(&ours[LEN / 2..]);
    }
    for upload in uploads {
        let answer = upload.answer();
        assert!(answer.is_none_or(|status| status >= 400), "{answer:?}");
    }
    assert_eq!(status(&pair.right, &images[0]), "active");
    assert!(download(&pair.right, &images[0]) == theirs);
    assert_eq!(status(&pair.right, &images[1]), "queued");
    assert_eq!(files(&pair.images), [pair.images.join(&images[0])]);
    // The sleeper is of use again, as another node.
    assert_eq!(put(&pair.left, &images[1], &ours).status, 204);
    assert!(download(&pair.right, &images[1]) == ours);
}
