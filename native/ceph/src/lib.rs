//! librados and librbd of Ceph, as far as an image store needs them.
//!
//! The libraries are loaded at the first [`Cluster::connect`]; where they are missing, that is an
//! error like any other. Methods say whether they block. What moves data is a [`Completion`]: a
//! future of which the library does not know, whose buffers are owned by the operation until it is
//! done, whatever becomes of the future.
//!
//! A handle holds what it stands on ([`Image`] its [`Pool`], that its [`Cluster`]), so they end in
//! the right order, and each ends once, when the last that needs it is dropped.

mod aio;
mod cluster;
mod error;
mod exit;
mod image;
mod pool;
mod sys;

pub use aio::Completion;
pub use cluster::{Cluster, Options};
pub use error::{Error, Outcome, Result};
pub use image::{FEATURE_JOURNALING, FEATURE_LAYERING, FEATURE_OBJECT_MAP, Image, Snapshot};
pub use pool::{NewImage, Pool, TrashEntry};

#[cfg(test)]
mod tests;
