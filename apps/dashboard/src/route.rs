//! Which endpoint a path means, as Express 4 reads it: routers that are mounted at a path and compare without case, and
//! with one optional slash at the end.

use http::StatusCode;

use super::answer::Thrown;
use super::query::percent_decode;

/// What the application serves, with the decoded parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Summary,
    Daily,
    Day(String),
    Monthly,
    Month(String),
    Models,
    Projects,
    Project(String),
    Hourly,
    McpLogs,
    McpTools,
    McpTool(String),
    LogContent,
}

/// The paths as axum is told of them.
pub(super) const PATHS: [&str; 13] = [
    "/api/v2/summary",
    "/api/v2/daily",
    "/api/v2/daily/{date}",
    "/api/v2/monthly",
    "/api/v2/monthly/{month}",
    "/api/v2/models",
    "/api/v2/projects",
    "/api/v2/projects/{name}",
    "/api/v2/hourly",
    "/api/v2/mcp/logs",
    "/api/v2/mcp/tools",
    "/api/v2/mcp/tools/{name}",
    "/api/v2/logs/content",
];

impl Endpoint {
    /// The endpoint of a raw path, whatever the method.
    ///
    /// # Errors
    /// 400 for a parameter that `decodeURIComponent` throws at.
    pub(super) fn of(path: &str) -> Result<Option<Self>, Thrown> {
        let Some((mount, rest)) = mounted(path) else {
            return Ok(None);
        };
        let is = |name: &str| rest.eq_ignore_ascii_case(name);
        Ok(match (mount, rest) {
            ("summary", "") => Some(Self::Summary),
            ("models", "") => Some(Self::Models),
            ("hourly", "") => Some(Self::Hourly),
            ("daily", "") => Some(Self::Daily),
            ("monthly", "") => Some(Self::Monthly),
            ("projects", "") => Some(Self::Projects),
            ("mcp", _) if is("logs") => Some(Self::McpLogs),
            ("mcp", _) if is("tools") => Some(Self::McpTools),
            ("logs", _) if is("content") => Some(Self::LogContent),
            ("mcp", _) => match rest.split_once('/') {
                Some((tools, raw)) if tools.eq_ignore_ascii_case("tools") && is_segment(raw) => {
                    Some(Self::McpTool(decode(raw)?))
                }
                _ => None,
            },
            (_, raw) if !is_segment(raw) => None,
            ("daily", raw) => Some(Self::Day(decode(raw)?)),
            ("monthly", raw) => Some(Self::Month(decode(raw)?)),
            ("projects", raw) => Some(Self::Project(decode(raw)?)),
            _ => None,
        })
    }
}

/// The router that a path belongs to, and what is left for it, without its slashes at the ends. A second slash right
/// behind the mount belongs to the mount.
fn mounted(path: &str) -> Option<(&'static str, &str)> {
    const MOUNTS: [&str; 8] = [
        "summary", "daily", "monthly", "models", "projects", "hourly", "mcp", "logs",
    ];
    const ABOVE: &str = "/api/v2/";
    let (above, below) = path.split_at_checked(ABOVE.len())?;
    if !above.eq_ignore_ascii_case(ABOVE) {
        return None;
    }
    let (mount, rest) = below
        .find('/')
        .map_or((below, "/"), |at| below.split_at(at));
    let mount = MOUNTS
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(mount))?;
    let rest = if rest.starts_with("//") {
        &rest[1..]
    } else {
        rest
    };
    let rest = &rest[1..];
    // A slash alone is one too many, not the optional one at the end.
    let rest = if rest == "/" {
        rest
    } else {
        rest.strip_suffix('/').unwrap_or(rest)
    };
    Some((mount, rest))
}

fn is_segment(raw: &str) -> bool {
    !raw.is_empty() && !raw.contains('/')
}

