//! Policy files: YAML, of which JSON is a part. A mapping of rules' names to their texts, or to the
//! lists of lists of old.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{
    check::Check,
    parse::{self, parse, parse_check},
};

/// Bytes of a file.
pub const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// A rule of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRule {
    /// Its name.
    pub name: String,
    /// What it says, as one would write it.
    pub text: String,
    /// The same, parsed.
    pub check: Check<String>,
    /// Where, from 1.
    pub line: usize,
}

/// What is wrong with a file, and where, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The line.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

type Result<T> = std::result::Result<T, Error>;

/// The rules of a file in their order; of two of one name the later one counts.
///
/// # Errors
/// What is no YAML, no mapping of names to rules, or no rule.
pub fn parse_file(text: &str) -> Result<Vec<FileRule>> {
    let mut events = Events {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
    };
    let Some(top) = events.document()? else {
        return Ok(Vec::new());
    };
    let Node::Mapping(entries) = top.node else {
        return Err(at(
            top.line,
            "rules are expected, each as a name, a colon and a text",
        ));
    };
    let rules = entries.into_iter().map(|(name, value)| rule(name, value));
    rules.collect()
}

fn rule(name: Placed, value: Placed) -> Result<FileRule> {
    let line = name.line;
    let Node::Text { text: name, .. } = name.node else {
        return Err(at(line, "a rule's name is a text"));
    };
    let failed = |error: parse::Error| at(value.line, format!("{name}: {error}"));
    let (text, check) = match &value.node {
        Node::Null => (String::new(), Check::Always),
        Node::Text { text, plain } if !(*plain && is_other_than_text(text)) => {
            (text.clone(), parse(text).map_err(failed)?)
        }
        Node::Sequence(alternatives) => (
            listed(alternatives),
            parse_list(alternatives).map_err(failed)?,
        ),
        Node::Text { text, .. } => {
            return Err(at(
                value.line,
                format!("{name}: {text} is no text: quote it"),
            ));
        }
        Node::Mapping(_) => return Err(at(value.line, format!("{name}: a rule is a text"))),
    };
    Ok(FileRule {
        name,
        text,
        check,
        line,
    })
}

/// The old syntax: one of the inner lists must hold, of which all checks must.
fn parse_list(alternatives: &[Placed]) -> std::result::Result<Check<String>, parse::Error> {
    let no_check = |node: &Node| parse::Error::NoCheck(node.shown());
    if alternatives.is_empty() {
        return Ok(Check::Always);
    }
    let mut any = Vec::new();
    for alternative in alternatives {
        let checks: Vec<&Node> = match &alternative.node {
            Node::Sequence(checks) => checks.iter().map(|check| &check.node).collect(),
            Node::Text { text, .. } if text.is_empty() => Vec::new(),
            Node::Null => Vec::new(),
            other => vec![other],
        };
        let all = checks.into_iter().map(|check| match check {
            Node::Text { text, .. } => parse_check(text),
            other => Err(no_check(other)),
        });
        let mut all: Vec<_> = all.collect::<std::result::Result<_, _>>()?;
        match all.len() {
            0 => {}
            1 => any.append(&mut all),
            _ => any.push(Check::All(all)),
        }
    }
    Ok(match any.len() {
        0 => Check::Never,
        1 => any.remove(0),
        _ => Check::Any(any),
    })
}

fn listed(alternatives: &[Placed]) -> String {
    let shown: Vec<String> = alternatives.iter().map(|one| one.node.shown()).collect();
    format!("[{}]", shown.join(", "))
}

/// What YAML 1.1 takes for a truth or a number, and Glance's reader for no text.
fn is_other_than_text(text: &str) -> bool {
    const TRUTHS: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];
    TRUTHS.contains(&text.to_lowercase().as_str()) || text.parse::<f64>().is_ok()
}

#[derive(Clone, Debug)]
struct Placed {
    line: usize,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Null,
    Text { text: String, plain: bool },
    Sequence(Vec<Placed>),
    Mapping(Vec<(Placed, Placed)>),
}

impl Node {
    fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text { text, .. } => format!("{text:?}"),
            Self::Sequence(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|node| node.node.shown()).collect();
                format!("[{}]", nodes.join(", "))
            }
            Self::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
}

/// Collections within each other; rules need three.
const DEPTH_MAX: usize = 4;

