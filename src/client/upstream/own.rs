//! Who we are to the upstream where nobody has asked us: a user of Keystone's, or nobody.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Error;
use crate::client::keystone::{self, Access, Session};

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Our standing with the upstream.
#[derive(Debug)]
pub struct Own {
    session: Option<Session>,
}

/// With what a request of our own goes out.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Its headers; the token is not shown by `Debug`.
    pub headers: HeaderMap,
    access: Option<Access>,
}

impl Own {
    /// By these credentials; without them requests have no token.
    ///
    /// # Errors
    /// [`Error::Transport`].
    pub fn new(credentials: Option<keystone::Config>) -> Result<Self, Error> {
        Ok(Self {
            session: credentials.map(Session::new).transpose()?,
        })
    }

    /// What a request needs; with another token where that one was `refused`.
    ///
    /// # Errors
    /// [`Error::Keystone`].
    pub async fn pass(&self, refused: Option<&Pass>) -> Result<Pass, Error> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::ACCEPT, json);
        let Some(session) = &self.session else {
            let access = None;
            return Ok(Pass { headers, access });
        };
        let refused = refused.and_then(|pass| pass.access.as_ref());
        let access = session.access(refused).await?;
        let token = HeaderValue::from_str(access.token().expose());
        let mut token =
            token.map_err(|_| Error::Unreachable("our token is no header".to_owned()))?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
        Ok(Pass {
            headers,
            access: Some(access),
        })
    }

    /// Whether another token may do what one could not.
    pub fn can_renew(&self) -> bool {
        self.session.is_some()
    }
}
