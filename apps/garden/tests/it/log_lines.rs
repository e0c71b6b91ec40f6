//! The log names native as the side that refuses its clients.

use tokio::io::AsyncWriteExt;

use crate::support::certs::Ca;
use crate::support::client::connect;
use crate::support::program::{Program, command, counted, folder};
use crate::support::websocket::{Server, handshake};

/// It has happened: native checked tokens as Node did not, and Node answered for it so well that nobody noticed.
#[tokio::test]
async fn a_native_side_that_refuses_every_client_is_logged() {
    let node = Server::start().await;
    let ca = Ca::new();
    let rules = "[native]\napp = \"garden\"\ndatabase = \"sqlite:garden.db\"\njwt_secret = \"another\"\n\
        [socket.game]\nkind = \"websocket\"\npath = \"/api/ws\"\nmode = \"bridge\"\ntag = \"/type\"\n\
        [rule]\nsave = { events = { game = [\"SaveGame\"] }, to = \"native\" }";
    let (folder, routes) = folder(&ca, &node.url(), rules);
    std::fs::write(folder.path().join("garden.db"), "").unwrap();
    let mut program = Program::start(command(env!("CARGO_BIN_EXE_garden")), &routes).await;
    let tls = ca.client_config(&["http/1.1"]);
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(program.address, &tls).await.unwrap();
        let request = handshake("/api/ws?token=a.b.c", "");
        stream.write_all(&request).await.unwrap();
        open.push(stream);
    }
    let lines = counted(&mut program, "native did not take a client", 3).await;
    let first = &lines[0];
    assert_eq!(
        (&first["level"], &first["rule"]),
        (&"WARN".into(), &"socket.game".into())
    );
    let reason = first["reason"].as_str().unwrap();
    assert!(["refused", "dropped"].contains(&reason), "{first}");
    assert!(!first.to_string().contains("a.b.c"), "{first}");
}
