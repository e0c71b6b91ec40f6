//! Names of tools. They should be texts, and none of them that of something which every object of JavaScript has; the
//! original counts the others as well, in its way.

use indexmap::IndexMap;

use strangler::js_json::{Text, Value, stringify};

/// The `name` of a tool, as keys of a `Map` are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Text(Text),
    /// A number or `true`, as JSON.
    Scalar(String),
    /// An array or an object, as JSON. Each is another, hence the number.
    Object(String, usize),
}

impl Name {
    /// `serial` is another number for each tool of a file.
    pub(super) fn of(value: &Value, serial: usize) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => {
                Self::Object(stringify(value).unwrap_or_default(), serial)
            }
            scalar => Self::Scalar(stringify(scalar).unwrap_or_default()),
        }
    }

    pub(super) fn json(&self) -> String {
        match self {
            Self::Text(text) => stringify(&Value::String(text.clone())).unwrap_or_default(),
            Self::Scalar(json) | Self::Object(json, _) => json.clone(),
        }
    }

    /// The property that it names.
    pub(super) fn property(&self) -> Text {
        match self {
            Self::Text(text) => text.clone(),
            Self::Scalar(json) => json.as_str().into(),
            Self::Object(..) => "[object Object]".into(),
        }
    }
}

/// A property that is counted up by `counts[name] = (counts[name] || 0) + 1`.
#[derive(Debug)]
pub(super) enum Count {
    Number(f64),
    /// Of a property that every object has: the text of a function, with a `1` behind it for each call.
    Text(String),
}

impl Count {
    pub(super) fn add(counts: &mut IndexMap<Text, Self>, name: Text) {
        match counts.get_mut(&name) {
            Some(Self::Number(number)) => *number += 1.0,
            Some(Self::Text(text)) => text.push('1'),
            None => {
                let count = match name.as_str().and_then(inherited) {
                    // What is assigned to it is no object, and thus ignored.
                    Some("__proto__") => return,
                    Some(function) => {
                        Self::Text(format!("function {function}() {{ [native code] }}1"))
                    }
                    None => Self::Number(1.0),
                };
                counts.insert(name, count);
            }
        }
    }
}

impl From<Count> for Value {
    fn from(count: Count) -> Self {
        match count {
            Count::Number(number) => Self::Number(number),
            Count::Text(text) => text.into(),
        }
    }
}

/// What every object has by this name: the name of a function, or `__proto__`.
pub(super) fn inherited(name: &str) -> Option<&str> {
    const FUNCTIONS: [&str; 10] = [
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    ];
    match name {
        "constructor" => Some("Object"),
        "__proto__" => Some(name),
        _ => FUNCTIONS.contains(&name).then_some(name),
    }
}
