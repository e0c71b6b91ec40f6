//! Everything in which the proxy means to differ from Node, or cannot be the same.

/// How the proxy passes a socket on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Tunnel,
    Bridge,
}

/// Headers that one connection or one moment has, with the reason.
const OF_ONE_CONNECTION: [(&str, &str); 5] = [
    ("connection", "each end keeps its own connections"),
    ("keep-alive", "Node says when it closes one of its own"),
    ("date", "the answers are not of the same second"),
    ("x-strangler-side", "the tests ask the proxy for it"),
    (
        "x-xss-protection",
        "Node looks at the user agent of each request, a bridge at that of the handshake",
    ),
];

/// The framing of a body: Node sends a short one in chunks where its length was not given, and the proxy may know it.
const FRAMING: [&str; 2] = ["transfer-encoding", "content-length"];

/// Takes them out of what was heard. Each part of a transcript is a head with a body, or a message.
///
/// A session that Node closes tells the next poll `6` and then `1`, and a poll that waits already only `1`. Through a
/// bridge a close comes later, from the leg, and may meet a poll that waits.
pub(super) fn forget(way: Way, transcript: &[String]) -> Vec<String> {
    let noop_before_close = |at: usize| {
        way == Way::Bridge
            && transcript[at] == "6"
            && transcript.get(at + 1).is_some_and(|next| next == "1")
    };
    (0..transcript.len())
        .filter(|at| !noop_before_close(*at))
        .map(|at| forget_lines(&transcript[at]))
        .collect()
}

fn forget_lines(part: &str) -> String {
    let Some((head, body)) = part.split_once("\r\n\r\n") else {
        return part.to_owned();
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut kept: Vec<&str> = lines
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default().to_lowercase();
            OF_ONE_CONNECTION.iter().all(|(own, _)| *own != name)
                && !FRAMING.contains(&name.as_str())
        })
        .collect();
    // The proxy keeps the names as they are written, but not which header comes first.
    kept.sort_unstable();
    format!("{status}\r\n{}\r\n\r\n{body}", kept.join("\r\n"))
}
