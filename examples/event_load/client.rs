//! One client, connected to the main namespace.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// What a person reads.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The rules of `scripts/torture` go by the first argument, which is `to ` and one of these.
pub(crate) const SIDES: [&str; 2] = ["node", "native"];

type Socket = WebSocketStream<TlsStream<TcpStream>>;
/// What a client says, where it is apart from what it hears.
pub(crate) type Sink = SplitSink<Socket, Message>;
pub(crate) type Stream = SplitStream<Socket>;

pub(crate) struct Client {
    socket: Socket,
    pings: u64,
}

impl Client {
    pub(crate) async fn connect(port: u16) -> Result<Self, Failure> {
        let stream = tls(port).await?;
        let target = "wss://localhost/socket.io/?EIO=4&transport=websocket";
        // Thousands of clients in one process: their buffers would be most of its memory.
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0);
        let request = target.into_client_request()?;
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        let mut client = Self { socket, pings: 0 };
        let open = client.next().await?;
        if !open.starts_with("0{") {
            return Err(format!("{open} is no open packet").into());
        }
        client.send("40".to_owned()).await?;
        let (mut accepted, mut greeted) = (false, false);
        while !(accepted && greeted) {
            let packet = client.next().await?;
            match packet.as_str() {
                connected if connected.starts_with("40{") => accepted = true,
                "42[\"auth\",{}]" => greeted = true,
                other => return Err(format!("{other} instead of a greeting").into()),
            }
        }
        Ok(client)
    }

    pub(crate) async fn send(&mut self, packet: String) -> Result<(), Failure> {
        self.socket.send(Message::text(packet)).await?;
        Ok(())
    }

    /// The next packet but pings, which are answered.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes, Failure> {
        loop {
            let packet = self.hear().await?;
            if packet.as_str() != "2" {
                return Ok(packet);
            }
            self.pings += 1;
            self.send("3".to_owned()).await?;
        }
    }

    /// The next packet, whatever it is.
    pub(crate) async fn hear(&mut self) -> Result<Utf8Bytes, Failure> {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Ok(text),
            Some(Ok(other)) => Err(format!("{other:?} is no text").into()),
            Some(Err(error)) => Err(error.into()),
            None => Err("the server has closed".into()),
        }
    }

    /// For one that reads and writes at the same time. Nobody answers pings then.
    pub(crate) fn split(self) -> (Sink, Stream) {
        self.socket.split()
    }

    /// How many pings it has answered.
    pub(crate) fn pings(&self) -> u64 {
        self.pings
    }
}

/// TLS to a server on this machine, whoever it says it is.
pub(crate) async fn tls(port: u16) -> Result<TlsStream<TcpStream>, Failure> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        Arc::new(config)
    });
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await?)
}

/// Trusts everybody, as the readers do.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
