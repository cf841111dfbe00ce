//! Glance itself, asked about streams (`oracle.py`).

use std::path::PathBuf;

use fresnel::data::Expect;
use fresnel::data::inspect::{FormatError, Verdict};
use serde_json::{Value, json};

use crate::support::lab;

/// What is asked: a file, changed, declared as something.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) path: PathBuf,
    pub(super) length: usize,
    pub(super) patches: Vec<(usize, u8)>,
    pub(super) expect: Expect,
    pub(super) piece_bytes: usize,
}

/// What an upload comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) refused: Option<String>,
    pub(super) virtual_size_bytes: Option<u64>,
}

/// Glance's answers, in order.
pub(super) fn ask(questions: &[Question]) -> Vec<Answer> {
    let answers = lab::ask("inspect/oracle.py", questions.iter().map(line));
    answers.iter().map(|line| answer(line)).collect()
}

fn line(question: &Question) -> String {
    json!({
        "path": question.path,
        "length": question.length,
        "patches": question.patches,
        "declared": question.expect.disk_format,
        "require_match": question.expect.require_match,
        "nonfatal": question.expect.gpt_safety_checks_nonfatal,
        "chunk": question.piece_bytes,
    })
    .to_string()
}

fn answer(line: &str) -> Answer {
    let value: Value = serde_json::from_str(line).unwrap();
    Answer {
        refused: value["refused"].as_str().map(sorted),
        virtual_size_bytes: value["virtual_size"].as_u64(),
    }
}

/// The order of several formats is any in Python.
fn sorted(text: &str) -> String {
    let Some(names) = text.strip_prefix("Multiple formats detected: ") else {
        return text.to_owned();
    };
    let mut names: Vec<&str> = names.split(',').collect();
    names.sort_unstable();
    format!("Multiple formats detected: {}", names.join(","))
}

impl Answer {
    /// Ours.
    pub(super) fn of(verdict: Result<Verdict, FormatError>) -> Self {
        match verdict {
            Ok(verdict) => Self {
                refused: None,
                virtual_size_bytes: verdict.virtual_size_bytes,
            },
            Err(error) => Self {
                refused: Some(sorted(&error.to_string())),
                virtual_size_bytes: None,
            },
        }
    }
}
