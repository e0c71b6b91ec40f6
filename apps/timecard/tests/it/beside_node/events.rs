//! The events beside those of the original: the same packets go to both, and every frame that comes back must be the
//! same.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Both;
use crate::support::PATIENCE;
use crate::support::documents::{Random, document};

#[tokio::test]
async fn sqlite_events_are_the_originals() {
    let both = Both::over_sqlite(None).await;
    both.write(super::SQLITE_NASTY_ROWS).await;
    compare_all(&both).await;
}

#[tokio::test]
async fn mariadb_events_are_the_originals() {
    let both = Both::over_mariadb(None).await;
    both.write(super::MARIADB_NASTY_ROWS).await;
    compare_all(&both).await;
    both.remove().await;
}

async fn compare_all(both: &Both) {
    let mut readers = Readers::connect(both).await;
    for text in fixed() {
        readers.compare(&Packet::text(&text)).await;
    }
    for id in IDS {
        for name in NAMES {
            let payload = format!(
                r#"{{"status":"tmp inserted wo pic","data":{{"id":{id}{name},"z":1}},"a":36.0}}"#
            );
            readers
                .compare(&Packet::text(&format!("2[\"message\",{payload}]")))
                .await;
        }
    }
    for packet in binary() {
        readers.compare(&packet).await;
    }
    for seed in 0..300 {
        let packet = generated(&mut Random::new(seed));
        readers.compare(&packet).await;
    }
}

