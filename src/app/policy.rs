//! What an operator wants to know of the policy in force.

use anyhow::bail;

use crate::{
    config::Config,
    control::{
        Caller, Identity, Policy,
        policy::{Listed, persona},
    },
};

pub use persona::{Case, Outcome};

/// A caller to ask for.
#[derive(Clone, Debug, Default)]
pub struct Persona {
    /// As in its token, but for what Keystone adds to them by itself.
    pub roles: Vec<String>,
    /// Only the roles that are named, without those that Keystone's default roles imply.
    pub exact: bool,
    /// The project that its token is for.
    pub project: Option<String>,
    /// The domain that its token is for.
    pub domain: Option<String>,
    /// Its token is for the whole system.
    pub system: bool,
    /// Its id.
    pub user: Option<String>,
    /// The roles of the service that passes its requests on.
    pub service_roles: Vec<String>,
}

/// What a rule answers for each of [`Case::ALL`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// The rule.
    pub rule: String,
    /// The answers.
    pub outcomes: [Outcome; 5],
}

/// Keystone's default roles: each implies those behind it.
const IMPLIED: [&str; 4] = ["admin", "manager", "member", "reader"];

/// Every rule: Glance's, then those that only the files have.
pub fn list(config: Config) -> anyhow::Result<Vec<Listed>> {
    Ok(Policy::load(config.policy)?.list())
}

/// What the persona may do, by every rule or by one.
pub fn check(config: Config, persona: Persona, rule: Option<&str>) -> anyhow::Result<Vec<Answer>> {
    let policy = Policy::load(config.policy)?;
    if let Some(name) = rule
        && !policy.has(name)
    {
        bail!("there is no rule {name:?}: see `fresnel policy list`");
    }
    let caller = Caller::authenticated(persona.identity(), &policy, String::new());
    let outcomes = persona::outcomes(&policy, &caller).into_iter();
    let asked = outcomes.filter(|(name, _)| rule.is_none_or(|rule| rule == name));
    let answers = asked.map(|(rule, outcomes)| Answer { rule, outcomes });
    Ok(answers.collect())
}

impl Persona {
    fn identity(self) -> Identity {
        let mut roles = self.roles;
        let highest = |roles: &[String]| IMPLIED.iter().position(|r| roles.iter().any(|h| h == r));
        if let Some(highest) = highest(&roles).filter(|_| !self.exact) {
            let implied = IMPLIED[highest + 1..].iter();
            roles.extend(implied.map(|role| (*role).to_owned()));
        }
        Identity {
            user_id: self.user,
            project_id: self.project,
            domain_id: self.domain,
            system_scope: self.system.then(|| "all".to_owned()),
            roles,
            is_admin_project: true,
            service_roles: self.service_roles,
            ..Identity::default()
        }
    }
}
