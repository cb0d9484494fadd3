//! Which packets of a capture are drawn, and what is known of each?

use super::Caused;
use crate::segment::Flags;
use crate::seq::Seq;
use crate::time::Duration;

/// Packets that are kept, all connections together; beyond them, only some of what is as usual.
const STEPS: usize = 40_000;
/// Connections whose packets are kept.
const LINES: usize = 400;
/// Words that are told apart: more than there are. A foreign file may hold any text.
const WORDS: usize = 256;
/// Of a sentence so many bytes are kept.
const SENTENCE: usize = 300;
/// So many packets before a repetition is what it repeats looked for.
const BACK: usize = 4096;

/// The numbers of a connection after a packet, as its stack states them. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// The congestion window.
    pub cwnd: u32,
    /// The slow start threshold, once something was lost.
    pub ssthresh: Option<u32>,
    /// Sent and not acknowledged.
    pub flight: u32,
    /// The smoothed round trip, once there was one.
    pub srtt: Option<Duration>,
    /// What keeps more from being sent: an index of [`Trail::words`].
    pub limit: u16,
}

/// One packet. Numbers of its own direction count from that end's SYN, acknowledgments from the other's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// As Wireshark counts.
    pub frame: u64,
    /// Since the capture's first packet.
    pub at: Duration,
    /// The client sent it.
    pub from_client: bool,
    /// The control bits.
    pub flags: Flags,
    /// The number of its first byte.
    pub seq: i64,
    /// Bytes of payload.
    pub len: u32,
    /// What it acknowledges.
    pub ack: Option<i64>,
    /// The window that it offers, in bytes, if the scale is known.
    pub window: Option<u32>,
    /// What else its sender holds (RFC 2018).
    pub sack: Vec<(i64, i64)>,
    /// Why it was sent, stated or inferred: an index of [`Trail::words`].
    pub why: u16,
    /// What the stack that made the capture took it for, if it received it.
    pub taken_for: Option<u16>,
    /// What that stack says behind the word.
    pub sentence: Box<str>,
    /// Whether that stack says that it sent it.
    pub sent: bool,
    /// It brings nothing beyond what had passed by.
    pub again: bool,
    /// What it brings was sent again later.
    pub repeated: bool,
    /// From the packet that it acknowledges to itself, timed once a round trip.
    pub rtt: Option<Duration>,
    /// The connection's numbers after it.
    pub numbers: Option<Numbers>,
}

impl Step {
    /// Its first number behind.
    pub fn end(&self) -> i64 {
        let control = [Flags::SYN, Flags::FIN].into_iter().filter(|f| self.flags.contains(*f)).count();
        self.seq + i64::from(self.len) + control as i64
    }

    /// Whether it may be left out of a drawing that has too many.
    fn is_usual(&self) -> bool {
        let control = [Flags::SYN, Flags::FIN, Flags::RST].into_iter().any(|f| self.flags.contains(f));
        !(control || self.again || self.repeated || !self.sack.is_empty() || self.window == Some(0))
    }
}

/// The packets of a connection that are drawn.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Line {
    /// The connection's number in the capture, from 1.
    pub number: usize,
    /// In the order of the capture.
    pub steps: Vec<Step>,
    /// Packets that passed by.
    pub passed: u64,
    /// What each end sent, the client first.
    ends: [End; 2],
}

/// What is known of an end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct End {
    /// The highest number so far, absolute and counted from the first.
    top: Option<(Seq, i64)>,
    /// Both must have offered one for it to hold (RFC 7323 §2.2).
    shift: Option<u8>,
    syn: bool,
    /// A number whose acknowledgment is timed, and since when.
    timed: Option<(i64, Duration)>,
}

impl End {
    /// `seq` counted from the first number; what comes first stands for it.
    fn place(&mut self, seq: Seq) -> i64 {
        let (top, place) = *self.top.get_or_insert((seq, 0));
        place + i64::from(seq.0.wrapping_sub(top.0) as i32)
    }

    fn reach(&mut self, seq: Seq, place: i64) {
        if self.top.is_none_or(|(_, top)| place > top) {
            self.top = Some((seq, place));
        }
    }
}

/// What is drawn of a capture: a bounded number of packets.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Trail {
    /// By connection, in the order of their first packets.
    pub lines: Vec<Line>,
    /// The words that steps mean.
    pub words: Vec<String>,
    /// Of what is as usual, each so-manieth is kept; 0 and 1 mean all.
    pub every: u32,
    /// Packets that passed by.
    pub passed: u64,
    kept: usize,
    /// The line of each connection, by its number.
    places: Vec<Option<usize>>,
}

impl Trail {
    /// Packets that are kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Takes a packet that passed by.
    pub fn add(&mut self, caused: &Caused<'_>) {
        self.passed += 1;
        let Some(n) = self.line(caused.connection) else { return };
        let mut step = self.lines[n].step(caused);
        step.why = self.word(match caused.stated {
            Some(stated) if caused.sent => stated,
            _ => caused.inferred,
        });
        step.taken_for = caused.stated.filter(|_| !caused.sent).map(|word| self.word(word));
        step.numbers = caused.numbers.and_then(|text| self.numbers(text));
        let line = &mut self.lines[n];
        line.passed += 1;
        let usual = step.is_usual() && step.rtt.is_none();
        if usual && self.every > 1 && !line.passed.is_multiple_of(u64::from(self.every)) {
            return;
        }
        while self.kept >= STEPS {
            if !self.thin() {
                return;
            }
        }
        self.lines[n].steps.push(step);
        self.kept += 1;
    }