/// The lookups of one message do not let the next one overtake it.
#[tokio::test]
async fn messages_of_one_reader_keep_their_order() {
    let both = Both::over_sqlite(None).await;
    let mut readers = Readers::connect(&both).await;
    let packets: Vec<_> = (0..200)
        .map(|n| match n % 3 {
            0 => format!(
                r#"2["message",{{"status":"tmp inserted wo pic","data":{{"id":1021}},"n":{n}}}]"#
            ),
            1 => format!(r#"2["message",{{"n":{n}}}]"#),
            _ => format!(
                r#"2["message",{{"status":"tmp inserted wo pic","data":{{"id":"{n}"}},"n":{n}}}]"#
            ),
        })
        .collect();
    for reader in &mut readers.senders {
        for packet in &packets {
            reader.send(&Packet::text(packet)).await;
        }
    }
    for n in 0..packets.len() {
        let frame = readers.same_frame().await;
        assert!(frame.contains(&format!("\\\"n\\\":{n}}}")), "{frame}");
    }
}

#[tokio::test]
async fn everybody_hears_of_each_new_client() {
    let both = Both::over_sqlite(None).await;
    let mut readers = Readers::connect(&both).await;
    for _ in 0..3 {
        let new = [
            Reader::connect(both.node.address).await,
            Reader::connect(both.native).await,
        ];
        assert_eq!(readers.same_frame().await, GREETING);
        drop(new);
    }
}

/// Node closes the connection of such packets. The native side leaves them to it: nobody hears of them.
#[tokio::test]
async fn packets_that_node_refuses_are_not_served() {
    let both = Both::over_sqlite(None).await;
    let mut native = Reader::connect(both.native).await;
    let placeholder = |number: &str| format!(r#"{{"_placeholder":true,"num":{number}}}"#);
    for number in ["-1", "1", "-0.5", "1e9", "\"0\"", "\"length\"", "null"] {
        for arguments in [
            format!(r#"["message",{}]"#, placeholder(number)),
            format!(
                r#"["message",{{"status":"tmp inserted","data":{{"pic":{}}}}}]"#,
                placeholder(number)
            ),
            format!(r#"["message",{{}},[{}]]"#, placeholder(number)),
        ] {
            let packet = Packet {
                text: format!("51-{arguments}"),
                attachments: vec![Bytes::from_static(b"picture")],
            };
            let mut node = Reader::connect(both.node.address).await;
            node.send(&packet).await;
            assert_eq!(node.frame().await, None, "{arguments}");
            native.send(&packet).await;
        }
    }
    native.send(&Packet::text("2[\"message\",\"after\"]")).await;
    assert_eq!(native.frame().await.unwrap(), r#"42["hello","\"after\""]"#);
}

#[tokio::test]
async fn without_a_database_the_name_is_left_out() {
    let both = Both::over_sqlite(None).await;
    let mut readers = Readers::connect(&both).await;
    both.write("DROP TABLE drivers").await;
    let frame = readers
        .compare(&Packet::text(
            r#"2["message",{"status":"tmp inserted wo pic","data":{"id":1021,"name":""}}]"#,
        ))
        .await;
    assert!(frame.unwrap().contains(r#"\"name\":\"\""#));
}

/// Node makes a JavaScript value of bytes; that is not reproduced.
#[tokio::test]
async fn unprintable_names_are_left_to_node() {
    let both = Both::over_sqlite(None).await;
    both.write("INSERT INTO drivers (id, name) VALUES (77, x'ff00')")
        .await;
    let mut native = Reader::connect(both.native).await;
    native
        .send(&Packet::text(
            r#"2["message",{"status":"tmp inserted wo pic","data":{"id":77}}]"#,
        ))
        .await;
    native.send(&Packet::text("2[\"message\",1]")).await;
    assert_eq!(native.frame().await.unwrap(), r#"42["hello","1"]"#);
}

const GREETING: &str = r#"42["hello","from server"]"#;

const IDS: [&str; 30] = [
    "1",
    "1.0",
    "1021",
    "10.21e2",
    "1022",
    "1023",
    "1024",
    "1030",
    "1041",
    "0",
    "-0",
    "-5",
    "9",
    "20",
    "21",
    "1.5",
    "1e400",
    "9007199254740993",
    "\"1021\"",
    "\" 1021\"",
    "\"1021 \"",
    "\"1021.0\"",
    "\"1.021e3\"",
    "\"1021abc\"",
    "\"0x3fd\"",
    "\"\"",
    "\"abc\"",
    "\"1021\\u0000\"",
    "\"1021\\ud800\"",
    "true",
];

const NAMES: [&str; 8] = [
    "",
    r#","name":"""#,
    r#","name":null"#,
    r#","name":0"#,
    r#","name":-0.0"#,
    r#","name":"here""#,
    r#","name":[]"#,
    r#","name":false,"name":"""#,
];

/// Packets, without the `4` of Engine.IO.
fn fixed() -> Vec<String> {
    let mut packets: Vec<String> = [
        r#"2["message"]"#,
        r#"21["message"]"#,
        r#"217["message",{"status":"delete_ic","ic":"01"}]"#,
        r#"2["message",null]"#,
        r#"2["message",true]"#,
        r#"2["message",36.0]"#,
        r#"2["message",12345678901234567890]"#,
        r#"2["message",-0]"#,
        r#"2["message",1e400]"#,
        r#"2["message",""]"#,
        r#"2["message","plain string"]"#,
        r#"2["message","\ud800 \u2028\u007f \u0001\"\\ 𠮷"]"#,
        r#"2["message",[]]"#,
        r#"2["message",{}]"#,
        r#"2["message",{"a":1},{"b":2},3]"#,
        r#"2["message",[1,[2,[3]]],null]"#,
        r#"2[ "message" , { "b" : 1 , "10" : 2 , "9" : 3 , "a" : 4 , "b" : 5 } ] "#,
        r#"2["message",{"__proto__":{"status":"tmp inserted"},"toJSON":1,"constructor":null}]"#,
        r#"2["message",{"status":"tmp inserted"}]"#,
        r#"2["message",{"status":"tmp inserted","data":null}]"#,
        r#"2["message",{"status":"tmp inserted","data":"text"}]"#,
        r#"2["message",{"status":"tmp inserted","data":{"pic":{"_placeholder":true,"num":0}}}]"#,
        r#"2["message",{"status":"tmp inserted wo pic"}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":null}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":[{"id":1}]}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":"id"}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":{"name":""}}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":{"id":null}}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":{"id":[1]}}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":{"__proto__":{"name":"x"},"id":1}}]"#,
        r#"2["message",{"status":"x","data":{"id":1},"status":"tmp inserted wo pic"}]"#,
        r#"2["message",{"status":"tmp inserted wo pic","data":{"id":1},"status":null}]"#,
        r#"2["message",{"status":["tmp inserted wo pic"],"data":{"id":1}}]"#,
        r#"2["message",{"sta\u0074us":"tmp inserted wo\u0020pic","d\u0061ta":{"\u0069d":1}}]"#,
        r#"2["message",{"status":"insert ic_log","ip":"172.18.21.102","data":{"ic":"0114B3","id":null}}]"#,
    ]
    .map(str::to_owned)
    .into();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        packets.push(format!(
            "2[\"message\",{}1.0{}]",
            open.repeat(10_000),
            close.repeat(10_000)
        ));
    }
    packets
}

fn binary() -> Vec<Packet> {
    let picture: Vec<u8> = (0..=255).collect();
    let one = vec![Bytes::from(picture)];
    let two = vec![Bytes::new(), Bytes::from_static(&[0, 255, 10])];
    let first = r#"{"_placeholder":true,"num":0}"#;
    let second = r#"{"_placeholder":true,"num":1}"#;
    let mut packets = Vec::new();
    for status in ["tmp inserted", "tmp inserted by ic", "tmp inserted wo pic"] {
        for arguments in [
            format!(r#"{{"status":"{status}","data":{{"pic_data":{first},"id":1021}}}}"#),
            format!(
                r#"{{"status":"{status}","data":{{"9":{first},"a":[{first}],"b":{{"c":{first}}}}},"pic":{first}}}"#
            ),
            format!(r#"{{"status":"{status}","data":[{first},[{first}]]}}"#),
            format!(r#"{{"status":"{status}","data":{first}}}"#),
            format!(r#"{{"status":{first},"data":{{"id":{first},"name":{first}}}}}"#),
            format!(r#"{{"status":"{status}","data":{{"id":"1","name":{first}}}}}"#),
            first.to_owned(),
            format!("[{first}]"),
            format!("{{}},{first}"),
        ] {
            packets.push(Packet {
                text: format!("51-[\"message\",{arguments}]"),
                attachments: one.clone(),
            });
        }
        for arguments in [
            format!(r#"{{"status":"{status}","data":{{"b":{second},"a":{first},"c":{second}}}}}"#),
            // Neither is an attachment: the first is an array's element 0.5, the second is not `true`.
            format!(
                r#"{{"status":"{status}","data":{{"a":[{0}],"b":{0},"c":{{"_placeholder":1,"num":0}}}}}}"#,
                r#"{"_placeholder":true,"num":0.5}"#
            ),
            r#"{"_placeholder":true,"num":1.5}"#.to_owned(),
            r#"{"_placeholder":true,"num":-0,"more":[1]}"#.to_owned(),
        ] {
            packets.push(Packet {
                text: format!("52-3[\"message\",{arguments}]"),
                attachments: two.clone(),
            });
        }
    }
    packets
}

fn generated(random: &mut Random) -> Packet {
    let status = random.pick(&[
        "tmp inserted",
        "tmp inserted by ic",
        "tmp inserted wo pic",
        "insert ic_log",
        "delete_ic",
        "start_connect",
    ]);
    let (data, more) = (document(random), document(random));
    let (id, name) = (random.pick(&IDS), random.pick(&NAMES));
    let payload = match random.below(4) {
        0 => data,
        1 => format!(r#"{{"status":"{status}","data":{data},"more":{more}}}"#),
        2 => format!(r#"{{"data":{{"id":{id},"7":{data}{name}}},"status":"{status}","5":{more}}}"#),
        _ => {
            return Packet {
                text: format!(
                    r#"51-["message",{{"status":"{status}","data":{{"pic":{{"num":0,"_placeholder":true}},"x":{data}}}}}]"#
                ),
                attachments: vec![Bytes::from(more)],
            };
        }
    };
    Packet::text(&format!("2[\"message\",{payload}]"))
}

/// A packet of Socket.IO.
struct Packet {
    text: String,
    attachments: Vec<Bytes>,
}

impl Packet {
    fn text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            attachments: Vec::new(),
        }
    }
}

/// Two clients of either side, Node first: one that sends and one that only hears.
struct Readers {
    senders: [Reader; 2],
    hearers: [Reader; 2],
}

impl Readers {
    async fn connect(both: &Both) -> Self {
        let sides = [both.node.address, both.native];
        let mut senders = [
            Reader::connect(sides[0]).await,
            Reader::connect(sides[1]).await,
        ];
        let hearers = [
            Reader::connect(sides[0]).await,
            Reader::connect(sides[1]).await,
        ];
        for sender in &mut senders {
            assert_eq!(sender.frame().await.as_deref(), Some(GREETING));
        }
        Self { senders, hearers }
    }

    async fn compare(&mut self, packet: &Packet) -> Option<String> {
        for sender in &mut self.senders {
            sender.send(packet).await;
        }
        let frame = self.same_frame().await;
        assert!(
            frame.starts_with("42[\"hello\","),
            "{} gave {frame}",
            packet.text
        );
        Some(frame)
    }

    /// The next one, which all four must get.
    async fn same_frame(&mut self) -> String {
        let [node, native] = &mut self.senders;
        let expected = node.frame().await.unwrap();
        assert_eq!(native.frame().await.as_ref(), Some(&expected));
        for hearer in &mut self.hearers {
            assert_eq!(hearer.frame().await.as_ref(), Some(&expected));
        }
        expected
    }
}

/// A client of Engine.IO over a WebSocket.
struct Reader(WebSocketStream<TcpStream>);

impl Reader {
    /// Connected and greeted.
    async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let url = format!("ws://{server}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = client_async(url, stream).await.unwrap();
        let mut reader = Self(socket);
        assert!(reader.frame().await.unwrap().starts_with("0{\"sid\":"));
        reader.0.send(Message::text("40")).await.unwrap();
        assert!(reader.frame().await.unwrap().starts_with("40{\"sid\":"));
        assert_eq!(reader.frame().await.as_deref(), Some(GREETING));
        reader
    }

    async fn send(&mut self, packet: &Packet) {
        let text = Message::text(format!("4{}", packet.text));
        self.0.send(text).await.unwrap();
        for attachment in &packet.attachments {
            let attachment = Message::binary(attachment.clone());
            self.0.send(attachment).await.unwrap();
        }
    }

    /// The next frame that is no ping; nothing when the server has closed.
    async fn frame(&mut self) -> Option<String> {
        loop {
            let message = timeout(PATIENCE, self.0.next())
                .await
                .expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) if text == "2" => {
                    self.0.send(Message::text("3")).await.unwrap();
                }
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("{other:?}"),
            }
        }
    }
}
