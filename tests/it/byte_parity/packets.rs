//! Packets of Socket.IO in every shape, over polling and over a WebSocket: what is said before a last word is answered,
//! or before the connection ends.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

use super::dialogue::{Ask, Dialogue, Step};

/// The namespace of this word has nothing to do with the packets in question. Node treats some packets in its next turn:
/// without a word between them and the last, it would depend on the chunks of TCP what becomes of that.
const OTHER: &str = "/dynamic-9,";
const OTHER_WORD: &str = "42/dynamic-9,[\"message\",\"other word\"]";
const OTHER_GREETING: &str = "/dynamic-9,[\"auth\"";
const LAST_WORD: &str = "42[\"message\",\"last word\"]";

pub(super) fn all() -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for packet in texts() {
        dialogues.push(polling(std::slice::from_ref(&Message::text(&packet))));
        dialogues.push(websocket(&[Message::text(packet)]));
    }
    for packets in with_attachments() {
        dialogues.push(polling(&packets));
        dialogues.push(websocket(&packets));
    }
    dialogues.extend(with_one_attachment_too_many());
    dialogues.push(websocket(&[Message::binary(vec![1, 2])]));
    dialogues.push(websocket(&[Message::text("x".repeat(100_001))]));
    dialogues.push(websocket(&[Message::binary(vec![0; 100_001])]));
    dialogues
}

fn name(transport: &str, packets: &[Message]) -> String {
    let mut name = format!("{transport} {packets:?}");
    name.truncate(200);
    name
}

/// Everything in one payload, then a last word in another, unless the session is gone.
fn polling(packets: &[Message]) -> Dialogue {
    let payload: Vec<String> = packets.iter().map(as_packet).collect();
    let post = |payload: String| Step::Ask(Ask::session("POST", payload));
    let steps = [
        post(format!("40\x1e40{OTHER}")),
        Step::Poll(OTHER_GREETING),
        post(payload.join("\x1e")),
        post(OTHER_WORD.to_owned()),
        Step::Poll("other word"),
        post(LAST_WORD.to_owned()),
        Step::Poll("last word"),
    ];
    Dialogue::polling(name("polling", packets), steps)
}

fn as_packet(message: &Message) -> String {
    use base64::Engine;
    match message {
        Message::Binary(data) => {
            let data = base64::engine::general_purpose::STANDARD.encode(data);
            format!("b{data}")
        }
        other => other.to_text().unwrap_or_default().to_owned(),
    }
}

fn websocket(packets: &[Message]) -> Dialogue {
    let steps = packets.iter().cloned().map(Step::Send).collect();
    over_websocket(name("websocket", packets), steps)
}

/// Node ignores an event if what makes it close comes in the same read, so over a WebSocket the event is answered first.
fn with_one_attachment_too_many() -> [Dialogue; 2] {
    let one = "{\"_placeholder\":true,\"num\":0}";
    let two = format!("452-[\"message\",{{\"_placeholder\":true,\"num\":1}},{one}]");
    let bytes = |byte| Message::binary(vec![byte]);
    let packets = [Message::text(two), bytes(1), bytes(2), bytes(3)];
    let mut steps: Vec<Step> = packets.iter().cloned().map(Step::Send).collect();
    steps.insert(3, Step::Read("message-back"));
    [
        polling(&packets),
        over_websocket(name("websocket", &packets), steps),
    ]
}

fn over_websocket(name: String, packets: Vec<Step>) -> Dialogue {
    let open = Ask::new("GET", "/socket.io/?EIO=4&transport=websocket")
        .with("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13")
        .with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    let send = |packet: String| Step::Send(Message::text(packet));
    let mut steps = vec![
        Step::Upgrade(open),
        send("40".to_owned()),
        send(format!("40{OTHER}")),
        Step::Read(OTHER_GREETING),
    ];
    steps.extend(packets);
    steps.push(send(OTHER_WORD.to_owned()));
    steps.push(Step::Read("other word"));
    steps.push(send(LAST_WORD.to_owned()));
    steps.push(Step::Read("last word"));
    Dialogue { name, steps }
}

