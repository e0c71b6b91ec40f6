//! GET /api/v2/projects and /api/v2/projects/{projectName}.

use serde::Serialize;

use super::super::Compat;
use super::super::answer::{Answer, Thrown};
use super::super::index::record::Activity;
use super::super::iso::{iso_text, now};
use super::super::money::to_fixed;
use super::super::number::parse_float;
use super::super::page::{Page, Pagination};
use super::super::query::{Query, Value};
use super::daily;
use super::models::Order;
use super::sort::{Key, sort};
use super::totals::{ProjectTotals, descending};
use super::view::View;
use super::{parsed, sum};

const FIELDS: [&str; 5] = [
    "lastActivity",
    "totalCost",
    "totalTokens",
    "name",
    "messageCount",
];

/// A project is active for so long.
const ACTIVE: f64 = 30.0 * 86_400_000.0;

/// Which projects are asked for.
#[derive(Debug)]
pub(super) struct Filter {
    page: Page,
    order: Order,
    /// 0 for all.
    min_cost: f64,
    search: Search,
}

#[derive(Debug)]
enum Search {
    None,
    /// In lower case.
    Text(String),
    /// Of anything but a text, which has no `toLowerCase`.
    Throws,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'t> {
    name: &'t str,
    path: &'t str,
    total_tokens: f64,
    total_cost: &'t str,
    message_count: u64,
    last_activity: Option<String>,
}

#[derive(Serialize)]
struct List<'t> {
    data: Vec<Row<'t>>,
    pagination: Pagination,
    stats: Stats,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    total_projects: usize,
    total_cost: String,
    total_tokens: f64,
    total_messages: u64,
    active_projects: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detailed<'t> {
    #[serde(flatten)]
    project: Row<'t>,
    daily_breakdown: Vec<daily::Row<'t>>,
    trends: Trends<'t>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trends<'t> {
    tokens_per_day: Vec<TokensOfDay<'t>>,
    cost_per_day: Vec<CostOfDay<'t>>,
}

#[derive(Serialize)]
struct TokensOfDay<'t> {
    date: &'t str,
    tokens: f64,
}

#[derive(Serialize)]
struct CostOfDay<'t> {
    date: &'t str,
    cost: f64,
}

impl Filter {
    /// # Errors
    /// The 400 for what is out of range or not in a list.
    pub(super) fn parse(query: &Query) -> Result<Self, Answer> {
        let page = Page::of(query, 20, 200)?;
        let order = Order::parse(query, &FIELDS, "lastActivity")?;
        let min_cost = query.get("minCost").map(Value::to_text).transpose()?;
        let min_cost = min_cost.map_or(0.0, |text| parse_float(&text));
        let search = match query.get("search").filter(|value| value.is_truthy()) {
            None => Search::None,
            Some(Value::Text(text)) => Search::Text(text.to_lowercase()),
            Some(_) => Search::Throws,
        };
        Ok(Self {
            page,
            order,
            min_cost,
            search,
        })
    }
}

/// The list.
pub(super) fn list(view: &View, filter: &Filter) -> Answer {
    let search = match &filter.search {
        Search::None => "",
        Search::Text(text) => text,
        Search::Throws => return Thrown::new("search.toLowerCase is not a function").into(),
    };
    let mut projects: Vec<&ProjectTotals> = view.projects().iter().collect();
    // Node sorts them so before it sorts them as asked, which decides about ties. Those of equal times come there in the
    // order in which parallel reads ended, here by name.
    projects
        .sort_by(|first, second| descending(activity(first.activity), activity(second.activity)));
    if filter.min_cost > 0.0 {
        projects.retain(|project| parsed(&project.total_cost) >= filter.min_cost);
    }
    projects.retain(|project| project.name.to_lowercase().contains(search));
    let projects = sort(projects, filter.order.direction, |project| {
        match filter.order.field {
            "totalCost" => Key::Number(parsed(&project.total_cost)),
            "totalTokens" => Key::Number(project.total_tokens),
            "name" => Key::lower_case(&project.name),
            "messageCount" => Key::Number(project.message_count as f64),
            _ => Key::Number(activity(project.activity)),
        }
    });
    let active_since = now() - ACTIVE;
    let is_active = |project: &&&ProjectTotals| activity(project.activity) > active_since;
    let costs = projects.iter().map(|project| parsed(&project.total_cost));
    let page = filter.page.of_items(&projects).iter();
    Answer::json(&List {
        data: page.map(|project| Row::of(project)).collect(),
        pagination: filter.page.pagination(projects.len()),
        stats: Stats {
            total_projects: projects.len(),
            total_cost: to_fixed(sum(costs), 2),
            total_tokens: sum(projects.iter().map(|project| project.total_tokens)),
            total_messages: projects.iter().map(|project| project.message_count).sum(),
            active_projects: projects.iter().filter(is_active).count(),
        },
    })
}

/// One project. Node takes the number of a day's sessions for a list of them, and throws as soon as it is not 0.
pub(super) fn one(view: &View, name: &str, compat: Compat) -> Answer {
    let Some(project) = view.projects().iter().find(|project| project.name == name) else {
        return Answer::not_found(
            "Project not found",
            &format!("No data found for project: {name}"),
        );
    };
    let days = match compat {
        Compat::Exact if view.days().iter().any(|day| day.sessions > 0) => {
            return Thrown::new("day.sessions.some is not a function").into();
        }
        Compat::Exact => Vec::new(),
        Compat::Intended => view.days_of(name),
    };
    let latest = |count: usize| &days[days.len().saturating_sub(count)..];
    Answer::json(&Detailed {
        project: Row::of(project),
        daily_breakdown: latest(30).iter().map(daily::Row::of).collect(),
        trends: Trends {
            tokens_per_day: latest(7)
                .iter()
                .map(|day| TokensOfDay {
                    date: &day.date,
                    tokens: day.sums.total,
                })
                .collect(),
            cost_per_day: latest(7)
                .iter()
                .map(|day| CostOfDay {
                    date: &day.date,
                    cost: day.sums.cost,
                })
                .collect(),
        },
    })
}

impl<'t> Row<'t> {
    fn of(project: &'t ProjectTotals) -> Self {
        let last_activity = match project.activity {
            Activity::At(time) => iso_text(time as f64),
            Activity::Never | Activity::Invalid => None,
        };
        Self {
            name: &project.name,
            path: &project.path,
            total_tokens: project.total_tokens,
            total_cost: &project.total_cost,
            message_count: project.message_count,
            last_activity,
        }
    }
}

/// `new Date(lastActivity)`, where `null` is 1970.
fn activity(activity: Activity) -> f64 {
    match activity {
        Activity::Never => 0.0,
        Activity::At(time) => time as f64,
        Activity::Invalid => f64::NAN,
    }
}
