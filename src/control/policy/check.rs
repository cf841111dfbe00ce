//! What a rule says, as a tree; and whether it holds.

use std::borrow::Cow;

use super::{Rules, Target, remote};
use crate::control::Caller;

/// A node of a rule. `R` is how it refers to other rules: by name when parsed, by place once
/// linked.
#[derive(Clone, Debug, PartialEq)]
pub enum Check<R> {
    /// `@`, and the empty text.
    Always,
    /// `!`.
    Never,
    /// `a and b`.
    All(Vec<Self>),
    /// `a or b`.
    Any(Vec<Self>),
    /// `not a`.
    Not(Box<Self>),
    /// `rule:name`.
    Rule(R),
    /// `role:name`: the caller has the role, whatever its case.
    Role(Template),
    /// `'literal':%(key)s`.
    Literal {
        /// As Python's `str` shows it.
        value: String,
        /// What it is to be.
        equals: Template,
    },
    /// `attribute:%(key)s`.
    Caller {
        /// Of the caller.
        attribute: Attribute,
        /// What it, or one of its elements, is to be.
        equals: Template,
    },
    /// `http://...`, `https://...`: another service decides.
    Remote(Template),
}

/// The right side of a comparison, with `%(key)s` for attributes of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// Without any.
    Text(String),
    /// One, and nothing else.
    Key(String),
    /// Several pieces, each of one of the other two kinds.
    Pieces(Vec<Self>),
}

/// What a policy can know of a caller (oslo.context's policy values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are oslo.context's")]
pub enum Attribute {
    UserId,
    UserDomainId,
    SystemScope,
    /// Oslo.policy's other name of `system_scope`, for whom it is set.
    System,
    DomainId,
    ProjectId,
    ProjectDomainId,
    Roles,
    IsAdminProject,
    ServiceUserId,
    ServiceUserDomainId,
    ServiceProjectId,
    ServiceProjectDomainId,
    ServiceRoles,
    /// No caller has it.
    Unknown,
}

/// A caller's attribute.
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Truth(bool),
    List(&'a [String]),
    /// It has none of that name.
    Absent,
}

/// A question to the rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) rules: &'a Rules,
    /// The rule that was asked for, by its name.
    pub(super) rule: &'a str,
    pub(super) caller: &'a Caller,
    pub(super) target: Target<'a>,
}

impl Check<usize> {
    /// Whether it holds. Rules refer to each other in no circle, which [`Rules`] saw to.
    pub(super) fn holds(&self, question: &Question<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::All(checks) => checks.iter().all(|check| check.holds(question)),
            Self::Any(checks) => checks.iter().any(|check| check.holds(question)),
            Self::Not(check) => !check.holds(question),
            Self::Rule(place) => question.rules.check(*place).holds(question),
            Self::Role(role) => {
                let role = match role {
                    // In lower case since it was parsed.
                    Template::Text(role) => Some(Cow::Borrowed(role.as_str())),
                    keys => keys.render(question).map(|role| role.to_lowercase().into()),
                };
                role.is_some_and(|role| question.caller.roles.iter().any(|have| *have == role))
            }
            Self::Literal { value, equals } => {
                let text = equals.render(question);
                text.is_some_and(|text| text == *value)
            }
            Self::Caller { attribute, equals } => {
                let text = equals.render(question);
                text.is_some_and(|text| attribute.of(question.caller).is(&text))
            }
            Self::Remote(url) => match (url.render(question), question.rules.judge()) {
                (Some(url), Some(judge)) => remote::allows(&url, judge, question),
                (None, _) | (_, None) => false,
            },
        }
    }
}

impl<R> Check<R> {
    /// The same with other references; what refers to nothing never holds.
    pub(super) fn map<T>(self, refer: &mut impl FnMut(R) -> Option<T>) -> Check<T> {
        match self {
            Self::Always => Check::Always,
            Self::Never => Check::Never,
            Self::All(checks) => Check::All(each(checks, refer)),
            Self::Any(checks) => Check::Any(each(checks, refer)),
            Self::Not(check) => Check::Not(Box::new(check.map(refer))),
            Self::Rule(rule) => refer(rule).map_or(Check::Never, Check::Rule),
            Self::Role(role) => Check::Role(role),
            Self::Literal { value, equals } => Check::Literal { value, equals },
            Self::Caller { attribute, equals } => Check::Caller { attribute, equals },
            Self::Remote(url) => Check::Remote(url),
        }
    }

