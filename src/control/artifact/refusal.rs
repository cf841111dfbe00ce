//! Why a request about artifacts is not done, in Glare's words.

use std::borrow::Cow;

use super::Rule;

/// The outcomes of artifacts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such type.
    #[error("Glare type with name '{0}' was not found.")]
    UnknownType(String),
    /// No such artifact, or none that the caller may know of.
    #[error("Artifact with id={0} not found.")]
    NotFound(String),
    /// There are no bytes.
    #[error("No data found for blob {0}")]
    NoBlob(String),
    /// The policy says no.
    #[error("Policy check for {} failed with user credentials.", .0.as_str())]
    Denied(Rule),
    /// Of another project.
    #[error("You are not authorized to complete this action.")]
    Foreign,
    /// Without a project nothing is made.
    #[error("It's forbidden to anonymous users to create artifacts.")]
    Anonymous,
    /// The type `all`.
    #[error("This type is read only.")]
    ReadOnlyType,
    /// The state of the artifact does not let it; the text says why.
    #[error("{0}")]
    State(Cow<'static, str>),
    /// What the client said makes no sense; the text says why.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The name and version are taken.
    #[error("Artifact with this name and version is already exists for this scope.")]
    Duplicate,
    /// An upload goes on.
    #[error("You cannot change artifact status if it has uploading blobs.")]
    Filling,
    /// There are bytes, or bytes are on their way; the text says where.
    #[error("{0}")]
    Taken(String),
    /// Another request changed the artifact first.
    #[error(
        "The request could not be completed due to a conflict with the current state of the resource."
    )]
    Overtaken,
    /// The bytes are not whole yet.
    #[error("{0} is not ready for download")]
    NotReady(String),
    /// More artifacts than the project may have; the text says which limit.
    #[error("{0}")]
    TooMany(String),
    /// More bytes than there may be; the text says which limit.
    #[error("{0}")]
    TooLarge(String),
    /// The body is of another media type.
    #[error("Invalid content type: {given}. Expected: {expected}")]
    MediaType {
        /// The client's.
        given: String,
        /// The one.
        expected: &'static str,
    },
    /// A version of the API that there is not.
    #[error("Version {0} is not supported by the API. Minimum is 1.0 and maximum is 1.1.")]
    ApiVersion(String),
}

impl Refusal {
    /// What the client said makes no sense.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(text.into())
    }

    /// The state of the artifact does not let it.
    pub(super) fn state(text: impl Into<Cow<'static, str>>) -> Self {
        Self::State(text.into())
    }
}
