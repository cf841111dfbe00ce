//! Looks options up: files, older names, substitution, types, bounds, defaults.

use std::{collections::HashSet, slice};

use super::{
    Problem, all_options, dialect,
    files::{Entry, Files, Place, normalized},
    option::Opt,
    unsupported,
    value::Value,
};

/// `$a` may lead to a value with `$b`: so often, and then it is taken for a circle.
const SUBSTITUTION_DEPTH_MAX: usize = 16;

/// An option's value as it is in force.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The section that it was asked for in.
    pub section: String,
    /// The option.
    pub option: &'static Opt,
    /// The values after substitution, written as in a file and without secrets: none where it is
    /// not set, several only where it may be given more than once.
    pub shown: Vec<String>,
    /// Where it is set; none for a default.
    pub place: Option<Place>,
}

/// Reads values and collects what is wrong with them, so that all is reported at once.
pub(crate) struct Reader<'a> {
    files: &'a Files,
    /// What the environment sets, below every file.
    environment: Vec<(&'static str, &'static str, String)>,
    used: HashSet<*const Entry>,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
}

/// What reading found beside the values.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Every option that was looked up.
    pub effective: Vec<Effective>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader over `files`; `environment` holds section, name and value of what the environment
    /// sets in place of a default.
    pub(crate) fn new(
        files: &'a Files,
        environment: Vec<(&'static str, &'static str, String)>,
    ) -> Self {
        Self {
            files,
            environment,
            used: HashSet::new(),
            effective: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The value of an option: from the first of `sections` that has it, else its default. What is
    /// wrong with it is remembered, and the default returned.
    pub(crate) fn value<T: Value>(&mut self, option: &'static Opt, sections: &[&str]) -> T {
        let mut found: (&str, Vec<&Entry>) = (sections[0], Vec::new());
        for section in sections {
            let entries = self.files.find(&names(option, section));
            self.used
                .extend(entries.iter().map(|entry| &raw const **entry));
            if found.1.is_empty() {
                found = (section, entries);
            }
        }
        let (section, mut entries) = found;
        if !T::MANY {
            entries.drain(..entries.len().saturating_sub(1));
        }
        match self.parse(option, sections[0], section, &entries) {
            Ok(Some(value)) => value,
            Ok(None) => self.default(option, sections[0]),
            Err(problem) => {
                self.problems.push(problem);
                self.default(option, sections[0])
            }
        }
    }

    /// The text that the files set an option to, substituted, and where.
    pub(crate) fn text(&mut self, section: &str, name: &str) -> Option<(String, Place)> {
        let entries = self.files.find(&[(normalized(section), name)]);
        self.used
            .extend(entries.iter().map(|entry| &raw const **entry));
        let last = entries.last()?;
        let text = self.substitute(section, &last.value, 0);
        let text = text.unwrap_or_else(|_| last.value.clone());
        Some((text, last.place.clone()))
    }

    /// Where an option that was looked up is set; none when it has its default.
    pub(crate) fn place(&self, section: &str, name: &str) -> Option<Place> {
        let same =
            |effective: &&Effective| effective.section == section && effective.option.name == name;
        self.effective.iter().find(same)?.place.clone()
    }

    /// Remembers that an option cannot be as it is.
    pub(crate) fn refuse(&mut self, section: &str, name: &str, reason: &str) {
        let place = self.place(section, name);
        self.refuse_at(place, section, name, reason);
    }

    /// The same, where the place is known.
    pub(crate) fn refuse_at(
        &mut self,
        place: Option<Place>,
        section: &str,
        name: &str,
        reason: &str,
    ) {
        let message = format!("[{section}] {name}: {reason}");
        self.problems.push(Problem { place, message });
    }

    /// Remembers what is wrong with another file, which the message names.
    pub(crate) fn refuse_outside(&mut self, message: String) {
        self.problems.push(Problem::nowhere(message));
    }

    /// What nobody asked for.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &'a Entry> {
        let unused = |entry: &&Entry| !self.used.contains(&(&raw const **entry));
        self.files.iter().filter(unused)
    }

    /// A path below `[fresnel] data_dir`.
    pub(crate) fn path_below_data_dir(&self, name: &str) -> String {
        let path = format!("${{fresnel.data_dir}}/{name}");
        self.substitute("fresnel", &path, 0)
            .unwrap_or_else(|_| name.to_owned())
    }

    /// Ends reading.
    pub(crate) fn finish(self) -> Findings {
        Findings {
            effective: self.effective,
            problems: self.problems,
        }
    }

    fn parse<T: Value>(
        &mut self,
        option: &'static Opt,
        asked: &str,
        section: &str,
        found: &[&Entry],
    ) -> Result<Option<T>, Problem> {
        let Some(last) = found.last() else {
            return Ok(None);
        };
        let mut texts = Vec::new();
        for entry in found {
            let fault = |reason: String| Problem {
                place: Some(entry.place.clone()),
                message: format!("[{asked}] {}: {reason}", option.name),
            };
            let text = self.substitute(section, &entry.value, 0);
            texts.push(text.map_err(fault)?);
        }
        let parsed = T::parse_all(&texts).and_then(|value| in_bounds(option, value));
        self.record(option, asked, &texts, Some(last.place.clone()));
        parsed.map(Some).map_err(|reason| Problem {
            place: Some(last.place.clone()),
            message: format!("[{asked}] {}: {reason}", option.name),
        })
    }

    fn default<T: Value>(&mut self, option: &'static Opt, asked: &str) -> T {
        let Some(text) = self.default_text(option) else {
            self.record(option, asked, &[], None);
            return T::unset().expect("an option without a default may be unset");
        };
        let substituted = self.substitute(option.section, &text, 0);
        let parsed = substituted.and_then(|text| {
            self.record(option, asked, slice::from_ref(&text), None);
            T::parse(&text)
        });
        parsed.unwrap_or_else(|reason| {
            self.refuse_at(None, asked, option.name, &reason);
            let declared = option.default.expect("it has a default");
            T::parse(declared).expect("a default is of its option's type")
        })
    }

    fn default_text(&self, option: &Opt) -> Option<String> {
        let same = |set: &&(&str, &str, String)| set.0 == option.section && set.1 == option.name;
        let environment = self.environment.iter().find(same);
        environment
            .map(|set| set.2.replace('$', "$$"))
            .or_else(|| option.default.map(str::to_owned))
    }

    fn record(
        &mut self,
        option: &'static Opt,
        asked: &str,
        texts: &[String],
        place: Option<Place>,
    ) {
        let known = |effective: &Effective| {
            effective.section == asked && effective.option.name == option.name
        };
        if !self.effective.iter().any(known) {
            let show = |text: &String| dialect::quote(&(option.show)(text)).replace('$', "\\$");
            self.effective.push(Effective {
                section: asked.to_owned(),
                option,
                shown: texts.iter().map(show).collect(),
                place,
            });
        }
    }

    /// Replaces `$name`, `${name}`, `$group.name` and `${group.name}`; `$$` and `\$` are a dollar.
    fn substitute(&self, section: &str, text: &str, depth: usize) -> Result<String, String> {
        if depth > SUBSTITUTION_DEPTH_MAX {
            return Err("its $ references lead back to itself".to_owned());
        }
        let text = text.replace("\\$", "$$");
        let (mut result, mut rest) = (String::new(), text.as_str());
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            (result, rest) = match reference(after) {
                Reference::Dollar => (result + "$", &after[1..]),
                Reference::None => (result + "$", after),
                Reference::Name { name, rest } => {
                    (result + &self.referred(section, name, depth)?, rest)
                }
            };
        }
        Ok(result + rest)
    }

    fn referred(&self, section: &str, name: &str, depth: usize) -> Result<String, String> {
        let near = match name.split_once('.') {
            Some((group, option)) => (group, option),
            None => (section, name),
        };
        for (section, name) in [near, ("DEFAULT", name)] {
            let option = all_options().find(|o| o.section == section && o.name == name);
            let names = match option {
                Some(option) => names(option, section),
                None if is_elsewhere(section, name) => vec![(normalized(section), name)],
                None => continue,
            };
            if let Some(entry) = self.files.find(&names).last() {
                return self.substitute(section, &entry.value, depth + 1);
            }
            if let Some(option) = option {
                let text = self.default_text(option).unwrap_or_default();
                return self.substitute(section, &text, depth + 1);
            }
        }
        Err(format!(
            "${name} is not an option that is set or has a default (a dollar is written $$)"
        ))
    }
}

