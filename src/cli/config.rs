//! `fresnel config check` and `fresnel config show`

use std::io::{self, Write};

use super::{Failure, sources::ConfigArgs};
use crate::config::Effective;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say all that is wrong with the configuration, with file and line
    Check(ConfigArgs),
    /// Print every option with its value in force; passwords are masked
    Show(ConfigArgs),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(args) => {
            let config = args.load()?;
            for warning in &config.warnings {
                writeln!(io::stdout(), "warning: {warning}")?;
            }
            writeln!(io::stdout(), "The configuration is valid.")?;
        }
        Command::Show(args) => {
            let config = args.load()?;
            io::stdout().write_all(render(&config.effective).as_bytes())?;
        }
    }
    Ok(())
}

/// A configuration file that says what is in force: defaults are comments.
fn render(effective: &[Effective]) -> String {
    let mut sections: Vec<&str> = effective.iter().map(|e| e.section.as_str()).collect();
    sections.sort_by_key(|section| (*section != "DEFAULT", *section));
    sections.dedup();
    let mut text = String::new();
    for section in sections {
        text += &format!("[{section}]\n");
        let own = effective.iter().filter(|e| e.section == section);
        text.extend(own.map(lines));
        text += "\n";
    }
    text
}

fn lines(effective: &Effective) -> String {
    let name = effective.option.name;
    let values = &effective.shown;
    match &effective.place {
        None if values.is_empty() => format!("# {name} is not set\n"),
        None => format!("# {name} = {}\n", values.join(", ")),
        Some(place) => {
            let lines = values.iter().map(|value| format!("{name} = {value}\n"));
            format!("# {place}\n{}", lines.collect::<String>())
        }
    }
}
