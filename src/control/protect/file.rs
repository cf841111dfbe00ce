//! A file of property protections, in the dialect of Python's `configparser`.
//!
//! ```text
//! [^x_billing_.*]
//! create = admin,billing
//! read   = @
//! update = admin,billing,
//!          service_roles:billing
//! delete = !
//! ```

use super::Operation;

/// A section: what it is called is a pattern of properties' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Between the brackets.
    pub pattern: String,
    /// Where, from 1.
    pub line: usize,
    /// One for each operation, in the order of [`Operation::ALL`].
    pub permissions: Vec<Written>,
}

/// What is written for an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text; lines are separated by newlines.
    pub text: String,
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

/// Sections with this beginning are dropped: such properties are Glance's own.
const OURS: &str = "os_glance";
/// The section whose options hold in all others that lack them.
const DEFAULT: &str = "DEFAULT";

/// The sections in their order.
///
/// # Errors
/// What is no such file, and a section that lacks an operation.
pub fn parse_file(text: &str) -> Result<Vec<Section>, Error> {
    let mut raw = read(text)?;
    let default = raw.iter().position(|section| section.name == DEFAULT);
    let default = default.map(|index| raw.remove(index).options);
    let default = default.unwrap_or_default();
    raw.retain(|section| !section.name.starts_with(OURS));
    raw.into_iter()
        .map(|section| complete(section, &default))
        .collect()
}

#[derive(Debug)]
struct Raw {
    name: String,
    line: usize,
    options: Vec<(String, Written)>,
}

fn complete(section: Raw, default: &[(String, Written)]) -> Result<Section, Error> {
    let find = |operation: Operation| {
        let mut options = section.options.iter().chain(default);
        let found = options.find(|(name, _)| name == operation.as_str());
        match found {
            None => Err(at(
                section.line,
                format!("[{}] has no {}", section.name, operation.as_str()),
            )),
            Some((_, written)) if written.text.contains('%') => {
                Err(at(written.line, "a percent sign is not expected"))
            }
            Some((_, written)) => Ok(written.clone()),
        }
    };
    let permissions = Operation::ALL.into_iter().map(find);
    Ok(Section {
        permissions: permissions.collect::<Result<_, _>>()?,
        pattern: section.name,
        line: section.line,
    })
}

/// The lines, as `configparser` takes them: one that is indented more than the option before it
/// goes on with its value.
fn read(text: &str) -> Result<Vec<Raw>, Error> {
    let mut sections: Vec<Raw> = Vec::new();
    let (mut indent, mut is_open) = (0, false);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let value = line.trim();
        if value.is_empty() || value.starts_with(['#', ';']) {
            continue;
        }
        let depth = line.chars().take_while(|c| c.is_whitespace()).count();
        let last = sections.last_mut();
        if is_open
            && depth > indent
            && let Some((_, written)) = last.and_then(|section| section.options.last_mut())
        {
            written.text.push('\n');
            written.text.push_str(value);
            continue;
        }
        indent = depth;
        if let Some(name) = header(value) {
            if sections.iter().any(|section| section.name == name) {
                return Err(at(number, format!("[{name}] is there twice")));
            }
            sections.push(Raw {
                name: name.to_owned(),
                line: number,
                options: Vec::new(),
            });
            is_open = false;
            continue;
        }
        let section = sections
            .last_mut()
            .ok_or_else(|| at(number, "a [section] is expected first"))?;
        let option = option(value, number)?;
        if section.options.iter().any(|(known, _)| *known == option.0) {
            return Err(at(number, format!("{} is there twice", option.0)));
        }
        section.options.push(option);
        is_open = true;
    }
    Ok(sections)
}

/// Up to the last bracket, because patterns have brackets too.
fn header(value: &str) -> Option<&str> {
    let inner = value.strip_prefix('[')?;
    let name = &inner[..inner.rfind(']')?];
    (!name.is_empty()).then_some(name)
}

fn option(value: &str, line: usize) -> Result<(String, Written), Error> {
    let (name, text) = value
        .split_once(['=', ':'])
        .ok_or_else(|| at(line, "name = value is expected"))?;
    let name = name.trim_end().to_lowercase();
    if name.is_empty() {
        return Err(at(line, "there is no name before the ="));
    }
    let text = text.trim().to_owned();
    Ok((name, Written { text, line }))
}

fn at(line: usize, message: impl Into<String>) -> Error {
    Error {
        line,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "create = a\nread = @\nupdate: b,\n  c\nDELETE = !\n";

    fn refused(text: &str) -> usize {
        parse_file(text).unwrap_err().line
    }

    #[test]
    fn sections_are_patterns_with_four_operations() {
        let text = format!("# none\n[^x_[ab]+]\n{WHOLE}\n[os_glance_x]\n{WHOLE}");
        let sections = parse_file(&text).unwrap();
        assert_eq!(sections.len(), 1);
        assert_eq!(
            (sections[0].pattern.as_str(), sections[0].line),
            ("^x_[ab]+", 2)
        );
        let texts: Vec<&str> = sections[0]
            .permissions
            .iter()
            .map(|written| written.text.as_str())
            .collect();
        assert_eq!(texts, ["a", "@", "b,\nc", "!"]);
    }

    #[test]
    fn the_default_section_fills_in() {
        let sections = parse_file(&format!("[DEFAULT]\n{WHOLE}[x]\nread = !\n")).unwrap();
        assert_eq!(sections[0].permissions[0].text, "a");
        assert_eq!(sections[0].permissions[1].text, "!");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(refused("create = a\n"), 1);
        assert_eq!(refused("[x]\ncreate\n"), 2);
        assert_eq!(refused("[x]\ncreate = a\ncreate = b\n"), 3);
        assert_eq!(refused(&format!("[x]\n{WHOLE}[x]\n{WHOLE}")), 7);
        assert_eq!(refused("[y]\ncreate = a\n"), 1);
        assert_eq!(refused("[x]\n= a\n"), 2);
        assert_eq!(
            refused("[x]\ncreate=@\nread=%(create)s\nupdate=@\ndelete=@\n"),
            3
        );
    }
}
