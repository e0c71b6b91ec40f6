//! Says in words what the table decides for one request, for `strangler explain`.

use std::fmt;

use crate::config::{Rule, To};
use crate::routing::table::{Reason, Route, Table};
use crate::routing::{RequestHead, Side};

/// `Display` gives one line, to which the place of `claim` in the file belongs, and a second one where there is more
/// to know.
#[derive(Debug)]
pub struct Explanation<'t> {
    /// What the table answered.
    pub route: Route<'t>,
}

impl Table {
    /// Decides as `route` does.
    pub fn explain(&self, request: &RequestHead<'_>) -> Explanation<'_> {
        Explanation {
            route: self.route(request),
        }
    }
}

impl Explanation<'_> {
    /// The rule, the claim as written, the side and why: `daily  GET /api/v2/daily/{date}  native`.
    pub fn summary(&self) -> String {
        let Route {
            rule,
            claim,
            side,
            reason,
            ..
        } = &self.route;
        let name = match (rule, reason) {
            (Some((_, rule)), _) => rule.id.as_str(),
            (None, Reason::Socket(id)) => id,
            (None, _) => "(rest)",
        };
        let mut summary = name.to_owned();
        if let Some(claim) = claim {
            summary.push_str(&format!("  {}", claim));
        }
        summary.push_str(&format!("  {side}"));
        if let Some(why) = self.why() {
            summary.push_str(&format!(" ({why})"));
        }
        summary
    }

    /// When the other side answers after all.
    pub fn fallback(&self) -> Option<String> {
        let (_, rule) = self.route.rule?;
        let falls_back = self.route.side == Side::Native && rule.to != To::NativeOnly;
        falls_back.then(|| {
            format!(
                "Node answers if native declines, fails or takes {:?}",
                rule.timeout
            )
        })
    }

    fn why(&self) -> Option<String> {
        let share = |(_, rule): (usize, &Rule)| match rule.to {
            To::Native(share) => format!("{}% by {}", f64::from(share.0) / 100.0, rule.sticky),
            To::Node | To::NativeOnly => String::new(),
        };
        let share = self.route.rule.map(share).unwrap_or_default();
        Some(match self.route.reason {
            Reason::Rule | Reason::Rest => return None,
            Reason::Forced => "force = \"node\"".to_owned(),
            Reason::Socket(_) => "a socket owns this path".to_owned(),
            Reason::Ambiguous => "the path has more than one reading".to_owned(),
            Reason::Share { inside: true } => format!("client in first {share}"),
            Reason::Share { inside: false } => format!("client not in first {share}"),
            Reason::NoHandler => "native has no handler for this event".to_owned(),
            Reason::NoEndpoint => "native has no endpoint for this method and path".to_owned(),
        })
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        match self.fallback() {
            Some(fallback) => write!(f, "\n       {fallback}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Share, SocketKind};
    use crate::routing::fixture::{NATIVE, compile, config, route, rule, socket};

    #[test]
    fn every_answer_has_its_words() {
        let mut config = config(vec![
            rule("daily", &["GET /api/v2/daily/{date}"], NATIVE),
            rule("hourly", &["/api/v2/hourly"], To::Node),
            rule("some", &["GET /some"], To::Native(Share(9_999))),
            rule("few", &["GET /few"], To::Native(Share(0))),
            rule("only", &["/only"], To::NativeOnly),
        ]);
        config.sockets = vec![socket("game", SocketKind::WebSocket, "/ws")];
        let served = [
            "GET /api/v2/daily/{date}",
            "GET /some",
            "GET /few",
            "GET /only",
        ];
        let table = compile(config, &served).unwrap();
        let falls_back = "\n       Node answers if native declines, fails or takes 2s";
        for (request, expected) in [
            (
                "GET /API/v2/daily/2025-07-01/",
                format!("daily  GET /api/v2/daily/{{date}}  native{falls_back}"),
            ),
            (
                "GET /api/v2/hourly",
                "hourly  /api/v2/hourly  node".to_owned(),
            ),
            (
                "GET /some",
                format!("some  GET /some  native (client in first 99.99% by address){falls_back}"),
            ),
            (
                "GET /few",
                "few  GET /few  node (client not in first 0% by address)".to_owned(),
            ),
            ("GET /only", "only  /only  native".to_owned()),
            (
                "PUT /only",
                "only  /only  node (native has no endpoint for this method and path)".to_owned(),
            ),
            ("GET /ws", "game  node (a socket owns this path)".to_owned()),
            (
                "GET //",
                "(rest)  node (the path has more than one reading)".to_owned(),
            ),
            ("GET /", "(rest)  node".to_owned()),
        ] {
            let explanation = Explanation {
                route: route(&table, request, &[]),
            };
            assert_eq!(explanation.to_string(), expected, "{request}");
        }
    }
}
