//! TCP without a network: a connection that is told what arrived and what time it is, and is asked
//! what to send (RFC 9293). It knows no addresses, no bytes on the wire, no clock and no threads.
//!
//! `input` takes segments in, `output` alone makes them; what lies between is state: `send` and `receive` are the
//! two sequence spaces, `scoreboard` and `recovery` know what is lost, `congestion` how much may leave, `ack` and
//! `output` whether now.

mod accurate_ecn;
mod ack;
mod burst;
mod cause;
mod config;
pub mod congestion;
mod conn;
mod counters;
mod ecn;
pub mod fast_open;
mod fresh;
#[cfg(test)]
mod fuzz_tests;
mod half_open;
#[cfg(test)]
mod hostile_tests;
mod inbox;
mod info;
mod input;
mod kept;
mod knobs;
mod ledger;
mod log;
mod mtu_search;
mod output;
mod owner;
mod pacing;
mod pieces;
mod probe;
mod rack;
mod ranges;
mod rate;
mod receive;
mod recovery;
mod ring;
mod rtt;
mod scoreboard;
mod send;
mod spare;
mod state;
mod surroundings;
mod tally;
#[cfg(test)]
mod tests;
mod timeout;
mod timers;
mod undo;
mod urgent;
mod window;

pub use crate::dropped::DropReason;
pub use cause::{
    AckNowWhy, Blocked, Cause, DataWhy, Piggyback, Received, Release, RstWhy, Snapshot, Verdict,
};
pub use config::{
    Config, Congestion, CubicUnits, EcnMode, EcnOption, IdleRestart, MtuProbing, Nagle, RtoFloor,
    SlowStartExit, SynCookies, TimeWaitReuse, WindowScale,
};
pub use conn::{Conn, Cx, Opts, TimeWait};
pub use half_open::{HalfOpen, Step};
pub use info::Info;
pub use knobs::knobs;
pub use log::{CwndWhy, Log, Note};
pub use output::{Payload, Room, Transmit};
pub use owner::{Event, Shutdown};
pub use state::{CloseReason, State};
pub use surroundings::{Pressure, Surroundings};
pub use urgent::Oob;
