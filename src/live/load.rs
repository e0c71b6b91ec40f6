//! What a file must go through before it can be in force: read, parsed, its application built, its table compiled.

use std::path::{Path, PathBuf};

use crate::certificate;
use crate::config::{self, Code, Diagnostic, Source, Span};
use crate::live::format_sources;
use crate::native::{App, NativeApp, Settings};
use crate::routing::table::Table;
use crate::routing::{Endpoint, Event, NativeSide};
use crate::upstream::{Target, TargetError};

/// For a file that is meant for another machine.
const WITHOUT_FILES: &str =
    "`strangler check --no-files` does not read the files that routes.toml names";

/// A file that cannot be used.
#[derive(Debug)]
pub struct LoadError {
    /// The text, empty where it could not be read.
    pub source: Source,
    /// At least one error.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the native application serves.
#[derive(Debug, Clone)]
pub(crate) struct Served(Option<Known>);

#[derive(Debug, Clone)]
struct Known {
    endpoints: Vec<Endpoint>,
    events: Vec<Event>,
    connects: Vec<String>,
    keeps_state_in_memory: bool,
}

impl Served {
    pub(crate) fn by(app: Option<&NativeApp>) -> Self {
        let endpoint = |own: &crate::native::Endpoint| Endpoint {
            method: own.method.clone(),
            path: own.path.clone(),
        };
        let event = |own: &crate::native::events::Event| Event {
            namespace: own.namespace.to_owned(),
            name: own.name.to_owned(),
        };
        Self(app.map(|app| Known {
            endpoints: app.endpoints().iter().map(endpoint).collect(),
            events: app.events().iter().map(event).collect(),
            connects: app.connects().map(str::to_owned).collect(),
            keeps_state_in_memory: app.has_state_in_memory(),
        }))
    }

    pub(super) fn side(&self) -> Option<NativeSide<'_>> {
        let known = self.0.as_ref()?;
        Some(NativeSide {
            endpoints: &known.endpoints,
            events: &known.events,
            connects: &known.connects,
            keeps_state_in_memory: known.keeps_state_in_memory,
        })
    }
}

/// A file that is well-formed in itself.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) source: Source,
    pub(crate) config: config::Config,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Builds the application that `[native]` names, from its settings.
    pub(crate) fn build_app(&self, apps: &[App]) -> Result<Option<NativeApp>, LoadError> {
        let Some(native) = &self.config.native else {
            return Ok(None);
        };
        let refused = |diagnostic| LoadError {
            source: self.source.clone(),
            diagnostics: vec![diagnostic],
        };
        let Some(app) = apps.iter().find(|app| app.name == native.app) else {
            let names: Vec<_> = apps.iter().map(|app| format!("`{}`", app.name)).collect();
            let help = match names.is_empty() {
                true => "this program has none: start the one that was built with the application, or remove `[native]`".to_owned(),
                false => format!("this program has {}", names.join(", ")),
            };
            let message = format!("there is no native application `{}`", native.app);
            return Err(refused(
                Diagnostic::error(Code::UnknownApp, message)
                    .at(native.app_span.clone())
                    .label("not in this program")
                    .help(help),
            ));
        };
        let values = native
            .settings
            .iter()
            .map(|(key, value, _)| (key.clone(), value.clone()))
            .collect();
        let folder = self
            .source
            .path
            .parent()
            .map_or_else(PathBuf::new, Path::to_owned);
        (app.build)(&Settings::new(values, folder))
            .map(Some)
            .map_err(|error| {
                let place = native
                    .settings
                    .iter()
                    .find(|(key, ..)| Some(key) == error.key.as_ref());
                let span = place.map_or(&native.app_span, |(_, _, span)| span).clone();
                refused(
                    Diagnostic::error(
                        Code::AppSetting,
                        format!("`{}` does not accept its settings", native.app),
                    )
                    .at(span)
                    .label(error.message),
                )
            })
    }

    /// Compiles the table, as `check` needs it; with `read_files`, it also reads the files that `serve` would read.
    pub(crate) fn compile(
        self,
        served: &Served,
        read_files: bool,
    ) -> Result<(Table, Vec<Diagnostic>), LoadError> {
        let Self {
            source,
            config,
            mut diagnostics,
        } = self;
        if read_files {
            diagnostics.extend(certificate_problem(&config));
            diagnostics.extend(trust_problem(&config));
        }
        let table = match Table::compile(config, 1, served.side()) {
            Ok((table, more)) => {
                diagnostics.extend(more);
                Some(table)
            }
            Err(more) => {
                diagnostics.extend(more);
                None
            }
        };
        match table {
            Some(table) if !diagnostics.iter().any(Diagnostic::is_error) => {
                Ok((table, diagnostics))
            }
            _ => Err(LoadError {
                source,
                diagnostics,
            }),
        }
    }
}

/// Reads and checks a file, as far as that goes without the native application.
pub(crate) fn load(path: &Path) -> Result<Loaded, LoadError> {
    parse(path, config::read(path))
}

/// Checks what can be checked without the native application.
pub(super) fn parse(path: &Path, source: Result<Source, Diagnostic>) -> Result<Loaded, LoadError> {
    let source = source.map_err(|diagnostic| LoadError {
        source: Source::empty(path),
        diagnostics: vec![diagnostic],
    })?;
    match config::parse(&source) {
        (Some(config), diagnostics) => Ok(Loaded {
            source,
            config,
            diagnostics,
        }),
        (None, diagnostics) => Err(LoadError {
            source,
            diagnostics,
        }),
    }
}

/// What is wrong with `cert` and `key` of `[server]`. `serve` starts with a certificate that is out of date.
fn certificate_problem(config: &config::Config) -> Option<Diagnostic> {
    let (cert, key) = (&config.server.cert, &config.server.key);
    let pair = match certificate::read(cert, key) {
        Ok(pair) => pair,
        Err(error) => {
            let place = if error.is_about_key() {
                &config.places.key
            } else {
                &config.places.certificate
            };
            let finding = Diagnostic::error(Code::Certificate, error.to_string());
            return Some(at(finding, place.as_ref()).help(WITHOUT_FILES));
        }
    };
    let error = certificate::check_date(cert, &pair).err()?;
    let finding = Diagnostic::warning(Code::Certificate, error.to_string())
        .help("clients that check certificates refuse it, and a running proxy does not load it");
    Some(at(finding, config.places.certificate.as_ref()))
}

/// What is wrong with `ca` or `pin` of `[node]`.
fn trust_problem(config: &config::Config) -> Option<Diagnostic> {
    let error = Target::new(config.node.clone()).err()?;
    Some(untrusted(config, &error).help(WITHOUT_FILES))
}

/// A `ca` or `pin` that cannot be used.
pub(super) fn untrusted(config: &config::Config, error: &TargetError) -> Diagnostic {
    let finding = Diagnostic::error(Code::Trust, format_sources(error));
    at(finding, config.places.trust.as_ref())
}

fn at(finding: Diagnostic, place: Option<&Span>) -> Diagnostic {
    match place {
        Some(place) => finding.at(place.clone()),
        None => finding,
    }
}
