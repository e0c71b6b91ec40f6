//! `[native]`: which application, and the keys that the application checks itself.

use crate::config::keys::belongs_to;
use crate::config::reader::{Table, unknown_key};
use crate::config::value::Value;
use crate::config::{Native, keys};

/// `[native]`
pub(super) fn native(value: &Value<'_>, table: Table<'_>) -> Option<Native> {
    table.check_keys(&keys::NATIVE, "`[native]`", Some(&value.header_span()));
    let app = table
        .get("app")
        .and_then(|value| Some((value.filled()?.as_str().to_owned(), value.span())));
    // The others are the application's, but this one never is.
    for (key, _) in table.entries().filter(|(key, _)| key.as_str() == "force") {
        if let Some(help) = belongs_to(key.as_str()) {
            table.report(unknown_key(&key.shown(), "`[native]`", key.span(), help));
        }
    }
    let settings: Vec<_> = table
        .entries()
        .filter(|(key, _)| key.as_str() != "app")
        .map(|(key, value)| Some((key.as_str().to_owned(), value.any()?, value.span())))
        .collect();
    let (app, app_span) = app?;
    Some(Native {
        app,
        app_span,
        settings: settings.into_iter().collect::<Option<_>>()?,
    })
}
