//! Legs as the bridge holds them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::handler::ConnectHandler;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::leg::EventLeg;
use super::ticket::{Attached, Outcome};
use super::*;
use crate::native::{Decline, js_json};

#[test]
fn an_application_without_events_has_no_server() {
    let app: NativeApp = NativeApp::new().route("/", crate::get(async || "hello"));
    assert!(app.events().is_empty());
    assert!(app.into_parts().1.is_none());
}

#[test]
fn events_are_recorded_before_anything_runs() {
    let app: NativeApp = NativeApp::new()
        .on_connect("/quiet", async || {})
        .on_event("/", "message", async || {})
        .on_event("/admin", "message", async |_: Data<Value>| Err(Decline))
        .with_state(());
    let names: Vec<_> = app.events().iter().map(|e| (e.namespace, e.name)).collect();
    assert_eq!(names, [("/", "message"), ("/admin", "message")]);
}

#[test]
fn events_that_could_not_arrive_are_refused() {
    let refused: [fn() -> NativeApp; 8] = [
        || NativeApp::new().on_event("admin", "say", async || {}),
        || NativeApp::new().on_event("/a,b", "say", async || {}),
        || NativeApp::new().on_connect("/a?b", async || {}),
        || NativeApp::new().on_disconnect("", async || {}),
        || NativeApp::new().on_event("/", "disconnect", async || {}),
        || NativeApp::new().on_event("/", "say \"it\"", async || {}),
        || NativeApp::new().on_event("/", "a\nb", async || {}),
        || {
            NativeApp::new()
                .on_event("/", "twice", async || {})
                .on_event("/", "twice", async || {})
        },
    ];
    for (index, build) in refused.into_iter().enumerate() {
        assert!(std::panic::catch_unwind(build).is_err(), "{index}");
    }
}

#[tokio::test]
async fn each_event_has_one_outcome() {
    let app = NativeApp::new()
        .on_event("/", "done", async |socket: SocketRef| {
            socket.emit("was done", &1).unwrap();
        })
        .on_event("/", "accepted", async || Ok(()))
        .on_event("/", "declined", async || {
            tokio::task::yield_now().await;
            Err(Decline)
        })
        .on_event("/", "panics", async |Data(early): Data<bool>| {
            assert!(!early, "before the first await");
            tokio::task::yield_now().await;
            assert!(early, "after an await");
        })
        .on_event("/", "panics in its closure", || {
            "no number".parse::<u8>().unwrap();
            async {}
        })
        .on_event("/", "number", async |_: Data<u32>| {});
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;

    for (name, arguments, expected) in [
        ("done", "[\"done\"]", Outcome::Done),
        ("accepted", "[\"accepted\",{}]", Outcome::Done),
        ("declined", "[\"declined\"]", Outcome::Declined),
        ("panics", "[\"panics\",true]", Outcome::Panicked),
        ("panics", "[\"panics\",false]", Outcome::Panicked),
        (
            "panics in its closure",
            "[\"panics in its closure\"]",
            Outcome::Panicked,
        ),
        ("number", "[\"number\",36]", Outcome::Done),
        ("number", "[\"number\",\"36\"]", Outcome::Declined),
        ("number", "[\"number\"]", Outcome::Declined),
        ("done", "[\"done\"]", Outcome::Done),
    ] {
        let id = leg.start_event("/", name, "", arguments).await;
        assert_eq!(leg.outcome().await, (id, expected), "{arguments}");
    }
    assert_eq!(leg.text().await, "42[\"was done\",1]");
    assert_eq!(leg.text().await, "42[\"was done\",1]");
    assert!(leg.outcomes.try_recv().is_err());
    assert!(leg.tickets.close().is_empty());
    assert!(leg.tickets.current().is_none());
}

