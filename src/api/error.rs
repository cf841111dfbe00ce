//! What goes wrong, as statuses and texts: the only place that knows both. The matches have no
//! `_` arm, so that a new outcome does not compile until somebody has decided its status.

#[cfg(test)]
mod catalogue;
mod refusal;

use std::{borrow::Cow, io};

use ::http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};

use self::refusal::{of_artifact, of_cache, of_import, of_location, of_metadef};
use super::schema::Violation;
use crate::{
    base::seldom::Seldom,
    control::{self, Error as E, db},
    data::{self, StoreError},
    http::{self, Response},
    model::RangeError,
};

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Control's outcome.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The request makes no sense; the text says why.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// An attribute that no client sets: `Attribute 'x' is read-only.`
    #[error("{0}")]
    Forbidden(String),
    /// The same, where Glance gives the text as the detail.
    #[error("{0}")]
    ForbiddenDetail(String),
    /// A body where none belongs.
    #[error("A body is not expected with this request.")]
    BodyUnexpected,
    /// No body where one belongs.
    #[error("Body expected in request.")]
    BodyMissing,
    /// No JSON.
    #[error("Malformed JSON in request body.")]
    BodyMalformed,
    /// JSON, but neither array nor object.
    #[error("Unexpected body type. Expected list/dict.")]
    BodyScalar,
    /// More JSON than we read.
    #[error("The body of your request was too large for this server.")]
    BodyTooLarge,
    /// The body broke off: nobody will read the answer.
    #[error("the body broke off")]
    BodyBroken(#[source] io::Error),
    /// A path that is no UTF-8.
    #[error(
        "Error decoding your request. Either the URL or the request body contained characters that \
         could not be decoded by Glance"
    )]
    Undecodable,
    /// `x-openstack-request-id` is longer than `max_request_id_length`.
    #[error("x-openstack-request-id is too long, max size {limit}")]
    RequestIdTooLong {
        /// Bytes.
        limit: usize,
    },
    /// No such route.
    #[error("The resource could not be found.")]
    NotFound,
    /// `x-image-cache-clear-target` says what there is not.
    #[error("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.")]
    CacheTarget,
    /// A route of multi-store mode.
    #[error("Multi backend is not supported at this site.")]
    SingleStore,
    /// Staging is for imports that this site does not have.
    #[error("'glance-direct' method is not available at this site.")]
    NoStaging,
    /// What another worker answered, who was asked for the client.
    #[error("another worker answered {status}: {reason}")]
    Forwarded {
        /// Its status.
        status: StatusCode,
        /// What it calls that.
        reason: String,
    },
    /// Nobody deletes tasks.
    #[error(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after \
         reaching the time based on their expires_at property."
    )]
    TaskDelete,
    /// The route has other methods.
    #[error("the method is not allowed")]
    MethodNotAllowed {
        /// Those.
        allow: String,
    },
    /// No route has the method.
    #[error("the method is not implemented")]
    NotImplemented,
    /// A patch of another media type.
    #[error(
        "Image PATCH expects Content-Type one of: application/openstack-images-v2.0-json-patch, \
         application/openstack-images-v2.1-json-patch"
    )]
    PatchMediaType,
    /// Image data of another media type; the text says which.
    #[error("{0}")]
    DataMediaType(String),
}

/// What an error's rendering needs of its request.
#[derive(Clone, Debug)]
pub struct Asked {
    method: Method,
    accept: Option<String>,
    content_type: Option<HeaderValue>,
}

impl Asked {
    /// Of that request.
    pub fn of(head: &Parts) -> Self {
        let accepts = head.headers.get_all(header::ACCEPT).iter();
        let accepts: Vec<&str> = accepts.filter_map(|value| value.to_str().ok()).collect();
        Self {
            method: head.method.clone(),
            accept: (!accepts.is_empty()).then(|| accepts.join(",")),
            content_type: head.headers.get(header::CONTENT_TYPE).cloned(),
        }
    }
}

/// What there is to tell of an error.
pub(super) struct Told {
    pub(super) status: StatusCode,
    /// webob's words for the status.
    pub(super) explanation: String,
    /// Its own text; empty where that is for the log alone.
    pub(super) text: String,
    /// Beside those of every answer.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
}

/// Where the error's own text goes in webob's template; the status's own text takes the other
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Explanation,
    Detail,
    /// Nowhere: it is for the log.
    Log,
}

