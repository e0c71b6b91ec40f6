//! Groups of real clients, what they send, and what they must hear.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::process::{Process, node, python};

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Polling first, then a WebSocket, as all do by default.
    Upgrade,
    Websocket,
    Polling,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Websocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

/// Clients in one process.
pub struct Readers {
    pub name: &'static str,
    process: Process,
    modes: Vec<Mode>,
    /// What each client has heard since it connected.
    pub heard: Vec<Heard>,
}

#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub greetings: usize,
    pub texts: Vec<Value>,
}

impl Readers {
    pub fn python(modes: &[Mode]) -> Self {
        Self::new("python", Process::start(python("readers.py")), modes)
    }

    pub fn js(modes: &[Mode]) -> Self {
        let process = Process::start(node("tests/js", "readers.mjs"));
        Self::new("js", process, modes)
    }

    fn new(name: &'static str, process: Process, modes: &[Mode]) -> Self {
        Self {
            name,
            process,
            modes: modes.to_vec(),
            heard: vec![Heard::default(); modes.len()],
        }
    }

    pub fn len(&self) -> usize {
        self.modes.len()
    }

    /// One after the other. Returns how many connections were lost before the server had answered CONNECT.
    pub async fn connect(&mut self, url: &str) -> usize {
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
        let command = json!({ "do": "connect", "url": url, "modes": modes });
        self.process.tell(command).await;
        let (mut connected, mut lost) = (0, 0);
        while connected < self.len() {
            match self.next_but_hello().await {
                Event::Connected(client) if client == connected => connected += 1,
                Event::Lost(client) if client == connected => lost += 1,
                other => panic!("{}: {other:?}", self.name),
            }
        }
        lost
    }

    /// Node was killed: every client loses its connection, and gets another.
    pub async fn come_back(&mut self) {
        let (mut lost, mut back) = (HashSet::new(), HashSet::new());
        while back.len() < self.len() {
            match self.next_but_hello().await {
                Event::Disconnected(client) => {
                    assert!(lost.insert(client), "{} {client} is lost twice", self.name);
                    self.heard[client] = Heard::default();
                }
                Event::Connected(client) => {
                    assert!(lost.contains(&client) && back.insert(client));
                }
                Event::Lost(client) => assert!(lost.contains(&client)),
                other => panic!("{}: {other:?}", self.name),
            }
        }
    }

    /// The messages of each client.
    pub async fn send(&mut self, messages: &[Vec<Value>]) {
        let command = json!({ "do": "send", "messages": messages });
        self.process.tell(command).await;
    }

