//! Checks that another service decides (`http:`, `https:`).

use super::check::Question;

/// Whether the service at `url` answers `True`.
pub(super) fn allows(url: &str, question: &Question<'_>) -> bool {
    tracing::error!(rule = question.rule, "Nobody to ask about a policy: {url}");
    false
}
