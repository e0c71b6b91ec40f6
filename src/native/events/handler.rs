//! What may handle an event or a disconnect: async closures over socketioxide's extractors.
//! socketioxide has traits of its own for that, but they tell nobody how a handler ended.

use std::fmt::Display;
use std::sync::Arc;

use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{FromDisconnectParts, FromMessage, FromMessageParts, Value};
use socketioxide::socket::{DisconnectReason, Socket};

use crate::native::Decline;

/// A handler of an event: an async closure or function over up to eight extractors, of which only the last may consume
/// the message. It returns nothing, or `Result<(), Decline>`. `T` tells the implementations apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle events",
    label = "not a handler of events",
    note = "a handler is an async closure that can be cloned, takes up to eight extractors of socketioxide, and returns `()` or `Result<(), Decline>`"
)]
pub trait EventHandler<T>: Clone + Send + Sync + 'static {
    /// Extracts the arguments, without waiting; the future is the handler itself.
    ///
    /// # Errors
    /// When an extractor does not accept the event. The handler has then not begun.
    fn start(
        self,
        socket: Arc<Socket>,
        value: Value,
        ack_id: Option<i64>,
    ) -> Result<impl Future<Output = Result<(), Decline>> + Send + 'static, ExtractError>;
}

/// A handler of a disconnect: an async closure or function over up to eight extractors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle disconnects",
    label = "not a handler of disconnects",
    note = "a handler is an async closure that can be cloned, takes up to eight extractors of socketioxide, and returns `()`"
)]
pub trait LeaveHandler<T>: Clone + Send + Sync + 'static {
    /// Extracts the arguments, without waiting; the future is the handler itself.
    ///
    /// # Errors
    /// When an extractor fails. The handler has then not begun.
    fn start(
        self,
        socket: Arc<Socket>,
        reason: DisconnectReason,
    ) -> Result<impl Future<Output = ()> + Send + 'static, ExtractError>;
}

/// What a handler of an event may return.
pub trait EventAnswer: Send + 'static {
    /// Whether the event is left to Node.
    ///
    /// # Errors
    /// When it is.
    fn into_result(self) -> Result<(), Decline>;
}

impl EventAnswer for () {
    fn into_result(self) -> Result<(), Decline> {
        Ok(())
    }
}

impl EventAnswer for Result<(), Decline> {
    fn into_result(self) -> Result<(), Decline> {
        self
    }
}

/// An extractor that did not accept what it was given. It is text, since socketioxide's errors need not be `Send`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExtractError(String);

impl ExtractError {
    fn new(error: impl Display) -> Self {
        Self(error.to_string())
    }
}

impl<F, Fut> EventHandler<()> for F
where
    F: FnOnce() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: EventAnswer> + Send + 'static,
{
    fn start(
        self,
        _: Arc<Socket>,
        _: Value,
        _: Option<i64>,
    ) -> Result<impl Future<Output = Result<(), Decline>> + Send + 'static, ExtractError> {
        let running = self();
        Ok(async move { running.await.into_result() })
    }
}

impl<F, Fut> LeaveHandler<()> for F
where
    F: FnOnce() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    fn start(
        self,
        _: Arc<Socket>,
        _: DisconnectReason,
    ) -> Result<impl Future<Output = ()> + Send + 'static, ExtractError> {
        Ok(self())
    }
}

macro_rules! handlers {
    ($($part:ident)* , $last:ident) => {
        #[diagnostic::do_not_recommend]
        #[expect(non_snake_case, reason = "a value is named as its type")]
        impl<F, M, $($part,)* $last, Fut> EventHandler<(M, $($part,)* $last)> for F
        where
            F: FnOnce($($part,)* $last) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: EventAnswer> + Send + 'static,
            $($part: FromMessageParts<LocalAdapter>,)*
            $last: FromMessage<LocalAdapter, M>,
        {
            #[allow(unused_mut, reason = "a single extractor consumes the message")]
            fn start(
                self,
                socket: Arc<Socket>,
                mut value: Value,
                ack_id: Option<i64>,
            ) -> Result<impl Future<Output = Result<(), Decline>> + Send + 'static, ExtractError> {
                $(
                    let $part = $part::from_message_parts(&socket, &mut value, &ack_id)
                        .map_err(ExtractError::new)?;
                )*
                let $last = $last::from_message(socket, value, ack_id).map_err(ExtractError::new)?;
                let running = self($($part,)* $last);
                Ok(async move { running.await.into_result() })
            }
        }

        #[diagnostic::do_not_recommend]
        #[expect(non_snake_case, reason = "a value is named as its type")]
        impl<F, $($part,)* $last, Fut> LeaveHandler<($($part,)* $last,)> for F
        where
            F: FnOnce($($part,)* $last) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = ()> + Send + 'static,
            $($part: FromDisconnectParts<LocalAdapter>,)*
            $last: FromDisconnectParts<LocalAdapter>,
        {
            fn start(
                self,
                socket: Arc<Socket>,
                reason: DisconnectReason,
            ) -> Result<impl Future<Output = ()> + Send + 'static, ExtractError> {
                $(
                    let $part = $part::from_disconnect_parts(&socket, reason)
                        .map_err(ExtractError::new)?;
                )*
                let $last = $last::from_disconnect_parts(&socket, reason).map_err(ExtractError::new)?;
                Ok(self($($part,)* $last))
            }
        }
    };
}

handlers!(, T1);
handlers!(T1, T2);
handlers!(T1 T2, T3);
handlers!(T1 T2 T3, T4);
handlers!(T1 T2 T3 T4, T5);
handlers!(T1 T2 T3 T4 T5, T6);
handlers!(T1 T2 T3 T4 T5 T6, T7);
handlers!(T1 T2 T3 T4 T5 T6 T7, T8);
