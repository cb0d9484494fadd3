//! What was the last connection of these addresses? A few words are kept of those that were settled.

use super::connection::{Connection, Ending};
use super::connections::Pair;
use super::decode::Segment;
use super::routes::TIME_WAIT;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;
use std::collections::{HashMap, VecDeque};

/// Connections that are remembered.
const KEPT: usize = 16_384;

/// A connection that was settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    number: usize,
    pub end: Duration,
    pub ending: Ending,
    syn: Option<Seq>,
}

impl Past {
    pub fn of(connection: &Connection) -> Past {
        let Connection { number, end, ending, syn, .. } = *connection;
        Past { number, end, ending, syn }
    }

    /// Whether the segment comes late to it, and does not begin the next one.
    pub fn includes(&self, at: Duration, segment: &Segment<'_>) -> bool {
        let fresh = segment.has(Flags::SYN) && !segment.has(Flags::ACK) && self.syn != Some(segment.seq);
        !fresh && at.saturating_sub(self.end) <= TIME_WAIT
    }
}

/// The last of them.
#[derive(Default, Debug)]
pub(super) struct Pasts {
    list: HashMap<Pair, Past>,
    order: VecDeque<(Pair, usize)>,
}

impl Pasts {
    pub fn get(&self, pair: &Pair) -> Option<Past> {
        self.list.get(pair).copied()
    }

    pub fn add(&mut self, pair: Pair, past: Past) {
        self.list.insert(pair, past);
        self.order.push_back((pair, past.number));
        if self.order.len() > KEPT
            && let Some((pair, number)) = self.order.pop_front()
            && self.list.get(&pair).is_some_and(|past| past.number == number)
        {
            self.list.remove(&pair);
        }
    }
}
