//! Response bodies.

use super::lab::{Lab, content};

#[tokio::test]
async fn a_file_leaves_by_sendfile_alone() {
    let lab = Lab::start().await;
    let mut client = lab.connect().await;
    for (offset, len, window) in [
        (0, 1 << 20, 1 << 20),
        (1, 99_999, 4096),
        (12_345, 1, 1),
        (7, 700_001, 65_537),
    ] {
        let answer = client
            .get(&format!("/file/{offset}/{len}/{window}"))
            .await
            .unwrap();
        assert!(
            answer.body == content(offset, len),
            "{offset} {len} {window}"
        );
    }
    assert_eq!(
        lab.egress_bytes("sendfile"),
        (1 << 20) + 99_999 + 1 + 700_001
    );
    assert_eq!(lab.egress_bytes("copy"), 0);
}
