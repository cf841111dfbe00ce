//! `fresnel policy list` and `fresnel policy check`

use std::{
    io::{self, Write},
    iter,
};

use serde_json::{Map, Value, json};

use super::{Failure, sources::ConfigArgs};
use crate::app::policy::{self, Answer, Case, Outcome, Persona};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print every rule: Glance's default, what is in force, and where that is written
    List(ListArgs),
    /// Print what a caller may do: with its own images, and with those of others by their
    /// visibility; 403 is refused, 404 is not seen
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A role of the caller; admin, manager, member and reader imply each other as in Keystone
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Take the roles as they are, without those that they imply
    #[arg(long)]
    exact: bool,
    /// The project of the caller
    #[arg(long, default_value = "its project", conflicts_with_all = ["domain", "system"])]
    project: String,
    /// The token is for this domain
    #[arg(long, conflicts_with = "system")]
    domain: Option<String>,
    /// The token is for the whole system
    #[arg(long)]
    system: bool,
    /// The user's id
    #[arg(long)]
    user: Option<String>,
    /// A role of the service that passes the request on
    #[arg(long = "service-role", value_name = "ROLE")]
    service_roles: Vec<String>,
    /// Only this rule
    #[arg(long)]
    rule: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args),
        Command::Check(args) => check(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let rules = policy::list(args.config.load()?)?;
    let mut out = io::stdout();
    if args.json {
        let rules = rules.iter().map(|rule| {
            json!({
                "rule": rule.name,
                "default": rule.default,
                "in_force": rule.in_force,
                "place": rule.place.as_ref().map(ToString::to_string),
            })
        });
        writeln!(out, "{:#}", Value::from_iter(rules))?;
        return Ok(());
    }
    for rule in rules {
        match (&rule.place, rule.default) {
            (None, _) => writeln!(out, "{}: {:?}", rule.name, rule.in_force)?,
            (Some(place), Some(default)) => writeln!(
                out,
                "{}: {:?}\n    by {place}, in place of {default:?}",
                rule.name, rule.in_force
            )?,
            (Some(place), None) => {
                writeln!(out, "{}: {:?}\n    by {place}", rule.name, rule.in_force)?;
            }
        }
    }
    Ok(())
}

fn check(args: CheckArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let of_project = args.domain.is_none() && !args.system;
    let persona = Persona {
        roles: args.roles,
        exact: args.exact,
        project: of_project.then_some(args.project),
        domain: args.domain,
        system: args.system,
        user: args.user,
        service_roles: args.service_roles,
    };
    let answers = policy::check(config, persona, args.rule.as_deref())?;
    let text = match args.json {
        true => format!("{:#}\n", as_json(&answers)),
        false => as_table(&answers),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn as_json(answers: &[Answer]) -> Value {
    let rules = answers.iter().map(|answer| {
        let cases = Case::ALL.iter().zip(answer.outcomes);
        let cases = cases.map(|(case, outcome)| (case.as_str().to_owned(), word(outcome).into()));
        (answer.rule.clone(), Value::Object(cases.collect()))
    });
    Value::Object(rules.collect::<Map<_, _>>())
}

/// Columns as wide as their widest word.
fn as_table(answers: &[Answer]) -> String {
    let head = iter::once("rule").chain(Case::ALL.map(Case::as_str));
    let mut rows = vec![head.collect::<Vec<&str>>()];
    rows.extend(answers.iter().map(|answer| {
        let words = answer.outcomes.map(word);
        iter::once(answer.rule.as_str()).chain(words).collect()
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=Case::ALL.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += cells.join("  ").trim_end();
        text += "\n";
    }
    text
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed => "yes",
        Outcome::Forbidden => "403",
        Outcome::Missing => "404",
    }
}
