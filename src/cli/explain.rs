//! `strangler explain`: who answers one request, by the same table lookup as in the proxy.

use std::net::IpAddr;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::cli::check::compile;
use crate::config::Source;
use crate::native::App;
use crate::routing::RequestHead;

pub(super) fn explain(
    routes: &Path,
    apps: &[App],
    method: &Method,
    uri: &Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    address: IpAddr,
) -> anyhow::Result<()> {
    let table = compile(routes, apps).map_err(|failed| super::report(&failed, ""))?;
    let headers: HeaderMap = headers.into_iter().collect();
    let explanation = table.explain(&RequestHead {
        method,
        uri,
        headers: &headers,
        address,
    });
    let mut line = explanation.summary();
    if let Some((_, rule)) = explanation.route.rule {
        let source = crate::config::read(routes).unwrap_or_else(|_| Source::empty(routes));
        line = format!(
            "{line}   {}:{}",
            routes.display(),
            source.position(rule.id_span.start).line
        );
    }
    line.push('\n');
    if let Some(fallback) = explanation.fallback() {
        let indent = explanation.route.rule.map_or(0, |(_, rule)| rule.id.len());
        line = format!("{line}{:indent$}  {fallback}\n", "");
    }
    super::print(&line)
}

/// `NAME:VALUE`, as curl takes it.
pub(super) fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME:VALUE")?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?;
    Ok((name, value))
}