/// Packets without attachments, good and bad.
fn texts() -> Vec<String> {
    let deep = |depth: usize| format!("42[\"message\",{}{}]", "[".repeat(depth), "]".repeat(depth));
    let mut packets: Vec<String> = [
        // The head.
        "4",
        "4a",
        "47",
        "48",
        "49",
        "4-1",
        "4\u{664}2",
        "42",
        "42[]",
        "42{}",
        "42null",
        "42true",
        "42\"message\"",
        "42[",
        "42[\"message\"",
        "42[\"message\"]x",
        "42 [\"message\"]",
        "42[\"message\"] ",
        "42[ \"message\" , 1 ]",
        "42\t[\"message\",1]",
        "42[\"message\",]",
        "42[\"message\",01]",
        "42[\"message\",'a']",
        "42[\"message\",NaN]",
        // Names.
        "42[1]",
        "42[1.5,2]",
        "42[null,1]",
        "42[true]",
        "42[[\"message\"]]",
        "42[{\"a\":1}]",
        "42[\"\"]",
        "42[\"unheard of\",1]",
        "42[\"connect\"]",
        "42[\"connect_error\"]",
        "42[\"disconnect\"]",
        "42[\"disconnecting\"]",
        "42[\"newListener\"]",
        "42[\"removeListener\"]",
        "42[\"error\",1]",
        "42[\"__proto__\"]",
        "42[\"constructor\",1]",
        "42[\"toString\"]",
        "42[\"mess\\u0061ge\",1]",
        "42[\"message\\u0000\",1]",
        // Ids of acknowledgements.
        "420[\"message-with-ack\",1]",
        "4200[\"message-with-ack\",1]",
        "42007[\"message-with-ack\",1]",
        "42-1[\"message-with-ack\",1]",
        "421.5[\"message-with-ack\",1]",
        "421e3[\"message-with-ack\",1]",
        "42 7[\"message-with-ack\",1]",
        "427 [\"message-with-ack\",1]",
        "429007199254740991[\"message-with-ack\",1]",
        "429007199254740993[\"message-with-ack\",1]",
        "4299999999999999999999999[\"message-with-ack\",1]",
        "42abc[\"message-with-ack\",1]",
        "4212",
        "42[\"message-with-ack\",1]",
        "427[\"message-with-ack\"]",
        "427[\"message\",1]",
        "427[\"silent\"]",
        "430[]",
        "4399[1]",
        "43[]",
        "43",
        "43{}",
        "431",
        "431{}",
        "431\"x\"",
        "43-1[]",
        // Namespaces.
        "42/,[\"message\",1]",
        "42/custom,[\"message\",1]",
        "42/custom[\"message\",1]",
        "42/nowhere,[\"message\",1]",
        "42//,[\"message\",1]",
        "42custom,[\"message\",1]",
        "42/custom,7[\"message-with-ack\",1]",
        "42/?a=b,[\"message\",1]",
        // CONNECT and DISCONNECT.
        "40",
        "40{}",
        "40/custom",
        "40/custom,",
        "40/custom,{}",
        "40/custom,{\"token\":\"abc\"}",
        "40/custom?a=b,",
        "40/custom,7",
        "40/custom,7{}",
        "40/nowhere",
        "40/nowhere,",
        "40/nowhere,{\"a\":1}",
        "40/,",
        "40//,",
        "40/constructor,",
        "40/__proto__,",
        "40/dynamic-1,",
        "40/dynamic-x,",
        "40/DYNAMIC-1,",
        "40/guarded,",
        "40/guarded,{\"token\":\"x\"}",
        "40/guarded,{\"token\":\"sesame\"}",
        "40/guarded,[]",
        "40/custom,null",
        "40/custom,\"x\"",
        "40/custom,[]",
        "40/custom,[1]",
        "40/custom,{",
        "40/custom,{\"a\":1}x",
        "40/custom,true",
        "41",
        "41{}",
        "41/custom,",
        "41/nowhere,",
        "41/custom,{}",
        "417",
        "44",
        "44{}",
        "44\"x\"",
        "44{\"message\":\"no\"}",
        "44/custom,{}",
        // Packets that promise attachments.
        "45",
        "45-",
        "450-[\"message\"]",
        "45-1-[\"message\"]",
        "451.5-[\"message\"]",
        "451e1-[\"message\"]",
        "4511-[\"message\",{\"_placeholder\":true,\"num\":0}]",
        "451000000000-[\"message\"]",
        "45 1-[\"message\"]",
        "451[\"message\"]",
        "451-",
        "451-{}",
        "451-[]",
        "451-[\"connect\"]",
        "46",
        "461-[]",
        "461-7[]",
        "460-7[]",
        // Values.
        "42[\"message\",1.0,-0,1e3,1E400,12345678901234567890,0.1,1e-7,123456789012345680000000]",
        "42[\"message\",{\"b\":1,\"a\":2,\"10\":3,\"9\":4,\"b\":5}]",
        "42[\"message\",{\"__proto__\":1,\"constructor\":2}]",
        "42[\"message\",{\"toJSON\":1}]",
        "42[\"message\",\"\\ud800\"]",
        "42[\"message\",\"\\ud83e\\udd80\\u0000\\u2028</script>\"]",
        "42[\"message\",\"\u{1f980}\u{e9}\u{2028}\"]",
        "42[\"message\",null,[null],{\"a\":null}]",
        "42[\"message\",{\"_placeholder\":true,\"num\":0}]",
        "42[\"message\",{\"_placeholder\":true}]",
        "42[\"message\",\"\u{7f}\"]",
        "42[\"message\",{\"\":{\"\":[]}}]",
        "42[\"message\",{\"type\":\"Buffer\",\"data\":[1,2]}]",
        "42[\"ask\",\"how?\"]",
        "42[\"throw\"]",
        "42[\"join\",\"room\"]",
        "427[\"join\",\"room\"]",
        "42[\"kick\"]",
        "42[\"kick-all\"]",
        "42[\"burst\",3]",
        "42[\"volatile\",0]",
        "42[\"big\",100]",
        "42[\"big-binary\",5]",
    ]
    .map(str::to_owned)
    .to_vec();
    packets.extend([deep(100), deep(1000)]);
    packets.push(format!("42[\"message\",\"{}\"]", "y".repeat(99_000)));
    packets.push(format!("42/{},[\"message\"]", "n".repeat(5000)));
    packets.push(format!("42{}[\"message-with-ack\",1]", "7".repeat(400)));
    packets
}