use Place::{Detail, Explanation, Log};

type Verdict = (StatusCode, Place);

impl Error {
    /// A body that breaks the image schema.
    pub(super) fn schema(violation: Violation) -> Self {
        Self::schema_of("image", violation)
    }

    /// A body that breaks the schema of that name.
    pub(super) fn schema_of(name: &str, violation: Violation) -> Self {
        let text = format!("Provided object does not match schema '{name}': {violation}");
        Self::BadRequest(text.into())
    }

    /// The same for whoever renders it otherwise.
    pub(super) fn tell(&self, asked: &Asked, request_id: &str) -> Told {
        let (status, place) = self.verdict();
        self.log(status, request_id);
        let text = match place {
            Explanation | Detail => self.to_string(),
            Log => String::new(),
        };
        Told {
            status,
            explanation: self.default_explanation(status, asked).into_owned(),
            text,
            header: self.header(status),
        }
    }

    fn log(&self, status: StatusCode, request_id: &str) {
        if !status.is_server_error() || status == StatusCode::NOT_IMPLEMENTED {
            return;
        }
        let cause = chain(self);
        match self.outage().map_or(Some(1), Seldom::times) {
            Some(times) => tracing::error!(request.id = request_id, %status, times, "{cause}"),
            None => tracing::debug!(request.id = request_id, %status, "{cause}"),
        }
    }

    /// Something that is away, so that each request fails: the access log has them all.
    fn outage(&self) -> Option<&'static Seldom> {
        static DATABASE: Seldom = Seldom::new();
        static KEYSTONE: Seldom = Seldom::new();
        match self {
            Self::Control(E::Db(db::Error::Unavailable)) => Some(&DATABASE),
            Self::Control(E::IdentityUnavailable(_)) => Some(&KEYSTONE),
            _ => None,
        }
    }

    /// The response. Failures of our own are logged here, once, under the request's id.
    pub fn render(&self, asked: &Asked, request_id: &str) -> Response {
        let (status, place) = self.verdict();
        self.log(status, request_id);
        let text = self.to_string();
        let default = self.default_explanation(status, asked);
        let (explanation, detail) = match place {
            Explanation => (text.as_str(), ""),
            Detail => (default.as_ref(), text.as_str()),
            Log => (default.as_ref(), ""),
        };
        let accept = asked.accept.as_deref();
        let title = match self {
            Self::Forwarded { reason, .. } => reason.as_str(),
            _ => http::error::title(status),
        };
        let mut response = http::error::titled(status, title, explanation, detail, accept);
        if let Some((name, value)) = self.header(status) {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Control(error) => of_control(error),
            Self::BadRequest(_)
            | Self::BodyUnexpected
            | Self::BodyMissing
            | Self::BodyMalformed
            | Self::BodyScalar
            | Self::CacheTarget
            | Self::Undecodable => (StatusCode::BAD_REQUEST, Explanation),
            Self::BodyBroken(_) => (StatusCode::BAD_REQUEST, Log),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, Explanation),
            Self::ForbiddenDetail(_) => (StatusCode::FORBIDDEN, Detail),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Explanation),
            Self::RequestIdTooLong { .. } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Explanation)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, Log),
            Self::SingleStore | Self::NoStaging => (StatusCode::NOT_FOUND, Explanation),
            Self::Forwarded { status, .. } => (*status, Log),
            Self::TaskDelete => (StatusCode::METHOD_NOT_ALLOWED, Explanation),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, Log),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, Log),
            Self::PatchMediaType | Self::DataMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Detail)
            }
        }
    }

    /// webob's own words for a status.
    fn default_explanation(&self, status: StatusCode, asked: &Asked) -> Cow<'static, str> {
        if matches!(self, Self::Forwarded { .. }) {
            return "".into();
        }
        let text = match status {
            StatusCode::BAD_REQUEST => {
                "The server could not comply with the request since it is either malformed or \
                 otherwise incorrect."
            }
            StatusCode::UNAUTHORIZED => {
                "This server could not verify that you are authorized to access the document you \
                 requested. Either you supplied the wrong credentials (e.g., bad password), or \
                 your browser does not understand how to supply the credentials required."
            }
            StatusCode::FORBIDDEN => "Access was denied to this resource.",
            StatusCode::NOT_FOUND => "The resource could not be found.",
            StatusCode::METHOD_NOT_ALLOWED => {
                let method = &asked.method;
                return format!("The method {method} is not allowed for this resource.").into();
            }
            StatusCode::CONFLICT => "There was a conflict when trying to complete your request.",
            StatusCode::GONE => {
                "This resource is no longer available.  No forwarding address is given."
            }
            StatusCode::PAYLOAD_TOO_LARGE => {
                "The body of your request was too large for this server."
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                let kind = asked.content_type.as_ref();
                let kind = kind
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default();
                let text =
                    format!("The request media type {kind} is not supported by this server.");
                return text.into();
            }
            StatusCode::RANGE_NOT_SATISFIABLE => "The Range requested is not available.",
            StatusCode::NOT_IMPLEMENTED => {
                let method = &asked.method;
                let text =
                    format!("The request method {method} is not implemented for this server.");
                return text.into();
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                "The server is currently unavailable. Please try again at a later time."
            }
            _ => {
                "The server has either erred or is incapable of performing the requested operation."
            }
        };
        text.into()
    }

    fn header(&self, status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotAllowed { allow } => {
                Some((header::ALLOW, HeaderValue::from_str(allow).ok()?))
            }
            Self::TaskDelete => Some((header::ALLOW, HeaderValue::from_static("GET"))),
            Self::PatchMediaType => Some((
                HeaderName::from_static("accept-patch"),
                HeaderValue::from_static(
                    "application/openstack-images-v2.0-json-patch, \
                     application/openstack-images-v2.1-json-patch",
                ),
            )),
            Self::Control(control::Error::Unauthenticated { authenticate_at }) => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_str(&format!("Keystone uri=\"{authenticate_at}\"")).ok()?,
            )),
            // Not before the operator has done something. Glance does not say when either.
            Self::Control(control::Error::MediaDenied) => None,
            _ if status == StatusCode::SERVICE_UNAVAILABLE => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("10")))
            }
            _ => None,
        }
    }
}

