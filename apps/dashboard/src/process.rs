//! The command `dashboard process`: prints the processed data of a tree, for a Node that computes its answers from it,
//! as it did in the first phase of the migration.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use strangler::CommandError;
use strangler::clap::{Arg, ArgMatches, Command, value_parser};
use strangler::express::json_text;

use super::index::record::{Activity, Session};
use super::iso::iso_text;
use super::usage::totals::{Day, Model, Month, ProjectTotals};
use super::usage::{Detail, View, view_of};
use super::zone::Zone;
pub(crate) fn describe() -> Command {
    Command::new("process")
        .about("Print what the transcripts below a home folder add up to, as one line of JSON; months are those of TZ")
        .arg(
            Arg::new("home")
                .long("home")
                .value_name("DIR")
                .help("The home folder in which `.claude` is")
                .value_parser(value_parser!(PathBuf))
                .required(true),
        )
}

pub(crate) fn run(arguments: &ArgMatches) -> Result<(), CommandError> {
    let home = arguments
        .get_one::<PathBuf>("home")
        .ok_or("`--home` is missing")?;
    let text = processed(home, Zone::from_environment())
        .map_err(|error| format!("cannot process `{}`: {error}", home.display()))?;
    match io::stdout().write_all(&text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn processed(home: &Path, zone: Zone) -> io::Result<Vec<u8>> {
    let view = view_of(home.join(".claude/projects"), zone)?;
    let mut text = json_text(&Processed {
        detailed: Details(&view),
        days: view.days().iter().map(DayRow::of).collect(),
        months: view.months().iter().map(MonthRow::of).collect(),
        models: view.models().iter().map(ModelRow::of).collect(),
        projects: view.projects().iter().map(ProjectRow::of).collect(),
        conversations: view.conversations(),
    })?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Serialize)]
struct Processed<'v> {
    detailed: Details<'v>,
    days: Vec<DayRow<'v>>,
    months: Vec<MonthRow<'v>>,
    models: Vec<ModelRow<'v>>,
    projects: Vec<ProjectRow<'v>>,
    conversations: u64,
}

/// The lines with usage and a timestamp.
struct Details<'v>(&'v View);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .details()
                .map(|detail| DetailRow::of(&detail, self.0)),
        )
    }
}

/// A number that may be none of JSON's, which is a text then.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number => serializer.serialize_str(ryu_js::Buffer::new().format(number)),
        }
    }
}

/// A `sessionId` as the line has it.
struct SessionId<'v>(&'v Session);

impl Serialize for SessionId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Session::Absent | Session::Null => serializer.serialize_unit(),
            Session::Bool(value) => serializer.serialize_bool(*value),
            Session::Number(bits) => Number(f64::from_bits(*bits)).serialize(serializer),
            Session::Text(text) => serializer.serialize_str(&text.to_string_lossy()),
            Session::Other(json) => match serde_json::from_str::<serde_json::Value>(json) {
                Ok(value) => value.serialize(serializer),
                // Nested too deeply, or with half a surrogate pair: some value of its own.
                Err(_) => serializer.serialize_str(json),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailRow<'v> {
    time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId<'v>>,
    input_tokens: Number,
    output_tokens: Number,
    cached_tokens: Number,
    total_tokens: Number,
    cost: Number,
    new_input_tokens: Number,
    cache_creation_tokens: Number,
    cache_read_tokens: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DayRow<'v> {
    date: &'v str,
    input_tokens: Number,
    output_tokens: Number,
    cached_tokens: Number,
    total_tokens: Number,
    cost: &'v str,
    sessions: u64,
    new_input_tokens: Number,
    cache_creation_tokens: Number,
    cache_read_tokens: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MonthRow<'v> {
    month: &'v str,
    input_tokens: Number,
    output_tokens: Number,
    cached_tokens: Number,
    total_tokens: Number,
    cost: &'v str,
    sessions: u64,
    messages: u64,
    new_input_tokens: Number,
    cache_creation_tokens: Number,
    cache_read_tokens: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelRow<'v> {
    model: std::borrow::Cow<'v, str>,
    input_tokens: Number,
    output_tokens: Number,
    cached_tokens: Number,
    total_tokens: Number,
    cost: &'v str,
    messages: u64,
    sessions: u64,
    new_input_tokens: Number,
    cache_creation_tokens: Number,
    cache_read_tokens: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProjectRow<'v> {
    name: &'v str,
    path: &'v str,
    total_tokens: Number,
    total_cost: &'v str,
    message_count: u64,
    /// `Invalid Date` sorts unlike `null`, though lists show both as `null`.
    last_activity: Option<String>,
}

impl<'v> DetailRow<'v> {
    fn of(detail: &Detail, view: &'v View) -> Self {
        let sums = detail.sums;
        Self {
            time: detail.time,
            session_id: match view.session(detail.session) {
                Session::Absent => None,
                session => Some(SessionId(session)),
            },
            input_tokens: Number(sums.input),
            output_tokens: Number(sums.output),
            cached_tokens: Number(sums.cached),
            total_tokens: Number(sums.total),
            cost: Number(sums.cost),
            new_input_tokens: Number(sums.new_input),
            cache_creation_tokens: Number(sums.cache_creation),
            cache_read_tokens: Number(sums.cache_read),
        }
    }
}

