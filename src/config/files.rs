//! The files that were named, and what they say about an option.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Problem, Source, dialect};

/// A line of a file. Places are ordered as the files were given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    file_index: usize,
    file: Arc<str>,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An assignment and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The section, as oslo.config compares it.
    pub section: String,
    /// The name.
    pub key: String,
    /// The value, before substitution.
    pub value: String,
    /// Where.
    pub place: Place,
}

/// All assignments, those of one file together, in the order of the command line: the later one
/// wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    files: Vec<Vec<Entry>>,
    names: Vec<String>,
    search: Vec<PathBuf>,
}

impl Files {
    /// Reads files, and the `*.conf` of directories in the order of their names.
    pub(crate) fn read(sources: &[Source], problems: &mut Vec<Problem>) -> Self {
        let mut files = Self {
            search: search(sources),
            ..Self::default()
        };
        for source in sources {
            match source {
                Source::File(path) => files.read_file(path, problems),
                Source::Dir(path) => files.read_dir(path, problems),
            }
        }
        files
    }

    /// Adds a file's text; `name` is what its places are called.
    pub(crate) fn add(&mut self, name: &str, text: &str, problems: &mut Vec<Problem>) {
        let file: Arc<str> = name.into();
        let place = |line| Place {
            file_index: self.files.len(),
            file: Arc::clone(&file),
            line,
        };
        let (assignments, errors) = dialect::parse(text);
        problems.extend(errors.into_iter().map(|error| Problem {
            place: Some(place(error.line)),
            message: error.to_string(),
        }));
        let entries = assignments.into_iter().map(|assignment| Entry {
            section: normalized(&assignment.section),
            key: assignment.key,
            value: assignment.value,
            place: place(assignment.line),
        });
        self.files.push(entries.collect());
    }

    /// What the files say under any of `names`, which are pairs of section and option, the current
    /// name first. What counts comes last.
    pub(crate) fn find(&self, names: &[(String, &str)]) -> Vec<&Entry> {
        let mut found = Vec::new();
        for file in &self.files {
            for (section, key) in names.iter().rev() {
                let same = |entry: &&Entry| entry.section == *section && entry.key == *key;
                found.extend(file.iter().filter(same));
            }
        }
        found
    }

    /// What they are called, in their order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The directories in which other files that the operator names are looked for.
    pub(crate) fn search(&self) -> &[PathBuf] {
        &self.search
    }

    /// Every assignment.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().flatten()
    }

    fn read_dir(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        let listed = fs::read_dir(path).and_then(|entries| {
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<Result<Vec<_>, _>>()
        });
        match listed {
            Err(error) => problems.push(Problem::nowhere(format!("{}: {error}", path.display()))),
            Ok(mut paths) => {
                paths.retain(|path| {
                    let name = path.file_name().and_then(|name| name.to_str());
                    name.is_some_and(|name| name.ends_with(".conf") && !name.starts_with('.'))
                });
                paths.sort();
                for path in &paths {
                    self.read_file(path, problems);
                }
            }
        }
    }

    fn read_file(&mut self, path: &Path, problems: &mut Vec<Problem>) {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => {
                self.add(&name, &text, problems);
                self.names.push(name);
            }
            Err(error) => problems.push(Problem::nowhere(format!("{name}: {error}"))),
        }
    }
}

/// As oslo.config looks for files: in the directories of configuration, beside the files of it, the
/// last one first, and where Glance's are. Nothing is looked for where nothing is configured.
fn search(sources: &[Source]) -> Vec<PathBuf> {
    if sources.is_empty() {
        return Vec::new();
    }
    let dirs = sources.iter().filter_map(|source| match source {
        Source::Dir(path) => Some(path.clone()),
        Source::File(_) => None,
    });
    let beside = sources.iter().rev().filter_map(|source| match source {
        Source::File(path) => Some(path.parent()?.to_owned()),
        Source::Dir(_) => None,
    });
    let home = env::var_os("HOME").map(PathBuf::from);
    let home = home.map_or(Vec::new(), |home| vec![home.join(".glance"), home]);
    let fixed = ["/etc/glance", "/etc"].map(PathBuf::from);
    dirs.chain(beside).chain(home).chain(fixed).collect()
}

/// A section's name as oslo.config compares it: in lower case, but for `DEFAULT`.
pub(super) fn normalized(section: &str) -> String {
    if section == "DEFAULT" {
        return section.to_owned();
    }
    section.to_lowercase()
}
