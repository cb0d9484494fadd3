//! How are many HTTP connections served at once? Each runs as far as its stream allows, whenever that changes.

mod room;
mod slots;

use super::Service;
use super::crowd::Mark;
use super::exchange::{Ended, Exchange};
use super::pages::{self, Page, Site, Step};
use super::pump::{self, Scratch};
use super::set_options;
use super::tally::{Reports, Tally};
use crate::http::{Config, Endpoint, Refusal, RequestHead, ServerEvent};
use crate::ledger::Parts;
use crate::stack::timers::Timers;
use crate::stack::{Accepted, ListenerId, Owner, Ready, Stack, StackError};
use crate::stream::{ByteStream, StreamError};
use crate::tcp;
use crate::time::{Duration, Instant};
use crossbeam_channel::{Receiver, Sender, bounded};
use slots::{Slot, Slots};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Exchanges of one connection that wait for their acknowledgment.
const UNACKED: usize = 32;

/// What became of an address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listening {
    /// Connections are accepted there; port 0 has become a real one.
    At(SocketAddr),
    /// The stack refused it.
    Failed(SocketAddr, StackError),
}

/// What a server has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ServerTotals {
    /// Connections accepted.
    pub connections: u64,
    /// Requests understood.
    pub requests: u64,
    /// Requests refused by the HTTP machinery: malformed, too large, too slow.
    pub refused: u64,
    /// Connections that failed or were reset.
    pub aborted: u64,
    /// Connections that gave way to others: those without a request.
    pub spared: u64,
    /// Those whose peers sent or took too little in the middle of an exchange.
    pub too_slow: u64,
    /// Connections that found no place and were answered 503.
    pub turned_away: u64,
    /// Exchanges that nobody took in time from [`HttpServer::exchanges`].
    pub exchanges_lost: u64,
}

/// An HTTP/1.1 server with the built-in pages and files.
pub struct HttpServer {
    owner: Owner,
    config: Arc<Config>,
    site: Site,
    /// Files are read in this thread, whatever that takes.
    disk_waits: bool,
    /// Addresses to listen on at the first poll.
    addresses: Vec<SocketAddr>,
    listeners: Vec<ListenerId>,
    listening: (Sender<Listening>, Receiver<Listening>),
    started: bool,
    draining: bool,
    /// A listener has more than was accepted.
    accept_later: bool,
    slots: Slots,
    /// Where the search for a connection that can be spared goes on.
    hand: u32,
    look_again: Option<Instant>,
    /// Since when nobody has given way to those who wait.
    full_since: Option<Instant>,
    timers: Timers,
    scratch: Scratch,
    page_scratch: Scratch,
    reports: Reports,
    totals: ServerTotals,
}

/// An exchange in the making, with the places of its response in the connection's bytes.
struct Recording {
    exchange: Exchange,
    /// What had been charged when it began.
    before: Parts,
    /// Since the response was handed to the stream: what had been charged to the client then, and for how long an
    /// acknowledgment of it was held back. The client had its answer, so neither belongs to the exchange.
    handed: Option<Duration>,
    held_back: Duration,
    /// Where the response's head begins.
    begin: u64,
    /// Where the response ends.
    end: u64,
}

impl Recording {
    fn new(exchange: Exchange, before: Parts, begin: u64) -> Recording {
        Recording { exchange, before, handed: None, held_back: Duration::ZERO, begin, end: u64::MAX }
    }
}

impl HttpServer {
    /// A server that listens on `addresses` from its first poll on. What became of them comes from
    /// [`listening`](Self::listening).
    pub fn new(owner: Owner, addresses: Vec<SocketAddr>, site: Site, config: Config) -> HttpServer {
        let config = Arc::new(config);
        HttpServer {
            owner,
            slots: Slots::new(Arc::clone(&config)),
            config,
            site,
            disk_waits: true,
            listening: bounded(addresses.len()),
            addresses,
            listeners: Vec::new(),
            started: false,
            draining: false,
            accept_later: false,
            hand: 0,
            look_again: None,
            full_since: None,
            timers: Timers::default(),
            scratch: Scratch::new(),
            page_scratch: Scratch::new(),
            reports: Reports::default(),
            totals: ServerTotals::default(),
        }
    }

