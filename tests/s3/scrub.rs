//! `fresnel scrub` on a bucket: objects, and uploads that nobody completed.

use serde_json::{Value, json};

use super::rig::Rig;
use crate::{scrub::about, support::served::Served};

#[test]
fn what_no_image_has_in_a_bucket_is_told_and_removed_when_it_may_be() {
    let rig = Rig::start("");
    let living = rig.image(b"living");
    let left = rig.image(b"left");
    assert_eq!(rig.delete(&left).status, 204);
    rig.put_back(&left, b"left over");
    let upload = rig.stranger(&left);
    let unknown = format!("folder/{}", uuid::Uuid::new_v4());
    rig.put_back(&unknown, b"somebody's");
    // Other tests' images are in the same bucket.
    let scrub = |words: &str| -> Vec<Value> {
        let mut told = rig.node.lines(words);
        told.retain(|line| line.to_string().contains(&left) || line.to_string().contains(&unknown));
        told
    };
    let told = scrub("scrub");
    assert_eq!(told.len(), 3, "{told:?}");
    let begun = format!("?upload={upload}");
    for (name, size, status) in [
        (left.as_str(), 9, json!("deleted")),
        (begun.as_str(), 0, json!("deleted")),
        (unknown.as_str(), 10, Value::Null),
    ] {
        let line = about(&told, name);
        assert_eq!(line["outcome"], "unowned");
        assert_eq!(
            (&line["size_bytes"], &line["image_status"]),
            (&json!(size), &status)
        );
        assert!(line["age_seconds"].is_u64(), "{line}");
    }
    let told = scrub("scrub --adopt --older-than 0s");
    assert_eq!(about(&told, &left)["outcome"], "removed");
    assert_eq!(about(&told, &unknown)["outcome"], "unowned");
    rig.gone(&left);
    assert_eq!(rig.object(&living).unwrap().size_bytes, 6);
    assert_eq!(scrub("scrub").len(), 1);
    rig.remove(&unknown);
}
