//! What do the packets of a capture tell of the applications behind them?
//!
//! A write is what leaves without waiting for anybody but TCP: it goes on while windows, losses and the wire hold it
//! back, and ends with a segment that is not full, or before a pause in which somebody thought.

use super::scenario::{Act, Deed, Loss, Offer, Scenario, ScenarioError, Start, Talk};
use super::wire_model::{Sending, WireModel};
use crate::explain::{Caused, Options, Part, Seen, Summary, follow};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::settings::{Profile, Settings};
use crate::sim::LinkConfig;
use crate::tcp::Nagle;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};

/// Bytes of all streams together that are held again.
const BYTES: usize = 256 << 20;
/// Connections that are held again.
const TALKS: usize = 2000;
/// What follows faster was in a queue of this host: it says nothing of the path, bits per second.
const FASTEST: u64 = 20_000_000_000;
/// What comes sooner after what it should have come before was overtaken, not lost.
const OVERTAKEN: Duration = Duration::from_millis(3);
/// Repetitions, by their words.
const REPETITIONS: [&str; 6] =
    ["rto", "fast-retransmit", "sack-retransmit", "rack", "tail-loss-probe", "mtu-retransmit"];
/// What the links of ours say when a packet is gone for good.
const LOSSES: [&str; 4] = ["lost", "lost-nth", "dropped-by-rule", "corrupted"];

impl Scenario {
    /// Takes the scenario from a capture; with `connection` of this one alone, by its number from 1. With `infer` as
    /// from the capture of a foreign stack.
    ///
    /// # Errors
    /// It is no capture, holds no connection from its beginning, or more than is held again.
    pub fn read(input: impl Read, connection: Option<usize>, infer: bool) -> Result<Scenario, ScenarioError> {
        let mut listener = Listener { connection, ..Listener::default() };
        let options = Options { infer, connection, ..Options::default() };
        let summary = follow(input, options, &mut |seen| match seen {
            Seen::About(text) if !infer => listener.about(text),
            Seen::About(_) => {}
            Seen::Event(text) if !infer => listener.event(text),
            Seen::Event(_) => {}
            Seen::Packet(caused) => listener.packet(&caused),
        })
        .map_err(ScenarioError::Read)?;
        listener.finish(&summary)
    }
}

#[derive(Default)]
struct Listener {
    connection: Option<usize>,
    /// With which settings the capture was made, by its own word.
    settings: Option<Settings>,
    lines: BTreeMap<usize, Line>,
    /// From one host to another.
    wires: BTreeMap<(IpAddr, IpAddr), WireModel>,
    bytes: usize,
    beyond: bool,
    /// Acknowledgments that the links say were lost: nothing tells which.
    lost_acks: u64,
}

/// A connection.
struct Line {
    client: SocketAddr,
    server: SocketAddr,
    start: Option<Duration>,
    /// When what opens the connection for each end passed here: the SYN-ACK, the client's first ACK.
    opened: [Option<Duration>; 2],
    ways: [Way; 2],
    losses: Vec<Loss>,
    /// The links say themselves what is lost.
    told: bool,
    reset: Option<(usize, Duration, u64)>,
}

/// What an end sends.
#[derive(Default)]
struct Way {
    isn: Option<Seq>,
    offer: Offer,
    syns: u32,
    /// Behind the highest byte that passed.
    next: u64,
    /// What is missing below it, and since when.
    gaps: Vec<(u64, u64, Duration)>,
    /// What passed, in this order; a FIN counts as a byte.
    passed: Vec<Passed>,
    writes: Vec<Write>,
    /// The last new segment was not full: its write ended there.
    small: bool,
    /// How often the packet that begins there passed.
    sent: BTreeMap<u64, u32>,
    fin: Option<Write>,
    bytes: Vec<u8>,
    acked: u64,
    /// A small segment went out while one was not acknowledged: Nagle's algorithm is off.
    hasty: bool,
    /// It held something: it is on, or was.
    held: bool,
    small_until: u64,
    /// The first data that this end's next acknowledgment will cover, when it passed.
    owes: Option<Duration>,
    /// When the last full segment passed, and how fast others followed such: bits per second.
    last_full: Option<Duration>,
    rates: Vec<(Duration, u64)>,
    /// The same of acknowledgments for what it sent.
    last_ack: Option<Duration>,
    /// Bytes of the first flight that the congestion window ended.
    first_flight: Option<u64>,
    /// What had been sent when the first acknowledgment came.
    first_acked: Option<u64>,
    /// The largest window that it offered, and whether the other end had to wait for it.
    window: u32,
    filled: bool,
    ack_rates: Vec<(Duration, u64)>,
    delays: Vec<Duration>,
    /// It acknowledged a full segment alone, at once.
    quick: bool,
}

