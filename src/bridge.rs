//! Live channels between clients and Node. So far the tunnel: the bytes of an upgraded connection, passed on unread.

pub(crate) mod tunnel;