#[tokio::test]
async fn acknowledgements_come_back_with_their_id() {
    let app = NativeApp::new().on_event(
        "/",
        "sum",
        async |Data((a, b)): Data<(u32, u32)>, ack: AckSender| {
            ack.send(&(a + b)).unwrap();
        },
    );
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    let id = leg.start_event("/", "sum", "17", "[\"sum\",1,2]").await;
    assert_eq!(leg.text().await, "4317[3]");
    assert_eq!(leg.outcome().await, (id, Outcome::Done));
}

#[tokio::test]
async fn attachments_and_the_raw_text_reach_the_handler_as_they_came() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let app = NativeApp::new()
        .on_event(
            "/",
            "picture",
            async |Data(picture): Data<Bytes>, raw: RawEvent, socket: SocketRef| {
                assert_eq!(raw.attachments, std::slice::from_ref(&picture));
                socket.emit("back", &picture).unwrap();
            },
        )
        .on_event("/", "text", async move |raw: RawEvent| {
            log.lock().unwrap().push(raw.arguments);
        });
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;

    const PICTURE: &[u8] = &[0, 1, 254, 255];
    let bytes = Bytes::from_static(PICTURE);
    let arguments = "[\"picture\",{\"_placeholder\":true,\"num\":0}]";
    let id = leg.ticket("/", "picture", arguments, vec![bytes.clone()]);
    leg.write(format!("451-{arguments}")).await;
    leg.attachment(PICTURE).await;
    assert_eq!(leg.outcome().await, (id, Outcome::Done));
    assert_eq!(
        leg.text().await,
        "451-[\"back\",{\"_placeholder\":true,\"num\":0}]"
    );
    assert_eq!(leg.message().await, Message::Binary(bytes));

    // Neither is text that serde_json could hold.
    let deep = format!("[\"text\",{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    for arguments in ["[\"text\", {\"a\":\"\\ud800\",\"a\":1e400}]", &deep] {
        let id = leg.start_event("/", "text", "", arguments).await;
        assert_eq!(leg.outcome().await, (id, Outcome::Done));
        assert_eq!(seen.lock().unwrap().pop().unwrap(), arguments);
    }
}

/// Issue 9: a handler that walks its arguments by recursion ended the process, whatever a client sent.
#[test]
fn a_handler_may_recurse_over_its_arguments() {
    fn levels(value: &js_json::Value) -> usize {
        let js_json::Value::Array(items) = value else {
            return 0;
        };
        1 + items.iter().map(levels).max().unwrap_or_default()
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let app = NativeApp::new()
        .on_event("/", "walk", async move |raw: RawEvent| {
            let arguments = raw.values()?;
            log.lock().unwrap().push(levels(&arguments[0]));
            Ok::<(), Decline>(())
        })
        .on_event("/", "data", async |_: Data<Value>| {});
    let conversation = async move {
        let mut leg = EventLeg::connected(&service(app), &["/"]).await;
        for (depth, walked, data) in [
            (100, Outcome::Done, Outcome::Done),
            (js_json::MAX_DEPTH, Outcome::Done, Outcome::Declined),
            (js_json::MAX_DEPTH + 1, Outcome::Declined, Outcome::Declined),
            (1_000_000, Outcome::Declined, Outcome::Declined),
        ] {
            let nested = "[".repeat(depth) + &"]".repeat(depth);
            let id = leg
                .start_event("/", "walk", "", &format!("[\"walk\",{nested}]"))
                .await;
            assert_eq!(leg.outcome().await, (id, walked), "{depth}");
            let id = leg
                .start_event("/", "data", "", &format!("[\"data\",{nested}]"))
                .await;
            assert_eq!(leg.outcome().await, (id, data), "{depth}");
        }
    };
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let talk = small.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(conversation);
    });
    talk.unwrap().join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [100, js_json::MAX_DEPTH]);
}