/// A packet with data, or with the FIN.
#[derive(Clone, Copy)]
struct Passed {
    at: Duration,
    sending: Sending,
    start: u64,
    end: u64,
    /// Which of those that begin there it is, from 1.
    nth: u32,
}

/// What shows of the settings of an end.
#[derive(Clone, Copy)]
struct Habits {
    /// Nagle's algorithm is off.
    hasty: bool,
    ack_delay: Option<Duration>,
    /// It does not always delay them.
    quick: bool,
    /// The initial window, in segments.
    initial: Option<u64>,
    /// Its receive window when that was full.
    window: Option<u32>,
}

#[derive(Clone, Copy)]
struct Write {
    at: Duration,
    /// Of its first packet.
    sending: Sending,
    until: u64,
    saw: u64,
    /// TCP had held it: it was written right after the one before, as far as anybody can tell.
    prompt: bool,
    with_data: bool,
    /// Nagle's algorithm would have held it.
    hasty: bool,
}

impl Listener {
    /// `tcpglass 0.1.0: tcp.nagle=off link.rtt=20ms`, or `… profile linux`.
    fn about(&mut self, text: &str) {
        let Some((name, changed)) = text.strip_prefix("tcpglass ").and_then(|t| t.split_once(": ")) else {
            return;
        };
        let mut settings = Settings::new(Profile::Linux);
        // A laboratory's arm says first in words what it varies.
        let changed =
            if name.starts_with("lab ") { changed.rsplit_once("; ").map_or("", |s| s.1) } else { changed };
        if changed.is_empty() {
            return;
        }
        for word in changed.split(' ').filter(|w| w.contains('=')) {
            if settings.set(word).is_err() {
                return;
            }
        }
        self.settings = Some(settings);
    }

    /// The simulator's link, if one was between the ends.
    fn link(&self) -> Option<&LinkConfig> {
        self.settings.as_ref().map(|s| &s.link).filter(|link| !link.is_ideal())
    }

    /// `link: lost, 1448 bytes 7001..8449 from A to B`, or `… a segment without data (SYN, seq 7) from A to B`.
    fn event(&mut self, text: &str) {
        let Some((word, rest)) = text.strip_prefix("link: ").and_then(|t| t.split_once(", ")) else { return };
        let rest = rest.strip_prefix("one bit of ").unwrap_or(rest);
        if !LOSSES.contains(&word) {
            return;
        }
        let Some((what, ends)) = rest.split_once(" from ") else { return };
        let ends = ends.split(": ").next().unwrap_or(ends);
        let Some((from, to)) = ends.split_once(" to ") else { return };
        let (Ok(from), Ok(to)) = (from.parse::<SocketAddr>(), to.parse::<SocketAddr>()) else { return };
        let number = |text: &str| text.parse::<u32>().ok().map(Seq);
        let (seq, bare) = match what.split_once(" bytes ") {
            Some((_, range)) => (range.split("..").next().and_then(number), false),
            None => {
                let seq = what.split("seq ").nth(1).and_then(|t| t.trim_end_matches(')').split(' ').next());
                (seq.and_then(number), !what.contains("SYN") && !what.contains("FIN"))
            }
        };
        let Some(seq) = seq else { return };
        let found = self.lines.values_mut().rev().find_map(|line| match (from, to) {
            ends if ends == (line.client, line.server) => Some((line, 0)),
            ends if ends == (line.server, line.client) => Some((line, 1)),
            _ => None,
        });
        let Some((line, e)) = found else { return };
        if bare {
            self.lost_acks += 1;
            return;
        }
        line.lost(e, seq, what.contains("SYN"));
    }