    pub async fn transports(&mut self) -> Vec<String> {
        self.process.tell(json!({ "do": "transports" })).await;
        match self.next_but_hello().await {
            Event::Transports(names) => names,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    pub fn expected_transports(&self) -> Vec<&'static str> {
        self.modes
            .iter()
            .map(|mode| match mode {
                Mode::Polling => "polling",
                Mode::Upgrade | Mode::Websocket => "websocket",
            })
            .collect()
    }

    /// They may connect again afterwards.
    pub async fn disconnect(&mut self) {
        self.process.tell(json!({ "do": "disconnect" })).await;
        while self.next().await != Event::Done {}
        self.heard = vec![Heard::default(); self.len()];
    }

    pub async fn hear(&mut self, count: usize) {
        while self.heard.iter().any(|heard| heard.texts.len() < count) {
            let event = self.next().await;
            assert_eq!(event, Event::Hello, "{}", self.name);
        }
    }

    async fn next_but_hello(&mut self) -> Event {
        loop {
            match self.next().await {
                Event::Hello => {}
                other => return other,
            }
        }
    }

    async fn next(&mut self) -> Event {
        let mut event = self.process.event().await;
        let client = event["client"]
            .as_u64()
            .map_or(0, |client| usize::try_from(client).unwrap());
        match event["event"].as_str().unwrap() {
            "hello" => {
                let heard = &mut self.heard[client];
                match event["text"].take() {
                    Value::String(text) if text == "from server" => heard.greetings += 1,
                    text => heard.texts.push(text),
                }
                Event::Hello
            }
            "connected" => Event::Connected(client),
            "disconnected" => Event::Disconnected(client),
            "lost" => Event::Lost(client),
            "transports" => {
                Event::Transports(serde_json::from_value(event["names"].take()).unwrap())
            }
            "done" => Event::Done,
            other => panic!("{other}"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Hello,
    Connected(usize),
    Disconnected(usize),
    Lost(usize),
    Transports(Vec<String>),
    Done,
}

/// All groups, one after the other. Whether Node greeted for a connection that was lost on the way cannot be known, so
/// then all begin anew.
pub async fn connect(groups: &mut [Readers], url: &str) {
    for _ in 0..5 {
        let mut lost = 0;
        for group in &mut *groups {
            lost += group.connect(url).await;
        }
        if lost == 0 {
            return;
        }
        for group in &mut *groups {
            group.disconnect().await;
        }
    }
    panic!("connections are lost again and again");
}

/// Waits until each has heard so many texts, and then of a last one that everybody is told.
pub async fn hear(groups: &mut [Readers], count: usize, last: &str) {
    for group in groups.iter_mut() {
        group.hear(count).await;
    }
    let message = json!({ "status": "start_connect", "message": last });
    let text = Value::String(message.to_string());
    groups[0].send(&[vec![message]]).await;
    for group in groups {
        group.hear(count + 1).await;
        for (client, heard) in group.heard.iter().enumerate() {
            assert_eq!(heard.texts.len(), count + 1, "{} {client}", group.name);
            assert_eq!(heard.texts.last(), Some(&text), "{} {client}", group.name);
        }
    }
}

/// How often each was greeted.
pub fn greetings_of(groups: &[Readers]) -> Vec<usize> {
    groups
        .iter()
        .flat_map(|group| group.heard.iter().map(|heard| heard.greetings))
        .collect()
}

fn ip(sender: usize) -> String {
    format!("172.18.21.{}", 101 + sender)
}

/// What one reader sends.
pub fn messages(sender: usize) -> Vec<Value> {
    let ip = ip(sender);
    vec![
        json!({ "ip": ip, "status": "start_connect", "message": "", "data": {} }),
        json!({ "ip": ip, "status": "tmp inserted", "message": "a picture",
            "data": { "tmp": 36.5, "amb": 36.0, "pic_data": { "picture": [sender, repeat(sender)] }, "pic_data_1": null } }),
        json!({ "ip": ip, "status": "tmp inserted wo pic", "data": { "id": 1025, "tmp": 36.0 } }),
        json!({ "ip": ip, "status": "tmp inserted wo pic", "data": { "name": "", "id": "1" } }),
        json!({ "status": "insert ic_log", "z": 12_345_678_901_234_567_890_u64, "a": "caf\u{e9} \u{1f980} <&>", "ip": ip }),
        json!({ "status": "delete_ic", "ic": "0114B3D2A1", "ip": ip }),
    ]
}

/// What everybody hears of it: JSON as JavaScript writes it, pictures as base64, names of drivers looked up.
pub fn expected_texts(sender: usize) -> Vec<Value> {
    let ip = ip(sender);
    let picture = STANDARD.encode(picture(sender));
    [
        format!(r#"{{"ip":"{ip}","status":"start_connect","message":"","data":{{}}}}"#),
        digest(&format!(
            r#"{{"ip":"{ip}","status":"tmp inserted","message":"a picture","data":{{"tmp":36.5,"amb":36,"pic_data":"{picture}","pic_data_1":null}}}}"#
        )),
        format!(
            r#"{{"ip":"{ip}","status":"tmp inserted wo pic","data":{{"id":1025,"tmp":36,"name":"髙橋 \"ケン\" 健一"}}}}"#
        ),
        format!(
            r#"{{"ip":"{ip}","status":"tmp inserted wo pic","data":{{"name":"本社 管理","id":"1"}}}}"#
        ),
        format!(
            "{{\"status\":\"insert ic_log\",\"z\":12345678901234567000,\"a\":\"caf\u{e9} \u{1f980} <&>\",\"ip\":\"{ip}\"}}"
        ),
        format!(r#"{{"status":"delete_ic","ic":"0114B3D2A1","ip":"{ip}"}}"#),
    ]
    .map(Value::String)
    .to_vec()
}

/// A picture of 300 kB or 3 kB, in repeats of 256 bytes: python clients need a second for four megabytes of text.
fn repeat(sender: usize) -> usize {
    if sender.is_multiple_of(7) { 1172 } else { 12 }
}

/// As the clients make it.
fn picture(sender: usize) -> Vec<u8> {
    let pattern = (0..256).map(|index| u8::try_from((sender + 7 * index) % 256).unwrap());
    pattern.collect::<Vec<u8>>().repeat(repeat(sender))
}

/// As the clients report a long text.
fn digest(text: &str) -> String {
    let hash: String = Sha1::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha1:{hash}:{}", text.chars().count())
}
