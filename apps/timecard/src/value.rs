//! Values of the database on their way into JSON.

use serde::Serialize;

use strangler::js_json;

/// A value that the original's driver gives JavaScript as null, number or string.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

impl From<Value> for js_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            // A double, as every number of JavaScript.
            Value::Integer(number) => Self::Number(number as f64),
            Value::Real(number) => Self::Number(number),
            Value::Text(text) => text.into(),
        }
    }
}

/// A value that the original prints in a way that is not reproduced. It says nothing of the value itself.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` holds {what}")]
pub(super) struct Unprintable {
    pub(super) column: &'static str,
    pub(super) what: &'static str,
}

/// A row of either database.
pub(super) trait Columns {
    fn value(&self, column: &'static str) -> Result<Value, Unprintable>;
}