    fn packet(&mut self, c: &Caused<'_>) {
        if self.connection.is_some_and(|n| n != c.connection) {
            return;
        }
        if !self.lines.contains_key(&c.connection) && self.lines.len() >= TALKS {
            self.beyond = true;
            return;
        }
        let (seg, at) = (c.segment, c.at);
        let (client, server) =
            if c.from_client { (seg.source, seg.destination) } else { (seg.destination, seg.source) };
        let (bandwidth, told) = (self.link().and_then(|link| link.bandwidth), self.link().is_some());
        let line = self.lines.entry(c.connection).or_insert_with(|| Line::new(client, server, told));
        let e = usize::from(!c.from_client);
        let before = line.ways[e].bytes.len();
        let wire = self.wires.entry((seg.source.ip(), seg.destination.ip()));
        let wire = wire.or_insert_with(|| WireModel::new(bandwidth));
        let bytes = ip_length(c);
        let sending = if c.sent { wire.sent(at, bytes) } else { wire.came(at, bytes) };
        line.packet(e, at, c, sending);
        self.bytes += line.ways[e].bytes.len() - before;
        if self.bytes > BYTES {
            self.beyond = true;
            line.ways[e].bytes.truncate(before);
        }
    }

    fn finish(mut self, summary: &Summary) -> Result<Scenario, ScenarioError> {
        if self.beyond {
            return Err(ScenarioError::TooLarge(format!(
                "more than {} MiB or {TALKS} connections are not replayed: choose one with --connection",
                BYTES >> 20
            )));
        }
        let (mut talks, mut left_out, mut measured) = (Vec::new(), Vec::new(), Vec::new());
        let mut rates = Vec::new();
        for (number, mut line) in std::mem::take(&mut self.lines) {
            let Some(connection) = summary.connections.iter().find(|c| c.number == number) else { continue };
            let known = self.link().map(|link| link.rtt / 2);
            let paths = match (known, connection.at_client) {
                (Some(delay), true) => [Duration::ZERO, delay],
                (Some(delay), false) => [delay, Duration::ZERO],
                (None, _) => connection.paths.map(|path| path.unwrap_or_default() / 2),
            };
            if let Some(settings) = &self.settings {
                // Who does without although it is on has set TCP_NODELAY.
                line.ways.iter_mut().for_each(|way| way.held |= settings.tcp.nagle != Nagle::Off);
            }
            measured.push([0, 1].map(|e| {
                let full = full(line.ways[e].offer, line.ways[1 - e].offer);
                line.ways[e].habits(paths[e], full, (e == 0) == connection.at_client)
            }));
            // What came from afar shows the path's rate; so do the acknowledgments of what was sent there.
            let (near, far) = if connection.at_client { (0, 1) } else { (1, 0) };
            let trip = (paths[0] + paths[1]) * 2;
            rates.extend(
                usual_rate(&line.ways[far].rates, trip)
                    .or_else(|| usual_rate(&line.ways[near].ack_rates, trip)),
            );
            match line.talk(number, paths, connection.at_client) {
                Ok(talk) => talks.push(talk),
                Err(why) => left_out.push((number, why)),
            }
        }
        let chance =
            self.settings.as_ref().is_some_and(|s| s.link.reorder + s.link.duplicate + s.link.ecn_mark > 0);
        if talks.is_empty() {
            let why = left_out.first().map_or("it holds no TCP connection", |(_, why)| why);
            return Err(ScenarioError::Nothing(format!("nothing can be replayed: {why}")));
        }
        order(&mut talks);
        let known = self.link().is_some();
        let mut assumptions = Vec::new();
        let settings = match &self.settings {
            Some(settings) if known => {
                let mut settings = settings.clone();
                // What the network did is done again packet by packet.
                let link = &mut settings.link;
                (link.loss, link.reorder, link.duplicate, link.corrupt, link.ecn_mark) = (0, 0, 0, 0, 0);
                link.drop_nth.clear();
                [settings.clone(), settings]
            }
            own => {
                let bandwidth = rates.into_iter().max().filter(|rate| *rate < FASTEST);
                if let Some(rate) = bandwidth {
                    let shown = crate::knob::show_rate(Some(rate));
                    assumptions.push(format!("the path carries {shown}, as packets followed each other"));
                }
                let mut settings = inferred(&talks, &measured, bandwidth);
                let at_client = talks[0].at_client;
                let whose = match own {
                    Some(own) => {
                        settings[usize::from(!at_client)].tcp = own.tcp.clone();
                        "the other end behaves"
                    }
                    None => "both ends behave",
                };
                assumptions.insert(0, format!("{whose} as a current Linux, but for what the capture shows"));
                settings
            }
        };
        if chance {
            assumptions.push("packets are not reordered, doubled or marked by chance again".into());
        }
        if self.lost_acks > 0 {
            assumptions.push(format!("{} lost acknowledgments are not lost again", self.lost_acks));
        }
        Ok(Scenario { talks, settings, known, left_out, assumptions })
    }
}