impl<'a> Events<'a> {
    /// The only document, if there is one.
    fn document(&mut self) -> Result<Option<Placed>> {
        let mut found = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(found),
                (Event::DocumentStart(_), span) if found.is_some() => {
                    return Err(at(span.start.line(), "a second document is not expected"));
                }
                (Event::Nothing | Event::StreamStart | Event::DocumentEnd, _) => {}
                (Event::DocumentStart(_), _) => {
                    let first = self.next()?;
                    let node = self.node(first, 0)?;
                    found = Some(node).filter(|top| !matches!(top.node, Node::Null));
                }
                (_, span) => return Err(at(span.start.line(), "not expected there")),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span)> {
        match self.parser.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(scan_error(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Placed> {
        let line = span.start.line();
        if depth > DEPTH_MAX {
            return Err(at(line, "lists within lists within lists are not expected"));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(text, style, tag.as_deref(), line)?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => (0, node.clone()),
                None => {
                    return Err(at(
                        line,
                        "an alias stands for a text with an anchor before it",
                    ));
                }
            },
            _ => return Err(at(line, "the document ends too early")),
        };
        // An alias of a collection could grow without limit.
        if let (1.., Node::Text { .. }) = (anchor, &node) {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(Placed { line, node })
    }

    fn sequence(&mut self, depth: usize) -> Result<Node> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Node::Sequence(nodes)),
                next => nodes.push(self.node(next, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Node> {
        let mut entries: Vec<(Placed, Placed)> = Vec::new();
        loop {
            let next = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Node::Mapping(entries)),
                next => next,
            };
            let name = self.node(next, depth + 1)?;
            if matches!(&name.node, Node::Text { text, plain: true } if text == "<<") {
                return Err(at(name.line, "merging mappings with << is not supported"));
            }
            let value = self.next()?;
            entries.push((name, self.node(value, depth + 1)?));
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Node> {
    let plain = matches!(style, ScalarStyle::Plain);
    match tag {
        None => {}
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {}
        // A reader of YAML makes an empty text of it, and that is everybody.
        Some(_) if text.is_empty() => {
            return Err(at(line, "! is a sign of YAML: write \"!\" for nobody"));
        }
        Some(_) => return Err(at(line, "tags are not expected")),
    }
    let null = plain && tag.is_none() && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
    Ok(match null {
        true => Node::Null,
        false => Node::Text {
            text: text.into_owned(),
            plain,
        },
    })
}

fn scan_error(error: &ScanError) -> Error {
    at(error.marker().line(), error.info())
}

fn at(line: usize, message: impl Into<String>) -> Error {
    Error {
        line: line.max(1),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(String, String, usize)> {
        let rules = parse_file(text).unwrap().into_iter();
        rules
            .map(|rule| (rule.name, rule.text, rule.line))
            .collect()
    }

    fn refused(text: &str) -> (usize, String) {
        let error = parse_file(text).unwrap_err();
        (error.line, error.message)
    }

    #[test]
    fn yaml_and_json_are_read() {
        let yaml = "# comment\n\"a\": \"role:x\"\n\nb: role:y and\n  role:z\n";
        let found = rules(yaml);
        assert_eq!(found[0], ("a".into(), "role:x".into(), 2));
        assert_eq!(found[1], ("b".into(), "role:y and role:z".into(), 4));
        assert_eq!(rules("{\n \"a\": \"\",\n \"b\": \"!\"\n}").len(), 2);
        assert!(rules("").is_empty() && rules("# nothing\n").is_empty());
    }

    #[test]
    fn lists_of_lists_are_alternatives() {
        let list = parse_file("a: [['role:x', 'role:y'], ['role:z']]").unwrap();
        let text = parse_file("a: (role:x and role:y) or role:z").unwrap();
        assert_eq!(list[0].check, text[0].check);
        assert_eq!(parse_file("a: []").unwrap()[0].check, Check::Always);
        assert_eq!(parse_file("a: [[]]").unwrap()[0].check, Check::Never);
    }

    #[test]
    fn an_anchor_stands_for_its_text() {
        let found = rules("a: &admin role:admin\nb: *admin\n");
        assert_eq!(found[1].1, "role:admin");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(refused("a: role:x\nb: admin\n").0, 2);
        assert_eq!(refused("a: role:x\n- b\n").0, 2);
        assert_eq!(refused("- a\n- b\n").0, 1);
        assert_eq!(refused("a: yes").0, 1);
        assert_eq!(refused("a: {b: c}").0, 1);
        assert_eq!(refused("a: ''\n---\nb: ''\n").0, 2);
        let (line, message) = refused("a: role:x\nb: !\n");
        assert_eq!((line, message.contains("nobody")), (2, true));
    }
}