    /// The server with listeners that were made already, with this server's owner.
    #[must_use]
    pub fn with_listeners(mut self, listeners: Vec<ListenerId>) -> HttpServer {
        self.listeners.extend(listeners);
        self
    }

    /// The server with helpers in threads of their own that open and read what of files is not in memory, so that a slow disk holds
    /// up those who wait for it and nobody else. Not for virtual time, which would go on meanwhile.
    #[must_use]
    pub fn with_disk_helpers(self) -> HttpServer {
        HttpServer { disk_waits: false, ..self }
    }

    /// One message for each address given to [`new`](Self::new), after the first poll.
    pub fn listening(&self) -> Receiver<Listening> {
        self.listening.1.clone()
    }

    /// Asks for a record of each exchange from now on. At most 8192 wait; more are counted in
    /// [`ServerTotals::exchanges_lost`].
    pub fn exchanges(&mut self) -> Receiver<Exchange> {
        self.reports.channel()
    }

    /// Counts all exchanges from now on and keeps the first `shown`, which costs less than a [record of
    /// each](Self::exchanges) in the hands of somebody else. The first caller says how many are kept.
    pub fn tally(&mut self, shown: usize) -> Arc<Mutex<Tally>> {
        self.reports.tally(shown)
    }

    /// What was done so far.
    pub fn totals(&self) -> ServerTotals {
        ServerTotals { exchanges_lost: self.reports.lost, ..self.totals }
    }

    /// Connections open at this moment.
    pub fn connections(&self) -> usize {
        self.slots.len()
    }

    fn start(&mut self, stack: &mut Stack) {
        self.started = true;
        for address in std::mem::take(&mut self.addresses) {
            let became = match stack.listen(address, None, self.owner) {
                Ok(id) => {
                    set_options(stack, id, &self.config);
                    self.listeners.push(id);
                    Listening::At(stack.listener_addr(id).unwrap_or(address))
                }
                Err(e) => Listening::Failed(address, e),
            };
            // The channel has room for all of them.
            let _ = self.listening.0.try_send(became);
        }
        self.accept_later = true;
    }

    fn add(&mut self, now: Instant, stack: &mut Stack, accepted: Accepted) {
        self.totals.connections += 1;
        let key = self.slots.insert(now, accepted.id);
        self.turn(now, stack, key);
    }

    fn ready(&mut self, now: Instant, stack: &mut Stack, ready: Ready) {
        match ready {
            Ready::Accept(listener) => self.accept(now, stack, listener),
            Ready::Conn(id, event) => {
                let mut ended = end_of(event);
                while let Some(event) = stack.more_of(self.owner, id) {
                    ended = ended.or(end_of(event));
                }
                let Some(key) = self.slots.find(id) else { return };
                self.turn(now, stack, key);
                if let Some(reason) = ended
                    && self.slots.find(id).is_some()
                {
                    // What was readable has been read; nothing more comes or goes.
                    let error = (reason != tcp::CloseReason::Normal).then_some(StreamError::ConnectionReset);
                    self.remove(now, stack, key, error);
                }
            }
            Ready::Resolved(_) => {}
        }
    }

    fn due(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(key) = self.timers.pop_due(now) {
            if !self.slots.contains(key) {
                continue;
            }
            self.slots.wake(key);
            self.slots[key].http.on_timeout(now);
            self.turn(now, stack, key);
        }
    }

