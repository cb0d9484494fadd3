//! What passed on one connection, and what did its ends do?

use super::habits::{full, note_rate};
use super::rows::Row;
use super::scenario::{Act, Deed, Loss, Offer, Start, Talk};
use super::way::{Ghost, Passed, Way, Write, in_order};
use super::wire_model::Sending;
use crate::explain::{Caused, Part};
use crate::segment::Flags;
use crate::sim::LinkConfig;
use crate::time::Duration;
use std::net::SocketAddr;

/// What comes sooner after what it should have come before was overtaken, not lost.
const OVERTAKEN: Duration = Duration::from_millis(3);
/// The time-out of a SYN, less what a clock may be wrong (RFC 6298 §2).
const SYN_TIMEOUT: Duration = Duration::from_millis(950);
/// Repetitions, by their words.
const REPETITIONS: [&str; 6] =
    ["rto", "fast-retransmit", "sack-retransmit", "rack", "tail-loss-probe", "mtu-retransmit"];

/// A connection.
pub(super) struct Line {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub start: Option<Duration>,
    /// When what opens the connection for each end passed here: the SYN-ACK, the client's first ACK.
    pub opened: [Option<Duration>; 2],
    pub ways: [Way; 2],
    pub losses: Vec<Loss>,
    /// The links say themselves what is lost.
    pub told: bool,
    /// Then: which end the capture was made at.
    pub near: Option<usize>,
    pub reset: Option<(usize, Duration, u64)>,
    /// When the last packet passed.
    pub latest: Duration,
}

impl Line {
    pub fn new(client: SocketAddr, server: SocketAddr, told: bool) -> Line {
        Line {
            client,
            server,
            start: None,
            opened: [None; 2],
            ways: [Way::default(), Way::default()],
            losses: Vec::new(),
            told,
            near: None,
            reset: None,
            latest: Duration::ZERO,
        }
    }

    /// What the network says that it did to what the end `e` sent at this moment; `again` if it is to be done again.
    pub fn row(&mut self, e: usize, at: Duration, row: &Row<'_>, link: &LinkConfig, again: bool) {
        let near = self.near == Some(e);
        let offset = match self.ways[e].isn {
            _ if row.syn => -1,
            Some(isn) => self.ways[e].place(isn, row.seq),
            None => return,
        };
        if row.is_bare() {
            // The handshake's last acknowledgment: what comes next opens the connection for the server.
            if near && e == 0 && row.is_loss() && self.opened[1] == Some(self.latest) {
                self.opened[1] = None;
            }
            return;
        }
        if row.is_loss() && again && row.word != "queue-full" {
            self.lost(e, offset, row.syn);
        }
        if row.syn {
            return;
        }
        let way = &mut self.ways[e];
        if near {
            // It has passed here, and is the last that did.
            if let Some(passed) = way.passed.iter_mut().rev().find(|p| p.start as i64 == offset) {
                passed.lost |= row.is_loss();
                if row.is_late() {
                    passed.slack = link.rtt / 2 + Duration::from_millis(1);
                }
            }
        } else if row.is_loss() || row.is_late() {
            let Ok(start) = u64::try_from(offset) else { return };
            let end = start + u64::from(row.len);
            let place = way.ghosts.partition_point(|g| g.start <= start);
            let saw = self.ways[1 - e].arrived_by(at, link.rtt / 2);
            let ghost = Ghost { start, end, at: at + link.rtt / 2, saw, fin: row.fin };
            self.ways[e].ghosts.insert(place, ghost);
        }
    }

    /// The network lost what begins there, which had passed so often by then.
    fn lost(&mut self, e: usize, offset: i64, syn: bool) {
        let way = &self.ways[e];
        let passed = match u64::try_from(offset) {
            _ if syn => way.syns,
            Ok(offset) => way.sent.get(&offset).copied().unwrap_or(0),
            Err(_) => return,
        };
        let before =
            self.losses.iter().filter(|l| l.from_client == (e == 0) && l.offset == offset).count() as u32;
        // What was sent here has passed already, lost or not; what is on its way here has not.
        let nth = if self.near == Some(e) { passed } else { passed + before + 1 };
        self.losses.push(Loss { from_client: e == 0, offset, nth: nth.max(1) });
    }

