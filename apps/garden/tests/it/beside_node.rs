//! The native garden beside its original: both are real servers with a database each, and every answer, close code and
//! row must be the same.

mod cases;
mod client;
pub(crate) mod sides;

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use self::cases::{Case, Dice, Handshake, Step, handshakes};
use self::client::{Client, Event, Opened, open, raw_frame};
use self::sides::{Side, Sides, token};
use crate::support::PATIENCE;

const CASES: usize = 300;
const STEPS: usize = 16;

#[tokio::test]
async fn generated_conversations_are_the_originals() {
    let sides = Sides::start(&[], "").await;
    let mut dice = Dice::new();
    let mut changes = 0;
    for number in 0..CASES {
        let case = Case::of_users(&mut dice, number, STEPS);
        changes += compare(&sides, &case).await;
    }
    assert!(changes > CASES, "only {changes} changes");
    let [node, native] = sides.both();
    let rows = node.rows().await;
    assert_eq!(rows, native.rows().await);
    assert!(rows.len() > CASES / 2, "only {} rows", rows.len());
}

#[tokio::test]
async fn anonymous_conversations_are_the_originals() {
    let sides = Sides::start(&[("AUTH", "observed")], "auth = 'observed'").await;
    let mut dice = Dice::new();
    for _ in 0..CASES / 8 {
        let case = Case::of_strangers(&mut dice, STEPS);
        assert_eq!(compare(&sides, &case).await, 0);
    }
    for side in sides.both() {
        assert!(side.rows().await.is_empty());
    }
}

/// Has the same conversation with both sides; how many changes they made.
async fn compare(sides: &Sides, case: &Case) -> usize {
    let [node, native] = sides.both();
    let (node, native) = tokio::join!(converse(node, case), converse(native, case));
    for (index, (node, native)) in node.iter().zip(&native).enumerate() {
        assert_eq!(native, node, "line {index} of {case:#?}");
    }
    assert_eq!(native.len(), node.len());
    node.iter().filter(|line| line.contains("push")).count()
}

