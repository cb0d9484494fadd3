//! Which live numbers stand behind the script's? Ports, sequence numbers and time stamps of one connection.
//!
//! The stack begins where it likes. The numbers on a SYN are the script's whole ones; in every other line those of both
//! sides, acknowledgments included, are counted from the sender's initial one, which is 0.

use crate::wire::TCP;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One connection between the stack (`local`) and the script (`remote`), at the level of packets.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The number of its protocol.
    pub protocol: u8,
    /// The stack's end.
    pub local: SocketAddr,
    /// The script's end.
    pub remote: SocketAddr,
    /// What the script calls the two ports, if it names any.
    pub script_ports: Option<(u16, u16)>,
    /// The stack's initial sequence number, live.
    pub iss: Option<u32>,
    /// What the line that expects the stack's SYN calls it.
    pub script_iss: Option<u32>,
    /// The script's initial sequence number.
    pub irs: Option<u32>,
    /// The number of a SYN that came later, which counts if a new connection follows from it.
    pub next_irs: Option<u32>,
    /// The last acknowledgment of the stack: where a RST would be believed.
    pub acked: Option<u32>,
    /// The first pair of time stamps: script, live.
    first_ts: Option<(u32, u32)>,
    /// Live time stamps by the script's.
    ts: BTreeMap<u32, u32>,
}

impl Flow {
    /// A flow about which nothing is known yet.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Flow {
        Flow {
            protocol: TCP,
            local,
            remote,
            script_ports: None,
            iss: None,
            script_iss: None,
            irs: None,
            next_irs: None,
            acked: None,
            first_ts: None,
            ts: BTreeMap::new(),
        }
    }

    /// What is added to the script's number of a byte of the stack to make it live. On a SYN the script writes whole
    /// numbers, elsewhere it counts from the initial one.
    pub fn local_offset(&self, syn: bool) -> u32 {
        let live = self.iss.unwrap_or(0);
        if syn { live.wrapping_sub(self.script_iss.unwrap_or(0)) } else { live }
    }

    /// The same for the script's own bytes: those of a SYN are live.
    pub fn remote_offset(&self, syn: bool) -> u32 {
        if syn { 0 } else { self.irs.unwrap_or(0) }
    }

    /// The live time stamp that the script means by `script`.
    pub fn live_ts(&self, script: u32) -> u32 {
        match (self.ts.get(&script), self.first_ts) {
            (Some(&live), _) => live,
            (None, Some((first, live))) => live.wrapping_add(script.wrapping_sub(first)),
            (None, None) => script,
        }
    }

    /// A time stamp of the stack as the script would write it.
    pub fn ts_to_script(&self, live: u32) -> u32 {
        match self.first_ts {
            Some((script, first)) => script.wrapping_add(live.wrapping_sub(first)),
            None => live,
        }
    }

    /// Remembers that the script calls the stack's time stamp `live` `script`.
    pub fn learn_ts(&mut self, script: u32, live: u32) {
        self.first_ts.get_or_insert((script, live));
        self.ts.insert(script, live);
    }
}
