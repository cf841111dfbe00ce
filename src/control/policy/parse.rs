//! The policy language (reference C.8): `role:member and (project_id:%(project_id)s or ...)`.
//!
//! `or` binds weaker than `and`, `not` strongest; whitespace separates; parentheses stand at the
//! beginning and end of words. What oslo.policy cannot parse, and therefore denies after a line in
//! its log, is an error here.

use super::check::{Attribute, Check, Template};

/// Parentheses and `not`s within each other.
const DEPTH_MAX: usize = 100;

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum Error {
    #[error("{0:?} is not a check, which is kind:match")]
    NoCheck(String),
    #[error("{0:?}: quotes stand around the literal on a check's left side only")]
    Quoted(String),
    #[error("{0:?} on a check's left side is neither an attribute nor a literal")]
    NoAttribute(String),
    #[error("{0:?}: only %(name)s can follow a percent sign, and %% for the sign itself")]
    Percent(String),
    #[error("the rule ends too early")]
    Early,
    #[error("{0:?} is not expected there")]
    Unexpected(String),
    #[error("more than {DEPTH_MAX} parentheses within each other")]
    TooDeep,
}

type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check<String>, String),
}

/// Parses a rule.
///
/// # Errors
/// What cannot be understood, in its words.
pub fn parse(text: &str) -> Result<Check<String>> {
    if text.is_empty() {
        return Ok(Check::Always);
    }
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        depth: 0,
    };
    let check = parser.any()?;
    match parser.tokens.next() {
        None => Ok(check),
        Some(token) => Err(token.unexpected()),
    }
}

/// One check, `kind:match`, which may hold any letters.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_check(text: &str) -> Result<Check<String>> {
    match text {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    let (kind, right) = text
        .split_once(':')
        .ok_or_else(|| Error::NoCheck(text.to_owned()))?;
    Ok(match kind {
        "rule" => Check::Rule(right.to_owned()),
        "role" => Check::Role(template(right)?.lower_case()),
        "http" | "https" => Check::Remote(template(text)?),
        _ => {
            let equals = template(right)?;
            match literal(kind)? {
                Some(value) => Check::Literal { value, equals },
                None => Check::Caller {
                    attribute: Attribute::named(kind),
                    equals,
                },
            }
        }
    })
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Check<String>> {
        let mut checks = vec![self.all()?];
        while self.tokens.next_if(|t| matches!(t, Token::Or)).is_some() {
            checks.push(self.all()?);
        }
        Ok(single_or(checks, Check::Any))
    }

    fn all(&mut self) -> Result<Check<String>> {
        let mut checks = vec![self.one()?];
        while self.tokens.next_if(|t| matches!(t, Token::And)).is_some() {
            checks.push(self.one()?);
        }
        Ok(single_or(checks, Check::All))
    }

    fn one(&mut self) -> Result<Check<String>> {
        if self.depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        let check = match self.tokens.next().ok_or(Error::Early)? {
            Token::Not => Check::Not(Box::new(self.one()?)),
            Token::Check(check, _) => check,
            Token::Open => {
                let check = self.any()?;
                match self.tokens.next().ok_or(Error::Early)? {
                    Token::Close => check,
                    other => return Err(other.unexpected()),
                }
            }
            other @ (Token::Close | Token::And | Token::Or) => return Err(other.unexpected()),
        };
        self.depth -= 1;
        Ok(check)
    }
}

impl Token {
    fn unexpected(self) -> Error {
        Error::Unexpected(match self {
            Self::Open => "(".to_owned(),
            Self::Close => ")".to_owned(),
            Self::And => "and".to_owned(),
            Self::Or => "or".to_owned(),
            Self::Not => "not".to_owned(),
            Self::Check(_, text) => text,
        })
    }
}

fn single_or(
    mut checks: Vec<Check<String>>,
    several: fn(Vec<Check<String>>) -> Check<String>,
) -> Check<String> {
    match checks.len() {
        1 => checks.remove(0),
        _ => several(checks),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let inner = word.trim_start_matches('(');
        tokens.extend((inner.len()..word.len()).map(|_| Token::Open));
        let core = inner.trim_end_matches(')');
        match core.to_lowercase().as_str() {
            "" => {}
            "and" => tokens.push(Token::And),
            "or" => tokens.push(Token::Or),
            "not" => tokens.push(Token::Not),
            // Judged with its closing parentheses, as oslo.policy does.
            _ if is_quoted(inner) => return Err(Error::Quoted(inner.to_owned())),
            _ => tokens.push(Token::Check(parse_check(core)?, core.to_owned())),
        }
        tokens.extend((core.len()..inner.len()).map(|_| Token::Close));
    }
    Ok(tokens)
}