impl<'v> DayRow<'v> {
    fn of(day: &'v Day) -> Self {
        let sums = &day.sums;
        Self {
            date: &day.date,
            input_tokens: Number(sums.input),
            output_tokens: Number(sums.output),
            cached_tokens: Number(sums.cached),
            total_tokens: Number(sums.total),
            cost: &day.cost,
            sessions: day.sessions,
            new_input_tokens: Number(sums.new_input),
            cache_creation_tokens: Number(sums.cache_creation),
            cache_read_tokens: Number(sums.cache_read),
        }
    }
}

impl<'v> MonthRow<'v> {
    fn of(month: &'v Month) -> Self {
        let sums = &month.sums;
        Self {
            month: &month.month,
            input_tokens: Number(sums.input),
            output_tokens: Number(sums.output),
            cached_tokens: Number(sums.cached),
            total_tokens: Number(sums.total),
            cost: &month.cost,
            sessions: month.sessions,
            messages: month.messages,
            new_input_tokens: Number(sums.new_input),
            cache_creation_tokens: Number(sums.cache_creation),
            cache_read_tokens: Number(sums.cache_read),
        }
    }
}

impl<'v> ModelRow<'v> {
    fn of(model: &'v Model) -> Self {
        let sums = &model.sums;
        Self {
            model: model.model.to_string_lossy(),
            input_tokens: Number(sums.input),
            output_tokens: Number(sums.output),
            cached_tokens: Number(sums.cached),
            total_tokens: Number(sums.total),
            cost: &model.cost,
            messages: model.messages,
            sessions: model.sessions,
            new_input_tokens: Number(sums.new_input),
            cache_creation_tokens: Number(sums.cache_creation),
            cache_read_tokens: Number(sums.cache_read),
        }
    }
}

impl<'v> ProjectRow<'v> {
    fn of(project: &'v ProjectTotals) -> Self {
        Self {
            name: &project.name,
            path: &project.path,
            total_tokens: Number(project.total_tokens),
            total_cost: &project.total_cost,
            message_count: project.message_count,
            last_activity: match project.activity {
                Activity::Never => None,
                Activity::At(time) => iso_text(time as f64),
                Activity::Invalid => Some("Invalid Date".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn processed_text(files: &[(&str, &str)]) -> String {
        let home = TempDir::new().unwrap();
        for (name, text) in files {
            let path = home.path().join(".claude/projects").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let zone = Zone::named("Asia/Tokyo").expect("a bundled zone");
        let text = String::from_utf8(processed(home.path(), zone).unwrap()).unwrap();
        text.replace(home.path().to_str().unwrap(), "HOME")
    }

    #[test]
    fn a_home_without_projects_has_empty_lists() {
        assert_eq!(
            processed_text(&[]),
            "{\"detailed\":[],\"days\":[],\"months\":[],\"models\":[],\"projects\":[],\"conversations\":0}\n"
        );
    }

    #[test]
    fn everything_is_printed_in_the_order_of_time() {
        let line = |session: &str, time: &str, usage: &str| {
            format!(
                "{{{session}\"timestamp\":{time},\"message\":{{\"model\":\"constructor\",\"usage\":{usage}}}}}\n"
            )
        };
        let text = line(
            "\"sessionId\":{\"b\":1},",
            "1751324400000",
            "{\"input_tokens\":1e400}",
        ) + &line("", "\"never\"", "{}")
            + &line(
                "\"sessionId\":null,",
                "\"2025-06-30T23:00:00Z\"",
                "{\"output_tokens\":1}",
            );
        assert_eq!(
            processed_text(&[("p/a.jsonl", &text)]),
            concat!(
                r#"{"detailed":[{"time":1751324400000,"sessionId":{"b":1},"inputTokens":"Infinity","outputTokens":0,"cachedTokens":0,"totalTokens":"Infinity","cost":"NaN","newInputTokens":"Infinity","cacheCreationTokens":0,"cacheReadTokens":0},"#,
                r#"{"time":1751324400000,"sessionId":null,"inputTokens":0,"outputTokens":1,"cachedTokens":0,"totalTokens":1,"cost":"NaN","newInputTokens":0,"cacheCreationTokens":0,"cacheReadTokens":0},"#,
                r#"{"time":null,"inputTokens":0,"outputTokens":0,"cachedTokens":0,"totalTokens":0,"cost":"NaN","newInputTokens":0,"cacheCreationTokens":0,"cacheReadTokens":0}],"#,
                r#""days":[{"date":"2025-06-30","inputTokens":"Infinity","outputTokens":1,"cachedTokens":0,"totalTokens":"Infinity","cost":"NaN","sessions":1,"newInputTokens":"Infinity","cacheCreationTokens":0,"cacheReadTokens":0}],"#,
                r#""months":[{"month":"2025-07","inputTokens":"Infinity","outputTokens":1,"cachedTokens":0,"totalTokens":"Infinity","cost":"NaN","sessions":1,"messages":2,"newInputTokens":"Infinity","cacheCreationTokens":0,"cacheReadTokens":0}],"#,
                r#""models":[{"model":"constructor","inputTokens":"Infinity","outputTokens":1,"cachedTokens":0,"totalTokens":"Infinity","cost":"NaN","messages":2,"sessions":1,"newInputTokens":"Infinity","cacheCreationTokens":0,"cacheReadTokens":0}],"#,
                r#""projects":[{"name":"p","path":"HOME/.claude/projects/p","totalTokens":"Infinity","totalCost":"NaN","messageCount":3,"lastActivity":"2025-06-30T23:00:00.000Z"}],"conversations":1}"#,
                "\n"
            )
        );
    }
}
