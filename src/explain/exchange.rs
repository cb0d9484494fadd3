//! What was asked and answered on a connection, and how long did each of it take?

use super::course::Course;
use super::finding::{Confidence, What};
use super::stream::Piece;
use crate::http::{Heard, Observer, Speaker};
use crate::ledger::{Part, Parts};
use crate::time::Duration;
use std::collections::VecDeque;

/// A target is shown so far.
const TARGET_LIMIT: usize = 200;
/// Exchanges of one connection that are kept; those beyond are counted.
pub(super) const KEPT: usize = 10_000;

/// How far an exchange got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Progress {
    /// The request, or a part of it.
    Asked,
    /// The response has begun.
    Answering,
    /// The response is complete.
    Complete,
}

impl Progress {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Progress::Asked => "asked",
            Progress::Answering => "answering",
            Progress::Complete => "complete",
        }
    }
}

/// A request and its response. Of a protocol that is not understood: what the client sent, and what the server
/// sent next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The method; empty if no HTTP.
    pub method: String,
    /// The target as sent, shortened.
    pub target: String,
    /// Whom it is for, if it says so.
    pub host: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The first byte of the request; the SYN, if it is the first on its connection.
    pub start: Duration,
    /// The last byte of the request.
    pub request_end: Option<Duration>,
    /// The first byte of the response.
    pub first_byte: Option<Duration>,
    /// The last byte of the response, or the last that was seen of the exchange.
    pub end: Duration,
    /// Bytes of the response.
    pub bytes: u64,
    /// The first and the last packet, as Wireshark counts them.
    pub frames: (u64, u64),
    /// How far it got.
    pub progress: Progress,
    /// There was an exchange before it on the same connection.
    pub reused: bool,
    /// It is encrypted: its connection begins as TLS does (RFC 8446 §5.1).
    pub tls: bool,
    /// Where the time went; the sum is `end` − `start` exactly.
    pub parts: Parts,
    /// The same in the order in which it went there: parts that follow each other, in long exchanges with short ones put
    /// together.
    pub course: Vec<(Part, Duration)>,
    /// The sums since when it is charged.
    before: Parts,
    /// The server had closed its end when it began.
    late: bool,
    /// Its response comes bit by bit, whenever there is something to say.
    pushes: bool,
    /// Where its response ends does not show: no sooner than its last byte, which came then.
    blurred: Option<(Duration, u64, Parts)>,
}

impl Exchange {
    /// Whether its server had closed before it was asked.
    fn is_late(&self) -> bool {
        self.late && self.progress == Progress::Asked
    }
}

/// How an end stops speaking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stop {
    /// With a RST.
    pub reset: bool,
    /// It has what the other end said.
    pub taken: bool,
    /// What it says is not acknowledged, however often it was sent.
    pub unheard: bool,
    /// There and back.
    pub round_trip: Duration,
}

/// What happened, from frame to frame, and what it cost.
pub(super) type Told = (What, (u64, u64), Duration, Confidence);

/// The client closed its side while something was open.
#[derive(Clone, Copy, Debug)]
struct Closed {
    at: Duration,
    frame: u64,
    /// With its request, or just behind it: it means to hear the answer.
    at_once: bool,
}

/// What the last exchange was before a part of its response was sent again.
#[derive(Debug)]
struct Repeated {
    /// So many were over then.
    over: usize,
    exchange: Exchange,
    last_end: Option<(Duration, Parts)>,
}

/// The exchanges of a connection.
#[derive(Default, Debug)]
pub(super) struct Exchanges {
    observer: Observer,
    opaque: bool,
    tls: bool,
    now: Duration,
    frame: u64,
    parts: Parts,
    /// How long the piece is that is being heard.
    piece: u64,
    course: Course,
    opened: Option<(Duration, u64)>,
    /// Not complete, the oldest first.
    open: VecDeque<Exchange>,
    pub done: Vec<Exchange>,
    pub beyond: u64,
    full: bool,
    /// Exchanges that began.
    pub begun: u64,
    last_end: Option<(Duration, Parts)>,
    /// A part of the last response was sent again.
    repeated: Option<Box<Repeated>>,
    /// Waiting behind others is counted up to here.
    queued_until: Duration,
    client_closed: Option<Closed>,
    server_closed: bool,
    /// An exchange that was answered before its request was over: since when, and from which frame on.
    cut: Option<(Duration, u64)>,
    findings: Vec<Told>,
}

