//! The migration of the time card as it would happen: thirteen readers say what they have to say all the time, while
//! somebody edits routes.toml, and Node is even stopped for a while. Nobody notices.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::TestProxy;
use crate::support::readers::{Mode, Readers, connect};
use crate::support::timecard::Timecard;

const READERS: usize = 13;

/// Turns of all readers that are under way at a time.
const WINDOW: usize = 3;

/// Turns in each state of routes.toml.
const TURNS: usize = 12;

/// The socket in each way, with its rules.
fn rules(mode: &str, rules: &str) -> String {
    let bridge = r#"node_loss = "resume"
once = [{ name = "hello", where = { "" = "from server" } }]"#;
    let keys = if mode == "bridge" { bridge } else { "" };
    format!(
        "[socket.readers]\nkind = \"socket.io\"\npath = \"/socket.io/\"\nmode = \"{mode}\"\n{keys}\n\n[rule]\n{rules}\n"
    )
}

const WITHOUT_PICTURE: &str = r#"wo-pic = { events = { readers = ["message"] }, where = { "/status" = "tmp inserted wo pic" }, to = "native" }"#;

/// By the address in the message: all clients of this test have the same one otherwise.
const TEN_PERCENT: &str =
    r#"rest = { events = { readers = ["*"] }, sticky = "/ip", to = "native 10%" }"#;

const EVERYTHING: &str = r#"rest = { events = { readers = ["*"] }, to = "native" }"#;

#[tokio::test]
async fn a_time_card_moves_under_its_readers() {
    let mut timecard = Timecard::start().await;
    let tunnel = rules("tunnel", "");
    let proxy = timecard.proxy_with_native(timecard::APP, &tunnel).await;
    let url = format!("https://{}", proxy.address);
    let mut modes = [Mode::Upgrade; READERS];
    modes[10..].fill(Mode::Websocket);
    let mut groups = vec![Readers::python(&modes)];

    connect(&mut groups, &url).await;
    let mut chat = Chat::new(groups.remove(0));
    chat.turns(TURNS, State::Steady("tunnel")).await;
    chat.everything_is_heard().await;

    // A connection keeps the way in which it began, so the readers come back once, as they do after any restart.
    let bridge = rules("bridge", "");
    edit(&proxy, &timecard, &bridge).await;
    let mut reader = chat.end();
    reader.disconnect().await;
    let mut groups = vec![reader];
    connect(&mut groups, &url).await;
    let mut chat = Chat::new(groups.remove(0));
    chat.turns(TURNS, State::Steady("bridge")).await;
    let greetings = chat.greetings();

    let flips = [
        ("without picture", WITHOUT_PICTURE.to_owned()),
        ("ten percent", format!("{WITHOUT_PICTURE}\n{TEN_PERCENT}")),
        ("everything", format!("{WITHOUT_PICTURE}\n{EVERYTHING}")),
    ];
    for (state, to) in flips {
        let to = rules("bridge", &to);
        tokio::join!(chat.turns(TURNS, State::Flip), edit(&proxy, &timecard, &to));
        chat.turns(TURNS, State::Steady(state)).await;
    }

    let native = r#"strangler_events_total{rule="rest",side="native"}"#;
    let before = proxy.metric(native).await;
    tokio::join!(
        chat.turns(TURNS, State::Steady("Node stops")),
        timecard.stop()
    );
    chat.turns(TURNS, State::Steady("Node is away")).await;
    assert!(proxy.metric(native).await > before, "nothing was native");

    timecard.launch().await;
    tokio::join!(
        chat.turns(TURNS, State::Flip),
        edit(&proxy, &timecard, &bridge)
    );
    chat.turns(TURNS, State::Steady("rolled back")).await;
    chat.everything_is_heard().await;
    assert_eq!(chat.greetings(), greetings, "nobody new has come");
    chat.end().disconnect().await;
}

async fn edit(proxy: &TestProxy, timecard: &Timecard, rules: &str) {
    proxy.edit(&timecard.url(), &timecard.trusted(rules)).await;
}

/// What routes.toml said when a message was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Every message of a reader that a rule does not tell from another goes to the same side.
    Steady(&'static str),
    /// Between two of them.
    Flip,
}

/// What the readers say, and what they must hear of it.
struct Chat {
    readers: Readers,
    sent: HashMap<String, Sent>,
    turns: usize,
}

#[derive(Debug)]
struct Sent {
    sender: usize,
    turn: usize,
    state: State,
    without_picture: bool,
}