/// The settings of two ends that nobody told.
fn inferred(talks: &[Talk], measured: &[[Habits; 2]], bandwidth: Option<u64>) -> [Settings; 2] {
    let round_trip = talks.iter().map(|t| t.round_trip).min().unwrap_or_default();
    [0, 1].map(|e| {
        let mut settings = Settings::new(Profile::Linux);
        (settings.link.rtt, settings.link.bandwidth) = (round_trip, bandwidth);
        let offers = || talks.iter().map(|t| t.offers[e]);
        settings.tcp.sack = offers().any(|o| o.sack);
        settings.tcp.timestamps = offers().any(|o| o.timestamps);
        let measured = || measured.iter().map(|m| m[e]);
        let tcp = &mut settings.tcp;
        if measured().any(|m| m.hasty) {
            tcp.nagle = Nagle::Off;
        }
        if let Some(delay) = measured().filter_map(|m| m.ack_delay).max() {
            tcp.ack_delay = delay.min(Duration::from_millis(499));
            if !measured().any(|m| m.quick) {
                // It always waited so long for company: no other rule of the engine's is to cut that short.
                (tcp.ack_adaptive, tcp.quickack) = (false, 0);
            }
        }
        if let Some(segments) = measured().filter_map(|m| m.initial).min() {
            tcp.init_cwnd = segments.clamp(1, 100) as u32;
        }
        if let Some(window) = measured().filter_map(|m| m.window).max() {
            // Of the memory of a socket that much is payload.
            tcp.recv_buffer = (u64::from(window) * 7 / 4).clamp(4 << 10, 64 << 20) as _;
        }
        settings
    })
}

/// Says of each connection what its client had waited for.
fn order(talks: &mut [Talk]) {
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
            talks[n].start.think = syn.saturating_sub(when);
        }
    }
}

impl Line {
    fn new(client: SocketAddr, server: SocketAddr, told: bool) -> Line {
        Line {
            client,
            server,
            start: None,
            opened: [None; 2],
            ways: [Way::default(), Way::default()],
            losses: Vec::new(),
            told,
            reset: None,
        }
    }

    /// The network says that it lost what begins there, which had passed so often by then.
    fn lost(&mut self, e: usize, seq: Seq, syn: bool) {
        let way = &self.ways[e];
        let (offset, nth) = match way.isn {
            _ if syn => (-1, way.syns),
            Some(isn) => {
                let offset = way.place(isn, seq);
                (offset, u64::try_from(offset).ok().and_then(|o| way.sent.get(&o)).copied().unwrap_or(0))
            }
            None => return,
        };
        // What was sent here has passed already; what is on its way here has not.
        let before =
            self.losses.iter().filter(|l| l.from_client == (e == 0) && l.offset == offset).count() as u32;
        self.losses.push(Loss { from_client: e == 0, offset, nth: nth.max(before + 1) });
    }

