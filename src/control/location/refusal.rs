//! Why a location is refused, in Glance's words.

use crate::model::{ImageId, Status as ImageStatus, StoreId};

/// The outcomes of naming, changing and removing locations that are nobody's failure.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `show_multiple_locations` is off.
    #[error("It's not allowed to {0} locations if locations are invisible.")]
    Invisible(&'static str),
    /// Locations change in few statuses.
    #[error("It's not allowed to {action} locations if image status is {status}.")]
    Status {
        /// `add`, `replace` or `remove`.
        action: &'static str,
        /// The image's.
        status: ImageStatus,
    },
    /// No place of the list of locations.
    #[error("Invalid position for {0} a location.")]
    Position(&'static str),
    /// An image keeps one location.
    #[error("Cannot remove last location in the image.")]
    Last,
    /// An address that no store reads, that clients may not name, where nothing is, or where the
    /// bytes of another image are.
    #[error("Invalid location")]
    Unusable,
    /// An address of the web that the operator does not allow.
    #[error("URI for add location does not pass filtering: {0}")]
    Filtered(String),
    /// The image has the object already.
    #[error("The location {0} already exists")]
    Duplicate(String),
    /// New addresses for an image that has others; the text lists those.
    #[error("Original locations is not empty: {0}")]
    Present(String),
    /// Metadata of a location is text, in lists and objects.
    #[error(
        "The image metadata key {key} has an invalid type of {found}. Only dict, list, and unicode \
         are supported."
    )]
    Metadata {
        /// Where.
        key: String,
        /// Python's name of what is there.
        found: &'static str,
    },
    /// More locations than the quota.
    #[error(
        "The limit has been exceeded on the number of allowed image locations. Attempted: \
         {attempted}, Maximum: {maximum}"
    )]
    TooMany {
        /// With the new ones.
        attempted: u64,
        /// The quota.
        maximum: u64,
    },
    /// Digests that come with a location and contradict the image, or make no sense; the text says
    /// how.
    #[error("{0}")]
    Contradiction(String),
    /// The same, where the location is the request.
    #[error("{0}")]
    Digest(String),
    /// Only services register other addresses than those of the web.
    #[error("http store must be enabled to use location API by normal user.")]
    NotForUsers,
    /// A task of Glance holds the image.
    #[error("Image has active task")]
    ActiveTask,
    /// All locations replaced with none.
    #[error("Cannot set locations to empty list.")]
    Cleared,
    /// No store of that name, where a copy is to go.
    #[error("The selected store {0} is not available on this node.")]
    StoreUnknown(StoreId),
    /// No such image, where a copy is to go.
    #[error("Failed to find image {0}")]
    ImageUnknown(ImageId),
    /// Only active images give copies away.
    #[error("It's not allowed to remove image data from store if image status is not 'active'")]
    Inactive,
    /// An image keeps one copy.
    #[error(
        "Cannot delete image data from the only store containing it. Consider deleting the image \
         instead."
    )]
    OnlyCopy,
    /// The image has no copy there.
    #[error("Image {image} is not stored in store {store}.")]
    NotInStore {
        /// The image.
        image: ImageId,
        /// The store.
        store: StoreId,
    },
    /// Something depends on the copy that is to go.
    #[error(
        "The data for Image {0} could not be deleted because it is in use: The image cannot be \
         deleted because it is in use through the backend store outside of Glance."
    )]
    DataInUse(ImageId),
}