    /// What the network took away or held back on its way here had been written all the same.
    fn raise(&mut self, e: usize, end: u64, full: u64) {
        let way = &mut self.ways[e];
        let due = way.ghosts.partition_point(|g| g.start < end);
        for ghost in way.ghosts.drain(..due).collect::<Vec<_>>() {
            let sending = Sending { takes: Duration::ZERO, begun: ghost.at, busy: ghost.at };
            let write = Write {
                at: ghost.at,
                sending,
                until: ghost.end,
                saw: ghost.saw,
                prompt: false,
                with_data: true,
                hasty: false,
                goes_on: false,
            };
            if ghost.fin {
                way.fin.get_or_insert(Write { until: ghost.end + 1, with_data: false, ..write });
            } else {
                way.unseen(ghost.start, write, full);
            }
        }
    }

    pub fn packet(&mut self, e: usize, at: Duration, c: &Caused<'_>, sending: Sending) {
        self.latest = at;
        let (seg, o) = (c.segment, 1 - e);
        let word = c.stated.filter(|_| c.sent).unwrap_or(c.inferred);
        if seg.has(Flags::SYN) {
            self.syn(e, at, c);
            return;
        }
        if e == 0 && seg.has(Flags::ACK) {
            self.opened[1].get_or_insert(at);
        }
        let (Some(isn), Some(other)) = (self.ways[e].isn, self.ways[o].isn) else { return };
        let saw = match seg.has(Flags::ACK) {
            true => self.ways[o].place(other, seg.ack).max(0) as u64,
            false => 0,
        };
        if seg.has(Flags::RST) {
            self.reset.get_or_insert((e, at, saw));
            return;
        }
        self.acknowledge(e, at, saw, word);
        self.complete(1 - e, at, saw);
        let scale = self.ways[e].offer.scale.filter(|_| self.ways[o].offer.scale.is_some()).unwrap_or(0);
        self.ways[e].window = self.ways[e].window.max(u32::from(seg.window) << scale.min(14));
        self.ways[o].filled |= c.held == Some(Part::Rwnd);
        let full = u64::from(full(self.ways[e].offer, self.ways[o].offer));
        let Ok(offset) = u64::try_from(self.ways[e].place(isn, seg.seq)) else { return };
        self.raise(e, offset + u64::from(seg.seq_len()), full);
        let way = &mut self.ways[e];
        if seg.len > 0 {
            let end = offset + u64::from(seg.len);
            let times = way.sent.entry(offset).or_insert(0);
            *times += 1;
            let nth = *times;
            let fresh = end > way.next;
            let late = way.gaps.iter().position(|g| offset >= g.0 && offset < g.1);
            let lost = match late {
                // It had not passed here before: lost on its way here, unless it was only overtaken.
                Some(g) => nth == 1 && at.saturating_sub(way.gaps[g].2) > OVERTAKEN,
                None => nth > 1 && !fresh && REPETITIONS.contains(&word),
            };
            if lost && !self.told {
                let nth = if late.is_some() {
                    // This one is the second: the first one was lost before it came here.
                    way.sent.insert(offset, 2);
                    1
                } else {
                    way.passed
                        .iter_mut()
                        .rev()
                        .find(|p| p.start == offset)
                        .into_iter()
                        .for_each(|p| p.lost = true);
                    nth - 1
                };
                self.losses.push(Loss { from_client: e == 0, offset: offset as i64, nth });
            }
            if c.lost > 0 && fresh && !self.told {
                // What came before it was lost on its way here: the same, sent before.
                way.sent.insert(offset, u32::from(c.lost) + 1);
                let all = 1..=u32::from(c.lost);
                self.losses.extend(all.map(|nth| Loss { from_client: e == 0, offset: offset as i64, nth }));
            }
            // After a pause it was written when the first copy of it left.
            let back = |then: Duration| then.saturating_sub(c.earlier);
            let (begun, busy) = (back(sending.begun), back(sending.busy));
            let write = Write {
                at: back(at),
                sending: Sending { begun, busy, ..sending },
                until: end,
                saw,
                // Nagle's algorithm may let it go in the moment in which a time-out's repetition passed.
                prompt: word == "nagle-release"
                    || (c.earlier.is_zero()
                        && matches!(
                            c.held,
                            Some(Part::Nagle | Part::Cwnd | Part::Rwnd | Part::Pacing | Part::Recovery)
                        )),
                with_data: true,
                hasty: false,
                goes_on: false,
            };
            let repeats = self.losses.iter().any(|l| l.from_client == (e == 0) && l.offset == offset as i64);
            way.data(offset, write, c, (full, repeats));
            self.ways[o].owes.get_or_insert(at);
        }
        let way = &mut self.ways[e];
        if seg.has(Flags::FIN) && way.fin.is_none() {
            let until = offset + u64::from(seg.len) + 1;
            let fin = Write {
                at,
                sending,
                until,
                saw,
                prompt: false,
                with_data: seg.len > 0,
                hasty: false,
                goes_on: false,
            };
            way.fin = Some(fin);
        }
        if seg.seq_len() > 0 {
            let (start, end) = (offset, offset + u64::from(seg.seq_len()));
            way.passed.push(Passed { at, sending, start, end, lost: false, slack: Duration::ZERO });
        }
    }