#[tokio::test]
async fn broadcasts_reach_every_leg_in_order() {
    let app = NativeApp::new()
        .on_connect("/", async |io: SocketIo| {
            io.emit("hello", "from server").await.unwrap();
        })
        .on_event("/", "say", async |io: SocketIo, Data(n): Data<u32>| {
            io.emit("said", &n).await.unwrap();
        });
    let service = service(app);
    let mut legs = Vec::new();
    for _ in 0..3 {
        legs.push(EventLeg::connected(&service, &["/"]).await);
        for leg in &mut legs {
            assert_eq!(leg.text().await, "42[\"hello\",\"from server\"]");
        }
    }
    for n in 0..1000 {
        legs[1]
            .start_event("/", "say", "", &format!("[\"say\",{n}]"))
            .await;
    }
    for leg in &mut legs {
        for n in 0..1000 {
            assert_eq!(leg.text().await, format!("42[\"said\",{n}]"));
        }
    }
    for n in 1..=1000 {
        assert_eq!(legs[1].outcome().await, (n, Outcome::Done));
    }
}

/// The first 999 wait for the last one, and then end in the opposite order.
#[tokio::test]
async fn tickets_belong_to_their_events_whatever_ends_first() {
    let waiting: Arc<Mutex<Vec<oneshot::Sender<()>>>> = Arc::default();
    let app = NativeApp::new().on_event("/", "wait", async move |Data(last): Data<bool>| {
        if last {
            while let Some(waiter) = { waiting.lock().unwrap().pop() } {
                waiter.send(()).unwrap();
            }
            return Err(Decline);
        }
        let (sender, receiver) = oneshot::channel();
        waiting.lock().unwrap().push(sender);
        receiver.await.unwrap();
        Ok(())
    });
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    for _ in 0..999 {
        leg.start_event("/", "wait", "", "[\"wait\",false]").await;
    }
    leg.start_event("/", "wait", "", "[\"wait\",true]").await;
    assert_eq!(leg.outcome().await, (1000, Outcome::Declined));
    for n in (1..1000).rev() {
        assert_eq!(leg.outcome().await, (n, Outcome::Done));
    }
}

#[tokio::test]
async fn namespaces_have_handlers_of_their_own() {
    let app = NativeApp::new()
        .on_event("/", "who", async |socket: SocketRef| {
            socket.emit("i", "root").unwrap();
        })
        .on_event("/admin", "who", async |socket: SocketRef| {
            socket.emit("i", "admin").unwrap();
            Err(Decline)
        });
    let mut leg = EventLeg::connected(&service(app), &["/admin", "/"]).await;
    // Both tickets wait while neither packet has been read.
    let admin = leg.start_event("/admin", "who", "", "[\"who\"]").await;
    let root = leg.start_event("/", "who", "", "[\"who\"]").await;
    assert_eq!(leg.outcome().await, (admin, Outcome::Declined));
    assert_eq!(leg.outcome().await, (root, Outcome::Done));
    assert_eq!(leg.text().await, "42/admin,[\"i\",\"admin\"]");
    assert_eq!(leg.text().await, "42[\"i\",\"root\"]");
}

#[tokio::test]
async fn handlers_know_the_client() {
    let app = NativeApp::new()
        .on_connect("/admin", async |socket: SocketRef, client: ClientInfo| {
            socket.emit("replayed", &client.replayed).unwrap();
        })
        .on_event(
            "/",
            "who",
            async |socket: SocketRef, client: ClientInfo, ack: AckSender| {
                let request = socket.req_parts();
                let seen = json!([
                    client.address,
                    client.node_id,
                    client.replayed,
                    request.uri.to_string(),
                    request.headers["user-agent"].to_str().unwrap(),
                ]);
                ack.send(&json!([seen])).unwrap();
            },
        );
    let mut leg = EventLeg::open(&service(app)).await;
    leg.tickets.attach(
        "/admin",
        Attached {
            node_id: None,
            replayed: true,
        },
    );
    let node_id = Some("xaqM9e2OvbhmPSydAAAB".to_owned());
    leg.tickets.attach(
        "/",
        Attached {
            node_id,
            replayed: false,
        },
    );
    leg.connect("/admin").await;
    assert_eq!(leg.text().await, "42/admin,[\"replayed\",true]");
    leg.connect("/").await;
    leg.start_event("/", "who", "1", "[\"who\"]").await;
    assert_eq!(
        leg.text().await,
        "431[[[\"172.18.21.102\",\"xaqM9e2OvbhmPSydAAAB\",false,\
         \"/socket.io/?EIO=4&transport=websocket&EIO=3&transport=polling&t=abc&token=secret\",\"reader\"]]]"
    );
}

