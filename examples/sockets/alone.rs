//! The handlers that the benchmark asks, over TLS and nothing else between them and the client.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::app;

#[derive(Clone, Copy)]
pub(crate) enum Serve {
    Events,
    Nothing,
}

#[tokio::main]
pub(crate) async fn run(
    what: Serve,
    port: &str,
    cert: &str,
    key: &str,
) -> Result<(), Box<dyn Error>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let tls = TlsAcceptor::from(Arc::new(config));

    let (service, io) = SocketIo::builder().max_buffer_size(4096).build_svc();
    io.ns(
        "/",
        async |socket: SocketRef, auth: TryData<serde_json::Value>| {
            socket.on("message", app::message);
            socket.on("message-with-ack", app::message_with_ack);
            socket.on("tell-all", app::tell_all);
            app::greet(socket, auth).await;
        },
    );

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, service) = (tls.clone(), service.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = tls.accept(stream).await else {
                return;
            };
            match what {
                Serve::Nothing => {
                    let _ = stream.read_u8().await;
                }
                Serve::Events => {
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                }
            }
        });
    }
}