    fn syn(&mut self, e: usize, at: Duration, c: &Caused<'_>) {
        let (seg, way) = (c.segment, &mut self.ways[e]);
        if way.isn.is_none() {
            way.isn = Some(seg.seq);
            way.offer = Offer {
                mss: seg.options.mss,
                sack: seg.options.sack_permitted,
                timestamps: seg.options.timestamps.is_some(),
                scale: seg.options.window_scale,
            };
        }
        way.syns += 1;
        if way.syns > 1 && !self.told {
            self.losses.push(Loss { from_client: e == 0, offset: -1, nth: way.syns - 1 });
        }
        if e == 0 {
            self.start.get_or_insert(at);
        } else if self.opened[1].is_none() {
            self.opened[0] = Some(at);
        }
    }

    /// The end `e` acknowledges so many bytes of the other's.
    fn acknowledge(&mut self, e: usize, at: Duration, saw: u64, word: &str) {
        let advance = saw.saturating_sub(self.ways[1 - e].acked);
        let advances = advance > 0;
        let other = &mut self.ways[1 - e];
        if advances {
            other.first_acked.get_or_insert(other.next);
        }
        if let Some(last) = other.last_ack.replace(at).filter(|_| advance > 1000) {
            // Headers are added roughly: what the other end got is not seen.
            note_rate(&mut other.ack_rates, advance + advance.div_ceil(1448) * 52, at.saturating_sub(last));
        }
        self.ways[1 - e].acked = saw.max(self.ways[1 - e].acked);
        if !advances {
            return;
        }
        let full = u64::from(full(self.ways[1 - e].offer, self.ways[e].offer));
        self.ways[e].quick |= word == "ack-now(quick)" && advance == full;
        if let Some(since) = self.ways[e].owes.take().filter(|_| word == "ack-delayed") {
            self.ways[e].delays.push(at.saturating_sub(since));
        }
    }

    /// What the end `e` sent is acknowledged up to there: what is missing of it came, and was not captured.
    fn complete(&mut self, e: usize, at: Duration, acked: u64) {
        if self.told {
            return;
        }
        let full = u64::from(full(self.ways[e].offer, self.ways[1 - e].offer));
        let way = &mut self.ways[e];
        let sending = Sending { takes: Duration::ZERO, begun: at, busy: at };
        let seen = |start, end| Passed { at, sending, start, end, lost: false, slack: Duration::ZERO };
        let due: Vec<_> = way.gaps.iter().filter(|gap| gap.1 <= acked).copied().collect();
        for (start, end, _) in due {
            way.passed.push(seen(start, end));
            way.fill(start, end);
        }
        // A single number is a FIN's, most likely.
        let start = way.next + u64::from(way.fin.is_some_and(|fin| fin.until > way.next));
        if acked > start + 1 {
            let write = Write {
                at,
                sending,
                until: acked,
                saw: way.writes.last().map_or(0, |write| write.saw),
                prompt: true,
                with_data: true,
                hasty: false,
                goes_on: false,
            };
            way.passed.push(seen(way.next, acked));
            way.unseen(way.next, write, full);
        }
    }