/// Without a bridge there are no tickets.
#[tokio::test]
async fn handlers_work_alone() {
    let app = NativeApp::new()
        .on_event("/", "raw", async |raw: RawEvent, ack: AckSender| {
            let text = String::from_utf8(raw.arguments.to_vec()).unwrap();
            ack.send(&json!([text, raw.attachments.len()])).unwrap();
        })
        .on_event("/", "client", async |_: ClientInfo, ack: AckSender| {
            ack.send("never").unwrap();
        })
        .on_event("/", "panics", async || {
            "no number".parse::<u8>().unwrap();
        })
        .on_event(
            "/",
            "maybe client",
            async |socket: SocketRef, ack: AckSender| {
                ack.send(&ClientInfo::of(&socket).is_some()).unwrap();
            },
        );
    let request = Request::get("/socket.io/?EIO=4&transport=websocket")
        .body(())
        .unwrap();
    let (sender, outcomes) = futures_channel::mpsc::unbounded();
    let unused = Arc::new(Tickets::new(sender));
    let mut leg = EventLeg::over(&service(app), request, unused, outcomes).await;
    assert!(leg.text().await.starts_with('0'));
    assert_eq!(leg.text().await, "2");
    leg.connect("/").await;
    leg.write("421[\"client\"]").await;
    leg.write("42[\"panics\"]").await;
    leg.write("422[ \"raw\" , 36.0 ]").await;
    assert_eq!(leg.text().await, "432[[\"[ \\\"raw\\\" , 36.0 ]\",0]]");
    leg.write("423[\"maybe client\"]").await;
    assert_eq!(leg.text().await, "433[false]");
}

#[tokio::test]
async fn connect_handlers_may_refuse_and_several_run() {
    let app = NativeApp::new()
        .on_connect("/", async |socket: SocketRef| {
            socket.emit("first", &1).unwrap();
            socket.on("unrecorded", async |socket: SocketRef| {
                socket.emit("served", &1).unwrap();
            });
        })
        .on_connect("/", async |socket: SocketRef| {
            socket.emit("second", &2).unwrap();
        })
        .on_connect(
            "/admin",
            (async || {}).with(async |Data(auth): Data<Value>| {
                if auth["key"] == "right" {
                    Ok(())
                } else {
                    Err("wrong key")
                }
            }),
        );
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    assert_eq!(leg.text().await, "42[\"first\",1]");
    assert_eq!(leg.text().await, "42[\"second\",2]");
    leg.write("42[\"unrecorded\"]").await;
    assert_eq!(leg.text().await, "42[\"served\",1]");
    leg.write("40/admin,{\"key\":\"left\"}").await;
    assert_eq!(leg.text().await, "44/admin,{\"message\":\"wrong key\"}");
    leg.write("40/admin,{\"key\":\"right\"}").await;
    assert!(leg.text().await.starts_with("40/admin,{\"sid\":"));
}

/// A handler that panics must not keep the socket in its namespace.
#[tokio::test]
async fn who_leaves_is_gone_when_the_handlers_have_ended() {
    let (sender, mut left) = mpsc::unbounded_channel();
    let counter = sender.clone();
    let app = NativeApp::new()
        .on_connect("/", async |_: SocketRef| {})
        .on_disconnect("/", async |_: SocketRef| panic!("while leaving"))
        .on_disconnect("/", async move |io: SocketIo| {
            tokio::task::yield_now().await;
            sender.send(io.sockets().len()).unwrap();
        })
        .on_event("/", "count", async move |io: SocketIo| {
            counter.send(io.sockets().len()).unwrap();
        });
    let service = service(app);
    let mut stays = EventLeg::connected(&service, &["/"]).await;
    let leaves = EventLeg::connected(&service, &["/"]).await;
    drop(leaves);
    assert_eq!(left.recv().await, Some(2));
    stays.start_event("/", "count", "", "[\"count\"]").await;
    assert_eq!(left.recv().await, Some(1));
}

