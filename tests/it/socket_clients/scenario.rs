//! What the clients do. Each step waits for all that it must bring about, so that the next begins in silence.

use serde_json::{Value, json};

use super::driver::{Driver, Lost, Transcript};
use crate::support::sockets::Sockets;

/// Namespaces, auth, acks, binary, refusals, rooms, disconnects, volatile and large events.
pub(super) async fn everything(
    mut driver: Driver,
    url: &str,
    mode: &str,
) -> Result<Transcript, Lost> {
    let auth = json!({ "token": "123", "list": [1, { "a": null }] });
    driver.open("a", url, mode, &["/"], auth).await?;
    driver.tell("a", "transport", 1).await?;
    messages(&mut driver).await?;
    namespaces(&mut driver, url, mode).await?;
    refusals(&mut driver, url, mode).await?;
    rooms(&mut driver, url, mode).await?;

    driver.emit("a", "volatile", json!([3]), 1).await?;
    let numbers = driver.volatile().iter().map(Value::as_u64);
    assert!(numbers.is_sorted(), "{:?}", driver.volatile());
    // python-engineio ends a connection on which more than 16 packets come at once.
    driver.emit("a", "burst", json!([12]), 12).await?;
    driver.emit("a", "big", json!([300_000]), 1).await?;
    driver.emit("a", "big-binary", json!([300_000]), 1).await?;
    driver.emit("a", "throw", json!([]), 0).await?;
    driver.ask("a", "silent", json!([]), 0).await?;
    driver
        .emit("a", "message", json!(["still here"]), 1)
        .await?;

    for client in ["a", "b", "guest", "dynamic"] {
        driver.tell(client, "close", 1).await?;
    }
    Ok(driver.transcript())
}

async fn messages(driver: &mut Driver) -> Result<(), Lost> {
    let values = json!([1, -1.5, "2", { "3": [true, null] }, "caf\u{e9} \u{1f980} <&>\u{2028}"]);
    let binary = json!([{ "bytes": "0001ff" }, { "deep": [{ "bytes": "" }, "text"] }]);
    for values in [json!([]), values, binary] {
        driver.emit("a", "message", values.clone(), 1).await?;
        driver.ask("a", "message-with-ack", values, 1).await?;
    }
    driver.ask("a", "whoami", json!([]), 1).await?;
    // The question, and the server's word that it has the answer.
    driver.emit("a", "ask", json!(["how?"]), 2).await?;
    let values = json!([{ "bytes": "c0ffee" }, { "n": 7 }]);
    driver.emit("a", "ask", values, 2).await
}

async fn namespaces(driver: &mut Driver, url: &str, mode: &str) -> Result<(), Lost> {
    let both = ["/", "/custom"];
    driver
        .open("c", url, mode, &both, json!({ "for": "both" }))
        .await?;
    driver
        .emit("c /custom", "message", json!(["one"]), 1)
        .await?;
    driver.ask("c /custom", "whoami", json!([]), 1).await?;
    driver.emit("c", "message", json!(["other"]), 1).await?;
    // The server disconnects one namespace, and then the whole client.
    driver.emit("c /custom", "kick", json!([]), 1).await?;
    driver
        .emit("c", "message", json!(["still here"]), 1)
        .await?;
    driver.emit("c", "kick-all", json!([]), 1).await?;

    driver
        .open("dynamic", url, mode, &["/dynamic-7"], json!({}))
        .await?;
    driver
        .ask("dynamic /dynamic-7", "whoami", json!([]), 1)
        .await
}

async fn refusals(driver: &mut Driver, url: &str, mode: &str) -> Result<(), Lost> {
    for (client, namespace) in [("stranger", "/guarded"), ("nobody", "/nowhere")] {
        let command = json!({ "do": "open", "client": client, "url": url, "mode": mode,
            "namespaces": [namespace], "auth": { "token": "guessed" } });
        driver.step(command, 1).await?;
        driver.tell(client, "close", 0).await?;
    }
    let auth = json!({ "token": "sesame" });
    driver.open("guest", url, mode, &["/guarded"], auth).await?;
    driver
        .emit("guest /guarded", "message", json!(["in"]), 1)
        .await
}

async fn rooms(driver: &mut Driver, url: &str, mode: &str) -> Result<(), Lost> {
    driver.open("b", url, mode, &["/"], json!({})).await?;
    for client in ["a", "b"] {
        driver.ask(client, "join", json!(["room"]), 1).await?;
    }
    driver.ask("a", "whoami", json!([]), 1).await?;
    let values = json!(["room", "both", { "bytes": "00" }]);
    driver.emit("b", "tell", values, 2).await?;
    driver.ask("b", "leave", json!(["room"]), 1).await?;
    driver.emit("b", "tell", json!(["room", "one"]), 1).await?;
    driver
        .emit("a", "tell-others", json!(["the other"]), 1)
        .await?;
    driver.emit("a", "tell-all", json!(["both"]), 2).await
}

/// With a server that keeps the state of lost connections.
pub(super) async fn recovery(
    server: &mut Sockets,
    mut driver: Driver,
    url: &str,
    mode: &str,
) -> Transcript {
    let lost = "no connection is lost by itself";
    driver
        .open("a", url, mode, &["/"], json!({}))
        .await
        .expect(lost);
    driver.tell("a", "transport", 1).await.expect(lost);
    driver
        .ask("a", "join", json!(["room"]), 1)
        .await
        .expect(lost);
    driver
        .emit("a", "message", json!(["before"]), 1)
        .await
        .expect(lost);

    driver.tell("a", "lose", 1).await.expect(lost);
    while server.process.event().await["event"] != "disconnected" {}
    for text in ["missed", "missed too"] {
        let command = json!({ "do": "emit", "namespace": "/", "room": "room", "event": "told", "arguments": [text] });
        server.process.tell(command).await;
    }
    // Two missed events, the word that the client is back, and the server's greeting.
    driver.tell("a", "return", 4).await.expect(lost);
    driver.ask("a", "whoami", json!([]), 1).await.expect(lost);
    driver
        .emit("a", "tell", json!(["room", "after"]), 1)
        .await
        .expect(lost);
    driver.tell("a", "close", 1).await.expect(lost);
    while server.process.event().await["event"] != "disconnected" {}
    let mut transcript = driver.transcript();
    for report in transcript.values_mut().flatten() {
        forget_offsets(report);
    }
    transcript
}

/// A server that can recover ends each of its events with an offset, and a client that comes back names the last one.
fn forget_offsets(report: &mut Value) {
    if report["event"] == "got" {
        let values = report["values"].as_array_mut().unwrap();
        assert!(values.pop().unwrap().is_string());
    }
    if let Some(auth) = report.pointer_mut("/values/0/pid") {
        assert!(auth.take().is_string());
        assert!(report["values"][0]["offset"].take().is_string());
    }
}
