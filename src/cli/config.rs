//! `fresnel config check` and `fresnel config show`

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Failure, sources::ConfigArgs};
use crate::config::{Effective, Errors};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say all that is wrong with the configuration, and with the files and directories that it names, with
    /// file and line
    Check(Args),
    /// Print every option with its value in force; passwords are masked
    Show(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(args) => {
            let config = args.config.load()?;
            let problems = config.unusable();
            if !problems.is_empty() {
                return Err(Errors(problems).into());
            }
            if args.json {
                let valid = json!({"valid": true, "warnings": config.warnings});
                writeln!(io::stdout(), "{valid}")?;
                return Ok(());
            }
            for warning in &config.warnings {
                writeln!(io::stdout(), "warning: {warning}")?;
            }
            writeln!(io::stdout(), "The configuration is valid.")?;
        }
        Command::Show(args) => {
            let config = args.config.load()?;
            let text = match args.json {
                true => format!("{:#}\n", as_json(&config.effective)),
                false => render(&config.effective),
            };
            io::stdout().write_all(text.as_bytes())?;
        }
    }
    Ok(())
}

fn as_json(effective: &[Effective]) -> Value {
    let options = effective.iter().map(|one| {
        json!({
            "section": one.section,
            "option": one.option.name,
            "values": one.shown,
            "place": one.place.as_ref().map(ToString::to_string),
        })
    });
    options.collect()
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
