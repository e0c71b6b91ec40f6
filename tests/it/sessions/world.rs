//! tests/legacy/sockets, its native twin, and the proxy before both.

use serde_json::Value;

use super::client::Client;
use super::trouble::TROUBLE;
use crate::support::certs::Ca;
use crate::support::proxy::routes;
use crate::support::sockets::Sockets;
use crate::support::{TestProxy, eventually};

/// Two events of two namespaces to native, the rest to Node.
pub(super) const MIXED: &str = r#"n = { events = { all = ["side", "trouble", "/custom,side", "/custom,trouble"] }, to = "native" }"#;

/// Nothing is left for Node.
pub(super) const ALL_NATIVE: &str =
    r#"n = { events = { all = ["*", "/custom,*"] }, to = "native" }"#;

/// The main namespace does not need Node, the others do.
pub(super) const MAIN_NATIVE: &str = r#"n = { events = { all = ["*"] }, to = "native" }"#;

pub(super) const RESUME: &str = "node_loss = \"resume\"";

/// Native admits new clients alone while Node is down.
pub(super) const ADMIT: &str = "node_loss = \"admit\"";

pub(super) struct World {
    pub(super) node: Sockets,
    pub(super) proxy: TestProxy,
}

impl World {
    /// With these keys of the socket, and these rules.
    pub(super) async fn new(keys: &str, rules: &str) -> Self {
        Self::with(&[], keys, rules).await
    }

    /// With these in the environment of Node, too.
    pub(super) async fn with(settings: &[(&str, &str)], keys: &str, rules: &str) -> Self {
        let node = Sockets::start(settings).await;
        let proxy = proxy(&node.url(), keys, rules).await;
        Self { node, proxy }
    }

    pub(super) async fn edit(&self, keys: &str, rules: &str) {
        edit(&self.proxy, &self.node.url(), keys, rules).await;
    }

    pub(super) async fn client(&self) -> Client {
        Client::connected(&self.proxy).await
    }

    /// The next event that Node reports under this name.
    pub(super) async fn report(&mut self, name: &str) -> Value {
        loop {
            let event = self.node.process.event().await;
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Node, without a word to anybody.
    pub(super) async fn kill(self) -> Stopped {
        let (port, url) = (self.node.address.port(), self.node.url());
        self.node.process.kill().await;
        Stopped {
            proxy: self.proxy,
            port,
            url,
        }
    }
}

/// Without Node.
pub(super) struct Stopped {
    pub(super) proxy: TestProxy,
    port: u16,
    url: String,
}

impl Stopped {
    /// Where Node listened.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn start(self) -> World {
        self.start_with(&[]).await
    }

    pub(super) async fn start_with(self, settings: &[(&str, &str)]) -> World {
        let port = self.port.to_string();
        let settings = [&[("PORT", port.as_str())], settings].concat();
        World {
            node: Sockets::start(&settings).await,
            proxy: self.proxy,
        }
    }

    pub(super) async fn edit(&self, keys: &str, rules: &str) {
        edit(&self.proxy, &self.url, keys, rules).await;
    }
}

/// A proxy before whatever is there.
pub(super) async fn proxy(url: &str, keys: &str, rules: &str) -> TestProxy {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new();
    let path = |name| folder.path().join(name);
    ca.leaf()
        .write(&path("server.pem"), &path("server-key.pem"));
    std::fs::write(path("routes.toml"), file(url, keys, rules)).unwrap();
    TestProxy::start_with(folder, ca, &[TROUBLE]).await
}

async fn edit(proxy: &TestProxy, url: &str, keys: &str, rules: &str) {
    proxy.write(&file(url, keys, rules)).await;
}

/// Both sides greet, and the clients shall hear one of them, unless the keys say otherwise.
const ONCE: &str =
    r#"once = [{ name = "auth" }, { name = "/custom,auth" }, { name = "/guarded,auth" }]"#;

fn file(url: &str, keys: &str, rules: &str) -> String {
    let once = if keys.contains("once =") { "" } else { ONCE };
    let tables = format!(
        "[socket.all]\nkind = \"socket.io\"\npath = \"/socket.io/\"\nmode = \"bridge\"\n{once}\n{keys}\n[rule]\n{rules}"
    );
    // Some tests show that a drain ends at its limit.
    routes(url, &tables)
        .replace("app = \"test\"", "app = \"trouble\"")
        .replace("drain = \"1m\"", "drain = \"5s\"")
}

/// Waits until a metric has this value.
pub(super) async fn metric(proxy: &TestProxy, line: &str, value: f64) {
    eventually(&format!("{line} {value}"), || async {
        (proxy.metric(line).await - value).abs() < 0.5
    })
    .await;
}

/// Waits until so many legs are open.
pub(super) async fn legs(proxy: &TestProxy, side: &str, count: f64) {
    metric(proxy, &format!("strangler_legs{{side=\"{side}\"}}"), count).await;
}

/// Waits until so many clients were disconnected for this reason.
pub(super) async fn refused(proxy: &TestProxy, reason: &str, count: f64) {
    let line = format!("strangler_refused_packets_total{{reason=\"{reason}\",socket=\"all\"}}");
    metric(proxy, &line, count).await;
}
