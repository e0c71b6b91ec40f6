//! `where` of a rule, ready to be tried on requests and to be compared with that of another rule.

use std::fmt;
use std::net::IpAddr;

use crate::config::{Condition, Scalar, Selector};
use crate::routing::RequestHead;
use crate::routing::select::{Value, select};

/// One entry of `where`, ready to be tried on requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) selector: Selector,
    pub(crate) values: Vec<Wanted>,
}

/// A value that a test accepts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wanted {
    Scalar(Scalar),
    Address(IpAddr),
}

impl Test {
    /// Keeps only the values that the selector can yield; a test without values never holds.
    pub(crate) fn new(condition: &Condition) -> Self {
        let values =
            condition
                .values
                .iter()
                .filter_map(|value| match (&condition.selector, value) {
                    (Selector::Jwt(_) | Selector::Pointer(_), _) => {
                        Some(Wanted::Scalar(value.clone()))
                    }
                    (Selector::Address, Scalar::Text(text)) => text
                        .parse::<IpAddr>()
                        .ok()
                        .map(|address| Wanted::Address(address.to_canonical())),
                    (_, Scalar::Text(_)) => Some(Wanted::Scalar(value.clone())),
                    (_, Scalar::Number(_) | Scalar::Bool(_)) => None,
                });
        Self {
            selector: condition.selector.clone(),
            values: values.collect(),
        }
    }

    /// `where` of a rule or of `once`; two entries that are the same selector (headers in other case) become one.
    pub(crate) fn all(conditions: &[Condition]) -> Vec<Self> {
        let mut tests: Vec<Self> = Vec::with_capacity(conditions.len());
        for test in conditions.iter().map(Self::new) {
            match tests
                .iter_mut()
                .find(|known| known.selector == test.selector)
            {
                Some(known) => known.values.retain(|value| test.values.contains(value)),
                None => tests.push(test),
            }
        }
        tests
    }

    /// Of an HTTP request.
    pub(crate) fn holds(&self, request: &RequestHead<'_>) -> bool {
        select(&self.selector, request).is_some_and(|value| self.accepts(&value))
    }

    /// JSON equality, no coercion.
    pub(crate) fn accepts(&self, value: &Value<'_>) -> bool {
        self.values.iter().any(|wanted| match (wanted, value) {
            (Wanted::Scalar(Scalar::Text(wanted)), Value::Text(text)) => wanted == text,
            (Wanted::Scalar(Scalar::Number(wanted)), Value::Number(number)) => wanted == number,
            (Wanted::Scalar(Scalar::Bool(wanted)), Value::Bool(value)) => wanted == value,
            (Wanted::Address(wanted), Value::Address(address)) => wanted == address,
            _ => false,
        })
    }
}

/// How many of these rules `rule` implies, itself included: whoever implies most goes first, which puts any `where`
/// before each that it implies.
pub(crate) fn implied(tests: &[Vec<Test>], rule: usize, rules: &[usize]) -> usize {
    let implied = |other: &&usize| implies(&tests[rule], &tests[**other]);
    rules.iter().filter(implied).count()
}

/// Whether whatever passes `tests` passes `others` too.
pub(crate) fn implies(tests: &[Test], others: &[Test]) -> bool {
    others.iter().all(|other| {
        let same = tests.iter().find(|test| test.selector == other.selector);
        same.is_some_and(|test| test.values.iter().all(|value| other.values.contains(value)))
    })
}

/// Whether nothing passes both: they ask one selector for different values, or one asks for a scalar where the other
/// looks inside.
pub(crate) fn are_disjoint(tests: &[Test], others: &[Test]) -> bool {
    let excludes = |test: &Test, other: &Test| {
        if test.selector == other.selector {
            return !test.values.iter().any(|value| other.values.contains(value));
        }
        let (Selector::Pointer(one), Selector::Pointer(other)) = (&test.selector, &other.selector)
        else {
            return false;
        };
        one.steps().starts_with(other.steps()) || other.steps().starts_with(one.steps())
    };
    tests
        .iter()
        .any(|test| others.iter().any(|other| excludes(test, other)))
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => scalar.fmt(f),
            Self::Address(address) => write!(f, "\"{address}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
    use http::{Method, Uri};

    use super::*;

    #[test]
    fn equality_is_that_of_json() {
        let holds = |selector: Selector, value: Scalar, line: &str| {
            let headers =
                HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(line).unwrap())]);
            let (uri, address) = (Uri::from_static("/"), "fe80::1".parse().unwrap());
            let request = RequestHead {
                method: &Method::GET,
                uri: &uri,
                headers: &headers,
                address,
            };
            Test::new(&Condition {
                selector,
                values: vec![value],
                span: 0..0,
            })
            .holds(&request)
        };
        // {"n":36}
        let token = "Bearer e30.eyJuIjozNn0.c2ln";
        assert!(holds(
            Selector::Jwt("n".to_owned()),
            Scalar::Number(36.0),
            token
        ));
        assert!(!holds(
            Selector::Jwt("n".to_owned()),
            Scalar::Text("36".to_owned()),
            token
        ));
        assert!(holds(
            Selector::Address,
            Scalar::Text("FE80:0::1".to_owned()),
            token
        ));
        assert!(!holds(
            Selector::Address,
            Scalar::Text("fe80::2".to_owned()),
            token
        ));
        assert!(holds(
            Selector::Header(AUTHORIZATION),
            Scalar::Text(token.to_owned()),
            token
        ));
        assert!(!holds(
            Selector::Header(AUTHORIZATION),
            Scalar::Number(36.0),
            "36"
        ));
    }
}