    /// Lets a connection run as far as it goes.
    fn turn(&mut self, now: Instant, stack: &mut Stack, key: u32) {
        self.slots.wake(key);
        match self.drive(now, stack, key) {
            Ok(()) => {}
            Err(e) => return self.remove(now, stack, key, Some(e)),
        }
        self.settle(now, stack, key);
        let slot = &mut self.slots[key];
        let awaits_peer = slot.http.awaits_peer();
        if !awaits_peer && !slot.http.is_responding() {
            slot.mark = None;
        } else {
            let mark = slot.mark.unwrap_or_else(|| Mark::new(now, slot.moved(now, stack)));
            slot.mark.insert(mark).goes_on(now, awaits_peer);
        }
        // Where the peer has closed too, the last acknowledgment is worth waiting for; TCP ends the wait in any case.
        let awaits_ack = slot.eof_seen && !slot.http.must_abort() && !slot.waiting.is_empty();
        if slot.http.is_over() && !awaits_ack {
            return self.remove(now, stack, key, None);
        }
        let deadline = match (slot.http.next_deadline(), slot.wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.timers.set(key, deadline);
        self.slots.rest(key);
    }

    fn drive(&mut self, now: Instant, stack: &mut Stack, key: u32) -> Result<(), StreamError> {
        loop {
            let slot = &mut self.slots[key];
            let id = slot.id;
            let mut stream = stack.stream(now, id);
            // After a FIN nothing is read any more, so a turn that sees one moves no bytes but has progress.
            let (eof_before, room) = (slot.eof_seen, slot.http.room());
            let received =
                pump::receive(now, &mut slot.http, &mut stream, &mut self.scratch, &mut slot.eof_seen)?;
            slot.received += received as u64;
            let mut progress = received > 0 || slot.eof_seen != eof_before;
            progress |= self.answer(now, stack, key);
            let slot = &mut self.slots[key];
            let mut stream = stack.stream(now, id);
            let sent = pump::send(now, &mut slot.http, &mut stream)?;
            slot.sent += sent as u64;
            progress |= sent > 0;
            if slot.reset_when_acked && slot.http.output().is_empty() && stream.unacked() == 0 {
                slot.http.abort();
            }
            // Most often all there was is read, answered and sent.
            let rests = received < room && slot.page.is_none() && slot.http.resting().is_some();
            if slot.http.is_over() || !progress || rests {
                return Ok(());
            }
        }
    }

    /// Takes the next request, or lets the page at hand go on. True if something came of it.
    fn answer(&mut self, now: Instant, stack: &mut Stack, key: u32) -> bool {
        let slot = &mut self.slots[key];
        let mut progress = false;
        if slot.page.is_none() && !slot.reset_when_acked {
            match slot.http.poll_event(now) {
                None => {}
                Some(ServerEvent::Request(head)) => {
                    progress = true;
                    self.totals.requests += 1;
                    self.begin(now, stack, key, &head);
                    self.slots[key].http.recycle(head);
                }
                Some(ServerEvent::Refused(refusal, head)) => {
                    progress = true;
                    self.totals.refused += 1;
                    self.refused(now, stack, key, refusal, head.as_deref());
                }
            }
        }
        let slot = &mut self.slots[key];
        let Some(page) = &mut slot.page else { return progress };
        slot.wake = None;
        let step = page.step(now, &mut slot.http, self.page_scratch.as_mut());
        if let Some(recording) = &mut slot.current
            && recording.exchange.request_done.is_none()
            && slot.http.body_complete()
        {
            recording.exchange.request_done = Some(now);
        }
        match step {
            Step::Stream => progress,
            Step::Until(at) => {
                slot.wake = Some(at);
                progress
            }
            Step::ResetWhenAcked => {
                slot.page = None;
                slot.reset_when_acked = true;
                true
            }
            Step::Done => {
                slot.page = None;
                slot.served += 1;
                self.complete(now, stack, key);
                true
            }
        }
    }

    fn begin(&mut self, now: Instant, stack: &mut Stack, key: u32, head: &RequestHead) {
        let slot = &mut self.slots[key];
        if stack.tracer().wants_events() {
            let text = format!("{} {} (request {} here)", head.method, head.target, slot.served + 1);
            stack.note_app(now, Some(slot.id), "http", &text);
        }
        if self.reports.are_wanted() {
            let place = slot.sent + slot.http.output().len() as u64;
            let mut exchange = slot.exchange(now, stack);
            if self.reports.want_names() {
                exchange.name(head);
            }
            let before = stack.cut_ledger(now, slot.id);
            slot.current = Some(Recording::new(exchange, before, place));
        }
        slot.page = Some(pages::begin(now, &self.site, self.disk_waits, head, &mut slot.http));
    }

    fn refused(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        key: u32,
        refusal: Refusal,
        head: Option<&RequestHead>,
    ) {
        let slot = &mut self.slots[key];
        if stack.tracer().wants_events() {
            let text = format!("refused with {}: {}", refusal.status, refusal.why);
            stack.note_app(now, Some(slot.id), "http", &text);
        }
        if !self.reports.are_wanted() {
            return;
        }
        let end = slot.sent + slot.http.output().len() as u64;
        let mut recording = match slot.current.take() {
            Some(recording) => recording,
            None => {
                let before = stack.cut_ledger(now, slot.id);
                Recording::new(slot.exchange(now, stack), before, slot.sent)
            }
        };
        if let Some(head) = head {
            recording.exchange.name(head);
        }
        recording.end = end;
        recording.exchange.status = refusal.status.as_u16();
        recording.exchange.bytes = slot.http.body_sent();
        recording.exchange.ended = Ended::Refused;
        slot.waiting.push_back(recording);
    }

    /// The response is complete, although not yet sent.
    fn complete(&mut self, now: Instant, stack: &mut Stack, key: u32) {
        let slot = &mut self.slots[key];
        if stack.tracer().wants_events() {
            let text = format!("response {} complete", slot.served);
            stack.note_app(now, Some(slot.id), "http", &text);
        }
        let Some(mut recording) = slot.current.take() else { return };
        recording.end = slot.sent + slot.http.output().len() as u64;
        recording.exchange.status = slot.http.status().map_or(0, |s| s.as_u16());
        recording.exchange.bytes = slot.http.body_sent();
        recording.exchange.ended = match slot.http.keeps() {
            _ if slot.http.must_abort() => Ended::Aborted,
            true => Ended::Kept,
            false => Ended::Closed,
        };
        slot.waiting.push_back(recording);
    }

    /// Notes when responses were sent and acknowledged, and hands out what is done.
    fn settle(&mut self, now: Instant, stack: &mut Stack, key: u32) {
        let slot = &mut self.slots[key];
        if slot.current.is_none() && slot.waiting.is_empty() {
            return;
        }
        let handed = slot.waiting.iter().any(|recording| recording.handed.is_some());
        let seemed = if handed { stack.ledger(now, slot.id) } else { None };
        let charged = stack.cut_ledger(now, slot.id);
        // Only here does it show that a delay of an acknowledgment held nothing up.
        let held_back = seemed.map_or(Duration::ZERO, |seemed| (charged - seemed).peer_ack_delay);
        let acked = slot.sent - (stack.stream(now, slot.id).unacked() as u64).min(slot.sent);
        let responding = slot.current.as_mut().filter(|_| !slot.http.owes_response());
        for recording in slot.waiting.iter_mut().chain(responding) {
            if recording.exchange.acked.is_none() {
                let ledger = &mut recording.exchange.ledger;
                *ledger = charged - recording.before;
                if let Some(app) = recording.handed {
                    recording.held_back += held_back;
                    ledger.app -= charged.app - app;
                    ledger.peer_ack_delay -= recording.held_back;
                }
            }
            if slot.sent > recording.begin {
                recording.exchange.first_byte.get_or_insert(now);
            }
            if slot.sent >= recording.end {
                recording.exchange.last_byte.get_or_insert(now);
                recording.handed.get_or_insert(charged.app);
            }
            if acked >= recording.end {
                recording.exchange.acked.get_or_insert(now);
            }
        }
        while slot.waiting.front().is_some_and(|r| r.exchange.acked.is_some()) || slot.waiting.len() > UNACKED
        {
            let Some(recording) = slot.waiting.pop_front() else { break };
            self.reports.hand_out(recording.exchange);
        }
    }

    fn remove(&mut self, now: Instant, stack: &mut Stack, key: u32, error: Option<StreamError>) {
        self.slots.wake(key);
        if error.is_none() {
            // A connection that failed has acknowledged no more than was known before.
            self.settle(now, stack, key);
        }
        self.timers.remove(key);
        let Some(mut slot) = self.slots.remove(key) else { return };
        let cut_short = slot.http.is_responding() || slot.http.must_abort();
        if slot.http.must_abort() || (error.is_some() && cut_short) {
            self.totals.aborted += 1;
        }
        let charged = if slot.current.is_some() { stack.cut_ledger(now, slot.id) } else { Parts::default() };
        if slot.http.must_abort() {
            stack.stream(now, slot.id).abort();
        }
        stack.release(now, slot.id);
        for recording in slot.waiting.drain(..) {
            self.reports.hand_out(recording.exchange);
        }
        if let Some(mut recording) = slot.current.take() {
            recording.exchange.ledger = charged - recording.before;
            recording.exchange.status = slot.http.status().map_or(0, |s| s.as_u16());
            recording.exchange.bytes = slot.http.body_sent();
            recording.exchange.ended = Ended::Aborted;
            self.reports.hand_out(recording.exchange);
        }
        self.slots.give_back(slot);
    }
}

fn end_of(event: tcp::Event) -> Option<tcp::CloseReason> {
    if let tcp::Event::Closed(reason) = event { Some(reason) } else { None }
}

/// The peer of a connection that is gone.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Slot {
    /// Bytes that came from the peer, and that it has acknowledged.
    fn moved(&self, now: Instant, stack: &mut Stack) -> u64 {
        let unacked = stack.stream(now, self.id).unacked() as u64;
        self.received + self.sent.saturating_sub(unacked)
    }

