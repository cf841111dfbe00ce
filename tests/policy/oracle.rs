//! oslo.policy and Glance themselves, asked about rules: one Python process for a batch
//! (`oracle.py`).

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

use crate::support::lab;

/// Their answers, in order.
pub(super) fn ask(questions: &[Value]) -> Vec<Value> {
    let mut python = Command::new(lab::python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the lab's Python runs");
    let lines: String = questions.iter().map(|q| format!("{q}\n")).collect();
    let mut input = python.stdin.take().unwrap();
    let feeder = thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "oracle.py: {stderr}");
    feeder.join().unwrap().expect("the oracle reads to the end");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), questions.len(), "oracle.py: {stderr}");
    answers
}
