//! Edits of routes.toml under a running proxy: good ones apply at once, bad ones change nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::client::connect;
use crate::support::node::read_head;
use crate::support::proxy::routes;
use crate::support::{TestNode, TestProxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn hello(to: &str) -> String {
    format!("[rule]\nhello = {{ http = [\"GET /hello\"], to = \"{to}\" }}")
}

#[tokio::test]
async fn a_flip_reaches_open_connections_and_so_does_the_way_back() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("node")).await;
    let mut client = proxy.client().await;
    for (to, side) in [("native", "native"), ("node", "node"), ("native", "native")] {
        proxy.edit(&node.url(), &hello(to)).await;
        assert_eq!(client.get("/hello").await.unwrap().side(), side);
    }
    assert_eq!(proxy.metric("strangler_generation").await, 4.0);
    assert_eq!(
        proxy
            .metric(r#"strangler_reloads_total{result="ok"}"#)
            .await,
        4.0
    );
}

#[tokio::test]
async fn a_file_that_does_not_load_leaves_the_last_good_table() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("native")).await;
    let good = fs::read_to_string(proxy.routes()).unwrap();
    let mut client = proxy.client().await;
    let half = good[..good.len() / 2].to_owned();
    let large = format!("{good}# {}\n", "x".repeat(10 * 1024 * 1024));
    for (number, (bad, said)) in [
        (good.replace("[rule]", "[rule"), "syntax"),
        (good.replace("to =", "too ="), "unknown-key"),
        (
            format!("{good}hello = {{ http = [\"GET /hello\"], to = \"node\" }}\n"),
            "duplicate-key",
        ),
        (
            format!("{good}other = {{ http = [\"GET /HELLO/\"], to = \"node\" }}\n"),
            "ambiguous",
        ),
        (good.replace("/hello", "/nobody-serves-this"), "unserved"),
        (String::new(), "missing-key"),
        (half, ""),
        (large, "too-large"),
        (good.replace("native\" }", "natve\" }"), "unknown-side"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(proxy.routes(), &bad).unwrap();
        eventually(&format!("bad edit {number} is reported"), || async {
            let table = proxy.table().await;
            table["last_load"]["result"] == "refused"
                && table["last_load"]["diagnostics"].to_string().contains(said)
        })
        .await;
        assert_eq!(
            client.get("/hello").await.unwrap().side(),
            "native",
            "bad edit {number}"
        );
        assert_eq!(proxy.metric("strangler_routes_stale").await, 1.0);
        fs::write(proxy.routes(), &good).unwrap();
        eventually("the good file is back", || async {
            proxy.table().await["last_load"]["result"] == "ok"
        })
        .await;
    }
    let spoilt: [fn(&Path) -> std::io::Result<()>; 3] = [
        |path| fs::remove_file(path),
        |path| fs::remove_file(path).and_then(|()| fs::create_dir(path)),
        |path| fs::write(path, [0xff, 0xfe, 0x41, 0x00]),
    ];
    for spoil in spoilt {
        spoil(&proxy.routes()).unwrap();
        eventually("it is reported", || async {
            proxy.table().await["last_load"]["result"] == "refused"
        })
        .await;
        assert_eq!(client.get("/hello").await.unwrap().side(), "native");
        let _ = fs::remove_dir(proxy.routes());
        fs::write(proxy.routes(), &good).unwrap();
        eventually("the good file is back", || async {
            proxy.table().await["last_load"]["result"] == "ok"
        })
        .await;
    }
}

#[tokio::test]
async fn diagnostics_name_line_and_remedy() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("native")).await;
    let good = fs::read_to_string(proxy.routes()).unwrap();
    fs::write(proxy.routes(), good.replace("\"native\" }", "\"natve\" }")).unwrap();
    eventually("it is reported", || async {
        proxy.table().await["last_load"]["result"] == "refused"
    })
    .await;
    let table = proxy.table().await;
    let finding = &table["last_load"]["diagnostics"][0];
    let line = good
        .lines()
        .position(|line| line.starts_with("hello"))
        .unwrap()
        + 1;
    assert_eq!(finding["line"], line);
    assert_eq!(finding["code"], "unknown-side");
    assert!(
        finding["help"].as_str().unwrap().contains("native"),
        "{finding}"
    );
    assert_eq!(table["generation"], 1);
}