fn decode(raw: &str) -> Result<String, Thrown> {
    percent_decode(raw).ok_or_else(|| Thrown {
        status: StatusCode::BAD_REQUEST,
        message: format!("Failed to decode param '{raw}'"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::oracle::{Random, ask};
    use super::*;

    /// As the oracle says it.
    fn said(path: &str) -> Value {
        match Endpoint::of(path) {
            Err(thrown) => json!(thrown.status.as_u16()),
            Ok(None) => Value::Null,
            Ok(Some(endpoint)) => match endpoint {
                Endpoint::Summary => json!(["summary/"]),
                Endpoint::Daily => json!(["daily/"]),
                Endpoint::Day(date) => json!(["daily/:date", date]),
                Endpoint::Monthly => json!(["monthly/"]),
                Endpoint::Month(month) => json!(["monthly/:month", month]),
                Endpoint::Models => json!(["models/"]),
                Endpoint::Projects => json!(["projects/"]),
                Endpoint::Project(name) => json!(["projects/:projectName", name]),
                Endpoint::Hourly => json!(["hourly/"]),
                Endpoint::McpLogs => json!(["mcp/logs"]),
                Endpoint::McpTools => json!(["mcp/tools"]),
                Endpoint::McpTool(name) => json!(["mcp/tools/:toolName", name]),
                Endpoint::LogContent => json!(["logs/content"]),
            },
        }
    }

    #[test]
    fn generated_paths_are_read_as_by_express() {
        let begins = [
            "/api/v2/summary",
            "/api/v2/daily",
            "/API/v2/Monthly",
            "/api/v2/models",
            "/api/V2/projects",
            "/api/v2/hourly",
            "/api/v2/mcp",
            "/api/v2/MCP/tools",
            "/api/v2/mcp/logs",
            "/api/v2/logs",
            "/api/v2/logs/content",
            "/api/v2",
            "/api",
            "",
            "/",
            "//",
        ];
        let ends = [
            "",
            "/",
            "/",
            "//",
            "x",
            "/x",
            "/2025-07-01",
            "/tools",
            "/Logs",
            "/content",
            "/a%2Fb",
            "/%20",
            "%",
            "/%E0%A4%A",
            "/%C3%A9",
            "/.",
            "/..",
            "+",
            "/:",
            "/'",
            "/\\",
        ];
        let mut random = Random::new(11);
        let mut paths: Vec<String> = (0..10_000)
            .map(|_| {
                let begin = *random.pick(&begins);
                let count = random.below(5);
                let ends: String = (0..count).map(|_| *random.pick(&ends)).collect();
                format!("{begin}{ends}")
            })
            .collect();
        paths.retain(|path| path.starts_with('/'));
        for (path, expected) in paths.iter().zip(ask("route", &paths)) {
            assert_eq!(said(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_are_read_as_by_express() {
        let day = |text: &str| Some(Endpoint::Day(text.to_owned()));
        for (path, expected) in [
            ("/api/v2/summary", Some(Endpoint::Summary)),
            ("/API/V2/Daily/2025-07-01/", day("2025-07-01")),
            ("/api/v2/daily", Some(Endpoint::Daily)),
            ("/api/v2/daily/", Some(Endpoint::Daily)),
            ("/api/v2/daily//", Some(Endpoint::Daily)),
            ("/api/v2/daily///", None),
            ("/api/v2/daily//x", day("x")),
            ("/api/v2/daily//x//", None),
            ("//api/v2/daily", None),
            ("/api//v2/daily", None),
            ("/api/v2/daily/a%2Fb%20c", day("a/b c")),
            ("/api/v2/daily/a/b", None),
            ("/api/v2/dailyx", None),
            ("/api/v2/daily.", None),
            ("/api/v2/summary/x", None),
            ("/api/v2/models//", Some(Endpoint::Models)),
            ("/api/v2/mcp", None),
            ("/api/v2/mcp/", None),
            ("/api/v2/mcp/Logs/", Some(Endpoint::McpLogs)),
            ("/api/v2/mcp//tools", Some(Endpoint::McpTools)),
            ("/api/v2/mcp/tools//", None),
            (
                "/api/v2/mcp/TOOLS/Read/",
                Some(Endpoint::McpTool("Read".to_owned())),
            ),
            ("/api/v2/mcp/tools/a/b", None),
            ("/api/v2/logs", None),
            ("/api/v2/logs/CONTENT", Some(Endpoint::LogContent)),
            ("/api/v2/", None),
            ("/api/v2", None),
            ("/", None),
            ("*", None),
            ("/api/health", None),
        ] {
            assert_eq!(Endpoint::of(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn a_parameter_that_is_no_text_is_a_bad_request() {
        for raw in ["%E0%A4%A", "%", "%zz", "%ff"] {
            for mount in ["daily", "monthly", "projects", "mcp/tools"] {
                let thrown = Endpoint::of(&format!("/api/v2/{mount}/{raw}")).unwrap_err();
                assert_eq!(thrown.status, StatusCode::BAD_REQUEST);
                assert_eq!(thrown.message, format!("Failed to decode param '{raw}'"));
            }
        }
        assert_eq!(Endpoint::of("/api/v2/models/%"), Ok(None));
    }
}