/// Python's whitespace.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter)
}

fn is_quoted(text: &str) -> bool {
    let within = |quote: char| text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote);
    within('"') || within('\'')
}

/// What Python shows of a literal; none where the text is the name of an attribute.
fn literal(kind: &str) -> Result<Option<String>> {
    let unknown = || Error::NoAttribute(kind.to_owned());
    if matches!(kind, "True" | "False" | "None") {
        return Ok(Some(kind.to_owned()));
    }
    if is_quoted(kind) {
        let (quote, inner) = (&kind[..1], &kind[1..kind.len() - 1]);
        let plain = !inner.contains(quote) && !inner.contains('\\');
        return plain.then(|| Some(inner.to_owned())).ok_or_else(unknown);
    }
    if kind.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
        let (sign, digits) = match kind.split_at_checked(1) {
            Some(("-", digits)) => ("-", digits),
            Some(("+", digits)) => ("", digits),
            _ => ("", kind),
        };
        let plain = digits == "0" || (!digits.starts_with('0') && !digits.is_empty());
        return match plain && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true if digits == "0" => Ok(Some("0".to_owned())),
            true => Ok(Some(format!("{sign}{digits}"))),
            false => Err(unknown()),
        };
    }
    let name = |part: &str| {
        part.starts_with(|c: char| c == '_' || c.is_alphabetic())
            && part
                .chars()
                .all(|c| c == '_' || c == '-' || c.is_alphanumeric())
    };
    match kind.split('.').all(name) {
        true => Ok(None),
        false => Err(unknown()),
    }
}

/// Python's `%` with a mapping, of which `%(name)s` and `%%` are understood.
fn template(text: &str) -> Result<Template> {
    let mut pieces = Vec::new();
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(more) = after.strip_prefix('%') {
            plain.push('%');
            rest = more;
            continue;
        }
        let (key, more) = key(after).ok_or_else(|| Error::Percent(text.to_owned()))?;
        if !plain.is_empty() {
            pieces.push(Template::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Template::Key(key.to_owned()));
        rest = more;
    }
    plain.push_str(rest);
    if pieces.is_empty() {
        return Ok(Template::Text(plain));
    }
    if !plain.is_empty() {
        pieces.push(Template::Text(plain));
    }
    Ok(match pieces.len() {
        1 => pieces.remove(0),
        _ => Template::Pieces(pieces),
    })
}

/// The name in `(name)s`, in which parentheses come in pairs, and what follows.
fn key(after: &str) -> Option<(&str, &str)> {
    let inner = after.strip_prefix('(')?;
    let mut depth = 1;
    for (at, letter) in inner.char_indices() {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            let rest = inner[at + 1..].strip_prefix('s')?;
            return Some((&inner[..at], rest));
        }
    }
    None
}

impl Template {
    /// Roles are compared in lower case.
    fn lower_case(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.to_lowercase()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn and_binds_more_than_or_and_not_most() {
        let (a, b, c) = ("role:a", "role:b", "role:c");
        let spelled = format!("{a} or not {b} and {c}");
        let bracketed = format!("({a} or ((not {b}) AND {c}))");
        assert_eq!(parse(&spelled), parse(&bracketed));
        assert!(parse(&spelled).is_ok());
    }

    #[test]
    fn what_oslo_policy_denies_after_a_line_in_its_log_is_an_error() {
        for text in [
            " ",
            "admin",
            "role:a role:b",
            "role:a and",
            "(role:a",
            "role:a)",
            "()",
            "not",
            "'quoted'",
            "'public':'public'",
            "or role:a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_python_cannot_format_or_compare_is_an_error() {
        for text in [
            "a:%s", "a:%", "a:%(x)d", "a:%(x", "1a:b", ":b", "07:x", "{}:x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn templates_have_keys_and_percent_signs() {
        let Ok(Check::Caller { equals, .. }) = parse("user_id:a%%%(b)sc") else {
            panic!("it is a comparison");
        };
        let expected = [
            Template::Text("a%".into()),
            Template::Key("b".into()),
            Template::Text("c".into()),
        ];
        assert_eq!(equals, Template::Pieces(expected.into()));
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = format!("{}role:a{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(parse(&deep), Err(Error::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error(text in "(?s).{0,80}") {
            let _ = parse(&text);
        }
    }
}
