//! What can be told without a cluster. The rest is tried on a real one, by the tests of the store.

use crate::{Error, sys::library};

#[test]
fn a_missing_library_is_an_error_that_names_it() {
    let error = library("libfresnel-has-none.so.7").unwrap_err();
    let Error::Library(text) = error else {
        panic!("{error:?}")
    };
    assert!(text.contains("libfresnel-has-none.so.7"), "{text}");
}
