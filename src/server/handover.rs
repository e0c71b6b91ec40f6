//! A restart without a refused connection: sockets come from systemd or from a predecessor, and go to a successor.
//! The kernel's queue of a listening socket lives as long as one process holds it.

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use crate::server::StartError;

/// Names the process that handed its sockets over.
const PREDECESSOR: &str = "STRANGLER_PREDECESSOR";
/// The first passed descriptor, as in systemd's protocol (`sd_listen_fds`).
const FIRST_DESCRIPTOR: i32 = 3;
const BACKLOG: i32 = 4096;
/// How often a successor looks whether its predecessor has ended.
const POLL: Duration = Duration::from_millis(50);

/// Sockets that were open before this process.
pub(super) struct Inherited(Vec<TcpListener>);

impl Inherited {
    /// Takes them from the environment, once.
    pub(super) fn take() -> Self {
        let mut sockets = ListenFd::from_env();
        let listeners =
            (0..sockets.len()).filter_map(|index| sockets.take_tcp_listener(index).ok().flatten());
        Self(listeners.collect())
    }

    /// The inherited socket of this address, or a new one.
    pub(super) fn or_bind(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        let position = self
            .0
            .iter()
            .position(|listener| listener.local_addr().is_ok_and(|own| own == address));
        let listener = match position {
            Some(position) => Ok(self.0.swap_remove(position)),
            None => bind(address),
        };
        listener
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|source| StartError::Listen { address, source })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts `program` with our arguments and the open sockets. The successor ends us when it serves.
///
/// # Errors
/// When it cannot be started.
pub fn hand_over(program: &Path, listeners: Vec<TcpListener>) -> io::Result<Child> {
    let mappings = listeners
        .into_iter()
        .zip(FIRST_DESCRIPTOR..)
        .map(|(listener, child_fd)| FdMapping {
            parent_fd: listener.into(),
            child_fd,
        })
        .collect::<Vec<_>>();
    let mut command = Command::new(program);
    command
        .args(env::args_os().skip(1))
        .env("LISTEN_FDS", mappings.len().to_string())
        .env_remove("LISTEN_PID")
        .env(PREDECESSOR, std::process::id().to_string())
        .fd_mappings(mappings)
        .map_err(io::Error::other)?;
    command.spawn()
}

/// Tells the predecessor, if there is one, that its connections are the last: we serve.
pub fn inherited_by_us() {
    let Some(predecessor) = predecessor() else {
        return;
    };
    info!(
        predecessor = predecessor.as_raw(),
        "took over from the running proxy"
    );
    if let Err(error) = kill(predecessor, Signal::SIGTERM) {
        warn!(%error, "the predecessor could not be told to end");
    }
}

/// Waits until the predecessor has ended, and its Node with it, so that Node's port is free.
pub(super) async fn predecessor_gone() {
    while predecessor().is_some() {
        tokio::time::sleep(POLL).await;
    }
}

/// The process that started us, if it is a predecessor and still there: the number alone could be somebody else's.
fn predecessor() -> Option<Pid> {
    let named = env::var(PREDECESSOR)
        .ok()?
        .parse()
        .ok()
        .map(Pid::from_raw)?;
    (getppid() == named).then_some(named)
}
