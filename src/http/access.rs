//! The access log: a line for each request, when it is over. The same for the service and for a node.

use std::{fmt::Display, net::IpAddr, time::Instant};

use ::http::{HeaderValue, Method, StatusCode, Uri, header};
use tracing::{debug, info};

use super::{Request, Response};

/// What the log says of a request. The line is written when this is dropped: with the answer's last
/// byte, or when the client has gone.
#[derive(Debug)]
pub struct Access {
    started: Instant,
    method: Method,
    uri: Uri,
    peer: IpAddr,
    agent: Option<HeaderValue>,
    /// Who asked, where a trusted proxy says so: instead of the address that the connection has.
    pub forwarded_for: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// The id of the user.
    pub user: Option<String>,
    /// The id of the project.
    pub project: Option<String>,
    /// One of many that say nothing as long as they are well: at level debug.
    pub is_probe: bool,
    /// None before the answer.
    status: Option<StatusCode>,
    sent_bytes: u64,
    is_whole: bool,
}

impl Access {
    /// Of a request that has just come.
    pub fn of(request: &Request) -> Self {
        Self {
            started: Instant::now(),
            method: request.head.method.clone(),
            uri: request.head.uri.clone(),
            peer: request.peer.ip().to_canonical(),
            agent: request.head.headers.get(header::USER_AGENT).cloned(),
            forwarded_for: None,
            request_id: None,
            user: None,
            project: None,
            is_probe: false,
            status: None,
            sent_bytes: 0,
            is_whole: false,
        }
    }

    /// Seconds since the request's head was there.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The request's id, for those who want a text.
    pub fn id(&self) -> &str {
        self.request_id.as_deref().unwrap_or_default()
    }

    /// Goes with the answer, to its last byte.
    pub fn follow(mut self, response: &mut Response) {
        self.status = Some(response.status());
        response.body_mut().follow(self);
    }

    /// So many more bytes of the answer are on their way.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
    }

    /// They were all.
    pub(super) fn end(&mut self) {
        self.is_whole = true;
    }
}

/// The query is not logged: it may hold secrets.
impl Drop for Access {
    fn drop(&mut self) {
        let (method, path) = (&self.method, self.uri.path());
        let micros = self.started.elapsed().as_micros();
        let peer: &dyn Display = match &self.forwarded_for {
            Some(client) => client,
            None => &self.peer,
        };
        let agent = self.agent.as_ref().and_then(|agent| agent.to_str().ok());
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: "fresnel::access",
                    {
                        request.id = self.request_id.as_deref(),
                        status = self.status.map(|status| status.as_u16()),
                        bytes = self.sent_bytes,
                        cut = (!self.is_whole).then_some(true),
                        ms = micros as f64 / 1000.0,
                        peer = %peer,
                        user.id = self.user.as_deref(),
                        project.id = self.project.as_deref(),
                        agent,
                    },
                    "{method} {path}"
                )
            };
        }
        match self.is_probe {
            true => line!(debug),
            false => line!(info),
        }
    }
}
