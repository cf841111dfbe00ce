//! The integration tests: one binary, so that it links once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod api;
mod artifacts;
mod auth;
mod beside;
mod cache;
mod cinder;
mod cli;
mod clients;
mod crash;
mod data;
mod db;
mod differential;
mod encrypt;
mod fuzz;
mod http;
mod inspect;
mod notify;
mod operate;
mod policy;
mod quota;
mod rbd;
mod replicate;
mod s3;
mod scrub;
mod signature;
mod store;
mod support;
mod tidy;
