//! Who asks.

use super::{
    Error, Result,
    db::Viewer,
    policy::{Policy, Rule, Target},
};
use crate::{
    client::keystone::ImageService,
    model::{Image, ProjectId},
};

/// What a validated token says, and the service token beside it (reference A.1.7). Names are those
/// of oslo.context, with which policies compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are oslo.context's")]
pub struct Identity {
    pub user_id: Option<String>,
    pub user_domain_id: Option<String>,
    /// The project that the token is for; none for any other scope, and for none.
    pub project_id: Option<String>,
    pub project_domain_id: Option<String>,
    /// The domain that the token is for.
    pub domain_id: Option<String>,
    /// `all` for a token of the whole system.
    pub system_scope: Option<String>,
    /// As the token spells them.
    pub roles: Vec<String>,
    /// True unless the token says otherwise.
    pub is_admin_project: bool,
    pub service_user_id: Option<String>,
    pub service_user_domain_id: Option<String>,
    pub service_project_id: Option<String>,
    pub service_project_domain_id: Option<String>,
    /// The roles of a valid service token.
    pub service_roles: Vec<String>,
    /// Where the user's catalog has image services.
    pub image_services: Vec<ImageService>,
}

/// The identity behind a request, after authentication (reference A.1.7).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are oslo.context's")]
pub struct Caller {
    /// The user's id.
    pub user: Option<String>,
    pub user_domain: Option<String>,
    /// The project that the request acts for; what it creates belongs to it.
    pub project: Option<ProjectId>,
    pub project_domain: Option<String>,
    /// Set for a domain-scoped token, which every scoped rule refuses.
    pub domain: Option<String>,
    /// Set for a system-scoped token, which every scoped rule refuses.
    pub system_scope: Option<String>,
    /// Lower-case role names.
    pub roles: Vec<String>,
    pub is_admin_project: bool,
    pub service_user: Option<String>,
    pub service_user_domain: Option<String>,
    pub service_project: Option<String>,
    pub service_project_domain: Option<String>,
    /// The roles of the service that passes the request on, as its token spells them.
    pub service_roles: Vec<String>,
    pub image_services: Vec<ImageService>,
    /// Whether the policy's `context_is_admin` holds.
    pub is_admin: bool,
    /// May look and change nothing (`allow_anonymous_access`).
    pub read_only: bool,
    /// `req-<uuid>`, or what the client sent.
    pub request_id: String,
}

impl Caller {
    /// Of a validated token. The policy in force decides whether it is an administrator's.
    pub fn authenticated(identity: Identity, policy: &Policy, request_id: String) -> Self {
        let roles = identity.roles.iter().map(|role| role.to_lowercase());
        let mut caller = Self {
            user: identity.user_id,
            user_domain: identity.user_domain_id,
            project: identity.project_id.map(ProjectId::new),
            project_domain: identity.project_domain_id,
            domain: identity.domain_id,
            system_scope: identity.system_scope,
            roles: roles.collect(),
            is_admin_project: identity.is_admin_project,
            service_user: identity.service_user_id,
            service_user_domain: identity.service_user_domain_id,
            service_project: identity.service_project_id,
            service_project_domain: identity.service_project_domain_id,
            service_roles: identity.service_roles,
            image_services: identity.image_services,
            is_admin: false,
            read_only: false,
            request_id,
        };
        caller.is_admin = policy.holds(Rule::ContextIsAdmin, &caller, Target::Caller);
        caller
    }

    /// Without a token, where `allow_anonymous_access` lets one look.
    pub fn anonymous(request_id: String) -> Self {
        Self {
            is_admin: false,
            read_only: true,
            roles: Vec::new(),
            ..Self::unauthenticated(request_id)
        }
    }

    /// The caller where there is no authentication: an administrator of no project, and a service.
    /// Policies see all of Keystone's default roles, so that what a file forbids stays forbidden.
    pub fn unauthenticated(request_id: String) -> Self {
        let roles = ["admin", "manager", "member", "reader", "service"];
        Self {
            user: None,
            user_domain: None,
            project: None,
            project_domain: None,
            domain: None,
            system_scope: None,
            roles: roles.map(str::to_owned).to_vec(),
            is_admin_project: true,
            service_user: None,
            service_user_domain: None,
            service_project: None,
            service_project_domain: None,
            service_roles: Vec::new(),
            image_services: Vec::new(),
            is_admin: true,
            read_only: false,
            request_id,
        }
    }

    /// Whether it is another service, or a service passes its request on.
    pub fn is_service(&self) -> bool {
        let mut roles = self.roles.iter().chain(&self.service_roles);
        roles.any(|role| role == "service")
    }

    /// Comes before everything else in an operation that changes something.
    ///
    /// # Errors
    /// [`Error::ReadOnly`].
    pub fn may_change(&self) -> Result<()> {
        match self.read_only {
            true => Err(Error::ReadOnly),
            false => Ok(()),
        }
    }

    /// Whether the database lets it change the image, whatever the policy says (reference C.3).
    pub fn owns(&self, image: &Image) -> bool {
        let own = self.project.is_some() && image.owner == self.project;
        self.is_admin || own
    }

    /// Through whose eyes the database is read.
    pub fn viewer(&self) -> Viewer {
        Viewer {
            project: self.project.clone(),
            is_admin: self.is_admin,
        }
    }
}
