//! The headers that say who asks.

use ::http::{HeaderMap, HeaderName, header::HeaderValue};

use crate::base::secret::Secret;

const USER: HeaderName = HeaderName::from_static("x-auth-token");
/// What Swift's old clients call it.
const STORAGE: HeaderName = HeaderName::from_static("x-storage-token");
const SERVICE: HeaderName = HeaderName::from_static("x-service-token");

/// The tokens of a request.
pub(super) struct Shown {
    pub(super) user: Option<Secret>,
    pub(super) service: Option<Secret>,
}

/// Takes the tokens out of a request, so that nothing behind this can tell them to anybody.
pub(super) fn take(headers: &mut HeaderMap) -> Shown {
    let storage = headers.remove(STORAGE);
    let user = headers.remove(USER).or(storage);
    Shown {
        user: user.as_ref().and_then(token),
        service: headers.remove(SERVICE).as_ref().and_then(token),
    }
}

fn token(value: &HeaderValue) -> Option<Secret> {
    let text = value.to_str().ok()?.trim();
    (!text.is_empty()).then(|| Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn tokens_are_taken_out_and_trimmed() {
        let mut headers = headers(&[
            ("x-auth-token", " a "),
            ("x-service-token", "b"),
            ("accept", "c"),
        ]);
        let shown = take(&mut headers);
        assert_eq!(shown.user.unwrap().expose(), "a");
        assert_eq!(shown.service.unwrap().expose(), "b");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn the_old_name_counts_where_the_new_one_is_not() {
        let old = take(&mut headers(&[("x-storage-token", "a")]));
        assert_eq!(old.user.unwrap().expose(), "a");
        let both = take(&mut headers(&[
            ("x-storage-token", "a"),
            ("x-auth-token", ""),
        ]));
        assert!(both.user.is_none());
    }
}
