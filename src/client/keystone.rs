//! Keystone, version 3: what tokens say, and the limits of projects.
//!
//! ```text
//! Tokens  -> cache (digest of a token -> what it says) -> one question a token -> Session
//! Limits  -> cache (project -> limits)                                         -> Session
//! Trusts  -> what acts for a user later                                        -> Session
//! Session -> our own token, kept fresh -> Keystone
//! ```
//!
//! Tokens are kept nowhere but in the request that asks about them; of a trust its id is.

mod auth;
mod flight;
mod limits;
mod session;
mod tokens;
mod trusts;

use std::sync::Arc;

pub use auth::{Credentials, Domain, Named, Scope};
pub use limits::{Endpoint, Limits};
pub use session::{Access, Config, Session};
pub use tokens::{AccessRule, ImageService, Token, Tokens};
pub use trusts::Trusts;

/// Why Keystone did not answer what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It knows no such token, or not any more.
    #[error("the token is good for nothing")]
    Invalid,
    /// It is not there, or does not let us ask.
    #[error("Keystone does not answer: {0}")]
    Unavailable(Arc<str>),
}

impl Error {
    fn unavailable(cause: impl ToString) -> Self {
        Self::Unavailable(cause.to_string().into())
    }
}
