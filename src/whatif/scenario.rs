//! What did the applications do, and what the network?

use crate::explain::ReadError;
use crate::settings::Settings;
use crate::time::Duration;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

/// What an application does to its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It writes what comes next, until so many bytes in all were written.
    Write(u64),
    /// It sets TCP_NODELAY.
    NoDelay,
    /// It closes its side.
    Close,
    /// It resets the connection.
    Reset,
}

/// One thing that an application does, when those before it are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Act {
    /// It waits until it has read so many bytes in all.
    pub saw: u64,
    /// Then it thinks for so long.
    pub think: Duration,
    /// Then it does this.
    pub deed: Deed,
    /// In one go with the act before: nothing is sent in between.
    pub at_once: bool,
    /// What it continues ended with a full segment: it may belong to it, and only have been held back.
    pub goes_on: bool,
    /// When the last of it passed where the capture was made, since the capture's first packet.
    pub passed: Duration,
}

/// Something that the network took away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The client had sent it.
    pub from_client: bool,
    /// The byte of the stream that it began with; −1 is the SYN.
    pub offset: i64,
    /// Which of the packets that held this byte, from 1.
    pub nth: u32,
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Who opened it.
    Client,
    /// Who was called.
    Server,
}

/// When a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// When its SYN passed, since the capture's first packet.
    pub at: Duration,
    /// The talk of the same client that it waits for, and how many bytes of it must have been read.
    pub after: Option<(usize, u64)>,
    /// How long the client thinks before it.
    pub think: Duration,
}

/// What the SYN of an end offers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offer {
    /// The largest segment.
    pub mss: Option<u16>,
    /// Selective acknowledgments.
    pub sack: bool,
    /// Time stamps.
    pub timestamps: bool,
    /// The window's scale.
    pub scale: Option<u8>,
}

/// What was said on one connection.
#[derive(Clone, PartialEq, Debug)]
pub struct Talk {
    /// Its number in the capture, from 1.
    pub number: usize,
    /// Who opened it.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// When.
    pub start: Start,
    /// What the client does, and what the server does.
    pub acts: [Vec<Act>; 2],
    /// What was said, as far as it was captured; zeros where it was not.
    pub bytes: [Vec<u8>; 2],
    /// When so many bytes of each end had passed in order; the FIN counts.
    pub reached: [Vec<(Duration, u64)>; 2],
    /// What was lost.
    pub losses: Vec<Loss>,
    /// What the client's SYN offers, and what the server's.
    pub offers: [Offer; 2],
    /// From end to end and back.
    pub round_trip: Duration,
    /// The time from here to the client, and to the server.
    pub paths: [Duration; 2],
    /// What each end had under way at the most: what passed within a round trip. Bytes.
    pub flights: [u64; 2],
    /// The capture was made at the client.
    pub at_client: bool,
    /// How long its exchanges took, as the analysis of captures has it.
    pub exchanges: Vec<Duration>,
}

/// A conversation that can be held again.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// By connection.
    pub talks: Vec<Talk>,
    /// The settings that it was captured with, of the client and of the server: known, or inferred.
    pub settings: [Settings; 2],
    /// From which number the simulator that it was captured in drew its faults: they are drawn again.
    pub seed: Option<u64>,
    /// A stack of ours made the capture and says with which settings.
    pub known: bool,
    /// Connections that were left out, and why.
    pub left_out: Vec<(usize, &'static str)>,
    /// What the model takes for granted, in sentences.
    pub assumptions: Vec<String>,
}

