//! SIGTERM.

use super::{OPTIONS, content, queue, status, upload::Upload};
use crate::support::{process::Fresnel, wait_until};

const LEN: usize = 8 << 20;

/// An upload that does not end in time is told so, and its image takes another.
#[test]
fn an_upload_hears_that_its_node_ends() {
    let mut node = Fresnel::start(&format!("{OPTIONS}drain_seconds = 1\n"));
    let image = queue(&node);
    let mut upload = Upload::begin(&node, &image, LEN);
    upload.send(&content(LEN / 2, 1));
    let begun = || status(&node, &image) == "saving";
    assert!(wait_until(super::RECOVERY_LIMIT, begun));
    assert!(node.stop().success());
    assert_eq!(upload.answer(), Some(503), "{}", node.log());
    node.restart();
    assert_eq!(status(&node, &image), "queued");
}
