//! The text of an oslo.config file, split into assignments (oslo.config's `iniparser`).
//!
//! ```text
//! # a comment; so is a line that begins with ;
//! [section]
//! key = value        or        key: value        "quotes around a whole value are taken off"
//! key = first line
//!     a line that begins with white space goes on with the value
//! ```
//!
//! Nothing here knows options: what a value means is decided in [`super::value`].

/// One `key = value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The section as it is written, without brackets.
    pub section: String,
    /// The name before the first `=` or `:`.
    pub key: String,
    /// The value, its continuation lines joined by line feeds.
    pub value: String,
    /// The line of the key, counted from 1.
    pub line: usize,
}

/// A line that is not in the dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {text:?}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
    /// The line, or its key alone where it has one: a value may be a secret.
    pub text: String,
}

/// Splits a file. Every line that cannot be read is reported, and reading goes on after it.
pub fn parse(text: &str) -> (Vec<Assignment>, Vec<SyntaxError>) {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        parser.line(index + 1, line.trim_end());
    }
    (parser.assignments, parser.errors)
}

/// Writes an assignment's value so that [`parse`] reads it back, where the dialect can: it has no
/// way to write an empty line, or white space at the ends of one of several lines.
pub fn quote(value: &str) -> String {
    if value.contains('\n') {
        return value.replace('\n', "\n    ");
    }
    if value.trim() != value || unquote(value) != value {
        return format!("\"{value}\"");
    }
    value.to_owned()
}

#[derive(Default)]
struct Parser {
    section: Option<String>,
    /// Whether the line before belongs to the last assignment, so that this one may go on with it.
    open: bool,
    assignments: Vec<Assignment>,
    errors: Vec<SyntaxError>,
}

impl Parser {
    fn line(&mut self, line: usize, text: &str) {
        if text.starts_with([' ', '\t']) {
            return self.continuation(line, text);
        }
        self.open = false;
        if text.is_empty() || text.starts_with(['#', ';']) {
            return;
        }
        if text.starts_with('[') {
            return self.section(line, text);
        }
        self.assignment(line, text);
    }

    fn continuation(&mut self, line: usize, text: &str) {
        match self.assignments.last_mut() {
            Some(last) if self.open => {
                last.value.push('\n');
                last.value.push_str(text.trim_start());
            }
            _ => self.error(line, "a continuation line without a value before it", ""),
        }
    }

    fn section(&mut self, line: usize, text: &str) {
        match text[1..].strip_suffix(']') {
            None => self.error(line, "a section must end with ]", text),
            Some("") => self.error(line, "a section needs a name", text),
            Some(name) => self.section = Some(name.to_owned()),
        }
    }

    fn assignment(&mut self, line: usize, text: &str) {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            return self.error(line, "neither a section nor an assignment", "");
        };
        let key = key.trim();
        let Some(section) = &self.section else {
            return self.error(line, "an assignment before the first section", key);
        };
        if key.is_empty() {
            return self.error(line, "an assignment without a name", "");
        }
        self.assignments.push(Assignment {
            section: section.clone(),
            key: key.to_owned(),
            value: unquote(value.trim()).to_owned(),
            line,
        });
        self.open = true;
    }

    fn error(&mut self, line: usize, reason: &'static str, text: &str) {
        let text = text.to_owned();
        self.errors.push(SyntaxError { line, reason, text });
    }
}

/// Takes off quotes that are the first and the last letter. As in oslo.config, a lone quote is
/// both, and so an empty value.
fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (assignments, errors) = parse(text);
        assert_eq!(errors, []);
        assignments.into_iter().map(|a| (a.key, a.value)).collect()
    }

    fn value(line: &str) -> String {
        values(&format!("[s]\n{line}")).remove(0).1
    }

    #[test]
    fn the_first_separator_splits() {
        assert_eq!(value("a = b=c:d"), "b=c:d");
        assert_eq!(value("a: b=c"), "b=c");
        assert_eq!(value("a="), "");
    }

    #[test]
    fn quotes_around_the_whole_value_go() {
        assert_eq!(value("a = ' b '"), " b ");
        assert_eq!(value("a = \"b\""), "b");
        assert_eq!(value("a = \"b"), "\"b");
        assert_eq!(value("a = '"), "");
        assert_eq!(value("a = \"b'"), "\"b'");
    }

    #[test]
    fn an_indented_line_goes_on_with_the_value() {
        assert_eq!(value("a = b\n  c\n\td"), "b\nc\nd");
        assert_eq!(value("a =\n  c # kept"), "\nc # kept");
    }

    #[test]
    fn comments_and_blank_lines_end_a_value() {
        let text = "[s]\na = b\n# x\nc = d\n\n; y\ne = f\n";
        let pairs = values(text);
        let expected = [("a", "b"), ("c", "d"), ("e", "f")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn every_bad_line_is_reported() {
        let (assignments, errors) = parse("a = b\n[]\n[s\nword\n\n  x\n[t]\n= secret\nc = d");
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6, 8]);
        assert!(!format!("{errors:?}").contains("secret"));
        assert_eq!(assignments.len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "(?s).{0,200}") {
            parse(&text);
        }

        #[test]
        fn dialect_shaped_text_can_be_read(text in "([\\[\\]=:#;'\" \ta-c]{0,9}\r?\n){0,20}") {
            parse(&text);
        }

        #[test]
        fn what_is_quoted_reads_back(value in "[ -~]{0,40}|[#-&(-~]{0,9}(\n[!-~]([ -~]{0,9}[!-~])?){1,3}") {
            let (assignments, errors) = parse(&format!("[s]\nkey = {}\n", quote(&value)));
            prop_assert_eq!(errors, []);
            prop_assert_eq!(&assignments[0].value, &value);
        }
    }
}
