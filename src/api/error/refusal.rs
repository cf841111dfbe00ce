//! What control refuses of the cache, imports, locations, definitions and artifacts, as statuses.

use ::http::StatusCode;

use super::{
    Place::{Detail, Explanation, Log},
    Verdict,
};
use crate::control::{artifact, cache, import, location::Refusal, metadef};

pub(super) fn of_cache(refusal: cache::Refusal) -> Verdict {
    use cache::Refusal as R;
    match refusal {
        R::Denied => (StatusCode::FORBIDDEN, Log),
        R::Unavailable => (StatusCode::NOT_FOUND, Explanation),
        R::Inactive => (StatusCode::BAD_REQUEST, Explanation),
        R::NotCentral => (StatusCode::CONFLICT, Explanation),
        R::QueueFull => (StatusCode::SERVICE_UNAVAILABLE, Explanation),
    }
}

pub(super) fn of_import(refusal: &import::Refusal) -> Verdict {
    use import::Refusal as R;
    match refusal {
        R::StageHost => (StatusCode::BAD_GATEWAY, Explanation),
        R::Untrusted => (StatusCode::FORBIDDEN, Explanation),
        R::StageHostSilent => (StatusCode::GATEWAY_TIMEOUT, Explanation),
        R::Active
        | R::NotActive
        | R::NotQueued(_)
        | R::NotStaged
        | R::FormatUnset(_)
        | R::ActiveTask
        | R::Overtaken(_)
        | R::UnknownStore(_) => (StatusCode::CONFLICT, Explanation),
        R::AllAndSome
        | R::HeaderAndSome
        | R::Present(_)
        | R::SingleStore(_)
        | R::RemoteUnset(_)
        | R::RemoteId(_)
        | R::TaskAddress(_)
        | R::Address(_) => (StatusCode::BAD_REQUEST, Explanation),
    }
}

pub(super) fn of_location(refusal: &Refusal) -> Verdict {
    match refusal {
        Refusal::Invisible(_) | Refusal::NotForUsers | Refusal::OnlyCopy => {
            (StatusCode::FORBIDDEN, Explanation)
        }
        Refusal::Cleared | Refusal::Last => (StatusCode::FORBIDDEN, Detail),
        Refusal::ImageUnknown(_) | Refusal::NotInStore { .. } => {
            (StatusCode::NOT_FOUND, Explanation)
        }
        Refusal::Status { .. }
        | Refusal::Contradiction(_)
        | Refusal::ActiveTask
        | Refusal::StoreUnknown(_)
        | Refusal::Inactive
        | Refusal::DataInUse(_) => (StatusCode::CONFLICT, Explanation),
        Refusal::Position(_)
        | Refusal::Unusable
        | Refusal::Filtered(_)
        | Refusal::Duplicate(_)
        | Refusal::Present(_)
        | Refusal::Metadata { .. }
        | Refusal::Digest(_) => (StatusCode::BAD_REQUEST, Explanation),
        Refusal::TooMany { .. } => (StatusCode::PAYLOAD_TOO_LARGE, Explanation),
    }
}

pub(super) fn of_metadef(refusal: &metadef::Refusal) -> Verdict {
    use metadef::Refusal as R;
    let status = match refusal {
        R::Unknown(_)
        | R::NoParent(_)
        | R::NoItem(..)
        | R::NotAssociated { .. }
        | R::NoAssociation(_)
        | R::Prefix { .. }
        | R::NoResourceType(_) => StatusCode::NOT_FOUND,
        R::Invisible(_)
        | R::Protected(_)
        | R::ProtectedItem { .. }
        | R::ProtectedAssociation(_)
        | R::ProtectedResourceType(_) => StatusCode::FORBIDDEN,
        R::DuplicateNamespace(_)
        | R::DuplicateUpdate(_)
        | R::DuplicateItem { .. }
        | R::DuplicateItemUpdate { .. }
        | R::DuplicateAssociation { .. }
        | R::DuplicateResourceType(_)
        | R::ResourceTypeInUse(_) => StatusCode::CONFLICT,
    };
    (status, Explanation)
}

pub(super) fn of_artifact(refusal: &artifact::Refusal) -> Verdict {
    use artifact::Refusal as R;
    let status = match refusal {
        R::Invalid(_) => StatusCode::BAD_REQUEST,
        R::Denied(_)
        | R::Foreign
        | R::Anonymous
        | R::ReadOnlyType
        | R::State(_)
        | R::TooMany(_) => StatusCode::FORBIDDEN,
        R::UnknownType(_) | R::NotFound(_) | R::NoBlob(_) => StatusCode::NOT_FOUND,
        R::ApiVersion(_) => StatusCode::NOT_ACCEPTABLE,
        R::Duplicate | R::Filling | R::Taken(_) | R::Overtaken | R::NotReady(_) => {
            StatusCode::CONFLICT
        }
        R::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        R::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    (status, Explanation)
}