/// What a side says, line by line.
async fn converse(side: &Side, case: &Case) -> Vec<String> {
    let mut lines = Vec::new();
    let mut devices = Vec::new();
    for handshake in &case.handshakes {
        match open(side.address, handshake).await {
            Opened::WebSocket(client) => {
                assert!(handshake.accepted, "{handshake:?}");
                devices.push(Some(client));
            }
            Opened::Refused { status, head, body } => {
                assert!(!handshake.accepted, "{status} {body}: {handshake:?}");
                assert!(
                    head.contains("content-type: application/json\r\n"),
                    "{head}"
                );
                lines.push(format!("{status} {body}"));
                devices.push(None);
            }
        }
    }
    for (device, step) in &case.steps {
        let Some(mut client) = devices[*device].take() else {
            continue;
        };
        client.take(step).await;
        let event = client.event().await;
        lines.push(format!("{device} {event:?}"));
        if let Event::Closed(..) | Event::ClosedWithoutCode | Event::Ended = event {
            client.ended().await;
            continue;
        }
        if event.is_change() {
            lines.push(format!("{device} pushes"));
            for (other, handshake) in case.handshakes.iter().enumerate() {
                if handshake.user == case.handshakes[*device].user
                    && let Some(client) = &mut devices[other]
                {
                    lines.push(format!("{other} {:?}", client.event().await));
                }
            }
        }
        devices[*device] = Some(client);
    }
    // Nothing else was said to anybody.
    for client in devices.iter_mut().flatten() {
        client
            .take(&Step::Text(r#"{"type":"Heartbeat"}"#.to_owned()))
            .await;
        assert_eq!(
            client.event().await,
            Event::Text(r#"{"type":"Heartbeat"}"#.to_owned())
        );
    }
    lines
}

#[tokio::test]
async fn handshakes_are_the_originals() {
    let sides = Sides::start(&[], "").await;
    let handshakes = handshakes("gardener");
    assert!(
        handshakes
            .iter()
            .filter(|handshake| handshake.accepted)
            .count()
            > 5
    );
    for handshake in handshakes {
        compare(
            &sides,
            &Case {
                handshakes: vec![handshake],
                steps: Vec::new(),
            },
        )
        .await;
    }
}

#[tokio::test]
async fn no_protocol_or_extension_is_chosen() {
    let sides = Sides::start(&[], "").await;
    for side in sides.both() {
        let mut handshake = Handshake::of("gardener");
        handshake.lines =
            "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
                .to_owned();
        let Opened::WebSocket(client) = open(side.address, &handshake).await else {
            panic!("refused");
        };
        assert!(
            !client.head.contains("sec-websocket-protocol"),
            "{}",
            client.head
        );
        assert!(
            !client.head.contains("sec-websocket-extensions"),
            "{}",
            client.head
        );
    }
}

#[tokio::test]
async fn a_hundred_creations_are_answered_in_order() {
    let sides = Sides::start(&[], "").await;
    for side in sides.both() {
        let mut client = Client::of(side, "gardener").await;
        for number in 0..100 {
            client.take(&create(number)).await;
        }
        client
            .take(&Step::Text(r#"{"type":"GetState"}"#.to_owned()))
            .await;
        for number in 0..100 {
            let expected = format!(
                r#"{{"type":"ActionResult","data":{{"success":true,"message":"天体「Planet {number}」を作成しました"}}}}"#
            );
            assert_eq!(client.event().await, Event::Text(expected));
        }
        let bodies: Vec<_> = (0..100)
            .map(|number| {
                format!(
                    r#"{{"body_type":"Planet {number}","position":{{"x":{number},"y":0,"z":0}}}}"#
                )
            })
            .collect();
        let bodies = format!(r#""celestial_bodies":[{}]"#, bodies.join(","));
        let state = client.event().await;
        assert!(
            matches!(&state, Event::Text(text) if text.contains(&bodies)),
            "{state:?}"
        );
    }
}

fn create(number: usize) -> Step {
    Step::Text(format!(
        r#"{{"type":"CreateCelestialBody","data":{{"body_type":"Planet {number}","position":{{"x":{number},"y":0,"z":0}}}}}}"#
    ))
}

/// As they do behind the proxy: what one saves the other returns as it was, and no creation is lost.
#[tokio::test]
async fn both_sides_share_one_file() {
    let sides = Sides::over_one_file().await;
    let [node, native] = sides.both();
    let get = Step::Text(r#"{"type":"GetState"}"#.to_owned());
    for (writer, reader) in [(node, native), (native, node)] {
        let mut writer = Client::of(writer, "gardener").await;
        let mut reader = Client::of(reader, "gardener").await;
        let state = r#"{"resources":{"2":1.0,"1":1e21,"b":-0},"celestial_bodies":[ 1 , "\ud83d\ude9a🚚"],"research":null,"statistics":18446744073709551617}"#;
        writer
            .take(&Step::Text(format!(
                r#"{{"type":"SaveGame","data":{{"state":{state}}}}}"#
            )))
            .await;
        assert!(writer.event().await.is_change());
        reader.take(&get).await;
        let read = reader.event().await;
        assert!(
            matches!(&read, Event::Text(text) if text.contains(state)),
            "{read:?}"
        );
    }
    let [mut first, mut second] = [
        Client::of(node, "both").await,
        Client::of(native, "both").await,
    ];
    for number in 0..50 {
        first.take(&create(number)).await;
        second.take(&create(number + 50)).await;
    }
    for _ in 0..50 {
        assert!(first.event().await.is_change());
        assert!(second.event().await.is_change());
    }
    first.take(&get).await;
    let Event::Text(state) = first.event().await else {
        panic!("no state");
    };
    for number in 0..100 {
        let body = format!(r#""Planet {number}""#);
        assert_eq!(state.matches(&body).count(), 1, "{number}: {state}");
    }
}

#[tokio::test]
async fn a_database_that_fails_is_told() {
    let sides = Sides::start(&[], "").await;
    for side in sides.both() {
        let mut client = Client::of(side, "gardener").await;
        side.write("DROP TABLE game_states").await;
        for text in [
            r#"{"type":"GetState"}"#,
            r#"{"type":"CreateCelestialBody","data":{"body_type":"P","position":[1,2,3]}}"#,
            r#"{"type":"SaveGame","data":{"state":[1,[],3,4]}}"#,
        ] {
            client.take(&Step::Text(text.to_owned())).await;
            let expected = r#"{"type":"Error","data":{"code":"INTERNAL_ERROR","message":"サーバーエラーが発生しました"}}"#;
            assert_eq!(client.event().await, Event::Text(expected.to_owned()));
        }
    }
}

const PING: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_millis(250);

async fn impatient() -> Sides {
    Sides::start(
        &[("PING_INTERVAL", "100"), ("CLIENT_TIMEOUT", "250")],
        "ping_interval = '100ms'\nclient_timeout = '250ms'",
    )
    .await
}

#[tokio::test]
async fn a_silent_client_is_dropped_without_a_close_frame() {
    let sides = impatient().await;
    for side in sides.both() {
        let begin = Instant::now();
        let mut stream = Client::of(side, "gardener").await.into_stream();
        let mut frames = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut frames))
            .await
            .unwrap()
            .unwrap();
        let pings = frames
            .chunks(2)
            .take_while(|frame| *frame == [0x89, 0])
            .count();
        // At 100 and 200 ms; the third time it is over. A busy machine may be late.
        assert!(
            (1..=2).contains(&pings) && frames.len() == 2 * pings,
            "{frames:?}"
        );
        assert!(begin.elapsed() > SILENCE, "{:?}", begin.elapsed());
    }
}

/// A frame of any kind is enough.
#[tokio::test]
async fn whoever_says_anything_stays() {
    let sides = impatient().await;
    for side in sides.both() {
        for frame in [
            raw_frame(0x8a, b""),
            raw_frame(0x89, b""),
            raw_frame(0x81, b"?"),
            raw_frame(0x82, b"?"),
        ] {
            let mut stream = Client::of(side, "gardener").await.into_stream();
            let begin = Instant::now();
            let mut buffer = [0; 256];
            while begin.elapsed() < SILENCE + 3 * PING {
                stream.write_all(&frame).await.unwrap();
                // At the latest the next ping.
                let read = timeout(PATIENCE, stream.read(&mut buffer))
                    .await
                    .unwrap()
                    .unwrap();
                assert!(read > 0, "{frame:?} after {:?}", begin.elapsed());
            }
        }
    }
}

/// It asks and asks and never reads an answer.
#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let sides = impatient().await;
    for side in sides.both() {
        let mut client = Client::of(side, "gardener").await;
        let large = format!(
            r#"{{"type":"SaveGame","data":{{"state":["{}",[],3,4]}}}}"#,
            "x".repeat(60_000)
        );
        client.take(&Step::Text(large)).await;
        assert!(client.event().await.is_change());
        let mut stream = client.into_stream();
        let ask = raw_frame(0x81, br#"{"type":"GetState"}"#).repeat(400);
        // 24 MB of answers do not fit into the buffers of a loopback connection.
        timeout(PATIENCE, stream.write_all(&ask))
            .await
            .unwrap()
            .unwrap();
        // To be slow is what is tested; nothing that could be waited for happens at this end.
        tokio::time::sleep(4 * SILENCE).await;
        let mut answers = Vec::new();
        // Ends with a reset where the kernel of the server gave up as well.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answers))
            .await
            .unwrap();
        assert!(answers.len() < 400 * 60_000, "{} bytes", answers.len());
    }
}

/// One world for everybody, without tokens. Only Node has it.
#[tokio::test]
async fn generation_c_is_as_in_the_contract() {
    let sides = Sides::start(&[], "").await;
    let [node, _] = sides.both();
    let mut handshake = Handshake::of("");
    handshake.target = "/ws".to_owned();
    let Opened::WebSocket(mut client) = open(node.address, &handshake).await else {
        panic!("refused");
    };
    let empty = r#"{"type":"GameState","resources":{"cosmic_dust":0,"energy":0,"organic_matter":0,"biomass":0,"dark_matter":0,"thought_points":0},"bodies":[],"tick":0}"#;
    let mut expect = async |text: Option<&str>, answers: &[&str]| {
        if let Some(text) = text {
            client.take(&Step::Text(text.to_owned())).await;
        }
        let mut events = Vec::new();
        for answer in answers {
            let Event::Text(text) = client.event().await else {
                panic!("no text");
            };
            assert!(text.starts_with(answer), "{text}");
            events.push(text);
        }
        events
    };
    expect(None, &[r#"{"type":"Ping"}"#, empty]).await;
    // Ignored, each of them: the next answer is that to the next message.
    for text in [
        r#"{"type":"Heartbeat"}"#,
        "?",
        r#"{"type":"CreateBody","body_type":"Planet","position":[1,2,3]}"#,
    ] {
        expect(Some(text), &[]).await;
    }
    expect(Some(r#"{"type":"GetGameState"}"#), &[empty]).await;
    expect(
        Some(r#"{"type":"SpendResources","cosmic_dust":1,"energy":0}"#),
        &[r#"{"type":"Error","message":"Insufficient resources"}"#],
    )
    .await;
    let created = expect(
        Some(r#"{"type":"CreateBody","body_type":{"Planet":{}},"position":[1,2,3]}"#),
        &[
            r#"{"type":"BodyCreated","body_id":""#,
            r#"{"type":"GameState","#,
        ],
    )
    .await;
    let id = &created[0][r#"{"type":"BodyCreated","body_id":""#.len()..][..36];
    assert!(
        created[1].contains(&format!(
            r#""bodies":[{{"id":"{id}","body_type":{{"Planet":{{}}}},"#
        )),
        "{created:?}"
    );
    let remove = format!(r#"{{"type":"RemoveBody","body_id":"{id}"}}"#);
    let removed =
        |success| format!(r#"{{"type":"BodyRemoved","body_id":"{id}","success":{success}}}"#);
    expect(Some(&remove), &[&removed(true), empty]).await;
    expect(Some(&remove), &[&removed(false)]).await;
}

#[tokio::test]
async fn a_token_of_the_fixture_is_accepted_by_both() {
    let sides = Sides::start(&[], "").await;
    let printed = sides::node_token("gardener").await;
    assert_eq!(printed.split('.').count(), 3, "{printed}");
    for side in sides.both() {
        let mut handshake = Handshake::of("");
        handshake.target = format!("/api/ws?token={printed}");
        assert!(matches!(
            open(side.address, &handshake).await,
            Opened::WebSocket(_)
        ));
        handshake.target = format!("/api/ws?token={}", token("gardener"));
        assert!(matches!(
            open(side.address, &handshake).await,
            Opened::WebSocket(_)
        ));
    }
}
