//! Images in a bucket of a real S3 server, through the real binary: what clients get, what faults leave
//! behind, and what Glance makes of it.

mod beside;
mod faults;
mod rig;
mod scrub;
mod upload;
