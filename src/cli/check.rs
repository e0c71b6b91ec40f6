//! `strangler check`: every problem of a file, or its rules; of two files, what the change would do.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::runtime::Builder;

use crate::config::render::render;
use crate::config::{self, Flips, Socket, SocketMode, Source};
use crate::live::{LoadError, Served, load};
use crate::native::App;
use crate::routing::diff::diff;
use crate::routing::table::Table;

/// With `read_files`, certificates and keys are read too, so that `check` refuses what `serve` would refuse.
pub(super) fn check(files: &[PathBuf], read_files: bool, apps: &[App]) -> anyhow::Result<()> {
    let compiled = |path: &Path, read_files| {
        let compiled = compile(path, read_files, apps);
        let (table, warnings) = compiled.map_err(|failed| super::report(&failed, ""))?;
        let _ = io::Write::write_all(&mut io::stderr(), warnings.as_bytes());
        anyhow::Ok(table)
    };
    match files {
        [] => print_rules(
            Path::new("routes.toml"),
            &compiled(Path::new("routes.toml"), read_files)?,
        ),
        [file] => print_rules(file, &compiled(file, read_files)?),
        [old, new, ..] => {
            // The old file may be a copy in another folder, or name files that are gone by now.
            compile(old, false, apps).map_err(|failed| super::report(&failed, ""))?;
            let after = compiled(new, read_files)?;
            // Read as if it stood where the new one stands: a copy elsewhere has not moved its certificates.
            let before = config::read(old).map(|source| Source::new(new, source.text));
            let before = before.ok().and_then(|source| config::parse(&source).0);
            let before = before.context("the old file changed while it was read")?;
            let changes = diff(&before, after.config());
            super::print(&format!("{changes:#}\n"))
        }
    }
}

/// Loads a file as `serve` would, with its warnings as they are shown.
pub(super) fn compile(
    path: &Path,
    read_files: bool,
    apps: &[App],
) -> Result<(Table, String), LoadError> {
    let loaded = load(path)?;
    let source = loaded.source.clone();
    // An application may prepare a database pool, which belongs to a runtime even before it connects.
    let runtime = Builder::new_current_thread().enable_all().build();
    let app = {
        let _context = runtime.as_ref().ok().map(|runtime| runtime.enter());
        loaded.build_app(apps)?
    };
    let (table, warnings) = loaded.compile(&Served::by(app.as_ref()), read_files)?;
    let warnings = render(&source, &warnings, io::stderr().is_terminal());
    Ok((table, warnings))
}

fn print_rules(path: &Path, table: &Table) -> anyhow::Result<()> {
    let rules = table.rules();
    let width = rules
        .iter()
        .map(|rule| rule.id.len())
        .chain(["(rest)".len()])
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    if table.config().force_node {
        text.push_str("force = \"node\": everything goes to Node, whatever the rules say\n");
    }
    for socket in &table.config().sockets {
        writeln!(
            text,
            "socket {}  {}  {}",
            socket.id,
            socket.path,
            kept(socket)
        )?;
    }
    for rule in rules {
        let mut claims: Vec<String> = rule.claims.iter().map(ToString::to_string).collect();
        for socket in &table.config().sockets {
            let own = rule.events.iter().filter(|claim| claim.socket == socket.id);
            let own: Vec<String> = own.map(ToString::to_string).collect();
            if !own.is_empty() {
                claims.push(format!("on {}: {}", socket.id, own.join(", ")));
            }
        }
        let claims = claims.join(", ");
        write!(
            text,
            "{:width$}  {:10}  {claims}",
            rule.id,
            rule.to.to_string()
        )?;
        for (number, condition) in rule.conditions.iter().enumerate() {
            write!(
                text,
                "{}{condition}",
                if number == 0 { "  where " } else { " and " }
            )?;
        }
        text.push('\n');
    }
    writeln!(text, "{:width$}  node", "(rest)")?;
    let count = rules.len();
    writeln!(
        text,
        "{}: {count} {}, no error",
        path.display(),
        if count == 1 { "rule" } else { "rules" }
    )?;
    super::print(&text)
}

/// What becomes of the connections of a socket.
fn kept(socket: &Socket) -> String {
    if socket.mode == SocketMode::Tunnel {
        return "tunnel to Node".to_owned();
    }
    let mut kept = format!("bridge, node_loss {}", socket.node_loss);
    if socket.flips == Flips::Connection {
        kept.push_str(", flips for new connections");
    }
    if let Some(tag) = &socket.tag {
        kept.push_str(&format!(", tag {tag}"));
    }
    let once: Vec<String> = socket
        .once
        .iter()
        .map(|once| once.event.to_string())
        .collect();
    if !once.is_empty() {
        kept.push_str(&format!(", once {}", once.join(", ")));
    }
    kept
}