const UNAVAILABLE: Verdict = (StatusCode::SERVICE_UNAVAILABLE, Explanation);
const FORBIDDEN: Verdict = (StatusCode::FORBIDDEN, Detail);
const CONFLICT: Verdict = (StatusCode::CONFLICT, Detail);

fn of_control(error: &E) -> Verdict {
    match error {
        E::Unauthenticated { .. } => (StatusCode::UNAUTHORIZED, Log),
        E::IdentityUnavailable(_) | E::MediaDenied => UNAVAILABLE,
        E::ReadOnly | E::ForeignOwner(_) | E::OwnerFixed | E::PropertyFixed(_) => FORBIDDEN,
        E::Denied(_)
        | E::NotOwner
        | E::PropertyReserved(_)
        | E::UploadDenied(_)
        | E::Protected(_)
        | E::WrongStatusFor { .. }
        | E::FormatFixed(_)
        | E::TagsDenied { .. }
        | E::MembersDenied { .. }
        | E::MembersUnlisted(_)
        | E::DataDeactivated
        | E::TaskHidden(_)
        | E::MarkerHidden(_) => (StatusCode::FORBIDDEN, Explanation),
        E::ImageNotFound(_)
        | E::ParentNotFound(_)
        | E::NothingToDelete(_)
        | E::DeniedAsMissing(_)
        | E::NoMembers
        | E::TaskNotFound(_)
        | E::MemberNotFound { .. } => (StatusCode::NOT_FOUND, Explanation),
        E::Hidden | E::NoSuchTag => (StatusCode::NOT_FOUND, Log),
        E::DuplicateImage(_)
        | E::DuplicateMember { .. }
        | E::InUse(_)
        | E::NotQueued(_)
        | E::StagedTwice(_)
        | E::Conflict => (StatusCode::CONFLICT, Explanation),
        E::NoSuchProperty(_) | E::PropertyPresent(_) | E::PropertyAlike => CONFLICT,
        E::Status(_)
        | E::NegativeNumber { .. }
        | E::NumberTooLarge { .. }
        | E::LongValue { .. }
        | E::WideText(_)
        | E::WideName
        | E::WideParameter
        | E::WideTag
        | E::MemberStatus
        | E::UnknownStore(_)
        | E::TaskMarker(_)
        | E::MarkerNotFound(_)
        | E::Signature(..)
        | E::CertificateId(_)
        | E::Encryption(_)
        | E::FormatsUnset(_)
        | E::PreferUnavailable
        | E::PreferUnknown(_) => (StatusCode::BAD_REQUEST, Explanation),
        E::TooManyProperties { .. }
        | E::TooManyTags { .. }
        | E::TooManyTagsOn { .. }
        | E::TooManyMembers { .. }
        | E::ImageTooLarge
        | E::MediaFull
        | E::StorageQuotaFull { .. }
        | E::LimitExceeded { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Explanation),
        E::GoneDuringUpload(_) | E::AddDisabled => (StatusCode::GONE, Explanation),
        E::Range(error) => of_range(error),
        E::Location(refusal) => of_location(refusal),
        E::Cache(refusal) => of_cache(*refusal),
        E::Import(refusal) => of_import(refusal),
        E::Metadef(refusal) => of_metadef(refusal),
        E::Artifact(refusal) => of_artifact(refusal),
        E::Crashed | E::Staged(_) => (StatusCode::INTERNAL_SERVER_ERROR, Log),
        E::Store(error) => of_store(error),
        E::Data(error) => of_data(error),
        E::Db(error) => of_db(error),
    }
}

