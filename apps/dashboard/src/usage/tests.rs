use std::fs;

use http::StatusCode;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::*;

struct Home {
    folder: TempDir,
    usage: Usage,
}

impl Home {
    fn new(zone: &str, compat: Compat) -> Self {
        let folder = TempDir::new().unwrap();
        let zone = Zone::named(zone).expect("a bundled zone");
        let usage = Usage::new(folder.path().join("projects"), zone, compat);
        Self { folder, usage }
    }

    fn with(self, file: &str, lines: &[String]) -> Self {
        self.write(file, lines);
        self
    }

    fn write(&self, file: &str, lines: &[String]) {
        let path = self.folder.path().join("projects").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines.concat()).unwrap();
    }

    async fn get(&self, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(Some(query));
        let answer = match path.split_once('/') {
            None => match path {
                "daily" => self.usage.daily(&query).await,
                "monthly" => self.usage.monthly(&query).await,
                "models" => self.usage.models(&query).await,
                "projects" => self.usage.projects(&query).await,
                "hourly" => self.usage.hourly(&query).await,
                _ => panic!("no endpoint `{path}`"),
            },
            Some(("daily", date)) => self.usage.day(date).await,
            Some(("monthly", month)) => self.usage.month(month).await,
            Some(("projects", name)) => self.usage.project(name).await,
            Some(_) => panic!("no endpoint `{path}`"),
        };
        let answer = match answer {
            Answer::Failed(answer) => *answer,
            answer => answer,
        };
        match answer {
            Answer::Failed(_) => panic!("failed twice"),
            Answer::Json(status, body) => {
                (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
            }
            Answer::Thrown(thrown) => (thrown.status.as_u16(), thrown.message),
        }
    }

    async fn ok(&self, target: &str) -> String {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// One field of each row.
    async fn column(&self, target: &str, field: &str) -> Vec<String> {
        let body: Json = serde_json::from_str(&self.ok(target).await).unwrap();
        let rows = body["data"].as_array().unwrap();
        rows.iter()
            .map(|row| match &row[field] {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }
}

fn home() -> Home {
    Home::new("UTC", Compat::Intended)
}

/// Tokens are new input, cache creation, cache read and output.
fn line(time: &str, session: &str, model: &str, tokens: [f64; 4]) -> String {
    let [input, creation, read, output] = tokens;
    format!(
        "{{\"timestamp\":\"{time}\",\"sessionId\":\"{session}\",\"message\":{{\"model\":\"{model}\",\"usage\":{{\
         \"input_tokens\":{input},\"cache_creation_input_tokens\":{creation},\"cache_read_input_tokens\":{read},\
         \"output_tokens\":{output}}}}}}}\n"
    )
}

const SONNET: &str = "claude-sonnet-4-20250514";

/// Two sessions on one day, as in the contract's recorded day.
fn recorded() -> Home {
    home().with(
        "-work-alpha/a.jsonl",
        &[
            line(
                "2025-06-30T15:30:00.000Z",
                "s1",
                SONNET,
                [1000.0, 3000.0, 20000.0, 500.0],
            ),
            line(
                "2025-06-30T23:30:00Z",
                "s2",
                "claude-haiku-4-5-20251001",
                [125_000.0, 0.0, 0.0, 0.0],
            ),
            line(
                "2025-07-01T00:10:00Z",
                "s2",
                "<synthetic>",
                [10.0, 0.0, 0.0, 0.0],
            ),
        ],
    )
}

#[tokio::test]
async fn an_empty_home_has_empty_lists() {
    let home = home();
    let pages = r#""pagination":{"currentPage":1,"totalPages":0,"totalItems":0,"itemsPerPage":50,"hasNext":false,"hasPrev":false}"#;
    assert_eq!(home.ok("daily").await, format!("{{\"data\":[],{pages}}}"));
    assert_eq!(
        home.ok("hourly").await,
        r#"{"hourlyData":[],"heatmapData":[],"statistics":null}"#
    );
    assert_eq!(
        home.ok("models").await,
        r#"{"data":[],"stats":{"totalModels":0,"totalTokens":0,"totalCost":"0.00","totalMessages":0,"totalSessions":0,"mostUsedModel":null}}"#
    );
    let projects = home.ok("projects").await;
    assert!(projects.ends_with(
        r#""stats":{"totalProjects":0,"totalCost":"0.00","totalTokens":0,"totalMessages":0,"activeProjects":0}}"#
    ));
    assert_eq!(
        home.usage.totals().await.unwrap(),
        Summary {
            total_messages: 0,
            total_conversations: 0,
            total_tokens: 0.0,
            total_cost: "0.00".to_owned(),
        }
    );
}

#[tokio::test]
async fn days_have_their_fields_in_order_and_ties_go_up() {
    let home = recorded();
    // 0.0255 and the tie 0.03125.
    let day = r#"{"date":"2025-06-30","inputTokens":129000,"outputTokens":500,"cachedTokens":20000,"totalTokens":149500,"cost":"0.0568","sessions":2,"newInputTokens":126000,"cacheCreationTokens":3000,"cacheReadTokens":20000}"#;
    assert_eq!(home.ok("daily/2025-06-30").await, day);
    assert_eq!(
        home.ok("daily?limit=1").await,
        format!(
            r#"{{"data":[{day}],"pagination":{{"currentPage":1,"totalPages":2,"totalItems":2,"itemsPerPage":1,"hasNext":true,"hasPrev":false}}}}"#
        )
    );
    let tie = Home::new("UTC", Compat::Intended).with(
        "p/a.jsonl",
        &[line(
            "2025-06-30T23:30:00Z",
            "s",
            "claude-haiku-4-5-20251001",
            [125_000.0, 0.0, 0.0, 0.0],
        )],
    );
    assert_eq!(tie.column("daily", "cost").await, ["0.0313"]);
}

#[tokio::test]
async fn hours_change_the_shape_of_days() {
    let home = recorded();
    let row = r#"{"date":"2025-06-30","inputTokens":4000,"outputTokens":500,"cachedTokens":20000,"totalTokens":24500,"cost":0.025500000000000002,"newInputTokens":1000,"cacheCreationTokens":3000,"cacheReadTokens":20000,"sessionCount":1}"#;
    let body = home.ok("daily?startHour=15&endHour=15").await;
    assert!(body.starts_with(&format!("{{\"data\":[{row}],")), "{body}");
    assert_eq!(
        home.column("daily?startHour=x", "sessionCount").await,
        ["2", "1"]
    );
    assert_eq!(home.column("daily?startHour=0", "date").await.len(), 2);
    assert_eq!(home.column("daily?endHour=0", "date").await, ["2025-07-01"]);
    assert_eq!(
        home.column("daily?startHour=23&endHour=1", "date").await,
        [""; 0]
    );
    for hours in ["startHour=24", "endHour=-1", "startHour=99x"] {
        let expected =
            r#"{"error":"Invalid time range","message":"Hours must be between 0 and 23"}"#;
        assert_eq!(
            home.get(&format!("daily?{hours}")).await,
            (400, expected.to_owned())
        );
    }
}

#[tokio::test]
async fn hours_are_local_and_days_are_those_of_utc() {
    let home = Home::new("Asia/Tokyo", Compat::Intended).with(
        "p/a.jsonl",
        &[
            line("2025-06-30T15:30:00Z", "s", SONNET, [1.0, 0.0, 0.0, 0.0]),
            line("2025-12-31T15:30:00Z", "s", SONNET, [1.0, 0.0, 0.0, 0.0]),
            line(
                "2025-07-01T08:59:59+09:00",
                "s",
                SONNET,
                [1.0, 0.0, 0.0, 0.0],
            ),
        ],
    );
    assert_eq!(
        home.column("daily", "date").await,
        ["2025-06-30", "2025-12-31"]
    );
    assert_eq!(
        home.column("monthly", "month").await,
        ["2025-07", "2026-01"]
    );
    assert_eq!(
        home.column("daily?endHour=0", "totalTokens").await,
        ["1", "1"]
    );
    let hourly: Json = serde_json::from_str(&home.ok("hourly?date=2025-06-30").await).unwrap();
    let cells: Vec<_> = hourly["heatmapData"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| cell["hour"].as_u64().unwrap())
        .collect();
    assert_eq!(cells, [0, 8]);
}

#[tokio::test]
async fn date_filters_take_any_text_that_is_a_date() {
    let home = recorded();
    for (filter, count) in [
        ("startDate=2025-07-01", 1),
        ("startDate=2025-07-01T12:00:00Z", 0),
        ("startDate=June+30+2025&endDate=2025/06/30", 1),
        ("endDate=2025-06-30", 1),
        ("startDate=x&endDate=", 2),
        ("startDate[]=2025-07-01", 1),
        ("startDate=2025-07-01&startDate=x", 2),
    ] {
        assert_eq!(
            home.column(&format!("daily?{filter}"), "date").await.len(),
            count,
            "{filter}"
        );
    }
    assert_eq!(
        home.get("daily/0").await,
        (
            404,
            r#"{"error":"Data not found","message":"No usage data found for 0"}"#.to_owned()
        )
    );
    assert_eq!(
        home.get("daily/x").await,
        (
            400,
            r#"{"error":"Invalid date format","message":"Date must be in YYYY-MM-DD format"}"#
                .to_owned()
        )
    );
}

#[tokio::test]
async fn the_first_of_equal_cache_keys_decides_in_exact_mode_alone() {
    for (compat, kept) in [(Compat::Exact, true), (Compat::Intended, false)] {
        let home = Home::new("UTC", compat).with(
            "p/a.jsonl",
            &[line("2025-06-30T15:30:00Z", "s", SONNET, [1.0; 4])],
        );
        assert!(home.ok("daily").await.contains("\"sessions\""));
        assert_eq!(
            home.ok("daily?startHour=0").await.contains("\"sessions\""),
            kept
        );
        assert!(
            home.ok("daily?endHour=0&limit=8")
                .await
                .contains("\"data\":[]")
        );
        assert_eq!(home.ok("daily?limit=8").await.contains("\"data\":[]"), kept);
    }
}

#[tokio::test]
async fn months_are_filtered_by_the_beginning_of_their_name() {
    let home = recorded();
    let month = r#"{"month":"2025-06","inputTokens":129000,"outputTokens":500,"cachedTokens":20000,"totalTokens":149500,"cost":"0.0568","sessions":2,"messages":2,"newInputTokens":126000,"cacheCreationTokens":3000,"cacheReadTokens":20000}"#;
    assert_eq!(home.ok("monthly/2025-06").await, month);
    for (year, count) in [
        ("", 2),
        ("2025", 2),
        ("2024", 0),
        ("2025.5", 0),
        ("02025", 0),
        ("0x7E9", 0),
        ("+2025", 0),
    ] {
        assert_eq!(
            home.column(&format!("monthly?year={year}"), "month")
                .await
                .len(),
            count,
            "{year}"
        );
    }
    assert_eq!(home.column("monthly?year[]=2025", "month").await.len(), 2);
    let refused =
        r#"{"error":"Invalid year parameter","message":"Year must be between 2020 and 2030"}"#;
    for year in [
        "year=2019",
        "year=2031",
        "year=x",
        "year=2025&year=2026",
        "year[]=",
    ] {
        assert_eq!(
            home.get(&format!("monthly?{year}")).await,
            (400, refused.to_owned()),
            "{year}"
        );
    }
    let refused = r#"{"error":"Invalid month format","message":"Month must be in YYYY-MM format"}"#;
    for month in ["2025-6", "x", "2025-06-", "20250-06", "2025-06\n"] {
        assert_eq!(
            home.get(&format!("monthly/{month}")).await,
            (400, refused.to_owned()),
            "{month}"
        );
    }
    assert_eq!(home.get("monthly/2024-01").await.0, 404);
    assert!(
        home.get("monthly?limit=121")
            .await
            .1
            .contains("between 1 and 120")
    );
}

#[tokio::test]
async fn models_include_lines_without_timestamp_and_reverse_ties() {
    let untimed = line("", "s3", "b", [5.0, 0.0, 0.0, 0.0]);
    let home = home().with(
        "p/a.jsonl",
        &[
            untimed,
            line("2025-07-01", "s", "a", [5.0, 0.0, 0.0, 0.0]),
            line("2025-07-01", "s", "C", [7.0, 0.0, 0.0, 0.0]),
            line("2025-07-01", "", "c", [5.0, 0.0, 0.0, 0.0]),
            "{\"message\":{\"usage\":{\"input_tokens\":1}}}\n".to_owned(),
        ],
    );
    let row = r#"{"model":"c","inputTokens":5,"outputTokens":0,"cachedTokens":0,"totalTokens":5,"cost":"0.0000","messages":1,"sessions":0,"newInputTokens":5,"cacheCreationTokens":0,"cacheReadTokens":0}"#;
    let stats = r#""stats":{"totalModels":4,"totalTokens":22,"totalCost":"0.00","totalMessages":4,"totalSessions":3,"mostUsedModel":"C"}"#;
    let body = home.ok("models").await;
    assert!(body.contains(row) && body.contains(stats), "{body}");
    for (query, models) in [
        ("", ["C", "c", "a", "b"]),
        ("sortBy=&sortOrder=", ["C", "c", "a", "b"]),
        ("sortOrder=asc", ["c", "a", "b", "C"]),
        ("sortBy=model&sortOrder=asc", ["a", "b", "c", "C"]),
        ("sortBy=messages", ["c", "a", "b", "C"]),
        ("sortBy=sessions&sortOrder=asc", ["c", "a", "b", "C"]),
    ] {
        assert_eq!(
            home.column(&format!("models?{query}"), "model").await,
            models,
            "{query}"
        );
    }
    let field = r#"{"error":"Invalid sort field","message":"sortBy must be one of: totalTokens, cost, messages, sessions, model"}"#;
    for query in ["sortBy=x&sortOrder=x", "sortBy[]=cost"] {
        assert_eq!(
            home.get(&format!("models?{query}")).await,
            (400, field.to_owned())
        );
    }
    let order =
        r#"{"error":"Invalid sort order","message":"sortOrder must be \"asc\" or \"desc\""}"#;
    assert_eq!(
        home.get("models?sortOrder=ASC").await,
        (400, order.to_owned())
    );
}

#[tokio::test]
async fn a_model_with_an_inherited_price_makes_amounts_no_numbers() {
    let home = home().with(
        "p/a.jsonl",
        &[
            line("2025-07-01T00:00:00Z", "s", "constructor", [5.0; 4]),
            line("2025-07-02T00:00:00Z", "s", SONNET, [5.0; 4]),
        ],
    );
    assert_eq!(home.column("daily", "cost").await, ["NaN", "0.0001"]);
    assert_eq!(home.usage.totals().await.unwrap().total_cost, "NaN");
    assert_eq!(home.column("daily?startHour=x", "cost").await[0], "null");
}

#[tokio::test]
async fn projects_are_filtered_sorted_and_summed() {
    let home = home()
        .with(
            "-work-beta/a.jsonl",
            &[
                line("2026-01-02T10:00:00Z", "s", "opus", [2000.0, 0.0, 0.0, 0.0]),
                "null\n".to_owned(),
                "junk\n".to_owned(),
            ],
        )
        .with(
            "-work-Alpha/a.jsonl",
            &["{\"timestamp\":\"2025-01-01\"}\n".to_owned()],
        )
        .with("empty/note.txt", &[])
        .with(
            "odd/a.jsonl",
            &[
                "{\"timestamp\":\"x\"}\n".to_owned(),
                "{\"timestamp\":\"2030-01-01\"}\n".to_owned(),
            ],
        );
    let path = home.folder.path().join("projects/-work-beta");
    let row = format!(
        r#"{{"name":"-work-beta","path":"{}","totalTokens":2000,"totalCost":"0.0300","messageCount":2,"lastActivity":"2026-01-02T10:00:00.000Z"}}"#,
        path.display()
    );
    let body = home.ok("projects?search=BETA").await;
    assert!(body.starts_with(&format!("{{\"data\":[{row}]")), "{body}");
    assert!(body.contains(
        r#""stats":{"totalProjects":1,"totalCost":"0.03","totalTokens":2000,"totalMessages":2,"#
    ));
    assert_eq!(
        home.column("projects?search=odd", "lastActivity").await,
        ["null"]
    );
    assert_eq!(
        home.column("projects?minCost=0.03x", "name").await,
        ["-work-beta"]
    );
    assert_eq!(home.column("projects?minCost=-1", "name").await.len(), 4);
    assert_eq!(
        home.column("projects?sortBy=name&sortOrder=asc", "name")
            .await,
        ["-work-Alpha", "-work-beta", "empty", "odd"]
    );
    assert_eq!(home.get("projects?search=a&search=b").await.0, 500);
    assert_eq!(
        home.get("projects?limit=201&sortBy=x").await.1,
        r#"{"error":"Invalid pagination parameters","message":"Page must be >= 1, limit must be between 1 and 200"}"#
    );
    assert_eq!(
        home.get("projects/none").await,
        (
            404,
            r#"{"error":"Project not found","message":"No data found for project: none"}"#
                .to_owned()
        )
    );
}

// Node sorts by activity first, and reverses ties of what was asked for.
#[tokio::test]
async fn ties_of_projects_are_those_of_activity_reversed() {
    let home = home()
        .with(
            "a/a.jsonl",
            &["{\"timestamp\":\"2025-01-02\"}\n".to_owned()],
        )
        .with(
            "b/a.jsonl",
            &["{\"timestamp\":\"2025-01-03\"}\n".to_owned()],
        )
        .with(
            "c/a.jsonl",
            &["{\"timestamp\":\"2025-01-01\"}\n".to_owned()],
        );
    for order in ["asc", "desc"] {
        let target = format!("projects?sortBy=totalCost&sortOrder={order}");
        assert_eq!(home.column(&target, "name").await, ["c", "a", "b"]);
    }
    assert_eq!(home.column("projects", "name").await, ["b", "a", "c"]);
}

#[tokio::test]
async fn a_project_is_shown_unless_node_fails() {
    let lines = [
        line("2025-07-01T10:00:00Z", "s", SONNET, [1000.0, 0.0, 0.0, 0.0]),
        line("2025-07-02T10:00:00Z", "s", SONNET, [2000.0, 0.0, 0.0, 0.0]),
    ];
    let other = line("2025-07-01T11:00:00Z", "t", SONNET, [9.0; 4]);
    let [intended, exact] = [Compat::Intended, Compat::Exact].map(|compat| {
        Home::new("UTC", compat)
            .with("p/a.jsonl", &lines)
            .with("q/a.jsonl", std::slice::from_ref(&other))
    });
    assert_eq!(
        exact.get("projects/p").await,
        (500, "day.sessions.some is not a function".to_owned())
    );
    let body = intended.ok("projects/p").await;
    let end = r#""totalTokens":3000,"totalCost":"0.0090","messageCount":2,"lastActivity":"2025-07-02T10:00:00.000Z","dailyBreakdown":[{"date":"2025-07-01","inputTokens":1000,"outputTokens":0,"cachedTokens":0,"totalTokens":1000,"cost":"0.0030","sessions":1,"newInputTokens":1000,"cacheCreationTokens":0,"cacheReadTokens":0},{"date":"2025-07-02","inputTokens":2000,"outputTokens":0,"cachedTokens":0,"totalTokens":2000,"cost":"0.0060","sessions":1,"newInputTokens":2000,"cacheCreationTokens":0,"cacheReadTokens":0}],"trends":{"tokensPerDay":[{"date":"2025-07-01","tokens":1000},{"date":"2025-07-02","tokens":2000}],"costPerDay":[{"date":"2025-07-01","cost":0.003},{"date":"2025-07-02","cost":0.006}]}}"#;
    assert!(body.ends_with(end), "{body}");

    exact.write("p/a.jsonl", &["{\"timestamp\":1}\n".to_owned()]);
    fs::remove_dir_all(exact.folder.path().join("projects/q")).unwrap();
    let body = exact.ok("projects/p").await;
    assert!(
        body.ends_with(r#""dailyBreakdown":[],"trends":{"tokensPerDay":[],"costPerDay":[]}}"#),
        "{body}"
    );
}

#[tokio::test]
async fn hours_have_rows_cells_and_statistics() {
    let home = recorded();
    home.write(
        "-work-alpha/b.jsonl",
        &["{\"timestamp\":\"2025-06-30T15:00:00Z\",\"message\":{\"model\":\"constructor\",\"usage\":{\"output_tokens\":500}}}\n".to_owned()],
    );
    let body = home.ok("hourly").await;
    let hour = r#"{"hour":15,"inputTokens":4000,"outputTokens":1000,"cachedTokens":20000,"totalTokens":25000,"cost":0.025500000000000002,"sessions":2,"requests":2,"avgCostPerRequest":0.012750000000000001,"avgTokensPerRequest":12500}"#;
    let none = r#"{"hour":1,"inputTokens":0,"outputTokens":0,"cachedTokens":0,"totalTokens":0,"cost":0,"sessions":0,"requests":0,"avgCostPerRequest":0,"avgTokensPerRequest":0}"#;
    let cells = r#""heatmapData":[{"date":"2025-06-30","hour":15,"inputTokens":4000,"outputTokens":1000,"cachedTokens":20000,"totalTokens":25000,"cost":0.025500000000000002,"requests":2},{"date":"2025-06-30","hour":23,"#;
    let statistics = r#""peakTokenHour":{"hour":23,"tokens":125000,"percentage":83.32777814812346},"peakRequestHour":{"hour":15,"requests":2,"percentage":50},"morningUsage":0,"afternoonUsage":0.025500000000000002,"eveningUsage":0.03125,"nightUsage":0.00003}}"#;
    for part in [hour, none, cells, statistics] {
        assert!(body.contains(part), "{part}\n{body}");
    }
    let nothing = r#""heatmapData":[],"statistics":{"totalCost":0,"totalTokens":0,"totalRequests":0,"avgCostPerHour":0,"avgTokensPerHour":0,"avgRequestsPerHour":0,"peakCostHour":{"hour":0,"cost":0,"percentage":null},"#;
    for filter in [
        "date=2024-01-01",
        "date[]=2025-06-30",
        "startDate[]=2025-07-02",
        "endDate=2025",
        "startDate=x",
    ] {
        assert!(
            home.ok(&format!("hourly?{filter}")).await.contains(nothing),
            "{filter}"
        );
    }
    let day = home
        .ok("hourly?startDate[]=2025-07-01&endDate=2025-07-01&date=")
        .await;
    assert!(day.contains(r#""totalRequests":1,"#));
}

#[tokio::test]
async fn what_poisons_a_tree_fails_where_node_fails() {
    let home = recorded();
    home.write("p/a.jsonl", &[line("never", "s", SONNET, [1.0; 4])]);
    assert_eq!(
        home.get("hourly").await,
        (
            500,
            r#"{"error":"Failed to fetch hourly usage data"}"#.to_owned()
        )
    );
    assert_eq!(
        home.get("daily?startHour=x").await,
        (500, "Invalid time value".to_owned())
    );
    assert_eq!(home.column("daily", "date").await.len(), 2);
    assert_eq!(
        home.column("projects?search=p&sortBy=name", "totalTokens")
            .await[0],
        "0"
    );

    fs::create_dir(home.folder.path().join("projects/p/x.jsonl")).unwrap();
    for target in [
        "daily",
        "daily/2025-06-30",
        "monthly",
        "monthly/2025-06",
        "models",
        "projects",
        "projects/p",
    ] {
        assert_eq!(home.get(target).await.0, 500, "{target}");
    }
    assert!(home.usage.totals().await.is_err());
    let refused = StatusCode::BAD_REQUEST.as_u16();
    assert_eq!(home.get("daily?page=-1").await.0, refused);
}

#[tokio::test]
async fn an_hourly_filter_that_has_no_text_fails() {
    let failure = r#"{"error":"Failed to fetch hourly usage data"}"#;
    for compat in [Compat::Intended, Compat::Exact] {
        let home = Home::new("UTC", compat);
        for name in ["date", "startDate", "endDate"] {
            let target = format!("hourly?{name}[toString]=2025-06-30");
            assert_eq!(home.get(&target).await, (500, failure.to_owned()), "{name}");
        }
    }
}
