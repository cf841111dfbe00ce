//! The `fresnel` binary.

#![forbid(unsafe_code)]

fn main() {}