    fn exchange(&self, now: Instant, stack: &Stack) -> Exchange {
        Exchange {
            conn: stack.number_of(self.id).unwrap_or(0),
            remote: stack.addrs_of(self.id).map_or(NOBODY, |(_, remote)| remote),
            method: String::new(),
            target: String::new(),
            status: 0,
            bytes: 0,
            started: now,
            request_done: None,
            first_byte: None,
            last_byte: None,
            acked: None,
            ledger: Parts::default(),
            reused: self.served > 0,
            ended: Ended::Aborted,
        }
    }
}

impl Service for HttpServer {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        if !self.started {
            self.start(stack);
        }
        while let Some(ready) = stack.ready(self.owner) {
            self.ready(now, stack, ready);
        }
        self.due(now, stack);
        let room = self.slots.len() < self.config.max_connections as usize;
        if self.accept_later && (room || self.look_again.is_none_or(|at| at <= now)) {
            self.accept_later = false;
            self.look_again = None;
            for n in 0..self.listeners.len() {
                self.accept(now, stack, self.listeners[n]);
            }
            if !self.accept_later {
                self.full_since = None;
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if !self.started {
            return Some(Instant::ZERO);
        }
        self.timers.first().into_iter().chain(self.look_again).min()
    }

    fn drain(&mut self, now: Instant, stack: &mut Stack) -> bool {
        if !self.draining {
            self.draining = true;
            self.addresses.clear();
            for listener in self.listeners.drain(..) {
                stack.close_listener(now, listener);
            }
            // Once, at the end: every connection learns that its response is the last.
            for key in self.slots.keys() {
                self.slots.wake(key);
                self.slots[key].http.drain();
                self.turn(now, stack, key);
            }
        }
        self.poll(now, stack);
        self.slots.len() == 0
    }
}
