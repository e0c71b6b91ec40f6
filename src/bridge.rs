//! Live channels between clients and Node. So far the tunnel: the bytes of an upgraded connection, passed on unread.

mod engineio;
mod frames;
pub(crate) mod tunnel;
mod websocket;
