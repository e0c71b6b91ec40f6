//! Which part answers which endpoint.

use super::Dashboard;
use super::answer::Answer;
use super::query::Query;
use super::route::Endpoint;
use super::summary::summary;

/// What a GET gets. `query` is what follows the `?`.
pub(super) async fn answer(
    dashboard: &Dashboard,
    endpoint: Endpoint,
    query: Option<&str>,
) -> Answer {
    let Dashboard {
        logs, mcp, usage, ..
    } = dashboard;
    // Whoever asks for one of them soon asks for others.
    usage.look_ahead();
    mcp.look_ahead();
    let query = Query::parse(query);
    match endpoint {
        Endpoint::Summary => summary(dashboard).await,
        Endpoint::Daily => usage.daily(&query).await,
        Endpoint::Day(date) => usage.day(&date).await,
        Endpoint::Monthly => usage.monthly(&query).await,
        Endpoint::Month(month) => usage.month(&month).await,
        Endpoint::Models => usage.models(&query).await,
        Endpoint::Projects => usage.projects(&query).await,
        Endpoint::Project(name) => usage.project(&name).await,
        Endpoint::Hourly => usage.hourly(&query).await,
        Endpoint::McpLogs => mcp.logs(&query).await,
        Endpoint::McpTools => mcp.tools().await,
        Endpoint::McpTool(name) => mcp.tool(&name).await,
        Endpoint::LogContent => logs.content(&query).await,
    }
}
