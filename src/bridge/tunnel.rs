//! Joins two upgraded connections byte by byte. Of a WebSocket it follows only where frames begin, so that a drain can
//! say 1001 "going away" (RFC 6455 §7.4.1) between two frames; payloads are never looked at.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bridge::frames::Frames;
use crate::budget::waiter::Waiter;

/// Bytes moved at once. They live on the stack: an idle tunnel holds no buffer.
const CHUNK: usize = 16 * 1024;

/// How long both ends may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one direction may stay silent after the other has ended.
const HALF_OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Close frame with code 1001, from a server.
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same from a client, which must mask (RFC 6455 §5.3); a mask of zeros hides nothing and needs to hide nothing.
const GOING_AWAY_MASKED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// Passes bytes both ways until both ends are done, or one is gone; `waiter` learns what waits meanwhile. With `websocket`, a `stop` that becomes true closes
/// both ends with 1001 between two frames.
pub(crate) async fn tunnel(
    client: impl AsyncRead + AsyncWrite + Unpin,
    node: impl AsyncRead + AsyncWrite + Unpin,
    websocket: bool,
    waiter: Option<&Waiter>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tunnel = Tunnel {
        client,
        node,
        waiter,
        taken: 0,
        up: Direction::default(),
        down: Direction::default(),
    };
    let stopped = async {
        if !websocket || stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = tunnel.copy() => return,
        () = stopped => {}
    }
    tunnel.down.farewell = Some(&GOING_AWAY);
    tunnel.up.farewell = Some(&GOING_AWAY_MASKED);
    std::future::poll_fn(|context| tunnel.poll_farewell(context)).await;
    // Whoever got the close frame answers it and closes; what comes besides is no longer wanted.
    let _ = timeout(
        CLOSE_TIMEOUT,
        std::future::poll_fn(|context| tunnel.poll_closed(context)),
    )
    .await;
}

struct Tunnel<'w, C, N> {
    client: C,
    node: N,
    waiter: Option<&'w Waiter>,
    /// Bytes that the client has taken, as the waiter knows it.
    taken: u64,
    /// Client to Node.
    up: Direction,
    /// Node to client.
    down: Direction,
}

