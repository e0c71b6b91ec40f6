//! The polling transport: at most one GET that waits for packets, and at most one POST that brings some.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::codec::{Packet, encode_payload};
use super::{Answer, Upload};

#[derive(Debug, Default)]
pub(super) struct Polling {
    poll: Option<oneshot::Sender<Answer>>,
    post: Option<Post>,
    /// The next poll will be told that the session is over.
    pub(super) closing: bool,
}

#[derive(Debug)]
struct Post {
    upload: oneshot::Receiver<Upload>,
    answer: oneshot::Sender<Answer>,
}

/// What a POST brought.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The client went away in the middle of a request.
#[derive(Debug)]
pub(super) struct Gone;

impl Polling {
    /// Whether a poll waits, which is when this transport can be written to.
    pub(super) fn is_writable(&self) -> bool {
        self.poll.is_some()
    }

    pub(super) fn is_posting(&self) -> bool {
        self.post.is_some()
    }

    pub(super) fn wait(&mut self, answer: oneshot::Sender<Answer>) {
        self.poll = Some(answer);
    }

    pub(super) fn receive(
        &mut self,
        upload: oneshot::Receiver<Upload>,
        answer: oneshot::Sender<Answer>,
    ) {
        self.post = Some(Post { upload, answer });
    }

    /// Ends the poll that waits, if one does.
    pub(super) fn write(&mut self, packets: &VecDeque<Packet>) -> Result<(), Gone> {
        let Some(poll) = self.poll.take() else {
            return Ok(());
        };
        poll.send(Answer::payload(encode_payload(packets)))
            .map_err(|_| Gone)
    }

    /// Ready when the client has given up the poll that waits.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Gone> {
        let Some(poll) = &mut self.poll else {
            return Poll::Pending;
        };
        ready!(poll.poll_closed(context));
        Poll::Ready(Gone)
    }

    /// The body of a POST, and where to answer it, once it is complete.
    pub(super) fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<Body, Gone>> {
        let Some(post) = &mut self.post else {
            return Poll::Pending;
        };
        let upload = ready!(Pin::new(&mut post.upload).poll(context));
        let Some(Post { answer, .. }) = self.post.take() else {
            return Poll::Pending;
        };
        match upload {
            Ok(Upload::Whole(bytes)) => Poll::Ready(Ok(Body { bytes, answer })),
            Ok(Upload::TooBig) => Poll::Pending,
            Err(_) => {
                // Whoever broke off does not hear this.
                let _ = answer.send(Answer::empty(400));
                Poll::Ready(Err(Gone))
            }
        }
    }
}
