//! `--config-file` and `--config-dir`, which every command takes.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::{Config, Errors, Source, Sources, load, load_node};

const FILE: &str = "config-file";
const DIR: &str = "config-dir";

/// Both, in the order in which they were given, because the later one wins.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigArgs {
    sources: Vec<Source>,
}

impl ConfigArgs {
    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Config, Errors> {
        load(&self.sources())
    }

    /// Reads the configuration of a cache node.
    pub(super) fn load_node(&self) -> Result<Config, Errors> {
        load_node(&self.sources())
    }

    fn sources(&self) -> Sources {
        let data_dir = std::env::var("FRESNEL_DATA").ok();
        Sources {
            files: self.sources.clone(),
            data_dir: data_dir.filter(|path| !path.is_empty()),
        }
    }
}

impl Args for ConfigArgs {
    fn augment_args(command: Command) -> Command {
        let path = |name, help| {
            Arg::new(name)
                .long(name)
                .value_name("PATH")
                .help(help)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
        };
        let file = "Read this configuration file; of several, the later one wins";
        let dir = "Read the *.conf files of this directory, in the order of their names";
        command.arg(path(FILE, file)).arg(path(DIR, dir))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let kinds = [
            (FILE, Source::File as fn(PathBuf) -> Source),
            (DIR, Source::Dir),
        ];
        let mut placed: Vec<(usize, Source)> = Vec::new();
        for (name, source) in kinds {
            let indices = matches.indices_of(name).into_iter().flatten();
            let paths = matches.get_many::<PathBuf>(name).into_iter().flatten();
            placed.extend(indices.zip(paths.cloned().map(source)));
        }
        placed.sort_by_key(|(index, _)| *index);
        let sources = placed.into_iter().map(|(_, source)| source).collect();
        Ok(Self { sources })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_keep_their_order() {
        let command = ConfigArgs::augment_args(Command::new("x"));
        let words = "x --config-dir d --config-file b --config-dir=a --config-file c";
        let matches = command.get_matches_from(words.split(' '));
        let found = ConfigArgs::from_arg_matches(&matches).unwrap().sources;
        let expected = [
            Source::Dir("d".into()),
            Source::File("b".into()),
            Source::Dir("a".into()),
            Source::File("c".into()),
        ];
        assert_eq!(found, expected);
    }
}
