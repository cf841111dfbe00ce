//! The address that the client asked, where a proxy stands between (oslo.middleware's
//! `http_proxy_to_wsgi`). Only after the operator said that there is one: anybody can send these.

use ::http::{HeaderValue, header, request::Parts, uri::Scheme};

/// What stands before every path at the proxy: `X-Forwarded-Prefix`.
#[derive(Clone, Debug)]
pub(super) struct Prefix(pub(super) String);

/// Takes scheme, host and prefix over from the proxy's headers. Returns the client's address, as the
/// proxy has it.
pub(super) fn apply(head: &mut Parts, scheme: &mut Scheme) -> Option<String> {
    let text = |name: &str| {
        let value = head.headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let (proto, host, client) = match text("forwarded") {
        Some(forwarded) => {
            let element = |key| element(&forwarded, key);
            (element("proto"), element("host"), element("for"))
        }
        None => {
            let client = text("x-forwarded-for");
            let first = client
                .as_deref()
                .and_then(|client| client.split(',').next());
            let first = first.map(|first| first.trim().to_owned());
            (text("x-forwarded-proto"), text("x-forwarded-host"), first)
        }
    };
    let prefix = text("x-forwarded-prefix");
    if let Some(given) = proto.and_then(|proto| proto.parse().ok()) {
        *scheme = given;
    }
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        head.headers.insert(header::HOST, host);
    }
    if let Some(prefix) = prefix {
        head.extensions.insert(Prefix(prefix));
    }
    client
}

/// A value of the first element of `Forwarded` (RFC 7239), which the outermost proxy wrote. As
/// oslo.middleware has it: quotes stay.
fn element(forwarded: &str, key: &str) -> Option<String> {
    let first = forwarded.split(',').next()?;
    let mut pairs = first.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(key))?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, value: &str) -> Option<String> {
        let request = ::http::Request::builder().header(name, value);
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        apply(&mut head, &mut Scheme::HTTP.clone())
    }

    #[test]
    fn the_client_is_the_first_in_the_row() {
        let ours = Some("192.0.2.60".to_owned());
        assert_eq!(client("x-forwarded-for", "192.0.2.60, 10.0.0.1"), ours);
        assert_eq!(client("forwarded", "For=192.0.2.60;proto=http"), ours);
        assert_eq!(client("x-forwarded-host", "a"), None);
    }

    fn applied(headers: &[(&str, &str)]) -> (String, String, Option<String>) {
        let mut request = ::http::Request::builder().header("host", "inside:9292");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let mut scheme = Scheme::HTTP;
        apply(&mut head, &mut scheme);
        let host = head.headers["host"].to_str().unwrap().to_owned();
        let prefix = head.extensions.get::<Prefix>();
        (
            scheme.to_string(),
            host,
            prefix.map(|prefix| prefix.0.clone()),
        )
    }

    fn seen(scheme: &str, host: &str, prefix: Option<&str>) -> (String, String, Option<String>) {
        (scheme.into(), host.into(), prefix.map(str::to_owned))
    }

    #[test]
    fn the_proxys_words_count() {
        let old = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "images.example.org"),
            ("x-forwarded-prefix", "/image"),
        ];
        let expected = seen("https", "images.example.org", Some("/image"));
        assert_eq!(applied(&old), expected);
        let forwarded = "for=192.0.2.60; Proto=https ;host=a.example.org, proto=http;host=b";
        let both = [("forwarded", forwarded), ("x-forwarded-host", "ignored")];
        assert_eq!(applied(&both), seen("https", "a.example.org", None));
    }

    #[test]
    fn what_it_does_not_say_stays() {
        assert_eq!(applied(&[]), seen("http", "inside:9292", None));
        let only_for = [
            ("forwarded", "for=192.0.2.60"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(applied(&only_for), seen("http", "inside:9292", None));
    }
}
