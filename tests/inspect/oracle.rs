//! Glance itself, asked about streams: one Python process for a batch (`oracle.py`).

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use fresnel::data::Expect;
use fresnel::data::inspect::{FormatError, Verdict};
use serde_json::{Value, json};

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
    let mut python = Command::new(lab_python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inspect/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the lab's Python runs");
    let lines: String = questions.iter().map(|q| line(q) + "\n").collect();
    let mut input = python.stdin.take().unwrap();
    let feeder = thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "oracle.py: {stderr}");
    feeder.join().unwrap().expect("the oracle reads to the end");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = stdout.lines().map(answer).collect();
    assert_eq!(answers.len(), questions.len(), "oracle.py: {stderr}");
    answers
}

/// The interpreter of the lab's virtual environment, which `tests/lab/venv` makes where it is not.
fn lab_python() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/venv");
    let output = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/lab/venv runs");
    assert!(output.status.success(), "tests/lab/venv failed");
    let venv = String::from_utf8(output.stdout).unwrap();
    Path::new(venv.trim()).join("bin/python")
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