fn of_range(error: &RangeError) -> Verdict {
    match error {
        RangeError::Multiple => (StatusCode::BAD_REQUEST, Explanation),
        RangeError::Malformed(_) | RangeError::Start { .. } | RangeError::Stop { .. } => {
            (StatusCode::RANGE_NOT_SATISFIABLE, Detail)
        }
    }
}

/// Outside uploads and downloads, which word a store's failure themselves.
fn of_store(error: &StoreError) -> Verdict {
    match error {
        StoreError::Busy(_) => (StatusCode::CONFLICT, Log),
        StoreError::Denied(_) => (StatusCode::FORBIDDEN, Log),
        StoreError::Full(_) => (StatusCode::PAYLOAD_TOO_LARGE, Log),
        StoreError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Explanation),
        StoreError::NotFound(_) => (StatusCode::NOT_FOUND, Log),
        StoreError::NoBuffers | StoreError::Unavailable(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, Log)
        }
        StoreError::AlreadyExists(_)
        | StoreError::BadAddress(_)
        | StoreError::Backend { .. }
        | StoreError::Corrupt(_)
        | StoreError::ReadOnly(_)
        | StoreError::Unlistable(_) => (StatusCode::INTERNAL_SERVER_ERROR, Log),
    }
}

fn of_data(error: &data::Error) -> Verdict {
    match error {
        data::Error::Busy | data::Error::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, Log),
        data::Error::Client(_) => (StatusCode::BAD_REQUEST, Log),
        data::Error::TooSlow => (StatusCode::REQUEST_TIMEOUT, Log),
        data::Error::Format(_) | data::Error::Container(_) => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, Detail)
        }
        data::Error::Locked(_) => (StatusCode::CONFLICT, Explanation),
        data::Error::Range(error) => of_range(error),
        data::Error::SizeExceeded { .. }
        | data::Error::SizeMismatch { .. }
        | data::Error::Signature(_) => (StatusCode::BAD_REQUEST, Explanation),
        data::Error::Lost(_) => (StatusCode::NOT_FOUND, Log),
        data::Error::Changed(_) => (StatusCode::INTERNAL_SERVER_ERROR, Log),
        data::Error::Store(error) => of_store(error),
        data::Error::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Explanation),
    }
}

fn of_db(error: &db::Error) -> Verdict {
    match error {
        db::Error::Refused(_) => (StatusCode::BAD_REQUEST, Log),
        db::Error::Alike => (StatusCode::CONFLICT, Log),
        db::Error::Busy | db::Error::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Log),
        db::Error::Conflict
        | db::Error::Duplicate(_)
        | db::Error::Lost
        | db::Error::Locked
        | db::Error::Taken
        | db::Error::NotFound
        | db::Error::OverQuota(_)
        | db::Error::OverArtifacts(_)
        | db::Error::MarkerUnknown
        | db::Error::MarkerHidden
        | db::Error::Corrupt { .. }
        | db::Error::Url(_)
        | db::Error::Schema(_)
        | db::Error::Backend(_) => (StatusCode::INTERNAL_SERVER_ERROR, Log),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