    /// Every node, the outer one first.
    pub(super) fn visit(&self, see: &mut impl FnMut(&Self)) {
        see(self);
        match self {
            Self::All(checks) | Self::Any(checks) => {
                for check in checks {
                    check.visit(see);
                }
            }
            Self::Not(check) => check.visit(see),
            Self::Always
            | Self::Never
            | Self::Rule(_)
            | Self::Role(_)
            | Self::Literal { .. }
            | Self::Caller { .. }
            | Self::Remote(_) => {}
        }
    }
}

fn each<R, T>(checks: Vec<Check<R>>, refer: &mut impl FnMut(R) -> Option<T>) -> Vec<Check<T>> {
    checks.into_iter().map(|check| check.map(refer)).collect()
}

impl Template {
    /// None where the target lacks what is asked for: whatever is compared with it fails.
    fn render<'a>(&'a self, question: &Question<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Key(key) => question.target.get(key, question.caller),
            Self::Pieces(pieces) => {
                let rendered = pieces.iter().map(|piece| piece.render(question));
                let texts: Option<Vec<_>> = rendered.collect();
                Some(Cow::Owned(texts?.concat()))
            }
        }
    }
}

impl Attribute {
    const NAMES: [(&'static str, Self); 14] = [
        ("user_id", Self::UserId),
        ("user_domain_id", Self::UserDomainId),
        ("system_scope", Self::SystemScope),
        ("system", Self::System),
        ("domain_id", Self::DomainId),
        ("project_id", Self::ProjectId),
        ("project_domain_id", Self::ProjectDomainId),
        ("roles", Self::Roles),
        ("is_admin_project", Self::IsAdminProject),
        ("service_user_id", Self::ServiceUserId),
        ("service_user_domain_id", Self::ServiceUserDomainId),
        ("service_project_id", Self::ServiceProjectId),
        ("service_project_domain_id", Self::ServiceProjectDomainId),
        ("service_roles", Self::ServiceRoles),
    ];

    /// The attribute of that name.
    pub(super) fn named(name: &str) -> Self {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map_or(Self::Unknown, |(_, attribute)| *attribute)
    }

    /// All that a caller has, with their names.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, Self)> {
        Self::NAMES.into_iter()
    }

    pub(super) fn of(self, caller: &Caller) -> Value<'_> {
        Value::Text(match self {
            Self::UserId => caller.user.as_deref(),
            Self::UserDomainId => caller.user_domain.as_deref(),
            Self::SystemScope => caller.system_scope.as_deref(),
            Self::System => match caller.system_scope.as_deref() {
                None | Some("") => return Value::Absent,
                scope => scope,
            },
            Self::DomainId => caller.domain.as_deref(),
            Self::ProjectId => caller.project.as_ref().map(|project| project.as_str()),
            Self::ProjectDomainId => caller.project_domain.as_deref(),
            Self::Roles => return Value::List(&caller.roles),
            Self::IsAdminProject => return Value::Truth(caller.is_admin_project),
            Self::ServiceUserId => caller.service_user.as_deref(),
            Self::ServiceUserDomainId => caller.service_user_domain.as_deref(),
            Self::ServiceProjectId => caller.service_project.as_deref(),
            Self::ServiceProjectDomainId => caller.service_project_domain.as_deref(),
            Self::ServiceRoles => return Value::List(&caller.service_roles),
            Self::Unknown => return Value::Absent,
        })
    }
}

impl Value<'_> {
    /// Whether Python's `str` of it, or of one of its elements, is that text.
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Text(value) => value.unwrap_or("None") == text,
            Self::Truth(value) => (if *value { "True" } else { "False" }) == text,
            Self::List(values) => values.iter().any(|value| value == text),
            Self::Absent => false,
        }
    }
}
