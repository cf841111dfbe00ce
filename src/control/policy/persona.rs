//! What a caller may do, rule by rule: the operator's view of the policy.

use super::{Policy, REGISTERED, Rule, Target};
use crate::{
    control::{Caller, image::is_of_owner},
    model::{Image, ImageId, ProjectId, Visibility},
};

/// An image that the caller might ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Case {
    /// Of the caller's project, private.
    Own,
    /// Of another, shared with the caller's.
    Shared,
    Community,
    Public,
    /// Of another, private.
    Private,
}

/// What the caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Outcome {
    Allowed,
    /// 403
    Forbidden,
    /// 404: the caller does not see it.
    Missing,
}

impl Case {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Own,
        Self::Shared,
        Self::Community,
        Self::Public,
        Self::Private,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        ["own", "shared", "community", "public", "private"][self as usize]
    }

    fn image(self, caller: &Caller) -> Image {
        let visibility = match self {
            Self::Own | Self::Private => Visibility::Private,
            Self::Shared => Visibility::Shared,
            Self::Community => Visibility::Community,
            Self::Public => Visibility::Public,
        };
        let other = ProjectId::new("another project");
        let now = chrono::DateTime::UNIX_EPOCH.naive_utc();
        Image {
            owner: match self {
                Self::Own => caller.project.clone(),
                _ => Some(other),
            },
            visibility,
            ..Image::queued(ImageId::new("image"), now)
        }
    }
}

/// What the caller is answered by every rule, in the order of [`Policy::list`], for each of
/// [`Case::ALL`].
pub fn outcomes(policy: &Policy, caller: &Caller) -> Vec<(String, [Outcome; 5])> {
    let listed = policy.list().into_iter().enumerate();
    let rows = listed.map(|(number, listed)| {
        let rule = REGISTERED.get(number).map(|registered| registered.rule);
        let outcome = |case| outcome(policy, caller, rule, &listed.name, case);
        let outcomes = Case::ALL.map(outcome);
        (listed.name, outcomes)
    });
    rows.collect()
}

fn outcome(
    policy: &Policy,
    caller: &Caller,
    rule: Option<Rule>,
    name: &str,
    case: Case,
) -> Outcome {
    let image = case.image(caller);
    let target = Target::Image(&image);
    if case == Case::Private && !caller.is_admin {
        return Outcome::Missing;
    }
    let owned = !rule.is_some_and(is_of_owner) || caller.owns(&image);
    if policy.holds_named(name, caller, target) {
        return match owned {
            true => Outcome::Allowed,
            false => Outcome::Forbidden,
        };
    }
    match policy.holds(Rule::GetImage, caller, target) {
        true => Outcome::Forbidden,
        false => Outcome::Missing,
    }
}
