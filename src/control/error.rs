//! How an operation on images can end, for whoever asked.
//!
//! The text of a variant is what a client may read, in Glance's words (reference P); its status is
//! decided in `api::error` and nowhere else. Causes of our own failures are for the log alone.

use std::sync::Arc;

use super::{artifact, cache, db, encryption, import, location, metadef, policy::Rule};
use crate::{
    client::keystone,
    data::{self, signature},
    model::{ImageId, ProjectId, RangeError, Status, StoreId, TaskId, WrongTransition},
    store,
};

/// The result of an operation of control.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The outcomes of control.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No good token.
    #[error("the request has no good token")]
    Unauthenticated {
        /// Where tokens are to be had.
        authenticate_at: Arc<str>,
    },
    /// Keystone would have to be asked, and does not answer.
    #[error("The Keystone service is temporarily unavailable.")]
    IdentityUnavailable(#[source] keystone::Error),
    /// The caller may only look.
    #[error("Read-only access")]
    ReadOnly,
    /// The policy says no.
    #[error("You are not authorized to complete {} action.", .0.as_str())]
    Denied(Rule),
    /// No such image, or none that the caller may know of.
    #[error("No image found with ID {0}")]
    ImageNotFound(ImageId),
    /// The same, where members or tags were asked for.
    #[error("Image {0} not found.")]
    ParentNotFound(ImageId),
    /// The same, on a delete.
    #[error("Failed to find image {0} to delete")]
    NothingToDelete(ImageId),
    /// The id that the client chose is taken, be it by a deleted image.
    #[error("Image ID {0} already exists!")]
    DuplicateImage(ImageId),
    /// The image is protected.
    #[error("Image {0} is protected and cannot be deleted.")]
    Protected(ImageId),
    /// Something depends on the image's data.
    #[error(
        "Image {0} could not be deleted because it is in use: The image cannot be deleted because \
         it is in use through the backend store outside of Glance."
    )]
    InUse(ImageId),
    /// The image is in a status that has no way to the one asked for.
    #[error(transparent)]
    Status(#[from] WrongTransition),
    /// Deactivate or reactivate of an image that is neither.
    #[error("Not allowed to {action} image in status '{status}'")]
    WrongStatusFor {
        /// `deactivate` or `reactivate`.
        action: &'static str,
        /// The image's.
        status: Status,
    },
    /// A format cannot change once there is data.
    #[error("Attribute {0} can be only replaced for a queued image.")]
    FormatFixed(&'static str),
    /// `min_disk` or `min_ram` below zero.
    #[error("Invalid value '{value}' for parameter '{name}': Cannot be a negative value")]
    NegativeNumber {
        /// The attribute.
        name: &'static str,
        /// What was given.
        value: i64,
    },
    /// `min_disk` or `min_ram` beyond what the database holds.
    #[error("'{name}' value out of range, must not exceed 2147483647.")]
    NumberTooLarge {
        /// The attribute.
        name: &'static str,
    },
    /// A value that is longer than a column of Glance's MySQL.
    #[error("The value of property {name} is longer than {bytes_max} bytes.")]
    LongValue {
        /// The property.
        name: String,
        /// The most.
        bytes_max: usize,
    },
    /// A value with letters beyond the Basic Multilingual Plane, which Glance's MySQL cannot hold.
    #[error("{0} can't contain 4 byte unicode characters.")]
    WideText(String),
    /// The same in a property's name.
    #[error("Property names can't contain 4 byte unicode.")]
    WideName,
    /// The same in a tag.
    #[error("Param values can't contain 4 byte unicode.")]
    WideParameter,
    /// The same in a tag on its own.
    #[error("Could not update image: Param values can't contain 4 byte unicode.")]
    WideTag,
    /// The policy does not even let the caller see the image, and so there is none.
    #[error("The resource could not be found.")]
    Hidden,
    /// The policy says no, where Glance says that there is nothing.
    #[error("You are not authorized to complete {} action.", .0.as_str())]
    DeniedAsMissing(Rule),
    /// The policy lets nobody create images for others.
    #[error("You are not permitted to create images owned by '{0}'")]
    ForeignOwner(String),
    /// The policy would have it, but only its owner or an administrator changes an image.
    #[error("You do not own this image")]
    NotOwner,
    /// The same, on an upload.
    #[error("Not allowed to upload image data for image {0}")]
    UploadDenied(ImageId),
    /// Only an administrator gives images away.
    #[error("Owner can't be updated by non admin.")]
    OwnerFixed,
    /// Replace or remove of a property that is not there.
    #[error("Property {0} does not exist.")]
    NoSuchProperty(String),
    /// Remove of a base attribute.
    #[error("Property {0} may not be removed.")]
    PropertyFixed(String),
    /// Version 2.0's `add` of what is there.
    #[error("Property {0} already present.")]
    PropertyPresent(String),
    /// To MySQL the name is that of another property of the image.
    #[error("Names of properties may not differ in case or accents alone.")]
    PropertyAlike,
    /// The property's protection says no.
    #[error("Attribute '{0}' is reserved.")]
    PropertyReserved(String),
    /// More properties than the quota.
    #[error(
        "The limit has been exceeded on the number of allowed image properties. Attempted: \
         {attempted}, Maximum: {maximum}"
    )]
    TooManyProperties {
        /// With the new ones.
        attempted: u64,
        /// The quota.
        maximum: u64,
    },
    /// More tags than the quota.
    #[error(
        "The limit has been exceeded on the number of allowed image tags. Attempted: {attempted}, \
         Maximum: {maximum}"
    )]
    TooManyTags {
        /// With the new ones.
        attempted: u64,
        /// The quota.
        maximum: u64,
    },
    /// The same, for one tag.
    #[error(
        "Image tag limit exceeded for image {image}: The limit has been exceeded on the number of \
         allowed image tags. Attempted: {attempted}, Maximum: {maximum}:"
    )]
    TooManyTagsOn {
        /// The image.
        image: ImageId,
        /// With the new one.
        attempted: u64,
        /// The quota.
        maximum: u64,
    },
    /// The same, on a tag.
    #[error("Not allowed to {action} tags for image {image}.")]
    TagsDenied {
        /// `update` or `delete`.
        action: &'static str,
        /// The image.
        image: ImageId,
    },
    /// The image does not have the tag.
    #[error("The resource could not be found.")]
    NoSuchTag,
    /// More members than the quota.
    #[error(
        "Image member limit exceeded for image {image}: The limit has been exceeded on the number \
         of allowed image members for this image. Attempted: {attempted}, Maximum: {maximum}:"
    )]
    TooManyMembers {
        /// The image.
        image: ImageId,
        /// With the new one.
        attempted: u64,
        /// The quota.
        maximum: u64,
    },
    /// Only `shared` images have members, and only some may change them.
    #[error("Not allowed to {action} members for image {image}.")]
    MembersDenied {
        /// `create`, `update` or `delete`.
        action: &'static str,
        /// The image.
        image: ImageId,
    },
    /// The same, on a list.
    #[error("Not allowed to list members for image {0}: Only shared images have members.")]
    MembersUnlisted(ImageId),
    /// The same, where one member was asked for.
    #[error("Only shared images have members.")]
    NoMembers,
    /// The image is shared with that project already.
    #[error("Member {member} is duplicated for image {image}")]
    DuplicateMember {
        /// The image.
        image: ImageId,
        /// The project.
        member: ProjectId,
    },
    /// The image is not shared with that project.
    #[error("{member} not found in the member list of the image {image}.")]
    MemberNotFound {
        /// The image.
        image: ImageId,
        /// The project.
        member: ProjectId,
    },
    /// A member's status is `pending`, `accepted` or `rejected`.
    #[error("Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".")]
    MemberStatus,
    /// The list's marker is no image that the list could hold.
    #[error("No image found with ID {0}")]
    MarkerNotFound(ImageId),
    /// The list's marker is an image that the caller may not see.
    #[error("Forbidding request, image {0} not visible")]
    MarkerHidden(ImageId),
    /// A location is refused.
    #[error(transparent)]
    Location(#[from] location::Refusal),
    /// An import is refused.
    #[error(transparent)]
    Import(#[from] import::Refusal),
    /// No such task. The text is what was asked for.
    #[error("Could not find task {0}")]
    TaskNotFound(String),
    /// A task of another project.
    #[error("Forbidding request, task {0} is not visible")]
    TaskHidden(TaskId),
    /// The list's marker is no task.
    #[error("Task with the given id {0} was not found")]
    TaskMarker(TaskId),
    /// The image's name in staging is taken.
    #[error("The image {0} has data on staging")]
    StagedTwice(ImageId),
    /// A request about metadata definitions is refused.
    #[error(transparent)]
    Metadef(#[from] metadef::Refusal),
    /// A request about artifacts is refused.
    #[error(transparent)]
    Artifact(#[from] artifact::Refusal),
    /// Another request changed the image first.
    #[error("An object with the same identifier is currently being operated on.")]
    Conflict,
    /// The upload names a store that there is not.
    #[error("Store for identifier {0} not found")]
    UnknownStore(StoreId),
    /// An upload to an image that has, or gets, data.
    #[error(transparent)]
    NotQueued(WrongTransition),
    /// More bytes than `image_size_cap`.
    #[error("The incoming image is too large: The provided image is too large.")]
    ImageTooLarge,
    /// `user_storage_quota`.
    #[error(
        "Image exceeds the storage quota: The size of the data {} will exceed the limit. \
         {remaining_bytes} bytes remaining.",
        or_none(.size_bytes.as_ref())
    )]
    StorageQuotaFull {
        /// Of the image, where it is known.
        size_bytes: Option<u64>,
        /// Left without it.
        remaining_bytes: i64,
    },
    /// A limit of Keystone's, in its unit (oslo.limit's words in Glance's).
    #[error(
        "The request returned a 413 Request Entity Too Large. This generally means that rate \
         limiting or a quota threshold was breached.\n\nThe response body:\nProject {} is over a \
         limit for [Resource {resource} is over limit of {limit} due to current usage {usage} and \
         delta {delta}]",
        or_none(.project.as_ref().map(ProjectId::as_str))
    )]
    LimitExceeded {
        /// Whose.
        project: Option<ProjectId>,
        /// The limit's name.
        resource: &'static str,
        /// The limit.
        limit: u64,
        /// What is in use.
        usage: u64,
        /// What was asked for.
        delta: u64,
    },
    /// No room for the upload.
    #[error(
        "Image storage media is full: There is not enough disk space on the image storage media."
    )]
    MediaFull,
    /// The store's medium refuses the upload.
    #[error(
        "Insufficient permissions on image storage media: Permission to write image storage media \
         denied."
    )]
    MediaDenied,
    /// The store takes no uploads.
    #[error("Error in store configuration. Adding images to store is disabled.")]
    AddDisabled,
    /// Data for an image without its formats; the text says which.
    #[error("{0} must be set prior to saving data.")]
    FormatsUnset(&'static str),
    /// The image's signature is not that of its bytes, or cannot be verified.
    #[error("Signature verification failed for image {0}: {1}")]
    Signature(ImageId, signature::Refusal),
    /// The id of its certificate is none: all that Glance says.
    #[error(transparent)]
    CertificateId(signature::Refusal),
    /// Bytes are neither encrypted nor decrypted as asked.
    #[error(transparent)]
    Encryption(#[from] encryption::Refusal),
    /// The image was deleted during its upload, or another upload was first.
    #[error(
        "Image {0} could not be found after upload. The image may have been deleted during the \
         upload, cleaning up the chunks uploaded."
    )]
    GoneDuringUpload(ImageId),
    /// Only administrators read the data of a deactivated image.
    #[error("The requested image has been deactivated. Image data download is forbidden.")]
    DataDeactivated,
    /// `?prefer=` in single-store mode.
    #[error(
        "Store selection for download is not available when multiple backends are not enabled."
    )]
    PreferUnavailable,
    /// `?prefer=` names a store that there is not.
    #[error("Store '{0}' is not configured.")]
    PreferUnknown(StoreId),
    /// The cache refuses.
    #[error(transparent)]
    Cache(#[from] cache::Refusal),
    /// No such bytes in the image.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A task of ours ended without an outcome.
    #[error("the upload's task crashed")]
    Crashed,
    /// A staged file cannot be removed.
    #[error("cannot remove staged data: {0}")]
    Staged(#[source] std::io::Error),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A transfer failed.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// The database failed, or answered what the operation has no word for.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl Error {
    /// Whether a transfer found no buffers: another time it may.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Data(error) if error.is_busy())
    }
}

/// As Python shows what may be missing.
fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "None".to_owned(), |value| value.to_string())
}
