//! Checks that another service decides (`http:`, `https:`).
//!
//! A question to the policy waits for no I/O, but for these: the thread gives its other tasks away
//! while it waits. No answer is a no.

use serde_json::{Value, json};
use tokio::{
    runtime::{Handle, Runtime},
    task::block_in_place,
};
use tracing::error;

use super::check::{Attribute, Question, Value as Shown};
use crate::{client::judge::Judge, control::Caller};

/// Whether the service at `url` answers `True`.
pub(super) fn allows(url: &str, judge: &Judge, question: &Question<'_>) -> bool {
    let target = Value::Object(question.target.to_json(question.caller));
    let credentials = credentials(question.caller);
    let asking = judge.allows(url, question.rule, &target, &credentials);
    let answer = match Handle::try_current() {
        Ok(runtime) => block_in_place(|| runtime.block_on(asking)),
        // A command that only looks at the policy.
        Err(_) => Runtime::new()
            .expect("a process has threads for a runtime")
            .block_on(asking),
    };
    answer.unwrap_or_else(|error| {
        error!(rule = question.rule, %error, "The service that decides on a policy is silent");
        false
    })
}

/// oslo.context's policy values.
fn credentials(caller: &Caller) -> Value {
    let shown = Attribute::all().filter_map(|(name, attribute)| {
        let value = match attribute.of(caller) {
            Shown::Text(value) => json!(value),
            Shown::Truth(value) => json!(value),
            Shown::List(values) => json!(values),
            Shown::Absent => return None,
        };
        Some((name.to_owned(), value))
    });
    Value::Object(shown.collect())
}