    pub fn talk(
        mut self,
        number: usize,
        paths: [Duration; 2],
        at_client: bool,
    ) -> Result<Talk, &'static str> {
        let opened = match (self.start, self.opened) {
            (Some(_), [Some(client), Some(server)]) => [client + paths[0], server + paths[1]],
            (Some(_), _) => return Err("its handshake was not completed"),
            (None, _) => return Err("its beginning was not captured"),
        };
        // A SYN that was seen where it went to arrived; a time-out shorter than the way loses none.
        let far = (paths[0] + paths[1]) * 2 >= SYN_TIMEOUT;
        let arrived = |l: &Loss| l.offset < 0 && !self.told && (far || l.from_client != at_client);
        self.losses.retain(|l| l.nth > 0 && !arrived(l));
        let marks = [0, 1].map(|e| self.ways[e].marks());
        let reached = [0, 1].map(|e| in_order(self.ways[e].passed.iter()));
        // What was lost behind the place of the capture passed there, and did not arrive.
        let arrived = [0, 1].map(|e| in_order(self.ways[e].passed.iter().filter(|p| !p.lost)));
        let acts = [0, 1]
            .map(|e| self.acts(e, (opened[e], paths[e]), &marks[1 - e], [&reached[e], &arrived[1 - e]]));
        let flights = [0, 1].map(|e| self.ways[e].most_within((paths[0] + paths[1]) * 2));
        let start = Start { at: self.start.unwrap_or_default(), after: None, think: Duration::ZERO };
        let [client, server] = self.ways;
        Ok(Talk {
            number,
            client: self.client,
            server: self.server,
            start,
            acts,
            reached: reached.map(|way| way.into_iter().map(|r| (r.at, r.end)).collect()),
            bytes: [client.bytes, server.bytes],
            losses: self.losses,
            offers: [client.offer, server.offer],
            round_trip: (paths[0] + paths[1]) * 2,
            paths,
            flights,
            at_client,
            exchanges: Vec::new(),
        })
    }

    /// What the end `e` did; `marks` are where the other's writes end.
    ///
    /// `reached` is when its own bytes had passed in order, `arrived` those of the other that were not lost.
    fn acts(
        &self,
        e: usize,
        (opened, path): (Duration, Duration),
        marks: &[u64],
        [reached, arrived]: [&[Passed]; 2],
    ) -> Vec<Act> {
        let way = &self.ways[e];
        let mut acts: Vec<Act> = Vec::new();
        let mut before = opened;
        let reset = self.reset.filter(|(by, ..)| *by == e).map(|(_, at, saw)| Write {
            at,
            sending: Sending { begun: at, busy: at, ..Sending::default() },
            until: 0,
            saw,
            prompt: false,
            with_data: false,
            hasty: false,
            goes_on: false,
        });
        let writes = way.writes.iter().map(|w| (w, Deed::Write(w.until)));
        let ends = way.fin.iter().map(|w| (w, Deed::Close)).chain(reset.iter().map(|w| (w, Deed::Reset)));
        for (write, deed) in writes.chain(ends) {
            // What it had read: whole writes of the other's. One that was still coming was not waited for.
            let n = marks.partition_point(|mark| *mark <= write.saw);
            let saw = if n == 0 { 0 } else { marks[n - 1] };
            let (read, slack) = match arrived.get(arrived.partition_point(|r| r.end < saw)) {
                Some(r) if saw > 0 => (r.at + path + r.sending.takes, r.slack),
                _ => (Duration::ZERO, Duration::ZERO),
            };
            let base = before.max(read);
            let [sent, busy] = [write.sending.begun, write.sending.busy].map(|at| at.saturating_sub(path));
            let at_once = deed == Deed::Close && write.with_data;
            // Behind others on a busy wire nobody can tell when it was written: at once, then.
            let queued = busy < sent && busy <= base;
            // What it had waited for may have been held back on the way: then it came when this was done.
            let at_that = sent <= read + slack;
            let done = if write.prompt || at_once || queued || at_that { base } else { sent.max(base) };
            let passed = match deed {
                Deed::Write(until) => {
                    reached.get(reached.partition_point(|r| r.end < until)).map_or(write.at, |r| r.at)
                }
                _ => write.at,
            };
            if way.held && write.hasty && !acts.iter().any(|a| a.deed == Deed::NoDelay) {
                let (think, passed) = (Duration::ZERO, write.at);
                acts.push(Act { saw, think, deed: Deed::NoDelay, at_once: false, goes_on: false, passed });
            }
            acts.push(Act { saw, think: done - base, deed, at_once, goes_on: write.goes_on, passed });
            before = done;
        }
        acts
    }
}
