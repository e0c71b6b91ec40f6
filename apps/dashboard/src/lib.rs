//! The dashboard over the usage that Claude Code leaves in `~/.claude`: what its Node.js original answers, byte for
//! byte, without reading a file twice that has not changed. What cannot be made equal is declined.
//!
//! Where the original's answer is a mistake that hurts its users, the right one is given, unless `compat = "exact"`.

mod ahead;
mod answer;
mod body;
mod date;
mod endpoints;
mod front;
mod index;
mod iso;
mod limiter;
mod logs;
mod mcp;
mod money;
mod number;
mod page;
mod process;
mod query;
mod route;
mod settings;
mod stamp;
mod summary;
mod usage;
mod zone;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::middleware::from_fn;

use self::limiter::Limiter;
use self::logs::LogFiles;
use self::mcp::McpLogs;
use self::summary::Folders;
use self::usage::Usage;
use strangler::express;
use strangler::{App, AppCommand, NativeApp, SettingsError, get};

/// The application, for `strangler::main`.
pub const APP: App =
    App::new("dashboard", app).command(AppCommand::new(process::describe, process::run));

/// What to do where Node's answer is a bug that hurts its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compat {
    /// The right thing.
    Intended,
    /// What Node does.
    Exact,
}

/// What all requests share.
#[derive(Clone)]
struct Dashboard {
    settings: Arc<settings::Settings>,
    limiter: Arc<Limiter>,
    logs: LogFiles,
    mcp: McpLogs,
    folders: Folders,
    usage: Usage,
}

/// The application. It looks into no folder before its first request.
fn app(settings: &strangler::Settings) -> Result<NativeApp, SettingsError> {
    let settings = settings::Settings::read(settings)?;
    let home = &settings.home;
    let dashboard = Dashboard {
        limiter: Arc::new(Limiter::new(settings.rate_limit, settings.rate_window)),
        logs: LogFiles::new(home, settings.compat),
        mcp: McpLogs::new(home, settings.zone.clone()),
        folders: Folders::new(home),
        usage: Usage::new(
            home.join(".claude/projects"),
            settings.zone.clone(),
            settings.compat,
        ),
        settings: Arc::new(settings),
    };
    let others: &[&str] = if dashboard.settings.alone {
        &["/", "/{*rest}"]
    } else {
        &[]
    };
    let paths = route::PATHS.iter().chain(others);
    let app = paths.fold(NativeApp::new(), |app, path| {
        let serve = front::serve;
        let methods = get(serve).post(serve).put(serve).patch(serve);
        app.route(path, methods.delete(serve).options(serve))
    });
    Ok(app
        .layer(from_fn(express::send_nameless))
        .with_state(dashboard))
}
