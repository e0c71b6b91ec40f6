//! The bridge of Socket.IO clients where it is hardest: sides that go and come back, handlers that fail, flips at the wrong
//! moment, and clients that do not listen. Real Node on one side, native handlers on the other, and clients that see
//! every packet.

mod boundary;
mod breaker;
mod client;
mod fail_closed;
mod flips;
mod greetings;
mod handlers;
mod hogs;
mod middleware;
mod node_loss;
mod queues;
mod recovery;
mod stopping;
mod trouble;
mod waiting;
mod world;
