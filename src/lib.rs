//! A TCP/IP and HTTP/1.1 stack in user space that says why it sent each segment.

pub mod attach;
pub mod dropped;
pub mod explain;
pub mod http;
pub mod knob;
pub mod lab;
pub mod ledger;
pub mod net;
#[cfg(feature = "packetdrill")]
pub mod packetdrill;
pub mod parcel;
pub mod report;
pub mod script;
pub mod segment;
pub mod seq;
pub mod service;
pub mod settings;
pub mod sim;
pub mod stack;
pub mod stream;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod tun;
pub mod whatif;
pub mod wire;
