//! GET /api/v2/models.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::super::answer::Answer;
use super::super::money::to_fixed;
use super::super::query::{Query, Value};
use super::sort::{Direction, Key, sort};
use super::totals::Model;
use super::view::View;
use super::{parsed, sum};
use strangler::js_json::{Text, Value as Json, stringify};

const FIELDS: [&str; 5] = ["totalTokens", "cost", "messages", "sessions", "model"];

/// By what to sort, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Order {
    pub(super) field: &'static str,
    pub(super) direction: Direction,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'t> {
    model: Name<'t>,
    input_tokens: f64,
    output_tokens: f64,
    cached_tokens: f64,
    total_tokens: f64,
    cost: &'t str,
    messages: u64,
    sessions: u64,
    new_input_tokens: f64,
    cache_creation_tokens: f64,
    cache_read_tokens: f64,
}

#[derive(Serialize)]
struct List<'t> {
    data: Vec<Row<'t>>,
    stats: Stats<'t>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats<'t> {
    total_models: usize,
    total_tokens: f64,
    total_cost: String,
    total_messages: u64,
    total_sessions: u64,
    most_used_model: Option<Name<'t>>,
}

/// The name of a model, with an escape for half a surrogate, as `JSON.stringify` writes it.
#[derive(Debug, Clone, Copy)]
struct Name<'t>(&'t Text);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_str() {
            Some(name) => serializer.serialize_str(name),
            None => stringify(&Json::String(self.0.clone()))
                .and_then(|json| RawValue::from_string(json).ok())
                .serialize(serializer),
        }
    }
}

/// `sortBy` and `sortOrder`.
pub(super) fn order(query: &Query) -> Result<Order, Answer> {
    Order::parse(query, &FIELDS, "totalTokens")
}

impl Order {
    /// # Errors
    /// The 400 for what is not in the list.
    pub(super) fn parse(
        query: &Query,
        fields: &[&'static str],
        default: &'static str,
    ) -> Result<Self, Answer> {
        let field = match given(query, "sortBy") {
            None => default,
            Some(value) => match named(fields, value) {
                Some(field) => field,
                None => {
                    return Err(Answer::bad_request(
                        "Invalid sort field",
                        &format!("sortBy must be one of: {}", fields.join(", ")),
                    ));
                }
            },
        };
        let direction = match given(query, "sortOrder") {
            None => Direction::Descending,
            Some(value) => match named(&["asc", "desc"], value) {
                Some("asc") => Direction::Ascending,
                Some(_) => Direction::Descending,
                None => {
                    return Err(Answer::bad_request(
                        "Invalid sort order",
                        "sortOrder must be \"asc\" or \"desc\"",
                    ));
                }
            },
        };
        Ok(Self { field, direction })
    }
}

fn given<'q>(query: &'q Query, name: &str) -> Option<&'q Value> {
    query.get(name).filter(|value| value.is_truthy())
}

/// Lists of one item are not the item.
fn named(names: &[&'static str], value: &Value) -> Option<&'static str> {
    let Value::Text(text) = value else {
        return None;
    };
    names.iter().copied().find(|name| name == text)
}

/// The list.
pub(super) fn list(view: &View, order: &Order) -> Answer {
    let models: Vec<&Model> = view.models().iter().collect();
    let models = sort(models, order.direction, |model| match order.field {
        "cost" => Key::Number(parsed(&model.cost)),
        "messages" => Key::Number(model.messages as f64),
        "sessions" => Key::Number(model.sessions as f64),
        "model" => Key::lower_case_of(&model.model),
        _ => Key::Number(model.sums.total),
    });
    let data = || models.iter();
    Answer::json(&List {
        stats: Stats {
            total_models: models.len(),
            total_tokens: sum(data().map(|model| model.sums.total)),
            total_cost: to_fixed(sum(data().map(|model| parsed(&model.cost))), 2),
            total_messages: data().map(|model| model.messages).sum(),
            total_sessions: data().map(|model| model.sessions).sum(),
            most_used_model: models.first().map(|model| Name(&model.model)),
        },
        data: data().map(|model| Row::of(model)).collect(),
    })
}

impl<'t> Row<'t> {
    fn of(model: &'t Model) -> Self {
        let sums = &model.sums;
        Self {
            model: Name(&model.model),
            input_tokens: sums.input,
            output_tokens: sums.output,
            cached_tokens: sums.cached,
            total_tokens: sums.total,
            cost: &model.cost,
            messages: model.messages,
            sessions: model.sessions,
            new_input_tokens: sums.new_input,
            cache_creation_tokens: sums.cache_creation,
            cache_read_tokens: sums.cache_read,
        }
    }
}