    fn packet(&mut self, e: usize, at: Duration, c: &Caused<'_>, sending: Sending) {
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
        let scale = self.ways[e].offer.scale.filter(|_| self.ways[o].offer.scale.is_some()).unwrap_or(0);
        self.ways[e].window = self.ways[e].window.max(u32::from(seg.window) << scale.min(14));
        self.ways[o].filled |= c.held == Some(Part::Rwnd);
        let full = u64::from(full(self.ways[e].offer, self.ways[o].offer));
        let way = &mut self.ways[e];
        let offset = way.place(isn, seg.seq);
        let Ok(offset) = u64::try_from(offset) else { return };
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
                let nth = if late.is_some() { 1 } else { nth - 1 };
                self.losses.push(Loss { from_client: e == 0, offset: offset as i64, nth });
            }
            let write = Write {
                at,
                sending,
                until: end,
                saw,
                // Nagle's algorithm may let it go in the moment in which a time-out's repetition passed.
                prompt: word == "nagle-release"
                    || matches!(
                        c.held,
                        Some(Part::Nagle | Part::Cwnd | Part::Rwnd | Part::Pacing | Part::Recovery)
                    ),
                with_data: true,
                hasty: false,
            };
            let repeats = self.losses.iter().any(|l| l.from_client == (e == 0) && l.offset == offset as i64);
            way.data(offset, write, c, (full, repeats));
            self.ways[o].owes.get_or_insert(at);
        }
        let way = &mut self.ways[e];
        if seg.has(Flags::FIN) && way.fin.is_none() {
            let until = offset + u64::from(seg.len) + 1;
            let fin = Write { at, sending, until, saw, prompt: false, with_data: seg.len > 0, hasty: false };
            way.fin = Some(fin);
        }
        if seg.seq_len() > 0 {
            let (start, end) = (offset, offset + u64::from(seg.seq_len()));
            let nth = way.sent.get(&offset).copied().unwrap_or(1);
            way.passed.push(Passed { at, sending, start, end, nth });
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

    fn talk(mut self, number: usize, paths: [Duration; 2], at_client: bool) -> Result<Talk, &'static str> {
        let opened = match (self.start, self.opened) {
            (Some(_), [Some(client), Some(server)]) => [client + paths[0], server + paths[1]],
            (Some(_), _) => return Err("its handshake was not completed"),
            (None, _) => return Err("its beginning was not captured"),
        };
        self.losses.retain(|l| l.nth > 0);
        let marks = [0, 1].map(|e| self.ways[e].marks());
        let lost = |e: usize, p: &Passed| {
            self.losses.iter().any(|l| (l.from_client, l.offset, l.nth) == (e == 0, p.start as i64, p.nth))
        };
        let reached = [0, 1].map(|e| in_order(self.ways[e].passed.iter()));
        // What was lost behind the place of the capture passed there, and did not arrive.
        let arrived = [0, 1].map(|e| in_order(self.ways[e].passed.iter().filter(|p| !lost(e, p))));
        let acts = [0, 1]
            .map(|e| self.acts(e, (opened[e], paths[e]), &marks[1 - e], [&reached[e], &arrived[1 - e]]));
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
            at_client,
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
        });
        let writes = way.writes.iter().map(|w| (w, Deed::Write(w.until)));
        let ends = way.fin.iter().map(|w| (w, Deed::Close)).chain(reset.iter().map(|w| (w, Deed::Reset)));
        for (write, deed) in writes.chain(ends) {
            // What it had read: whole writes of the other's. One that was still coming was not waited for.
            let n = marks.partition_point(|mark| *mark <= write.saw);
            let saw = if n == 0 { 0 } else { marks[n - 1] };
            let read = match arrived.get(arrived.partition_point(|r| r.end < saw)) {
                Some(r) if saw > 0 => r.at + path + r.sending.takes,
                _ => Duration::ZERO,
            };
            let base = before.max(read);
            let [sent, busy] = [write.sending.begun, write.sending.busy].map(|at| at.saturating_sub(path));
            let at_once = deed == Deed::Close && write.with_data;
            // Behind others on a busy wire nobody can tell when it was written: at once, then.
            let queued = busy < sent && busy <= base;
            let done = if write.prompt || at_once || queued { base } else { sent.max(base) };
            let passed = match deed {
                Deed::Write(until) => {
                    reached.get(reached.partition_point(|r| r.end < until)).map_or(write.at, |r| r.at)
                }
                _ => write.at,
            };
            if way.held && write.hasty && !acts.iter().any(|a| a.deed == Deed::NoDelay) {
                let (think, passed) = (Duration::ZERO, write.at);
                acts.push(Act { saw, think, deed: Deed::NoDelay, at_once: false, passed });
            }
            acts.push(Act { saw, think: done - base, deed, at_once, passed });
            before = done;
        }
        acts
    }
}

impl Way {
    /// The byte of the stream that `seq` stands for; −1 is the SYN.
    fn place(&self, isn: Seq, seq: Seq) -> i64 {
        let next = isn + 1 + self.next as u32;
        self.next as i64 + i64::from(seq.0.wrapping_sub(next.0) as i32)
    }

    /// Data, some of which may be new.
    fn data(&mut self, offset: u64, mut write: Write, c: &Caused<'_>, (full, repeats): (u64, bool)) {
        let (end, len) = (write.until, u64::from(c.segment.len));
        let small = len % full.max(1) != 0;
        self.keep(offset, c.segment.payload);
        if end > self.next {
            if c.held == Some(Part::Cwnd) && self.first_flight.is_none() {
                let begun = self.writes.iter().rev().nth(1).map_or(0, |w| w.until);
                self.first_flight = Some(self.next - begun);
            }
            if let Some(last) = std::mem::replace(&mut self.last_full, (!small).then_some(write.at)) {
                note_rate(&mut self.rates, ip_length(c), write.at.saturating_sub(last));
            }
            if offset > self.next {
                self.gaps.push((self.next, offset, write.at));
            }
            if small && self.small_until > self.acked && offset >= self.small_until {
                (self.hasty, write.hasty) = (true, true);
            }
            self.held |= c.held == Some(Part::Nagle);
            if small {
                self.small_until = end;
            }
            // What was lost on its way here had been written with what came before.
            let thought = !repeats && matches!(c.held, Some(Part::App | Part::Server | Part::Nagle));
            match self.writes.last_mut().filter(|_| !self.small && !thought) {
                Some(last) => last.until = end,
                None => self.writes.push(write),
            }
            self.small = small;
            self.next = end;
        } else {
            self.fill(offset, end);
        }
    }