impl Chat {
    fn new(readers: Readers) -> Self {
        Self {
            readers,
            sent: HashMap::new(),
            turns: 0,
        }
    }

    fn greetings(&self) -> Vec<usize> {
        self.readers
            .heard
            .iter()
            .map(|heard| heard.greetings)
            .collect()
    }

    /// Each reader says one thing in each turn, without waiting for what becomes of the last ones.
    async fn turns(&mut self, turns: usize, state: State) {
        for _ in 0..turns {
            let turn = self.turns;
            self.turns += 1;
            let mut said = Vec::new();
            for sender in 0..READERS {
                let (message, text) = message(sender, turn);
                let sent = Sent {
                    sender,
                    turn,
                    state,
                    without_picture: message["status"] == "tmp inserted wo pic",
                };
                assert!(self.sent.insert(text, sent).is_none());
                said.push(vec![message]);
            }
            self.readers.send(&said).await;
            let settled = self.turns.saturating_sub(WINDOW);
            self.readers.hear(settled * READERS).await;
        }
    }

    /// Each text exactly once at every client, and in the order of each sender and side.
    async fn everything_is_heard(&mut self) {
        self.readers.hear(self.sent.len()).await;
        // A second copy of something would come before a last word of everybody.
        self.turns(1, State::Flip).await;
        self.readers.hear(self.sent.len()).await;
        for (client, heard) in self.readers.heard.iter().enumerate() {
            let mut times: BTreeMap<&str, usize> = BTreeMap::new();
            let mut last: HashMap<_, usize> = HashMap::new();
            for text in &heard.texts {
                let text = text.as_str().unwrap();
                *times.entry(text).or_default() += 1;
                let sent = self.sent.get(text);
                let sent = sent.unwrap_or_else(|| panic!("client {client}: nobody said {text}"));
                if let State::Steady(state) = sent.state {
                    let line = (state, sent.sender, sent.without_picture);
                    let before = last.insert(line, sent.turn);
                    assert!(before < Some(sent.turn), "client {client}: {text} is late");
                }
            }
            let odd: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
            assert!(odd.is_empty(), "client {client}: {odd:?}");
            assert_eq!(times.len(), self.sent.len(), "client {client}");
        }
    }

    fn end(self) -> Readers {
        self.readers
    }
}

/// What a reader says in a turn, and the text that everybody hears, whichever side answers.
fn message(sender: usize, turn: usize) -> (Value, String) {
    let ip = format!("172.18.21.{}", 101 + sender);
    match turn % 5 {
        0 => (
            json!({ "ip": ip, "status": "start_connect", "message": turn, "data": {} }),
            format!(r#"{{"ip":"{ip}","status":"start_connect","message":{turn},"data":{{}}}}"#),
        ),
        1 => (
            json!({ "ip": ip, "status": "tmp inserted", "message": turn,
                "data": { "tmp": 36.5, "amb": 36.0, "pic_data": { "picture": [sender, 2] } } }),
            format!(
                r#"{{"ip":"{ip}","status":"tmp inserted","message":{turn},"data":{{"tmp":36.5,"amb":36,"pic_data":"{}"}}}}"#,
                picture(sender)
            ),
        ),
        2 => (
            json!({ "ip": ip, "status": "tmp inserted wo pic", "message": turn, "data": { "id": 1025, "tmp": 36.0 } }),
            format!(
                r#"{{"ip":"{ip}","status":"tmp inserted wo pic","message":{turn},"data":{{"id":1025,"tmp":36,"name":"髙橋 \"ケン\" 健一"}}}}"#
            ),
        ),
        3 => (
            json!({ "status": "insert ic_log", "7": turn, "a": "caf\u{e9} \u{1f980} <&>", "ip": ip }),
            format!(
                "{{\"7\":{turn},\"status\":\"insert ic_log\",\"a\":\"caf\u{e9} \u{1f980} <&>\",\"ip\":\"{ip}\"}}"
            ),
        ),
        _ => (
            json!({ "status": "delete_ic", "ic": format!("0114B3D2{turn:04}"), "ip": ip }),
            format!(r#"{{"status":"delete_ic","ic":"0114B3D2{turn:04}","ip":"{ip}"}}"#),
        ),
    }
}

/// 512 bytes, as the clients make them.
fn picture(sender: usize) -> String {
    let pattern = (0..256).map(|index| u8::try_from((sender + 7 * index) % 256).unwrap());
    STANDARD.encode(pattern.collect::<Vec<u8>>().repeat(2))
}
