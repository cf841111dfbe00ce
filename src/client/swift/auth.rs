//! Who we are to Swift, and where the account is: by Keystone, or by Swift's own first protocol.

use parking_lot::Mutex;
use reqwest::{Client, StatusCode, header::HeaderMap};
use std::sync::Arc;

use super::Error;
use crate::{
    base::secret::Secret,
    client::{
        keystone::{self, Session},
        transport,
    },
};

/// With what we show who we are.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Keystone, and the catalog.
    Keystone(Box<V3>),
    /// Swift's own (`/auth/v1.0`): tempauth, and radosgw.
    V1(V1),
}

/// Who we are to Keystone, and where the catalog has the account.
#[derive(Clone, Debug)]
pub struct V3 {
    /// Who.
    pub keystone: keystone::Config,
    /// The type of Swift in the catalog.
    pub service_type: String,
    /// The region of its endpoint; none takes the first.
    pub region: Option<String>,
    /// The interface of its endpoint: `public`, ...
    pub interface: String,
}

/// Who we are to `/auth/v1.0`.
#[derive(Clone, Debug)]
pub struct V1 {
    /// Where to ask.
    pub url: String,
    /// `account:user`.
    pub user: String,
    /// The password.
    pub key: Secret,
}

/// Lets us into the account.
#[derive(Debug)]
pub(super) enum Door {
    Keystone {
        session: Box<Session>,
        service_type: String,
        region: Option<String>,
        interfaces: [String; 1],
        endpoint: Option<String>,
    },
    V1 {
        client: Client,
        who: V1,
        endpoint: Option<String>,
        known: Mutex<Option<Access>>,
    },
}

/// A token, and the account that it is good for.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Without a slash at its end.
    pub(super) address: String,
    key: Key,
}

#[derive(Clone, Debug)]
enum Key {
    Keystone(keystone::Access),
    V1(Arc<Secret>),
}

impl Access {
    pub(super) fn token(&self) -> &Secret {
        match &self.key {
            Key::Keystone(access) => access.token(),
            Key::V1(token) => token,
        }
    }
}

impl Door {
    pub(super) fn new(
        auth: Auth,
        endpoint: Option<String>,
        transport: &transport::Config,
    ) -> Result<Self, transport::Error> {
        let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned());
        Ok(match auth {
            Auth::Keystone(who) => Self::Keystone {
                session: Box::new(Session::new(who.keystone)?),
                service_type: who.service_type,
                region: who.region,
                interfaces: [who.interface],
                endpoint,
            },
            Auth::V1(who) => Self::V1 {
                client: transport::client(transport)?,
                who,
                endpoint,
                known: Mutex::default(),
            },
        })
    }

    /// The token in use; a new one where that was `refused`.
    pub(super) async fn access(&self, refused: Option<&Access>) -> Result<Access, Error> {
        match self {
            Self::Keystone {
                session,
                service_type,
                region,
                interfaces,
                endpoint,
            } => {
                let refused = match refused.map(|access| &access.key) {
                    Some(Key::Keystone(access)) => Some(access),
                    _ => None,
                };
                let access = session.access(refused).await;
                let access = access.map_err(|error| Error::Unavailable(error.to_string()))?;
                let found = access.endpoint(service_type, region.as_deref(), interfaces);
                let address = endpoint.clone().or(found).ok_or_else(|| {
                    Error::Unexpected(format!("the catalog has no {service_type}"))
                })?;
                Ok(Access {
                    address,
                    key: Key::Keystone(access),
                })
            }
            Self::V1 {
                client,
                who,
                endpoint,
                known,
            } => {
                let last = known.lock().clone();
                if let Some(last) = last
                    && refused.is_none_or(|refused| !refused.is_same(&last))
                {
                    return Ok(last);
                }
                let access = first(client, who, endpoint.as_deref()).await?;
                *known.lock() = Some(access.clone());
                Ok(access)
            }
        }
    }
}

impl Access {
    fn is_same(&self, other: &Self) -> bool {
        self.token().expose() == other.token().expose()
    }
}

async fn first(client: &Client, who: &V1, endpoint: Option<&str>) -> Result<Access, Error> {
    let request = client.get(&who.url);
    let request = request.header("x-auth-user", &who.user);
    let answer = request.header("x-auth-key", who.key.expose()).send().await;
    let answer = answer.map_err(|error| Error::Unavailable(transport::cause(&error)))?;
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Error::Denied("it refuses our credentials".to_owned()));
        }
        status => return Err(Error::Unavailable(format!("it answers {status}"))),
    }
    let header = |headers: &HeaderMap, name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let token = header(answer.headers(), "x-auth-token");
    let address = endpoint.map(str::to_owned);
    let address = address.or_else(|| header(answer.headers(), "x-storage-url"));
    match (token, address) {
        (Some(token), Some(address)) => Ok(Access {
            address: address.trim_end_matches('/').to_owned(),
            key: Key::V1(Arc::new(Secret::new(token))),
        }),
        _ => Err(Error::Unexpected("it names no token or account".to_owned())),
    }
}
