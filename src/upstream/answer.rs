//! The body of Node's answer, and where its connection goes afterwards.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::budget::NodePlace;
use crate::upstream::body::Progress;
use crate::upstream::login::Turn;
use crate::upstream::pool::{Lease, Pool};

/// Where a connection goes after an answer that was read to its end.
#[derive(Debug)]
pub(super) enum Home {
    /// Any client may have it next.
    Pool(Arc<Pool>),
    /// It stays with its client.
    Client(Turn),
    /// It is closed.
    Nowhere,
}

impl From<Option<Turn>> for Home {
    fn from(turn: Option<Turn>) -> Self {
        turn.map_or(Self::Nowhere, Self::Client)
    }
}

/// The body of Node's answer. Read to its end, it gives its connection back; dropped before, it closes it.
#[derive(Debug)]
pub(crate) struct NodeBody {
    pub(super) body: Incoming,
    pub(super) lease: Option<(Lease, Home)>,
    pub(super) place: Option<NodePlace>,
    pub(super) hint: Option<Duration>,
    pub(super) progress: Option<Arc<Progress>>,
}

impl NodeBody {
    /// The place goes on to the tunnel that follows.
    pub(crate) fn take_place(&mut self) -> Option<NodePlace> {
        self.place.take()
    }

    fn release(&mut self) {
        let Some((mut lease, home)) = self.lease.take() else {
            return;
        };
        // After an early answer the rest of the request may still be on its way, and would delay the next one.
        let sent = self
            .progress
            .as_ref()
            .is_none_or(|progress| progress.is_finished());
        if !sent || !self.body.is_end_stream() || lease.sender.is_closed() {
            return;
        }
        lease.reused = true;
        match home {
            Home::Pool(pool) => pool.put(lease, self.hint),
            Home::Client(turn) => turn.give_back(lease, self.hint),
            Home::Nowhere => {}
        }
        self.place = None;
    }
}

impl Drop for NodeBody {
    fn drop(&mut self) {
        self.release();
    }
}

impl Body for NodeBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.body.is_end_stream() {
            self.release();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