impl<C: AsyncRead + AsyncWrite + Unpin, N: AsyncRead + AsyncWrite + Unpin> Tunnel<'_, C, N> {
    /// Copies until both directions have ended, or one has and the other says nothing more.
    async fn copy(&mut self) {
        std::future::poll_fn(|context| self.poll_copy(context, 1)).await;
        loop {
            let moved = self.up.moved + self.down.moved;
            let rest = std::future::poll_fn(|context| self.poll_copy(context, 2));
            let ended = timeout(HALF_OPEN_TIMEOUT, rest).await.is_ok();
            if ended || self.up.moved + self.down.moved == moved {
                return;
            }
        }
    }

    /// Ready when so many directions have ended, or when one ended because its reader is gone: then nobody is left for
    /// the other. A writer that is gone may have said something before, so that direction goes on.
    fn poll_copy(&mut self, context: &mut Context<'_>, directions: usize) -> Poll<()> {
        let up = self.up.poll_copy(context, &mut self.client, &mut self.node);
        let down = self
            .down
            .poll_copy(context, &mut self.node, &mut self.client);
        self.count();
        let ended = usize::from(up.is_ready()) + usize::from(down.is_ready());
        let gone = (up.is_ready() && self.up.broken) || (down.is_ready() && self.down.broken);
        if gone || ended >= directions {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn count(&mut self) {
        let Some(waiter) = self.waiter else { return };
        let taken = self.down.moved - self.down.rest.len() as u64;
        let since = usize::try_from(taken - self.taken).unwrap_or(usize::MAX);
        self.taken = taken;
        waiter.moved(since);
        waiter.set(self.down.rest.len(), self.up.rest.len());
    }

    /// Goes on copying until each direction stands between two frames and has said goodbye.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let up = self
            .up
            .poll_farewell(context, &mut self.client, &mut self.node);
        let down = self
            .down
            .poll_farewell(context, &mut self.node, &mut self.client);
        if up.is_ready() && down.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Closes our ends and waits for theirs: a WebSocket client waits for its server to close first (RFC 6455 §7.1.1).
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let client = self.down.poll_closed(context, &mut self.client);
        let node = self.up.poll_closed(context, &mut self.node);
        if client.is_ready() && node.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// One direction of a tunnel.
#[derive(Default)]
struct Direction {
    /// Read, but not yet taken by the writer.
    rest: Vec<u8>,
    frames: Frames,
    moved: u64,
    /// The reader has nothing more.
    ended: bool,
    /// The reader has nothing more because it broke.
    broken: bool,
    /// The writer is closed, or takes no more.
    finished: bool,
    farewell: Option<&'static [u8]>,
}

impl Direction {
    fn poll_copy(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        while !self.finished {
            ready!(self.poll_write_rest(context, writer));
            if self.ended {
                // This flushes first: a TLS writer holds what its socket did not take.
                let _ = ready!(Pin::new(&mut *writer).poll_shutdown(context));
                self.finished = true;
            } else if self.poll_chunk(context, reader, writer).is_pending() {
                if ready!(Pin::new(&mut *writer).poll_flush(context)).is_ok() {
                    return Poll::Pending;
                }
                self.give_up();
            }
        }
        Poll::Ready(())
    }

    /// Reads once and writes what the writer takes at once; only the rest is kept.
    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        self.broken = ready!(Pin::new(reader).poll_read(context, &mut chunk)).is_err();
        let bytes = chunk.filled();
        self.ended = bytes.is_empty();
        if self.ended {
            return Poll::Ready(());
        }
        self.moved += bytes.len() as u64;
        self.frames.advance(bytes);
        match Pin::new(writer).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => self.rest.extend_from_slice(&bytes[written..]),
            Poll::Ready(Err(_)) => self.give_up(),
            Poll::Pending => self.rest.extend_from_slice(bytes),
        }
        Poll::Ready(())
    }

    fn poll_write_rest(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut *writer).poll_write(context, &self.rest)) {
                Ok(written) if written > 0 => drop(self.rest.drain(..written)),
                _ => self.give_up(),
            }
        }
        self.rest = Vec::new();
        Poll::Ready(())
    }

    /// The writer takes no more. What the other end has already said may still pass the other way.
    fn give_up(&mut self) {
        self.finished = true;
        self.rest.clear();
    }

    /// Closes the end that this direction writes to, and reads what still comes from there.
    fn poll_closed(
        &mut self,
        context: &mut Context<'_>,
        end: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Poll<()> {
        if !self.finished {
            // An end that cannot be closed is closed.
            let _ = ready!(Pin::new(&mut *end).poll_shutdown(context));
            self.finished = true;
        }
        loop {
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            match ready!(Pin::new(&mut *end).poll_read(context, &mut chunk)) {
                Ok(()) if !chunk.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_farewell(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        loop {
            ready!(self.poll_write_rest(context, writer));
            if self.finished || self.ended {
                return Poll::Ready(());
            }
            if self.frames.is_between() {
                let Some(farewell) = self.farewell.take() else {
                    if ready!(Pin::new(&mut *writer).poll_flush(context)).is_err() {
                        self.give_up();
                    }
                    return Poll::Ready(());
                };
                self.rest.extend_from_slice(farewell);
                continue;
            }
            ready!(self.poll_chunk(context, reader, writer));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_drain_says_1001_to_both_ends_between_two_frames() {
        let (client, mut client_far) = duplex(1024);
        let (node, mut node_far) = duplex(1024);
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(tunnel(client, node, true, None, stopped));
        // A text frame of five bytes.
        let message = [0x81, 5, b'h', b'e', b'l', b'l', b'o'];
        node_far
            .write_all(&message[..4])
            .await
            .expect("half a frame");
        let mut received = vec![0; 4];
        client_far
            .read_exact(&mut received)
            .await
            .expect("half a frame");
        stop.send(true).expect("the tunnel runs");
        let mut masked = [0; 8];
        node_far
            .read_exact(&mut masked)
            .await
            .expect("node's close frame");
        assert_eq!(masked, GOING_AWAY_MASKED);
        node_far
            .write_all(&message[4..])
            .await
            .expect("the other half");
        drop(node_far);
        let mut rest = vec![0; message.len() - 4 + GOING_AWAY.len()];
        client_far
            .read_exact(&mut rest)
            .await
            .expect("the rest, then a close frame");
        assert_eq!(rest[message.len() - 4..], GOING_AWAY);
        drop(client_far);
        running.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_reader_that_breaks_loses_nothing_that_the_writer_has_taken() {
        // Takes 64 bytes at once, of which the far end gets 8: as TLS does before a socket that is full.
        let (client, mut client_far) = duplex(8);
        let client = tokio::io::BufWriter::with_capacity(64, client);
        let node = breaking([7; 40]);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(tunnel(client, node, false, None, stopped));
        let mut answer = Vec::new();
        client_far.read_to_end(&mut answer).await.expect("read");
        assert_eq!(answer, [7; 40]);
        running.await.expect("no panic");
    }

    /// Gives these bytes, then an error, and takes everything.
    fn breaking(bytes: [u8; 40]) -> impl AsyncRead + AsyncWrite + Unpin {
        struct Breaks(Option<[u8; 40]>);
        impl AsyncRead for Breaks {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<std::io::Result<()>> {
                let Some(bytes) = self.0.take() else {
                    return Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into()));
                };
                buffer.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
        }
        tokio::io::join(Breaks(Some(bytes)), tokio::io::sink())
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_open_tunnel_does_not_live_for_ever() {
        let (client, client_far) = duplex(64);
        let (node, node_far) = duplex(64);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(tunnel(client, node, true, None, stopped));
        drop(node_far);
        running
            .await
            .expect("the client that neither speaks nor closes is left");
        drop(client_far);
    }

    #[tokio::test]
    async fn half_closes_pass() {
        let (client, mut client_far) = duplex(64);
        let (node, mut node_far) = duplex(64);
        let (_stop, stopped) = watch::channel(false);
        let running = tokio::spawn(tunnel(client, node, false, None, stopped));
        client_far.write_all(b"question").await.expect("write");
        client_far.shutdown().await.expect("half close");
        let mut question = String::new();
        node_far.read_to_string(&mut question).await.expect("read");
        assert_eq!(question, "question");
        let write = async {
            let larger_than_the_pipe = [7; 1000];
            node_far
                .write_all(&larger_than_the_pipe)
                .await
                .expect("write");
            drop(node_far);
        };
        let mut answer = Vec::new();
        let (read, ()) = tokio::join!(client_far.read_to_end(&mut answer), write);
        read.expect("read");
        assert_eq!(answer, [7; 1000]);
        running.await.expect("no panic");
    }
}
