//! What is asked of other services, and told to them. Knows no image.

pub mod admin;
pub mod amqp;
pub mod cinder;
pub mod glance;
pub mod judge;
pub mod key_manager;
pub mod keystone;
pub mod peer;
pub mod remote;
pub mod s3;
pub mod swift;
pub mod transport;
pub mod upstream;
pub mod web;

/// How we name ourselves.
const USER_AGENT: &str = concat!("fresnel/", env!("CARGO_PKG_VERSION"));