impl Exchanges {
    /// Of a connection that the capture does not begin with.
    pub(super) fn in_the_middle() -> Exchanges {
        Exchanges { observer: Observer::in_the_middle(), opaque: true, ..Exchanges::default() }
    }

    /// What follows happens now, in this packet, with time charged so far.
    pub(super) fn at(&mut self, now: Duration, frame: u64, parts: Parts) {
        self.course.add(parts - self.parts);
        (self.now, self.frame, self.parts) = (now, frame, parts);
        let opened = (now.saturating_sub(parts.total()), frame);
        self.opened.get_or_insert(opened);
    }

    /// So much of what was charged to one part when the connection began belongs to another.
    pub(super) fn shift(&mut self, from: Part, to: Part, time: Duration) {
        self.parts.shift(from, to, time);
        for exchange in &mut self.open {
            exchange.before.shift(from, to, time);
            exchange.blurred.iter_mut().for_each(|(.., parts)| parts.shift(from, to, time));
        }
        self.last_end.iter_mut().for_each(|(_, parts)| parts.shift(from, to, time));
        self.course.shift(from, to, time);
    }

    /// The same of what was charged last, with a single exchange open since before.
    pub(super) fn shift_now(&mut self, from: Part, to: Part, time: Duration) {
        self.parts.shift(from, to, time);
        self.course.shift(from, to, time);
    }

    /// Whether a single exchange is under way, and so much of its time went to this part.
    pub(super) fn alone_spent(&self, part: Part, time: Duration) -> bool {
        self.open.len() == 1 && (self.parts - self.open[0].before).of(part) >= time
    }

    /// There is no room for more: further ones are only counted.
    pub(super) fn keep_no_more(&mut self) {
        self.full = true;
    }

    /// Whether a request waits for its response.
    pub(super) fn waits_for_server(&self) -> bool {
        self.open.front().is_some_and(|e| e.request_end.is_some() || self.opaque)
    }

    /// Whether an end has begun to say something, and has not finished.
    pub(super) fn midway(&self, client: bool) -> bool {
        match client {
            _ if self.opaque => false,
            true => self.open.back().is_some_and(|e| e.request_end.is_none()),
            false => self.open.front().is_some_and(|e| e.first_byte.is_some()),
        }
    }

    /// Whether an exchange was completed.
    pub(super) fn has_answered(&self) -> bool {
        !self.opaque && self.done.last().is_some_and(|e| e.progress == Progress::Complete)
    }

    /// Whether anything was asked that is not answered.
    pub(super) fn in_progress(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether it is something else than HTTP/1.
    pub(super) fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Whether the server owes an answer of which nothing has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.open.front().is_some_and(|e| e.progress == Progress::Asked)
    }

    /// Whether the server is known to send something now: an answer that has begun comes bit by bit, or nobody knows
    /// whether it is complete.
    pub(super) fn is_pushing(&self) -> bool {
        let knows = |e: &Exchange| !self.opaque && !e.pushes && e.blurred.is_none();
        self.open.front().is_some_and(|e| e.progress == Progress::Answering && !knows(e))
    }

    pub(super) fn take_findings(&mut self) -> impl Iterator<Item = Told> {
        self.findings.drain(..)
    }

