//! `serde::Serialize`, for handlers that emit a value or answer with it. Serializers recurse, so depth has an end here.

use serde::ser::{Error, Serialize, SerializeMap, Serializer};

use super::{MAX_DEPTH, Value};

/// As `JSON.stringify` prints it, where the serializer can: whole numbers without a fraction, infinite ones and `undefined`
/// as `null`, fields that are `undefined` left out. A lone surrogate becomes U+FFFD. A buffer is bytes, of which socketioxide
/// makes an attachment. A value with more than [`MAX_DEPTH`] levels is an error.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = Nested {
            value: self,
            levels: MAX_DEPTH,
        };
        whole.serialize(serializer)
    }
}

/// A value that may have so many levels.
struct Nested<'v> {
    value: &'v Value,
    levels: usize,
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let levels = match self.value {
            Value::Array(_) | Value::Object(_) => self.levels.checked_sub(1).ok_or_else(|| {
                S::Error::custom(format_args!("nested deeper than {MAX_DEPTH} levels"))
            })?,
            _ => 0,
        };
        let inner = |value| Nested { value, levels };
        match self.value {
            Value::Undefined | Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => serialize_number(*number, serializer),
            Value::String(text) => serializer.serialize_str(&text.to_string_lossy()),
            Value::Buffer(bytes) => serializer.serialize_bytes(bytes),
            Value::Array(items) => serializer.collect_seq(items.iter().map(inner)),
            Value::Object(object) => {
                let is_there = |value: &Value| !matches!(value, Value::Undefined);
                let fields = || object.iter().filter(|(_, value)| is_there(value));
                let mut map = serializer.serialize_map(Some(fields().count()))?;
                for (key, value) in fields() {
                    map.serialize_entry(&*key.to_string_lossy(), &inner(value))?;
                }
                map.end()
            }
        }
    }
}

fn serialize_number<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    /// Up to here each whole number is a double.
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        serializer.serialize_unit()
    } else if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT {
        serializer.serialize_i64(number as i64)
    } else {
        serializer.serialize_f64(number)
    }
}
