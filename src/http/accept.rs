//! Which of a few media types a client wants (RFC 9110 12.5.1).

/// The best of `offers` (full types, most preferred first) for an `Accept` header, absent or not.
/// `None` when the header, or its absence, accepts none of them.
///
/// As webob has it: a header that is not well-formed accepts everything, an absent or empty one
/// nothing.
pub fn preferred<'offer>(accept: Option<&str>, offers: &[&'offer str]) -> Option<&'offer str> {
    let Some(ranges) = parse(accept.unwrap_or_default()) else {
        return offers.first().copied();
    };
    let mut best: Option<(&str, u16)> = None;
    for &offer in offers {
        let weight = weight(offer, &ranges);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((offer, weight));
        }
    }
    best.map(|(offer, _)| offer)
}

struct Range {
    media: String,
    /// Whether it has parameters, which no offer of ours matches.
    narrowed: bool,
    /// Thousandths.
    weight: u16,
}

/// The weight of the most specific range that matches; the first of equals.
fn weight(offer: &str, ranges: &[Range]) -> u16 {
    let kind = offer.split('/').next().unwrap_or_default();
    [offer, &format!("{kind}/*"), "*/*"]
        .iter()
        .find_map(|media| {
            let exact = *media == offer;
            ranges
                .iter()
                .find(|range| range.media == *media && !(exact && range.narrowed))
        })
        .map_or(0, |range| range.weight)
}

/// `None` for a header that is not well-formed.
fn parse(accept: &str) -> Option<Vec<Range>> {
    let mut ranges = Vec::new();
    for element in split_unquoted(accept, ',') {
        let element = element.trim_matches([' ', '\t']);
        if !element.is_empty() {
            ranges.push(range(element)?);
        }
    }
    Some(ranges)
}

fn range(element: &str) -> Option<Range> {
    let mut parts = split_unquoted(element, ';').map(|part| part.trim_matches([' ', '\t']));
    let media = parts.next()?;
    let (kind, subtype) = media.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(())?;
    let mut range = Range {
        media: media.to_ascii_lowercase(),
        narrowed: false,
        weight: 1000,
    };
    let mut weighed = false;
    for part in parts {
        match part.split_once('=') {
            Some(("q" | "Q", value)) if !weighed => {
                weighed = true;
                range.weight = qvalue(value)?;
            }
            Some((name, value)) if is_token(name) && (is_token(value) || is_quoted(value)) => {
                range.narrowed |= !weighed;
            }
            // Only what follows the weight may be a bare word.
            None if weighed && is_token(part) => {}
            _ => return None,
        }
    }
    Some(range)
}

/// `0.123` in thousandths.
fn qvalue(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// Splits at `separator`, except inside quoted strings.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let splits = letter == separator && !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        splits
    })
}

fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

fn is_quoted(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = "text/html";
    const JSON: &str = "application/json";

    /// Expectations by webob 1.8.9's `create_accept_header(...).acceptable_offers([HTML, JSON])`.
    #[test]
    fn prefers_what_webob_prefers() {
        let cases = [
            (None, None),
            (Some(""), None),
            (Some("*/*"), Some(HTML)),
            (Some("application/json"), Some(JSON)),
            (Some("Application/JSON"), Some(JSON)),
            (Some("application/json, text/html"), Some(HTML)),
            (Some("application/json, text/html;q=0.9"), Some(JSON)),
            (Some("application/json;q=0.8, */*;q=0.9"), Some(HTML)),
            (Some("text/html;q=0, */*"), Some(JSON)),
            (Some("application/*, */*;q=0.1"), Some(JSON)),
            (Some("text/html;level=1"), None),
            (
                Some("text/html;level=1, application/json;q=0.1"),
                Some(JSON),
            ),
            (Some("text/plain"), None),
            (Some("application/octet-stream"), None),
            (Some(",, application/json ,"), Some(JSON)),
            (Some("*/json"), None),
            (Some("application/json;q="), Some(HTML)),
            (
                Some("application/json ; q=0.5 , text/html;q=0.4"),
                Some(JSON),
            ),
            (Some("a/b;c=\"x\\\"y\""), None),
            (Some("application/json;q=1.5"), Some(HTML)),
            (Some("application/json;q=0.1234"), Some(HTML)),
            (Some("json"), Some(HTML)),
            (Some("text/html;a=\"b,c\";q=0.5"), None),
            (Some("application/json;q=0.5;ext;more=1"), Some(JSON)),
            (Some("application/json;bare"), Some(HTML)),
        ];
        for (accept, expected) in cases {
            assert_eq!(preferred(accept, &[HTML, JSON]), expected, "{accept:?}");
        }
    }
}
