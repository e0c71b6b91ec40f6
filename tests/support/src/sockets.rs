//! The Socket.IO server that does what any client may ask of one (tests/legacy/sockets), over plain HTTP.

#[path = "../../../examples/sockets/app.rs"]
mod app;
#[path = "../../../examples/sockets/values.rs"]
mod values;

use std::net::SocketAddr;

use strangler::App;

use crate::TestProxy;
use crate::process::{Process, node};

/// The native twin of the server.
pub const SOCKETS_APP: App = App::new("sockets", app::build);

/// The part of routes.toml that passes whole connections to Node.
pub const TUNNEL: &str = r#"[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "tunnel""#;

/// The part of routes.toml that reads each message, and leaves all of them to Node.
pub const BRIDGE: &str = r#"[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge""#;

/// The part that gives some events of each namespace to the native side, and greets each client once.
pub const MIXED: &str = r#"[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"
once = [{ name = "auth" }, { name = "/custom,auth" }]

[rule]
echo = { events = { all = ["message", "/custom,message-with-ack"] }, to = "native" }"#;

/// The part that gives all events to the native side, of the namespaces that it has.
pub const NATIVE: &str = r#"[socket.all]
kind = "socket.io"
path = "/socket.io/"
mode = "bridge"

[rule]
everything = { events = { all = ["*", "/custom,*"] }, to = "native" }"#;

pub struct Sockets {
    pub address: SocketAddr,
    pub process: Process,
}

impl Sockets {
    /// With these in its environment; server.js lists them.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = node("tests/legacy/sockets", "server.js");
        command.envs(settings.iter().copied());
        let mut process = Process::start(command);
        let port = process.expect("listening").await["port"].as_u64().unwrap();
        let address = ([127, 0, 0, 1], u16::try_from(port).unwrap()).into();
        Self { address, process }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A proxy before it, with these tables and rules.
    pub async fn proxy(&self, rules: &str) -> TestProxy {
        TestProxy::serving("app = \"sockets\"", &self.url(), rules).await
    }
}
