//! What is not a download passes, both ways and unbuffered.

use std::io;

use ::http::{Method, header, request::Parts};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::Gateway;
use crate::{
    client::upstream::{self, Answer, Ask, passable},
    http::{Body, Frame, FrameSource, Request, RequestBody, Response},
};

impl Gateway {
    /// Passes a request on, and its answer back.
    pub(super) async fn pass(&self, request: Request) -> Result<Response, upstream::Error> {
        let mut ask = asked(&request.head);
        if !request.body.is_ended() {
            ask.body = Some(pieces(request.body).boxed());
        }
        let method = ask.method.clone();
        Ok(passed(self.upstream.ask(ask).await?, &method))
    }
}

/// The request without its body. The host is the upstream's own; `100 Continue` is between the client
/// and us.
pub(super) fn asked(head: &Parts) -> Ask {
    let mut headers = passable(&head.headers);
    headers.remove(header::HOST);
    headers.remove(header::EXPECT);
    let target = head.uri.path_and_query();
    Ask {
        method: head.method.clone(),
        target: target.map_or_else(|| "/".to_owned(), ToString::to_string),
        headers,
        body: None,
    }
}

/// The answer as it is.
pub(super) fn passed(answer: Answer, method: &Method) -> Response {
    let status = answer.head.status;
    let (headers, extensions) = (answer.head.headers.clone(), answer.head.extensions.clone());
    let has_body = method != Method::HEAD && ![204, 304].contains(&status.as_u16());
    let body = match (has_body, answer.content_length()) {
        (false, _) | (true, Some(0)) => Body::empty(),
        (true, Some(len)) => Body::frames(len, Passing(answer)),
        (true, None) => Body::stream(Passing(answer)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    *response.extensions_mut() = extensions;
    response
}

fn pieces(body: RequestBody) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::unfold(body, |mut body| async move {
        let next = body.next().await.transpose()?;
        Some((next, body))
    })
}

/// A body on its way through.
struct Passing(Answer);

#[async_trait]
impl FrameSource for Passing {
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        let bytes = self.0.next().await.inspect_err(|error| {
            tracing::warn!(%error, "An answer of the upstream broke off");
        })?;
        Ok(bytes.map(Frame::Bytes))
    }
}
