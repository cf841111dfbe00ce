//! A statement with its parameters, written once for the three dialects.

use chrono::NaiveDateTime;

/// A parameter. NULL keeps its type, which PostgreSQL asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bool(bool),
    Time(Option<NaiveDateTime>),
}

/// The text of a statement, `?` for each parameter, and the parameters in their order. The text is
/// only ever put together from what this program says; whatever a client said is a parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            values: Vec::new(),
        }
    }

    /// More text.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// The value of the next `?`.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self
    }

    /// `(?, ?, ?)` with the values.
    pub(super) fn push_list<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        self.text.push('(');
        for (index, value) in values.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "?" } else { ", ?" });
            self.values.push(value.into());
        }
        self.text.push(')');
        self
    }

    /// The text with PostgreSQL's `$1`, `$2`, ...
    pub(super) fn numbered(&self) -> String {
        let mut text = String::with_capacity(self.text.len() + 2 * self.values.len());
        for (index, piece) in self.text.split('?').enumerate() {
            if index > 0 {
                text.push('$');
                text.push_str(&index.to_string());
            }
            text.push_str(piece);
        }
        text
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<NaiveDateTime> for Value {
    fn from(value: NaiveDateTime) -> Self {
        Self::Time(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_counts_its_parameters() {
        let mut sql = Sql::new("SELECT 1 WHERE a = ? AND b IN ");
        sql.bind("x").push_list(["y", "z"]);
        assert_eq!(sql.numbered(), "SELECT 1 WHERE a = $1 AND b IN ($2, $3)");
        assert_eq!(sql.values.len(), 3);
    }
}