impl Scenario {
    /// The same with what may have been written at once written at once; `None` if that is no other.
    pub(super) fn lumped(&self) -> Option<Scenario> {
        let mut other = self.clone();
        for acts in other.talks.iter_mut().flat_map(|t| &mut t.acts) {
            let mut lumped: Vec<Act> = Vec::with_capacity(acts.len());
            for act in acts.drain(..) {
                match lumped.last_mut() {
                    Some(last) if act.goes_on && matches!(last.deed, Deed::Write(_)) => {
                        (last.deed, last.passed) = (act.deed, act.passed);
                    }
                    _ => lumped.push(act),
                }
            }
            *acts = lumped;
        }
        let fewer = self.talks.iter().zip(&other.talks).any(|(a, b)| a.acts != b.acts);
        other
            .assumptions
            .push("what came in full segments was written at once, though it came in pieces".into());
        fewer.then_some(other)
    }
}

impl Talk {
    /// How many bytes an end writes, those that were not captured included.
    pub(super) fn reaches(&self) -> u64 {
        let until = self.acts.iter().flatten().map(|act| match act.deed {
            Deed::Write(until) => until,
            _ => 0,
        });
        until.max().unwrap_or(0)
    }

    /// From the SYN to the last write's last byte.
    pub fn lasted(&self) -> Duration {
        let writes = self.acts.iter().flatten().filter(|a| matches!(a.deed, Deed::Write(_)));
        writes.map(|a| a.passed).max().unwrap_or(self.start.at).saturating_sub(self.start.at)
    }

    /// What of it nobody spent thinking: the network's time, and TCP's.
    pub fn busy(&self) -> Duration {
        let thought =
            self.acts.iter().flatten().filter(|a| matches!(a.deed, Deed::Write(_))).map(|a| a.think);
        // Both may have thought at once; less than a part of the whole it cannot be known to.
        self.lasted().saturating_sub(thought.sum()).max(self.lasted() / 20)
    }
}

impl Scenario {
    /// From the first SYN to the last thing that anybody did.
    pub fn lasted(&self) -> Duration {
        let start = self.talks.iter().map(|t| t.start.at).min().unwrap_or_default();
        let ends = self.talks.iter().flat_map(|t| t.acts.iter().flatten());
        let end = ends.filter(|a| matches!(a.deed, Deed::Write(_))).map(|a| a.passed).max();
        end.unwrap_or(start).saturating_sub(start)
    }
}

/// Why a capture gives no scenario.
#[derive(Debug)]
pub enum ScenarioError {
    /// It cannot be read.
    Read(ReadError),
    /// There is nothing in it that could be held again; a word on why.
    Nothing(String),
    /// More than is held again.
    TooLarge(String),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScenarioError::Read(e) => write!(f, "{e}"),
            ScenarioError::Nothing(why) | ScenarioError::TooLarge(why) => f.write_str(why),
        }
    }
}

impl Error for ScenarioError {}

/// Says of each connection what its client had waited for.
pub(super) fn order(talks: &mut [Talk]) {
    for n in 0..talks.len() {
        let (syn, client) = (talks[n].start.at, talks[n].client.ip());
        let mut best: Option<(Duration, usize, u64)> = None;
        for (other, talk) in talks.iter().enumerate().filter(|(o, t)| *o != n && t.client.ip() == client) {
            // The client has all that was answered so far, and has asked for nothing since.
            let had = talk.acts[1].iter().rfind(|a| matches!(a.deed, Deed::Write(_)) && a.passed <= syn);
            let asked = talk.acts[0].iter().any(|a| {
                matches!(a.deed, Deed::Write(_))
                    && a.passed <= syn
                    && had.is_none_or(|had| a.passed > had.passed)
            });
            let goes_on = talk.acts[1].iter().any(|a| a.passed > syn && matches!(a.deed, Deed::Write(_)));
            if let (Some(Act { passed, deed: Deed::Write(until), .. }), false) = (had, asked || goes_on)
                && best.is_none_or(|(when, ..)| *passed > when)
            {
                best = Some((*passed, other, *until));
            }
        }
        if let Some((when, other, until)) = best {
            talks[n].start.after = Some((other, until));
            // The answer had to get there, and the SYN to come back.
            let way = talks[other].paths[0] + talks[n].paths[0];
            talks[n].start.think = syn.saturating_sub(when).saturating_sub(way);
        }
    }
}