    fn line(&mut self, connection: usize) -> Option<usize> {
        if self.places.len() <= connection {
            self.places.resize(connection + 1, None);
            if self.lines.len() < LINES {
                self.places[connection] = Some(self.lines.len());
                self.lines.push(Line { number: connection, ..Line::default() });
            }
        }
        self.places[connection]
    }

    fn word(&mut self, word: &str) -> u16 {
        let n = self.words.iter().position(|w| w == word).unwrap_or_else(|| {
            if self.words.len() + 1 < WORDS {
                self.words.push(word.to_owned());
            } else if self.words.len() < WORDS {
                self.words.push("other".to_owned());
            }
            self.words.len() - 1
        });
        n as u16
    }

    /// Leaves out every second of what is as usual; `false` if that makes no room.
    fn thin(&mut self) -> bool {
        let before = self.kept;
        self.every = self.every.max(1).saturating_mul(2);
        for line in &mut self.lines {
            let mut nth = 0;
            line.steps.retain(|step| {
                nth += u32::from(step.is_usual());
                !step.is_usual() || nth % 2 == 0
            });
        }
        self.kept = self.lines.iter().map(|line| line.steps.len()).sum();
        self.kept < before
    }

    /// `conn=1 state=ESTABLISHED cwnd=14480 ssthresh=unset flight=1448 srtt=50ms …`.
    fn numbers(&mut self, text: &str) -> Option<Numbers> {
        let value = |key: &str| {
            text.split(' ').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == key)).map(|(_, v)| v)
        };
        let bytes = |key: &str| value(key)?.parse::<u32>().ok();
        let (cwnd, flight) = (bytes("cwnd")?, bytes("flight")?);
        let srtt = value("srtt").and_then(|text| crate::knob::duration(text).ok());
        let ssthresh = bytes("ssthresh");
        let limit = self.word(value("limit").unwrap_or("idle"));
        Some(Numbers { cwnd, ssthresh, flight, srtt, limit })
    }
}

impl Line {
    /// What the packet is, beside what its stack says of it.
    fn step(&mut self, caused: &Caused<'_>) -> Step {
        let (seg, at) = (caused.segment, caused.at);
        let (s, o) = if caused.from_client { (0, 1) } else { (1, 0) };
        if seg.has(Flags::SYN) {
            self.ends[s].shift = seg.options.window_scale.map(|shift| shift.min(14));
            self.ends[s].syn = true;
        }
        let scale = match (self.ends[s], self.ends[o]) {
            (End { syn: true, shift, .. }, End { syn: true, shift: other, .. }) => {
                Some(shift.filter(|_| other.is_some() && !seg.has(Flags::SYN)).unwrap_or(0))
            }
            _ => seg.has(Flags::SYN).then_some(0),
        };
        let seq = self.ends[s].place(seg.seq);
        let end = seq + i64::from(seg.seq_len());
        let again = seg.seq_len() > 0 && self.ends[s].top.is_some_and(|(_, top)| end <= top);
        if again {
            self.mark_repeated(caused.from_client, seq, end);
            // Its acknowledgment would be ambiguous (RFC 6298 §3).
            self.ends[s].timed = self.ends[s].timed.filter(|(number, _)| *number > end || *number <= seq);
        } else if seg.seq_len() > 0 && !seg.has(Flags::RST) {
            self.ends[s].timed.get_or_insert((end, at));
        }
        if !seg.has(Flags::RST) {
            self.ends[s].reach(seg.end(), end);
        }
        let (mut ack, mut rtt, mut sack) = (None, None, Vec::new());
        if seg.has(Flags::ACK) {
            let other = &mut self.ends[o];
            let place = other.place(seg.ack);
            ack = Some(place);
            if let Some((_, since)) = other.timed.filter(|(number, _)| place >= *number) {
                rtt = Some(at.saturating_sub(since));
                other.timed = None;
            }
            let blocks = seg.options.sack.as_slice();
            sack = blocks.iter().map(|b| (other.place(b.0), other.place(b.1))).collect();
        }
        Step {
            frame: caused.frame,
            at,
            from_client: caused.from_client,
            flags: seg.flags,
            seq,
            len: seg.len,
            ack,
            window: scale.map(|shift| u32::from(seg.window) << shift),
            sack,
            why: 0,
            taken_for: None,
            sentence: caused.sentence[..caused.sentence.floor_char_boundary(SENTENCE)].into(),
            sent: caused.sent,
            again,
            repeated: false,
            rtt,
            numbers: None,
        }
    }

    /// What was sent from `seq` to `end` before is sent again.
    fn mark_repeated(&mut self, from_client: bool, seq: i64, end: i64) {
        let before = self.steps.iter_mut().rev().take(BACK);
        for step in before.filter(|s| s.from_client == from_client && s.end() > s.seq) {
            if step.seq >= seq && step.end() <= end || step.seq <= seq && step.end() >= end {
                step.repeated = true;
                return;
            }
        }
    }
}
