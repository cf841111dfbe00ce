//! Error bodies as webob makes them (reference A.1.6): html, json or plain text, by `Accept`.

use std::borrow::Cow;

use ::http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;

use super::{Body, Response, accept};

/// An error response. `accept` is the request's header, several joined with commas.
///
/// `explanation` says what the status means here, `detail` what happened. Where webob's own text
/// names the request, the caller gives that text as `explanation`: for 405 "The method {method} is
/// not allowed for this resource.", for 415 "The request media type {type} is not supported by
/// this server.", for 501 "The request method {method} is not implemented for this server.".
pub fn render(
    status: StatusCode,
    explanation: &str,
    detail: &str,
    accept: Option<&str>,
) -> Response {
    titled(status, title(status), explanation, detail, accept)
}

/// The same, where somebody else has called the status something.
pub fn titled(
    status: StatusCode,
    title: &str,
    explanation: &str,
    detail: &str,
    accept: Option<&str>,
) -> Response {
    let line = format!("{} {title}", status.as_str());
    let (kind, body) = match accept::preferred(accept, &["text/html", "application/json"]) {
        Some("text/html") => {
            let content = content(status, &escape_html(explanation), &escape_html(detail));
            let line = escape_html(&line);
            ("text/html; charset=UTF-8", html(&line, &content))
        }
        Some(_) => {
            let content = content(status, explanation, detail);
            ("application/json", json(&line, title, &content))
        }
        None => {
            let content = strip_tags(&content(status, explanation, detail));
            ("text/plain; charset=UTF-8", format!("{line}\n\n{content}"))
        }
    };
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if status.canonical_reason() != Some(title)
        && let Ok(reason) = ReasonPhrase::try_from(title.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    response
}

/// The status in words, by webob, which kept RFC 2616's where later ones changed.
pub fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::URI_TOO_LONG => "Request-URI Too Long",
        StatusCode::RANGE_NOT_SATISFIABLE => "Request Range Not Satisfiable",
        other => other.canonical_reason().unwrap_or("Unknown"),
    }
}

/// webob's templates: what stands around the explanation and the detail.
fn content(status: StatusCode, explanation: &str, detail: &str) -> String {
    let (before, between, after) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("", " <br /><br />\n", ""),
        StatusCode::NOT_IMPLEMENTED => ("\n", " <br /><br />\n", ""),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("", "\n<br /><br />\n", ""),
        _ => ("", "<br /><br />\n", "\n\n"),
    };
    format!("{before}{explanation}{between}{detail}{after}")
}

fn html(line: &str, content: &str) -> String {
    format!(
        "<html>\n <head>\n  <title>{line}</title>\n </head>\n <body>\n  <h1>{line}</h1>\n  \
         {content}\n </body>\n</html>"
    )
}

/// As Python's `json.dumps` writes it: a space after each separator, ASCII only.
fn json(line: &str, title: &str, content: &str) -> String {
    let quoted = |text: &str| {
        let text = serde_json::Value::from(text).to_string();
        text.chars().map(escape_json).collect::<String>()
    };
    format!(
        "{{\"message\": {}, \"code\": {}, \"title\": {}}}",
        quoted(content),
        quoted(line),
        quoted(title),
    )
}

/// What serde_json leaves as it is and Python does not.
fn escape_json(letter: char) -> Cow<'static, str> {
    if (' '..='~').contains(&letter) {
        return letter.to_string().into();
    }
    let units = letter.encode_utf16(&mut [0; 2]).to_vec();
    let escaped = units.iter().map(|unit| format!("\\u{unit:04x}"));
    escaped.collect::<String>().into()
}

/// As Python's `html.escape`, with character references for what is not ASCII.
fn escape_html(text: &str) -> String {
    text.chars().map(escape_letter).collect()
}

fn escape_letter(letter: char) -> Cow<'static, str> {
    match letter {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        '\'' => "&#x27;".into(),
        letter if letter.is_ascii() => letter.to_string().into(),
        letter => format!("&#{};", u32::from(letter)).into(),
    }
}

/// Line breaks become spaces, `<br>` becomes a line break, whatever else looks like a tag goes.
fn strip_tags(text: &str) -> String {
    let text = text.replace('\n', " ").replace('\r', "");
    let text = replace_tags(&text, "<br", "\n");
    let text = text.replace("<!--", "").replace("-->", "");
    replace_tags(&text, "<", "")
}

