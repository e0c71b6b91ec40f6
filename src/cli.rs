//! The command line: what the user may type, and which exit code follows. 0 is fine, 1 a problem that is said on
//! standard error, 2 a command that clap does not understand.

pub mod certs;
mod check;
mod explain;
mod serve;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::render::{render, summary};
use crate::live::LoadError;
use crate::native::App;
use crate::telemetry::LogFormat;

/// Moves a Node.js application to Rust, path by path and event by event, behind one public port.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy until SIGTERM; SIGUSR2 hands over to a new copy of the program.
    Serve {
        /// The rules.
        #[arg(long, default_value = "routes.toml", value_name = "FILE")]
        routes: PathBuf,
        /// The form of the log on standard error; `RUST_LOG` filters it.
        #[arg(long, value_enum, default_value_t)]
        log: LogFormat,
    },
    /// Check a file and print its rules, or say what a change of it would do.
    Check {
        /// The file, or the old and the new one. Default: routes.toml.
        #[arg(num_args = 0..=2, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print the JSON schema of routes.toml for editors instead.
        #[arg(long, conflicts_with_all = ["files", "no_files"])]
        schema: bool,
        /// Do not read the certificates and keys that the file names, as for a file that is meant for another machine.
        #[arg(long)]
        no_files: bool,
    },
    /// Say who answers a request or gets a message, and why.
    Explain {
        /// Such as GET; of a message its name as on the wire (message, /admin,message) or its tag.
        #[arg(value_name = "METHOD|NAME")]
        subject: String,
        /// The target as a client sends it, with its query; of a message its first argument, or the whole of it for a
        /// WebSocket.
        #[arg(
            value_name = "PATH|JSON",
            required_unless_present = "on",
            allow_negative_numbers = true
        )]
        detail: Option<String>,
        /// The socket of a message.
        #[arg(long, value_name = "SOCKET")]
        on: Option<String>,
        /// The query of the handshake of a message.
        #[arg(long, value_name = "QUERY", requires = "on")]
        query: Option<String>,
        #[command(flatten)]
        client: explain::Client,
    },
    /// Make a development CA and a server certificate.
    Certs {
        /// Names and addresses that the certificate is for.
        #[arg(default_values = ["localhost", "127.0.0.1", "::1"], value_name = "NAME")]
        names: Vec<String>,
        /// Where ca.pem, ca-key.pem, server.pem and server-key.pem go. A CA that is there is used again.
        #[arg(long, default_value = "certs", value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Runs the command line of a proxy that offers these applications, with the commands that they bring.
#[must_use]
pub fn main(apps: &[App]) -> ExitCode {
    let name = program_name();
    let matches = command_line(&name, apps).get_matches();
    let own = apps.iter().flat_map(App::commands);
    let own = matches.subcommand().and_then(|(chosen, arguments)| {
        let command = own
            .into_iter()
            .find(|command| command.describe().get_name() == chosen)?;
        Some(command.run(arguments))
    });
    let result = match own {
        Some(result) => result.map_err(anyhow::Error::from_boxed),
        None => match Arguments::from_arg_matches(&matches) {
            Ok(arguments) => match run(arguments.command, &name, apps) {
                Ok(result) => result,
                Err(misused) => return misused,
            },
            Err(error) => error.exit(),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An empty error was said already.
            let text = format!("{error:#}");
            if !text.is_empty() {
                let _ = writeln!(io::stderr(), "{name}: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

/// As the user called it: each application has a binary of its own.
fn program_name() -> String {
    let first = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&first)
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "strangler".to_owned())
}

fn command_line(name: &str, apps: &[App]) -> clap::Command {
    let explain = format!(
        "{name} explain [OPTIONS] <METHOD> <PATH>\n       {name} explain [OPTIONS] --on <SOCKET> <NAME> [JSON]"
    );
    let own = apps.iter().flat_map(App::commands);
    Arguments::command()
        .name(name.to_owned())
        .bin_name(name)
        .mut_subcommand("explain", |command| command.override_usage(explain))
        .subcommands(own.map(|command| command.describe()))
}

/// `Err` where the words of a command are wrong, which was said.
fn run(command: Command, name: &str, apps: &[App]) -> Result<anyhow::Result<()>, ExitCode> {
    Ok(match command {
        Command::Serve { routes, log } => serve::serve(&routes, log, apps),
        Command::Check { schema: true, .. } => print(crate::config::SCHEMA),
        Command::Check {
            files, no_files, ..
        } => check::check(&files, !no_files, apps),
        Command::Explain {
            subject,
            detail,
            on,
            query,
            client,
        } => match explain::Question::new(subject, detail, on, query) {
            Ok(question) => explain::explain(&question, client, apps),
            Err(message) => return Err(misused(command_line(name, apps), "explain", message)),
        },
        Command::Certs { names, dir } => certs::certs(&dir, &names),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command_line(name, apps), name, &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    })
}

/// Says what is wrong with the words of a command, as clap does.
fn misused(mut arguments: clap::Command, command: &str, message: String) -> ExitCode {
    // Only then does a command know its name in front of its usage.
    arguments.build();
    let error = match arguments.find_subcommand_mut(command) {
        Some(command) => command.error(ErrorKind::ValueValidation, message),
        None => arguments.error(ErrorKind::ValueValidation, message),
    };
    let _ = error.print();
    ExitCode::from(2)
}

/// Writes to standard output; a reader that left (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says what is wrong with a file, as a compiler would, and gives the error that needs no more words.
fn report(failed: &LoadError, consequence: &str) -> anyhow::Error {
    let text = render(
        &failed.source,
        &failed.diagnostics,
        io::stderr().is_terminal(),
    );
    let _ = writeln!(
        io::stderr(),
        "{text}{}{consequence}",
        summary(&failed.diagnostics)
    );
    anyhow::anyhow!("")
}