#[tokio::test]
async fn tickets_that_nobody_claimed_are_known_when_the_leg_ends() {
    let app = NativeApp::new()
        .on_event("/", "leave", async |socket: SocketRef| {
            socket.disconnect().unwrap();
        })
        .on_event("/", "late", async || {});
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    let id = leg.start_event("/", "leave", "", "[\"leave\"]").await;
    assert_eq!(leg.outcome().await, (id, Outcome::Done));
    assert_eq!(leg.text().await, "41");
    let late = leg.start_event("/", "late", "", "[\"late\"]").await;
    while let Some(Ok(_)) = leg.socket.next().await {}
    assert_eq!(leg.tickets.close(), [late]);
    assert!(leg.outcomes.try_recv().is_err());
}

/// The bridge may see the end first: its thread is another one.
#[tokio::test]
async fn no_handler_begins_on_a_leg_that_has_ended_for_the_bridge() {
    let app = NativeApp::new()
        .on_connect("/", async |socket: SocketRef| {
            socket.on("unrecorded", async |socket: SocketRef| {
                socket.emit("served", &1).unwrap();
            });
        })
        .on_event("/", "say", async |socket: SocketRef| {
            socket.emit("said", &1).unwrap();
        });
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    let unclaimed = leg.ticket("/", "say", "[\"say\"]", Vec::new());
    assert_eq!(leg.tickets.close(), [unclaimed]);
    for packet in ["42[\"say\"]", "42[\"say\"]", "42[\"unrecorded\"]"] {
        leg.write(packet).await;
    }
    assert_eq!(leg.text().await, "42[\"served\",1]");
    assert!(leg.outcomes.try_recv().is_err());
}

#[tokio::test]
async fn a_withdrawn_event_has_no_effect_and_no_outcome() {
    let app = NativeApp::new().on_event("/", "say", async |socket: SocketRef, raw: RawEvent| {
        let text = String::from_utf8(raw.arguments.to_vec()).unwrap();
        socket.emit("said", &text).unwrap();
    });
    let mut leg = EventLeg::connected(&service(app), &["/"]).await;
    let withdrawn = leg.ticket("/", "say", "[\"say\",1]", Vec::new());
    assert!(leg.tickets.withdraw(withdrawn));
    assert!(!leg.tickets.withdraw(withdrawn));
    // An event that overtakes it is another one.
    let second = leg.start_event("/", "say", "", "[\"say\",2]").await;
    leg.write("42[\"say\",1]").await;
    let third = leg.start_event("/", "say", "", "[\"say\",1]").await;
    assert_eq!(leg.outcome().await, (second, Outcome::Done));
    assert_eq!(leg.outcome().await, (third, Outcome::Done));
    assert_eq!(leg.text().await, "42[\"said\",\"[\\\"say\\\",2]\"]");
    assert_eq!(leg.text().await, "42[\"said\",\"[\\\"say\\\",1]\"]");
    assert!(!leg.tickets.withdraw(third));
    assert!(leg.outcomes.try_recv().is_err());
}

#[tokio::test]
async fn a_request_that_is_no_handshake_opens_no_leg() {
    let app = NativeApp::new().on_event("/", "say", async || {});
    let (_ours, theirs) = tokio::io::duplex(4096);
    let request = Request::get("/socket.io/").body(()).unwrap();
    assert!(attach(&service(app), theirs, request).is_err());
}

fn service(app: NativeApp) -> EventService {
    app.into_parts().1.unwrap()
}
