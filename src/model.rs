//! What an image is, in types: no I/O, no async.
//!
//! Every string of a client or a database row is parsed into these types once, at the edge.

pub mod artifact;
pub mod digest;
pub mod id;
pub mod image;
pub mod location;
pub mod metadef;
pub mod range;
pub mod status;
pub mod task;

pub use digest::{Digests, HashAlgorithm};
pub use id::{Attempt, ImageId, ProjectId, StoreId};
pub use image::{Image, Member, MemberStatus, Visibility};
pub use location::{Location, LocationStatus};
pub use range::{ByteRange, RangeError, RangeRequest};
pub use status::{Status, WrongTransition};
pub use task::{Task, TaskId, TaskStatus};