#[tokio::test]
async fn every_way_to_replace_a_file_ends_in_the_right_table() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("node")).await;
    let file = |to: &str| routes(&node.url(), &hello(to));
    type Replace<'r> = &'r dyn Fn(&str);
    let ways: [(&str, Replace<'_>); 4] = [
        ("written in place", &|to| {
            fs::write(proxy.routes(), file(to)).unwrap()
        }),
        ("renamed over", &|to| {
            let new = proxy.folder.path().join("routes.toml.new");
            fs::write(&new, file(to)).unwrap();
            fs::rename(new, proxy.routes()).unwrap();
        }),
        ("removed and made again", &|to| {
            fs::remove_file(proxy.routes()).unwrap();
            fs::write(proxy.routes(), file(to)).unwrap();
        }),
        ("linked elsewhere", &|to| {
            let (target, link) = (
                proxy.folder.path().join(format!("{to}.toml")),
                proxy.folder.path().join("link"),
            );
            fs::write(&target, file(to)).unwrap();
            symlink(target, &link).unwrap();
            fs::rename(link, proxy.routes()).unwrap();
        }),
    ];
    for (way, replace) in ways {
        for to in ["native", "node"] {
            replace(to);
            eventually(&format!("{way}: {to}"), || async {
                proxy.get("/hello").await.side() == to
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_needs_a_restart_does_not_hold_back_the_rules() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("native")).await;
    let file = routes(&node.url(), &hello("node"));
    let moved = file
        .replacen("127.0.0.1:0", "127.0.0.1:1", 1)
        .replace("app = \"test\"", "app = \"test\"\nkey = 1");
    fs::write(proxy.routes(), moved).unwrap();
    eventually("the rules apply", || async {
        proxy.get("/hello").await.side() == "node"
    })
    .await;
    let pending = proxy.table().await["last_load"]["restart_pending"].to_string();
    assert!(
        pending.contains("server.listen") && pending.contains("native"),
        "{pending}"
    );
    proxy.edit(&node.url(), &hello("native")).await;
    assert_eq!(
        proxy.table().await["last_load"]["restart_pending"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn a_file_refused_for_another_one_is_tried_again() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), &hello("node")).await;
    let early = format!("ca = \"later.pem\"\n{}", hello("native"));
    let url = node.url().replace("http:", "https:");
    fs::write(proxy.routes(), routes(&url, &early)).unwrap();
    eventually("it is refused", || async {
        let load = &proxy.table().await["last_load"];
        load["result"] == "refused" && load["diagnostics"].to_string().contains("later.pem")
    })
    .await;
    fs::write(proxy.folder.path().join("later.pem"), proxy.ca.pem()).unwrap();
    eventually("it is in force", || async {
        proxy.get("/hello").await.side() == "native"
    })
    .await;
}

#[tokio::test]
async fn a_request_ends_on_the_table_that_it_began_with() {
    let node = TestNode::raw(|mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            .await
            .unwrap();
        // The second half comes when the test has changed the table and asks for it on this very connection.
        let mut go = [0; 2];
        stream.read_exact(&mut go).await.unwrap();
        stream.write_all(b"LATER").await.unwrap();
    })
    .await;
    let rules = "[rule]\nhello = { http = [\"/hello\"], to = \"node\" }";
    let proxy = TestProxy::new(&node.url(), rules).await;
    let mut stream = connect(proxy.address, &proxy.tls).await.unwrap();
    let head = b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert!(
        read_head(&mut stream)
            .await
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    proxy
        .edit(&node.url(), &rules.replace("\"node\"", "\"native\""))
        .await;
    assert_eq!(proxy.get("/hello").await.side(), "native");
    stream.write_all(b"go").await.unwrap();
    let mut body = [0; 10];
    stream.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"firstLATER");
}

#[tokio::test]
async fn another_node_takes_over_without_a_restart() {
    let (old, new) = (TestNode::echo().await, TestNode::echo().await);
    let proxy = TestProxy::new(&old.url(), "").await;
    let mut client = proxy.client().await;
    client.get("/a").await.unwrap();
    proxy.edit(&new.url(), "").await;
    client.get("/b").await.unwrap();
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_new_certificate_is_served_and_a_bad_one_is_not() {
    let node = TestNode::echo().await;
    let proxy = TestProxy::new(&node.url(), "").await;
    let (cert, key) = (
        proxy.folder.path().join("server.pem"),
        proxy.folder.path().join("server-key.pem"),
    );
    let served = async || {
        let stream = connect(proxy.address, &proxy.tls).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let new = proxy.ca.leaf();
    new.write(&cert, &key);
    eventually("the new certificate is served", || async {
        served().await == new.der()
    })
    .await;
    let refused = r#"strangler_certificate_loads_total{result="refused"}"#;
    let other = proxy.ca.leaf();
    let expired = proxy.ca.expired_leaf();
    for (number, (bad_cert, bad_key)) in [
        (other.cert.clone(), new.key.clone()),
        (expired.cert.clone(), expired.key.clone()),
        (
            other.cert[..other.cert.len() / 2].to_owned(),
            other.key.clone(),
        ),
        (String::new(), String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&cert, bad_cert).unwrap();
        fs::write(&key, bad_key).unwrap();
        let expected = (number + 1) as f64;
        eventually("it is refused", || async {
            proxy.metric(refused).await >= expected
        })
        .await;
        assert_eq!(served().await, new.der());
    }
    other.write(&cert, &key);
    eventually("the next good one is served", || async {
        served().await == other.der()
    })
    .await;
}

#[tokio::test]
async fn the_admin_port_lists_sockets_with_what_rules_claim_on_them() {
    let node = TestNode::echo().await;
    let socket = "[socket.readers]\nkind = \"socket.io\"\npath = \"/socket.io/\"\n";
    let rule =
        "[rule]\ncards = { events = { readers = [\"message\", \"/admin,*\"] }, to = \"node\" }\n";
    let bridged = format!("{socket}mode = \"bridge\"\nnode_loss = \"resume\"\n{rule}");
    let proxy = TestProxy::new(&node.url(), socket).await;
    let table = proxy.table().await;
    assert_eq!(table["sockets"][0]["mode"], "tunnel");
    assert_eq!(table["sockets"][0]["events"], serde_json::json!([]));
    proxy.edit(&node.url(), &bridged).await;
    let table = proxy.table().await;
    let socket = &table["sockets"][0];
    assert_eq!(
        (&socket["mode"], &socket["node_loss"], &socket["kind"]),
        (&"bridge".into(), &"resume".into(), &"socket.io".into())
    );
    assert_eq!(
        socket["events"],
        serde_json::json!([
            { "event": "message", "rule": "cards", "to": "node" },
            { "event": "/admin,*", "rule": "cards", "to": "node" },
        ])
    );
    assert_eq!(
        socket["namespaces"],
        serde_json::json!([
            { "name": "/", "needs_node": true, "uses_native": false },
            { "name": "/admin", "needs_node": true, "uses_native": false },
        ])
    );
    let rule = &table["rules"][0];
    assert_eq!(
        rule["events"],
        serde_json::json!({ "readers": ["message", "/admin,*"] })
    );
    // A rule of events alone counts and has its breaker as any other.
    assert_eq!(rule["breaker"], "closed");
    assert_eq!(
        proxy
            .metric(r#"strangler_breaker_state{rule="cards"}"#)
            .await,
        0.0
    );
}
