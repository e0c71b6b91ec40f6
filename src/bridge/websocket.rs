//! A WebSocket (RFC 6455) over any byte stream, for both ends. It answers nothing by itself: pongs and the closing
//! handshake belong to its owner, who may be passing them on to somebody else.
//!
//! An idle one holds no buffers, which is why this is not `tungstenite`: that keeps a read and a write buffer for each
//! connection and answers pings itself. The frames are in `codec.rs`.

mod codec;

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use self::codec::Violation;
use self::codec::{Decoder, encode, encode_prefixed};

/// Bytes read at once, on the stack.
const CHUNK: usize = 16 * 1024;

/// A buffer of more bytes than this shrinks as its peer takes them.
const LARGE: usize = 64 * 1024;

/// A whole message, its fragments joined, or a control frame, whose payload has at most 125 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    /// The code and the reason, which is UTF-8 of at most 123 bytes.
    Close(Option<(u16, Bytes)>),
}

/// Which end of a connection somebody is. A client masks what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// Why no more messages come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebSocketError {
    #[error("the stream broke")]
    Stream(#[from] io::Error),
    #[error("the peer broke the protocol")]
    Violation(#[from] Violation),
}

impl WebSocketError {
    /// The code of the close frame that the peer is owed, if it can still hear.
    pub(crate) fn close_code(&self) -> Option<u16> {
        match self {
            Self::Stream(_) => None,
            Self::Violation(violation) => Some(violation.close_code()),
        }
    }
}

/// One end of a WebSocket, after its opening handshake.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: S,
    masks: Option<Masks>,
    decoder: Decoder,
    /// Read, but behind the message that was given out last.
    unread: Bytes,
    /// The stream has ended, or what it says has no meaning any more.
    ended: bool,
    /// Encoded, but not yet taken by the stream.
    unwritten: BytesMut,
    /// The most that `unwritten` has held since it was empty, for which it has memory.
    room: usize,
    /// The stream may hold back what it has taken, as TLS does.
    unflushed: bool,
}

impl<S> WebSocket<S> {
    /// Over `max_message` bytes, a message of the peer is an error.
    pub(crate) fn new(stream: S, role: Role, max_message: usize) -> Self {
        let (peer, masks) = match role {
            Role::Client => (Role::Server, Some(Masks::default())),
            Role::Server => (Role::Client, None),
        };
        Self {
            stream,
            masks,
            decoder: Decoder::new(peer, max_message),
            unread: Bytes::new(),
            ended: false,
            unwritten: BytesMut::new(),
            room: 0,
            unflushed: false,
        }
    }

    /// Encodes a message for the next flush.
    pub(crate) fn queue(&mut self, message: &Message) {
        let mask = self.masks.as_mut().map(Masks::next);
        encode(message, mask, &mut self.unwritten);
        self.room = self.room.max(self.unwritten.len());
    }

    /// Encodes `prefix` and `text`, which is UTF-8, as one text.
    pub(crate) fn queue_prefixed(&mut self, prefix: &str, text: &[u8]) {
        let mask = self.masks.as_mut().map(Masks::next);
        encode_prefixed(prefix, text, mask, &mut self.unwritten);
        self.room = self.room.max(self.unwritten.len());
    }

    /// Bytes that the stream has not yet taken.
    pub(crate) fn queued(&self) -> usize {
        self.unwritten.len()
    }

    /// Bytes that came and are no whole message yet.
    pub(crate) fn partial(&self) -> usize {
        self.unread.len() + self.decoder.partial()
    }

    /// Bytes of the largest message that the peer has begun. One in this process has kept a buffer for it since.
    pub(crate) fn largest(&self) -> usize {
        self.decoder.largest()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The next message of the peer; `None` at the end of the stream, wherever it stands. After a close frame everything
    /// is thrown away until that end; after an error there is nothing more.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, WebSocketError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.unread.is_empty() {
            let mut rest = self.unread.as_ref();
            let decoded = self.decoder.decode(&mut rest);
            let taken = self.unread.len() - rest.len();
            self.unread.advance(taken);
            if self.unread.is_empty() {
                // An empty slice would still hold the memory of the whole.
                self.unread = Bytes::new();
            }
            if let Some(result) = self.give(decoded) {
                return Poll::Ready(Some(result));
            }
        }
        loop {
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk));
            if let Err(error) = read {
                self.end();
                return Poll::Ready(Some(Err(error.into())));
            }
            let mut rest = chunk.filled();
            if rest.is_empty() {
                self.end();
                return Poll::Ready(None);
            }
            let decoded = self.decoder.decode(&mut rest);
            if let Some(result) = self.give(decoded) {
                if !self.ended && !rest.is_empty() {
                    self.unread = Bytes::copy_from_slice(rest);
                }
                return Poll::Ready(Some(result));
            }
        }
    }

    fn give(
        &mut self,
        decoded: Result<Option<Message>, Violation>,
    ) -> Option<Result<Message, WebSocketError>> {
        if decoded.is_err() {
            self.end();
        }
        decoded.map_err(WebSocketError::from).transpose()
    }

    /// Nothing more is read, and nothing is kept of what was.
    fn end(&mut self) {
        self.ended = true;
        self.unread = Bytes::new();
        self.decoder.clear();
    }

    /// [`WebSocket::poll_next`] as a future, which loses nothing when it is dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, WebSocketError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Writes what is queued. What an attempt could not write is kept for the next.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let Poll::Ready(written) = stream.poll_write(context, &self.unwritten) else {
                self.give_room_back();
                return Poll::Pending;
            };
            let written = written.and_then(|written| match written {
                0 => Err(io::ErrorKind::WriteZero.into()),
                written => Ok(written),
            });
            match written {
                Ok(written) => self.unwritten.advance(written),
                Err(error) => {
                    self.unwritten = BytesMut::new();
                    self.room = 0;
                    return Poll::Ready(Err(error));
                }
            }
            self.unflushed = true;
        }
        self.unwritten = BytesMut::new();
        self.room = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// A slow peer that has taken half of a large message must not keep memory for all of it. All copies of a message
    /// together have fewer bytes than it.
    fn give_room_back(&mut self) {
        if self.room > LARGE && self.unwritten.len() < self.room / 2 {
            self.unwritten = BytesMut::from(self.unwritten.as_ref());
            self.room = self.unwritten.len();
        }
    }

    /// [`WebSocket::poll_flush`] as a future, which loses nothing when it is dropped.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Writes what is queued, and closes our end of the stream.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if ready!(self.poll_flush(context)).is_ok() {
            // A stream that cannot be closed is closed.
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
        }
        Poll::Ready(())
    }

    /// [`WebSocket::poll_shutdown`] as a future.
    pub(crate) async fn shutdown(&mut self) {
        poll_fn(|context| self.poll_shutdown(context)).await;
    }

    /// Throws away what still comes, up to the end of the stream, also after an error. A stream that is dropped before
    /// may be reset, and then the peer loses our last words.
    pub(crate) fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.end();
        loop {
            let mut chunk = [MaybeUninit::uninit(); CHUNK];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk));
            if read.is_err() || chunk.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

/// Masks that nobody can foretell (§5.3), so that no client of ours can make up what the bytes to Node look like: a
/// counter under a keyed hash whose key comes from the operating system.
#[derive(Debug, Default)]
struct Masks {
    key: RandomState,
    used: u64,
}

impl Masks {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "four bytes of the eight are enough"
    )]
    fn next(&mut self) -> [u8; 4] {
        self.used += 1;
        (self.key.hash_one(self.used) as u32).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests;