/// Replaces from each `open` (in any case) to the next `>`.
fn replace_tags(text: &str, open: &str, by: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(start) = lower[from..].find(open).map(|at| from + at) {
        let Some(end) = lower[start + open.len()..].find('>') else {
            break;
        };
        kept.push_str(&text[from..start]);
        kept.push_str(by);
        from = start + open.len() + end + 1;
    }
    kept + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: Option<&str> = Some("*/*");
    const JSON: Option<&str> = Some("application/json");
    const PLAIN: Option<&str> = None;

    #[track_caller]
    fn assert_renders(
        (status, explanation, detail): (StatusCode, &str, &str),
        accept: Option<&str>,
        kind: &str,
        expected: &str,
    ) {
        let response = render(status, explanation, detail, accept);
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
        let body = response.body().bytes().unwrap();
        assert_eq!(std::str::from_utf8(body).unwrap(), expected);
    }

    // The expected bodies were made by webob 1.8.9.

    const NOT_FOUND: (StatusCode, &str, &str) = (
        StatusCode::NOT_FOUND,
        "No image found with ID <b>x</b> & 'é' \"q\"",
        "de<tail>\nline2 \u{1F600}\x7f",
    );

    #[test]
    fn html_is_escaped() {
        assert_renders(
            NOT_FOUND,
            HTML,
            "text/html; charset=UTF-8",
            "<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  \
             <h1>404 Not Found</h1>\n  No image found with ID &lt;b&gt;x&lt;/b&gt; &amp; \
             &#x27;&#233;&#x27; &quot;q&quot;<br /><br />\nde&lt;tail&gt;\nline2 &#128512;\x7f\n\n\n \
             </body>\n</html>",
        );
    }

    #[test]
    fn json_is_ascii_and_keeps_tags() {
        assert_renders(
            NOT_FOUND,
            JSON,
            "application/json",
            "{\"message\": \"No image found with ID <b>x</b> & '\\u00e9' \\\"q\\\"<br /><br />\\n\
             de<tail>\\nline2 \\ud83d\\ude00\\u007f\\n\\n\", \"code\": \"404 Not Found\", \
             \"title\": \"Not Found\"}",
        );
    }

    #[test]
    fn plain_text_loses_what_looks_like_tags() {
        assert_renders(
            NOT_FOUND,
            PLAIN,
            "text/plain; charset=UTF-8",
            "404 Not Found\n\nNo image found with ID x & 'é' \"q\"\n\n de line2 \u{1F600}\x7f  ",
        );
        assert_renders(
            (
                StatusCode::BAD_REQUEST,
                "a <br>b<BR/>c <!-- d --> e <i f\r\n > g < h",
                "x",
            ),
            PLAIN,
            "text/plain; charset=UTF-8",
            "400 Bad Request\n\na \nb\nc  d  e  g < h\n\n x  ",
        );
    }

    #[test]
    fn some_statuses_have_their_own_template() {
        assert_renders(
            (
                StatusCode::METHOD_NOT_ALLOWED,
                "The method PUT is not allowed for this resource.",
                "",
            ),
            JSON,
            "application/json",
            "{\"message\": \"The method PUT is not allowed for this resource. <br /><br />\\n\", \
             \"code\": \"405 Method Not Allowed\", \"title\": \"Method Not Allowed\"}",
        );
        assert_renders(
            (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The request media type application/json is not supported by this server.",
                "not an octet stream",
            ),
            PLAIN,
            "text/plain; charset=UTF-8",
            "415 Unsupported Media Type\n\nThe request media type application/json is not \
             supported by this server. \n\n not an octet stream",
        );
        assert_renders(
            (
                StatusCode::NOT_IMPLEMENTED,
                "The request method FOO is not implemented for this server.",
                "",
            ),
            PLAIN,
            "text/plain; charset=UTF-8",
            "501 Not Implemented\n\n The request method FOO is not implemented for this server. \
             \n\n ",
        );
    }

    #[test]
    fn titles_are_those_of_rfc_2616() {
        let cases = [
            (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "Request Range Not Satisfiable",
            ),
            (StatusCode::URI_TOO_LONG, "Request-URI Too Long"),
        ];
        for (status, title) in cases {
            let response = render(status, "", "", PLAIN);
            let reason = response.extensions().get::<ReasonPhrase>().unwrap();
            assert_eq!(reason.as_bytes(), title.as_bytes());
        }
    }
}