enum Reference<'a> {
    /// A second dollar.
    Dollar,
    /// Nothing that is a name: the dollar stays.
    None,
    Name {
        name: &'a str,
        rest: &'a str,
    },
}

/// What follows a dollar (Python's `string.Template` with oslo.config's pattern of names).
fn reference(after: &str) -> Reference<'_> {
    if after.starts_with('$') {
        return Reference::Dollar;
    }
    let braced = after.strip_prefix('{');
    let text = braced.unwrap_or(after);
    let letter = |c: char| c == '_' || c.is_ascii_alphabetic();
    if !text.starts_with(letter) {
        return Reference::None;
    }
    let more = |c: char| letter(c) || c == '.' || c.is_ascii_digit();
    let (name, rest) = text.split_at(text.find(|c| !more(c)).unwrap_or(text.len()));
    match (braced, rest.strip_prefix('}')) {
        (None, _) => Reference::Name { name, rest },
        (Some(_), Some(rest)) => Reference::Name { name, rest },
        (Some(_), None) => Reference::None,
    }
}

/// Whether there is such an option though none that is supported in that very section: one of
/// Glance's, or one of a store's in the store's own.
fn is_elsewhere(section: &str, name: &str) -> bool {
    let of_store = |option: &Opt| option.section == "glance_store" && option.name == name;
    unsupported::is_known(section, name) || all_options().any(of_store)
}

/// Where an option may stand when it is asked for in `section`: there, and under its older names.
fn names(option: &'static Opt, section: &str) -> Vec<(String, &'static str)> {
    let mut names = vec![(normalized(section), option.name)];
    names.extend(option.was.iter().map(|(s, name)| (normalized(s), *name)));
    names
}

fn in_bounds<T: Value>(option: &Opt, value: T) -> Result<T, String> {
    let Some(number) = value.as_number() else {
        return Ok(value);
    };
    match (option.min, option.max) {
        (Some(min), _) if number < min => Err(format!("{number} is less than {min}")),
        (_, Some(max)) if number > max => Err(format!("{number} is more than {max}")),
        _ => Ok(value),
    }
}
