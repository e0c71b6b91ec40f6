//! The bridge of messages that carry a tag: real Node on one side, native handlers on the other, and
//! clients that see every frame.

mod control;
mod frames;
mod handshakes;
mod hogs;
mod losses;
mod messages;
mod world;
