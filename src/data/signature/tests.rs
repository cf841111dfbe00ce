use super::*;

fn properties(values: [Option<&str>; 4]) -> BTreeMap<String, Option<String>> {
    let names = [SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE];
    let named = names.into_iter().zip(values);
    named
        .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
        .collect()
}

#[track_caller]
fn assert_refused(values: [Option<&str>; 4], reason: Reason) {
    let refused = Declared::of(&properties(values)).map(|_| ());
    assert_eq!(refused, Err(Refusal::Untried(reason)), "{values:?}");
}

const GOOD: [Option<&str>; 4] = [Some("c2ln"), Some("SHA-256"), Some("DSA"), Some("id")];

#[test]
fn an_image_without_one_of_the_four_is_not_signed() {
    assert!(Declared::of(&properties(GOOD)).unwrap().is_some());
    for name in [SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE] {
        let mut three = properties(GOOD);
        three.remove(name);
        assert!(Declared::of(&three).unwrap().is_none(), "{name}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_cursives_order() {
    let missing = |name| Reason::Missing(name);
    assert_refused([None; 4], missing("img_signature_uuid"));
    assert_refused([None, None, None, GOOD[3]], missing(HASH_METHOD));
    let worst = [Some("c2l"), Some("MD5"), Some("RSA"), Some("id")];
    assert_refused(worst, Reason::Encoding);
    let worse = [GOOD[0], worst[1], worst[2], worst[3]];
    assert_refused(worse, Reason::HashMethod("MD5".into()));
    let bad = [GOOD[0], GOOD[1], worst[2], worst[3]];
    assert_refused(bad, Reason::KeyType("RSA".into()));
}

#[test]
fn base64_is_read_as_python_reads_it() {
    for (text, bytes) in [
        ("c2ln", Some("sig")),
        (" c2\n-ln\u{e9}", Some("sig")),
        ("c2k=", Some("si")),
        ("cw==", Some("s")),
        ("cw==c2ln", Some("s")),
        ("=c2ln", Some("sig")),
        ("", Some("")),
        ("c2l", None),
        ("cw=", None),
        ("c", None),
    ] {
        let read = decode(text).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(read.as_deref(), bytes, "{text:?}");
    }
}
