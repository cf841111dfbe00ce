//! Who asks.

use super::db::Viewer;
use crate::model::ProjectId;

/// The identity behind a request, after authentication (reference A.1.7).
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user's id.
    pub user: Option<String>,
    /// The project that the request acts for; what it creates belongs to it.
    pub project: Option<ProjectId>,
    /// Lower-case role names.
    pub roles: Vec<String>,
    /// Whether the policy's `context_is_admin` holds.
    pub is_admin: bool,
    /// May look and change nothing (`allow_anonymous_access`).
    pub read_only: bool,
    /// `req-<uuid>`, or what the client sent.
    pub request_id: String,
}

impl Caller {
    /// The caller where there is no authentication: Glance's `unauthenticated-context`, an
    /// administrator of no project.
    pub fn unauthenticated(request_id: String) -> Self {
        Self {
            user: None,
            project: None,
            roles: Vec::new(),
            is_admin: true,
            read_only: false,
            request_id,
        }
    }
    /// Through whose eyes the database is read.
    pub fn viewer(&self) -> Viewer {
        Viewer {
            project: self.project.clone(),
            is_admin: self.is_admin,
        }
    }
}