    pub(super) fn take(&mut self, speaker: Speaker, piece: Piece<'_>) {
        // A FIN that was not captured, only its acknowledgment.
        if piece == Piece::Hole(1) && !self.in_progress() {
            return;
        }
        // A record of its handshake.
        self.tls |= self.begun == 0 && matches!(piece, Piece::Bytes([22, 3, 0..=4, ..]));
        self.piece = match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Hole(n) => n,
        };
        let (was, begun, mut counted) = (self.opaque, self.begun, false);
        if speaker == Speaker::Server
            && !was
            && let Some(first) = self.open.front_mut()
        {
            first.bytes += self.piece;
            counted = true;
        }
        let mut observer = std::mem::take(&mut self.observer);
        match piece {
            Piece::Bytes(bytes) => observer.hear(speaker, bytes, &mut |heard| self.on_heard(heard)),
            Piece::Hole(n) => observer.miss(speaker, n, &mut |heard| self.on_heard(heard)),
        }
        self.observer = observer;
        if self.opaque {
            counted |= self.begun > begun;
            self.turn(speaker, if counted { 0 } else { self.piece });
        }
        if speaker == Speaker::Server
            && let Some(last) = self.open.front_mut().and_then(|first| first.blurred.as_mut())
        {
            *last = (self.now, self.frame, self.parts);
        }
    }

    /// No more bytes of `speaker`.
    pub(super) fn end(&mut self, speaker: Speaker, stop: Stop) {
        let mut observer = std::mem::take(&mut self.observer);
        observer.end(speaker, &mut |heard| self.on_heard(heard));
        self.observer = observer;
        if self.opaque {
            return self.end_turn();
        }
        if speaker == Speaker::Server {
            self.end_of_server(stop);
            self.server_closed = true;
        } else if self.open.front().is_some_and(|first| first.blurred.is_some()) {
            // As far as anybody knows, it has all.
            self.close_open();
        } else if let Some(first) = self.open.front() {
            let asked = first.request_end.map_or(Duration::MAX, |end| self.now.saturating_sub(end));
            let at_once = asked <= stop.round_trip.max(super::judge::PROMPT);
            let closed = Closed { at: self.now, frame: self.frame, at_once: at_once && !stop.reset };
            self.client_closed.get_or_insert(closed);
            if stop.unheard && first.progress == Progress::Asked && !first.is_late() {
                let told =
                    (What::Unheard, (first.frames.0, self.frame), self.now.saturating_sub(first.start));
                self.findings.push((told.0, told.1, told.2, Confidence::Inferred));
                self.close_open();
            } else if stop.reset {
                self.give_up();
            }
        }
    }

    /// What is still open when the server closes gets no answer any more.
    fn end_of_server(&mut self, stop: Stop) {
        let Some(first) = self.open.front() else {
            // It has answered and hears no more: what its client had not read yet is lost with what it still sends.
            if let Some((start, frame)) = self.cut.take_if(|_| stop.reset) {
                let cost = self.now.saturating_sub(start);
                let told = (What::ResetResponse, (frame, self.frame), cost, Confidence::Inferred);
                self.findings.push(told);
            }
            return;
        };
        let asked = first.progress == Progress::Asked;
        let (what, sure) = match self.client_closed {
            // Whoever closes for the answer to a request that came too late did not give up, and cut nothing off.
            _ if first.is_late() => (What::KeepAliveRace, Confidence::Certain),
            None if asked && first.reused && !stop.taken => {
                // A lone RST may come from somebody between the two.
                let seen = self.server_closed || !stop.reset;
                (What::KeepAliveRace, if seen { Confidence::Certain } else { Confidence::Inferred })
            }
            Some(closed) if !closed.at_once => return self.give_up(),
            Some(_) if asked && first.reused && !stop.taken && !stop.reset => {
                (What::KeepAliveRace, Confidence::Certain)
            }
            Some(_) => (What::HalfClose, Confidence::Inferred),
            None if asked => (What::NoAnswer, Confidence::Certain),
            None if stop.reset => (What::ResetResponse, Confidence::Certain),
            None => (What::CutShort, Confidence::Certain),
        };
        let told = (what, (first.frames.0, self.frame), self.now.saturating_sub(first.start), sure);
        self.findings.push(told);
        self.close_open();
    }

    /// The client went away before the answer was complete.
    fn give_up(&mut self) {
        if let Some(first) = self.open.front().filter(|first| first.is_late()) {
            let cost = self.now.saturating_sub(first.start);
            let frames = (first.frames.0, self.frame);
            self.findings.push((What::KeepAliveRace, frames, cost, Confidence::Certain));
        } else if let (Some(first), Some(closed)) = (self.open.front(), self.client_closed) {
            let cost = closed.at.saturating_sub(first.start);
            let frames = (first.frames.0, closed.frame);
            self.findings.push((What::ClientAbort, frames, cost, Confidence::Certain));
        }
        self.close_open();
    }

    /// A part of the response is sent again: what was complete here is not yet complete there.
    pub(super) fn repeated(&mut self) {
        let now = (self.now, self.frame, self.parts);
        if let Some(last) = self.open.front_mut().and_then(|first| first.blurred.as_mut()) {
            *last = now;
        }
        if !self.open.is_empty() || self.beyond > 0 {
            return;
        }
        let n = self.done.len();
        if let Some(last) = self.done.last_mut() {
            if self.repeated.as_ref().is_none_or(|before| before.over != n) {
                self.repeated =
                    Some(Box::new(Repeated { over: n, exchange: last.clone(), last_end: self.last_end }));
            }
            let queue = last.parts.of(Part::Queue);
            last.end = self.now;
            last.frames.1 = self.frame;
            last.parts = self.parts - last.before;
            last.parts.add(Part::Queue, queue);
            last.course = self.course.since(last.before.total(), queue, self.parts.total());
            self.last_end = Some((self.now, self.parts));
        }
    }

    /// What was sent again had arrived: the response was complete when it was.
    pub(super) fn unrepeat(&mut self) {
        if let Some(before) = self.repeated.take()
            && before.over == self.done.len()
        {
            self.last_end = before.last_end;
            self.done[before.over - 1] = before.exchange;
        }
    }

    /// The capture ends; the connection's last packet was at `end`.
    pub(super) fn finish_all(&mut self, end: Duration) {
        match self.client_closed {
            _ if !self.opaque && self.open.front().is_some_and(Exchange::is_late) => self.give_up(),
            Some(closed) if !closed.at_once && !self.opaque => self.give_up(),
            _ => {
                let asked =
                    |e: &&Exchange| !self.opaque && e.request_end.is_some() && e.progress == Progress::Asked;
                if let Some(first) = self.open.front().filter(asked) {
                    let (cost, frames) = (end.saturating_sub(first.start), (first.frames.0, self.frame));
                    self.findings.push((What::Unanswered, frames, cost, Confidence::Certain));
                }
                self.close_open();
            }
        }
    }

    /// The connection ends without more.
    fn close_open(&mut self) {
        while let Some(exchange) = self.open.pop_front() {
            // Of what ends nobody knows where, nobody knows that something is missing.
            let complete = exchange.blurred.is_some();
            self.finish(exchange, complete);
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        let now = self.now;
        match heard {
            Heard::RequestBegins(_) => {
                self.understand();
                self.begin();
            }
            Heard::Request { method, target, host, .. } => {
                if let Some(last) = self.open.back_mut() {
                    last.method = method.as_str().to_owned();
                    last.target = target.chars().take(TARGET_LIMIT).collect();
                    last.host = host;
                }
            }
            Heard::RequestEnds(_) => {
                self.cut = None;
                if let Some(last) = self.open.back_mut() {
                    last.request_end = Some(now);
                }
            }
            Heard::ResponseBegins(_) => {
                self.understand();
                if self.open.is_empty() {
                    self.begin();
                    self.open[0].bytes = self.piece;
                }
                if let Some(first) = self.open.front_mut() {
                    first.first_byte = Some(now);
                    first.progress = Progress::Answering;
                }
            }
            Heard::Response { status, pushes, .. } => {
                if let Some(first) = self.open.front_mut() {
                    first.status = Some(status.as_u16());
                    first.pushes = pushes;
                }
            }
            Heard::ResponseBlurs(_) => {
                let now = (self.now, self.frame, self.parts);
                if let Some(first) = self.open.front_mut() {
                    first.blurred.get_or_insert(now);
                }
            }
            Heard::ResponseEnds(_) => {
                if let Some(first) = self.open.pop_front() {
                    self.finish(first, true);
                }
            }
            Heard::Opaque => {
                self.opaque = true;
                self.open.iter_mut().for_each(|e| e.tls = self.tls);
                // What was taken for a request so far is the first turn.
                self.open.truncate(1);
            }
        }
    }

    /// HTTP is spoken, perhaps again.
    fn understand(&mut self) {
        if std::mem::take(&mut self.opaque) {
            self.end_turn();
        }
    }

    fn begin(&mut self) {
        let reused = self.begun > 0;
        self.begun += 1;
        if reused && self.open.is_empty() {
            self.course.forget(self.parts.total());
        }
        let (start, frame, before) = match self.opened {
            Some((opened, frame)) if !reused => (opened, frame, Parts::default()),
            _ => (self.now, self.frame, self.parts),
        };
        self.open.push_back(Exchange {
            method: String::new(),
            target: String::new(),
            host: None,
            status: None,
            start,
            request_end: None,
            first_byte: None,
            end: start,
            bytes: 0,
            frames: (frame, frame),
            progress: Progress::Asked,
            reused,
            tls: self.tls,
            parts: Parts::default(),
            course: Vec::new(),
            before,
            late: self.server_closed,
            pushes: false,
            blurred: None,
        });
    }

    fn finish(&mut self, mut exchange: Exchange, complete: bool) {
        let (now, frame, parts) = exchange.blurred.unwrap_or((self.now, self.frame, self.parts));
        exchange.end = now;
        exchange.frames.1 = frame;
        if complete {
            exchange.progress = Progress::Complete;
        }
        // Behind another one on the same connection: until that was over, it waited in a queue.
        let (since, queue) = match self.last_end {
            Some((end, parts)) if end > exchange.start => (parts, end - exchange.start),
            _ => (exchange.before, Duration::ZERO),
        };
        exchange.before = since;
        exchange.parts = parts - since;
        exchange.parts.add(Part::Queue, queue);
        exchange.course = self.course.since(since.total(), queue, parts.total());
        self.last_end = Some((now, parts));
        self.cut =
            (complete && exchange.request_end.is_none()).then_some((exchange.start, exchange.frames.0));
        let whole = exchange.end - exchange.start;
        if queue > super::flow::WORTH {
            // Of those that wait behind the same one, the time is counted once.
            let from = exchange.start.max(self.queued_until);
            self.queued_until = self.queued_until.max(exchange.start + queue);
            let cost = self.queued_until.saturating_sub(from);
            self.findings.push((What::HeadOfLine, exchange.frames, cost, Confidence::Certain));
        }
        let handshake = exchange.parts.of(Part::Handshake);
        if handshake > super::flow::WORTH && handshake * 3 >= whole {
            self.findings.push((What::Handshake, exchange.frames, handshake, Confidence::Certain));
        }
        if self.done.len() < KEPT && !self.full {
            self.done.push(exchange);
        } else {
            self.beyond += 1;
        }
    }

    /// Of something else than HTTP: whoever speaks.
    fn turn(&mut self, speaker: Speaker, n: u64) {
        match speaker {
            Speaker::Client => {
                if self.open.front().is_none_or(|e| e.progress != Progress::Asked) {
                    self.end_turn();
                    self.begin();
                }
                if let Some(first) = self.open.front_mut() {
                    first.request_end = Some(self.now);
                }
            }
            Speaker::Server => {
                // What comes after a rest was not waited for: it is no part of the answer before it.
                let rested = |e: &Exchange| {
                    e.progress == Progress::Answering && self.now.saturating_sub(e.end) > super::flow::REST
                };
                if self.open.front().is_some_and(rested) {
                    self.end_turn();
                }
                if self.open.is_empty() {
                    self.begin();
                }
                let (now, frame, parts) = (self.now, self.frame, self.parts);
                if let Some(first) = self.open.front_mut() {
                    first.progress = Progress::Answering;
                    first.first_byte.get_or_insert(now);
                    first.bytes += n;
                    // It may be the last one: nobody says so.
                    (first.end, first.frames.1, first.parts) = (now, frame, parts - first.before);
                }
            }
        }
    }

    fn end_turn(&mut self) {
        if let Some(mut last) = self.open.pop_front() {
            if last.progress == Progress::Asked {
                (last.end, last.parts) = (self.now, self.parts - last.before);
            } else {
                last.progress = Progress::Complete;
            }
            let until = (last.before.total() + last.parts.total(), self.parts.total());
            last.course = self.course.between(last.before.total(), until.0.min(until.1));
            if self.done.len() < KEPT && !self.full { self.done.push(last) } else { self.beyond += 1 }
        }
    }
}