/// Binary events with what belongs to them, and with what does not.
fn with_attachments() -> Vec<Vec<Message>> {
    let bytes = |data: &'static [u8]| Message::binary(Bytes::from_static(data));
    let one = "{\"_placeholder\":true,\"num\":0}";
    let mut all = Vec::new();
    for head in ["451-", "451-7", "451-/custom,"] {
        let packet = format!("{head}[\"message\",{one}]");
        all.push(vec![Message::text(packet), bytes(&[1, 2, 3])]);
    }
    for placeholder in [
        "{\"_placeholder\":true,\"num\":1}",
        "{\"_placeholder\":true,\"num\":-1}",
        "{\"_placeholder\":true,\"num\":1.5}",
        "{\"_placeholder\":true,\"num\":\"0\"}",
        "{\"_placeholder\":true,\"num\":\"length\"}",
        "{\"_placeholder\":true,\"num\":null}",
        "{\"_placeholder\":true}",
        "{\"_placeholder\":1,\"num\":0}",
        "{\"_placeholder\":\"true\",\"num\":0}",
        "{\"_placeholder\":false,\"num\":0}",
        "{\"num\":0,\"_placeholder\":true}",
        "{\"_placeholder\":true,\"num\":0,\"more\":1}",
        "{\"deep\":[{\"er\":{\"_placeholder\":true,\"num\":0}}]}",
        "0",
    ] {
        let packet = format!("451-[\"message\",{placeholder}]");
        all.push(vec![Message::text(packet), bytes(&[1, 2, 3])]);
    }
    let twice = format!("451-[\"message\",{one},{one}]");
    all.push(vec![Message::text(twice), bytes(&[1])]);
    let two = format!("452-[\"message\",{{\"_placeholder\":true,\"num\":1}},{one}]");
    let two = Message::text(two);
    all.push(vec![two.clone(), bytes(&[1]), bytes(&[2])]);
    all.push(vec![two.clone(), bytes(&[]), bytes(&[])]);
    // Too few before the last word, and a text between.
    all.push(vec![two.clone(), bytes(&[1])]);
    all.push(vec![
        two.clone(),
        bytes(&[1]),
        Message::text("42[\"message\"]"),
        bytes(&[2]),
    ]);
    all.push(vec![
        two.clone(),
        Message::text("3"),
        bytes(&[1]),
        bytes(&[2]),
    ]);
    all.push(vec![two.clone(), two, bytes(&[1]), bytes(&[2])]);
    let ask = format!("451-7[\"message-with-ack\",{one}]");
    all.push(vec![Message::text(ask), bytes(&[9])]);
    let acknowledged = format!("461-0[{one}]");
    all.push(vec![Message::text(acknowledged), bytes(&[9])]);
    let placeholders: Vec<String> = (0..10)
        .map(|number| format!("{{\"_placeholder\":true,\"num\":{number}}}"))
        .collect();
    let ten = format!("4510-[\"message\",{}]", placeholders.join(","));
    all.push(
        std::iter::once(Message::text(ten))
            .chain((0..10).map(|_| bytes(&[5])))
            .collect(),
    );
    all.push(vec![bytes(&[1])]);
    all
}
