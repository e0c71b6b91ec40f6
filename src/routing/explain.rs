//! Says in words what the table decides for one request or one message, for `strangler explain`.

use std::fmt;

use crate::config::{Condition, Rule, Scalar, To};
use crate::routing::events::{EventHead, EventRoute};
use crate::routing::select::Value;
use crate::routing::table::{Reason, Route, Table};
use crate::routing::{RequestHead, Side};

/// `Display` gives one line, to which the place of `claim` in the file belongs, and a second one where there is more
/// to know.
#[derive(Debug)]
pub struct Explanation<'t> {
    /// What the table answered.
    pub route: Route<'t>,
}

/// `Display` as for [`Explanation`].
#[derive(Debug)]
pub struct EventExplanation<'t> {
    /// What the table answered.
    pub route: EventRoute<'t>,
    /// What of `where` the message met, such as `/status = "delete_ic"`.
    met: Vec<String>,
}

impl Table {
    /// Decides as `event` does.
    pub fn explain_event(&self, socket: usize, head: &EventHead<'_>) -> EventExplanation<'_> {
        let route = self.event(socket, head);
        let met = |condition: &Condition| {
            let value = self.events().select(&condition.selector, head);
            let value = value.map(written).unwrap_or_default();
            format!("{} = {value}", condition.selector)
        };
        let conditions = route.rule.map(|(_, rule)| rule.conditions.iter());
        EventExplanation {
            route,
            met: conditions.into_iter().flatten().map(met).collect(),
        }
    }

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
        match self.route.is_refused() {
            true => summary.push_str("  refused"),
            false => summary.push_str(&format!("  {side}")),
        }
        if let Some(why) = why(*rule, *reason) {
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
}

impl EventExplanation<'_> {
    /// The rule, what of `where` was met (or the claim, where there is none), the side and why:
    /// `cards  /status = "delete_ic"  native (client in first 10% by address)`.
    pub fn summary(&self) -> String {
        let EventRoute {
            rule,
            claim,
            side,
            reason,
        } = &self.route;
        let mut summary = match rule {
            Some((_, rule)) => rule.id.clone(),
            None => "(rest)".to_owned(),
        };
        match claim {
            Some(claim) if self.met.is_empty() => summary.push_str(&format!("  {claim}")),
            Some(_) => summary.push_str(&format!("  {}", self.met.join(" and "))),
            None => {}
        }
        match self.route.is_refused() {
            true => summary.push_str("  ignored"),
            false => summary.push_str(&format!("  {side}")),
        }
        if let Some(why) = why(*rule, *reason) {
            summary.push_str(&format!(" ({why})"));
        }
        summary
    }

    /// When the other side gets it after all. What native has begun and not declined is never sent again.
    pub fn fallback(&self) -> Option<String> {
        let (_, rule) = self.route.rule?;
        let falls_back = self.route.side == Side::Native && rule.to != To::NativeOnly;
        falls_back.then(|| "Node gets it if native declines".to_owned())
    }
}

fn why(rule: Option<(usize, &Rule)>, reason: Reason<'_>) -> Option<String> {
    let share = |(_, rule): (usize, &Rule)| match rule.to {
        To::Native(share) => format!("{}% by {}", f64::from(share.0) / 100.0, rule.sticky),
        To::Node | To::NativeOnly => String::new(),
    };
    let share = rule.map(share).unwrap_or_default();
    Some(match reason {
        Reason::Rule | Reason::Rest => return None,
        Reason::Forced => "force = \"node\"".to_owned(),
        Reason::Socket(_) => "a socket owns this path".to_owned(),
        Reason::Ambiguous => "the path has more than one reading".to_owned(),
        Reason::Share { inside: true } => format!("client in first {share}"),
        Reason::Share { inside: false } => format!("client not in first {share}"),
        Reason::NoEndpoint => "native has no endpoint for this method and path".to_owned(),
        Reason::NoHandler => "native has no handler for this event".to_owned(),
    })
}

/// As in the file.
fn written(value: Value<'_>) -> String {
    match value {
        Value::Text(text) => Scalar::Text(text.into_owned()).to_string(),
        Value::Number(number) => Scalar::Number(number).to_string(),
        Value::Bool(value) => Scalar::Bool(value).to_string(),
        Value::Address(address) => format!("\"{address}\""),
    }
}

impl fmt::Display for EventExplanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        two_lines(f, &self.summary(), self.fallback())
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        two_lines(f, &self.summary(), self.fallback())
    }
}

fn two_lines(f: &mut fmt::Formatter<'_>, first: &str, second: Option<String>) -> fmt::Result {
    f.write_str(first)?;
    match second {
        Some(second) => write!(f, "\n       {second}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Selector, Share, SocketKind};
    use crate::routing::fixture::{
        NATIVE, bridged, compile, compile_events, config, event_rule, pointer, route, rule, socket,
        with_event,
    };

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
                "only  /only  refused (native has no endpoint for this method and path)".to_owned(),
            ),
            (
                "GET //only",
                "only  /only  refused (the path has more than one reading)".to_owned(),
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

    #[test]
    fn every_answer_for_a_message_has_its_words() {
        let readers = bridged("readers", SocketKind::SocketIo, "/socket.io/");
        let status = |id: &str, status: &str, to: To| {
            event_rule(id, &["readers message"], to)
                .when(pointer("/status"), &[status, &format!("{status} too")])
        };
        let rules = vec![
            status("cards", "delete_ic", To::Native(Share(9_999)))
                .when(Selector::Address, &["10.0.0.1"]),
            status("logs", "insert ic_log", To::Native(Share(0))),
            event_rule("text", &["readers text"], NATIVE).when(pointer(""), &["hi"]),
            event_rule("chat", &["readers chat", "readers news"], NATIVE),
            event_rule("only", &["readers /admin,*"], To::NativeOnly),
            event_rule("old", &["readers old"], To::Node),
        ];
        let native = ["message", "text", "chat", "/admin,x"];
        let table = compile_events(vec![readers], rules, &native).unwrap();
        let falls_back = "\n       Node gets it if native declines";
        for (message, expected) in [
            (
                r#"message {"status":"delete_ic"}"#,
                format!(
                    "cards  /status = \"delete_ic\" and address = \"10.0.0.1\"  native (client in first 99.99% by address){falls_back}"
                ),
            ),
            (
                r#"message {"status":"insert ic_log"}"#,
                "logs  /status = \"insert ic_log\"  node (client not in first 0% by address)"
                    .to_owned(),
            ),
            (r#"message {"status":1}"#, "(rest)  node".to_owned()),
            (
                "text \"hi\"",
                format!("text  \"\" = \"hi\"  native{falls_back}"),
            ),
            ("chat", format!("chat  chat  native{falls_back}")),
            (
                "news",
                "chat  news  node (native has no handler for this event)".to_owned(),
            ),
            ("/admin,any", "only  /admin,*  native".to_owned()),
            ("old", "old  old  node".to_owned()),
        ] {
            let explained = with_event(&table, message, &[], |head| {
                table.explain_event(0, head).to_string()
            });
            assert_eq!(explained, expected, "{message}");
        }
    }
}
