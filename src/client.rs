//! Outbound HTTP to other services. Knows no image.

pub mod judge;
pub mod keystone;
pub mod peer;
pub mod s3;
pub mod transport;