    /// What was missing is not any more.
    fn fill(&mut self, start: u64, end: u64) {
        let gaps = std::mem::take(&mut self.gaps);
        for (from, to, since) in gaps {
            self.gaps.extend(
                [(from, to.min(start), since), (from.max(end), to, since)].into_iter().filter(|g| g.0 < g.1),
            );
        }
    }

    fn keep(&mut self, offset: u64, payload: &[u8]) {
        let Ok(start) = usize::try_from(offset) else { return };
        // Whoever leaves out a gigabyte is not believed.
        if payload.is_empty() || start > BYTES {
            return;
        }
        let end = start + payload.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(payload);
    }

    /// Where its writes end, the FIN included.
    fn marks(&self) -> Vec<u64> {
        self.writes.iter().chain(&self.fin).map(|w| w.until).collect()
    }

    /// What shows of the settings of its stack; `full` is the payload of its full segments.
    fn habits(&self, path: Duration, full: u32, near: bool) -> Habits {
        let mut delays = self.delays.clone();
        delays.sort_unstable();
        Habits {
            hasty: self.hasty && !self.held,
            ack_delay: delays.get(delays.len() / 2).map(|d| d.saturating_sub(path * 2)),
            quick: self.quick,
            initial: self.first_flight.map(|bytes| {
                // Here an acknowledgment tells the first flight from what followed it.
                let bytes = self.first_acked.filter(|_| near).map_or(bytes, |first| first.min(bytes));
                bytes.div_ceil(full.into())
            }),
            window: self.filled.then_some(self.window),
        }
    }
}

/// When so many bytes had come in order: of each packet that brought more, its time and the end of what there was then.
fn in_order<'a>(passed: impl Iterator<Item = &'a Passed>) -> Vec<Passed> {
    let (mut next, mut beyond, mut list) = (0, BTreeMap::new(), Vec::new());
    for p in passed {
        let before = next;
        let end = beyond.entry(p.start).or_insert(p.end);
        *end = p.end.max(*end);
        while let Some(first) = beyond.first_entry().filter(|first| *first.key() <= next) {
            next = next.max(first.remove());
        }
        if next > before {
            list.push(Passed { end: next, ..*p });
        }
    }
    list
}

/// Notes how fast so many bytes followed others.
fn note_rate(rates: &mut Vec<(Duration, u64)>, bytes: u64, gap: Duration) {
    const SAMPLES: usize = 10_000;
    if !gap.is_zero() && rates.len() < SAMPLES {
        let bits = u128::from(bytes) * 8 * 1_000_000_000;
        rates.push((gap, u64::try_from(bits / gap.as_nanos()).unwrap_or(u64::MAX)));
    }
}

/// The rate at which most of what followed each other came, if enough did; what came after a long gap had waited for
/// something else.
fn usual_rate(rates: &[(Duration, u64)], round_trip: Duration) -> Option<u64> {
    const LEAST: usize = 8;
    let near = rates.iter().filter(|(gap, _)| *gap < round_trip / 8);
    let mut rates: Vec<u64> = near.map(|(_, rate)| *rate).collect();
    rates.sort_unstable();
    (rates.len() >= LEAST).then(|| rates[rates.len() / 2])
}

/// The payload of a full segment of the end that made `own`, towards the one that made `other`.
fn full(own: Offer, other: Offer) -> u32 {
    let options = if own.timestamps && other.timestamps { 12 } else { 0 };
    u32::from(other.mss.unwrap_or(536)).saturating_sub(options).max(1)
}

/// The length of the IP packet, with the headers as they were captured.
fn ip_length(c: &Caused<'_>) -> u64 {
    let ip = if c.segment.source.is_ipv4() { 20 } else { 40 };
    let offset = c.data.get(ip + 12).map_or(20, |b| usize::from(b >> 4) * 4);
    (ip + offset.max(20)) as u64 + u64::from(c.segment.len)
}
