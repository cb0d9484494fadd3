//! What can the owner of a connection do with it, and what may others know of it?

use super::cause::{AckNowWhy, RstWhy, Snapshot};
use super::config::Nagle;
use super::conn::{Conn, Cx, Opts, TimeWait};
use super::send::Fin;
use super::state::{CloseReason, State};
use super::surroundings::Pressure;
use super::timers::Timer;
use crate::stream::StreamError;
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// A buffer that holds nothing can take so much whatever the memory, bytes.
const LEAST_BUFFER: usize = 4096;

/// Something the owner of the connection wants to know; each is reported once per change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The handshake is complete.
    Established,
    /// Bytes, or the peer's FIN, can be read.
    Readable,
    /// There is room in the send buffer again after a write that found too little.
    Writable,
    /// Everything written, and the FIN if this side closed, is acknowledged.
    AllAcked,
    /// The connection is over: CLOSED or TIME-WAIT. What was received can still be read.
    Closed(CloseReason),
}

/// Which sides `shutdown` closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Reads return 0 once nothing is left. What still comes is kept and can be read, as with Linux; behind a FIN of
    /// our own it is answered with a RST.
    Read,
    /// A FIN follows the queued data.
    Write,
    /// Both.
    Both,
}

impl From<std::net::Shutdown> for Shutdown {
    fn from(how: std::net::Shutdown) -> Shutdown {
        match how {
            std::net::Shutdown::Read => Shutdown::Read,
            std::net::Shutdown::Write => Shutdown::Write,
            std::net::Shutdown::Both => Shutdown::Both,
        }
    }
}

impl Conn {
    /// Queues bytes for sending; see [`crate::stream::ByteStream::write`].
    ///
    /// # Errors
    /// `WouldBlock` without room, `BrokenPipe` after closing, else what ended the connection.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        self.write_part(data, false)
    }

    /// The same; with `more` the rest of a message follows, so that its end need not be pushed (`MSG_MORE`).
    ///
    /// # Errors
    /// Those of [`write`](Conn::write).
    pub fn write_part(&mut self, data: &[u8], more: bool) -> Result<usize, StreamError> {
        if let Some(e) = self.error {
            return Err(e);
        }
        if self.snd.fin != Fin::Open || self.state.is_over() {
            return Err(StreamError::BrokenPipe);
        }
        let (mss, unsent) = (self.mss(), self.snd.unsent());
        let n = match self.snd.is_pieced() {
            true => {
                let most = data.len().min(self.held_room());
                let (sizes, unsent) = (self.piece_goal(), self.opts.notsent_lowat.unwrap_or(u32::MAX));
                let limits = (self.board.bursts(), unsent);
                let n = self.snd.write(&data[..most], sizes, limits, more && most == data.len());
                self.intents.rush |= n > 0 && n < data.len();
                n
            }
            false => {
                let n = data.len().min(self.room());
                self.snd.append(&data[..n]);
                n
            }
        };
        self.wants_room = n < data.len();
        self.intents.more = more && !self.wants_room;
        self.intents.put_off = false;
        if n == 0 && !data.is_empty() {
            return Err(StreamError::WouldBlock);
        }
        if unsent < mss && self.pipe() < self.cc.cwnd() && self.board.first_lost().is_none() {
            self.rate.too_little(self.pipe().div_ceil(mss));
        }
        Ok(n)
    }

    /// No segment holds both what was written so far and what is written later (`MSG_EOR`). So many records fit into the
    /// buffer that 1,024 are unacknowledged.
    pub fn end_record(&mut self) {
        if self.snd.fin == Fin::Open && self.snd.queued() > 0 {
            self.snd.end_record();
        }
    }

    /// Room for written bytes: without memory no more than what is held has, or the least that an empty buffer takes.
    fn room(&self) -> usize {
        let unsent = match self.opts.notsent_lowat {
            Some(most) => most.saturating_sub(self.snd.unsent()) as usize,
            None => usize::MAX,
        };
        self.snd.room(self.board.bursts()).min(self.held_room()).min(unsent)
    }

    /// Who found too little room hears of it once a third of the buffer is free, and half of what may be unsent.
    pub(super) fn offer_room(&mut self) {
        let unsent = self.opts.notsent_lowat.is_none_or(|most| self.snd.unsent() < most.div_ceil(2));
        if self.wants_room && unsent && self.snd.has_much_room(self.board.bursts()) {
            self.wants_room = false;
            self.events.writable = true;
        }
    }

    /// What memory leaves room for.
    fn held_room(&self) -> usize {
        match self.rcv.pressure {
            Pressure::Spent => self.snd.capacity().max(LEAST_BUFFER) - self.snd.queued(),
            _ => usize::MAX,
        }
    }

    /// Takes received bytes; see [`crate::stream::ByteStream::read`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there yet, else what ended the connection.
    pub fn read(&mut self, cx: &Cx, buf: &mut [u8]) -> Result<usize, StreamError> {
        let (passed, _) = self.span_to_mark(buf.len());
        let result = self.peek(buf);
        let n = *result.as_ref().unwrap_or(&0) + if buf.is_empty() { 0 } else { passed };
        if n == 0 {
            return result;
        }
        if self.rcv.window() < self.expected_mss() {
            self.ledger.on_opened(cx.now);
        }
        self.rcv.consume(cx.now, n);
        self.pass_mark();
        if !self.state.is_opening() && !self.state.is_over() {
            if self.rcv.wants_update() {
                self.ack.at_once(AckNowWhy::WindowUpdate);
            } else if self.ack.is_due_after_read(self.rcv.readable() == 0) {
                self.ack.at_once(AckNowWhy::Read);
            }
        }
        result
    }

    /// Whether a read would find nothing yet, neither bytes nor an end.
    pub fn has_to_wait_for_bytes(&self) -> bool {
        let ended = self.rcv.finished || self.rcv.shut || self.state.is_over() || self.error.is_some();
        self.rcv.readable() == 0 && !ended
    }

    /// Copies received bytes and leaves them there.
    ///
    /// # Errors
    /// Those of [`read`](Conn::read).
    pub fn peek(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let (passed, most) = self.span_to_mark(buf.len());
        if self.rcv.readable() > passed {
            return Ok(self.rcv.peek(passed, &mut buf[..most]));
        }
        if self.rcv.finished || (self.rcv.shut && self.error.is_none()) {
            return Ok(0);
        }
        match self.error {
            Some(e) => Err(e),
            None if self.state.is_over() => Ok(0),
            None => Err(StreamError::WouldBlock),
        }
    }

    /// Closes one side or both (RFC 9293 §3.6: half-close).
    pub fn shutdown(&mut self, cx: &mut Cx, how: Shutdown) {
        if how != Shutdown::Write {
            self.rcv.shut = true;
            self.events.readable = true;
        }
        if how != Shutdown::Read {
            self.close_write(cx);
        }
    }

    fn close_write(&mut self, cx: &mut Cx) {
        if self.snd.fin != Fin::Open {
            return;
        }
        match self.state {
            // RFC 9293 §3.10.4: nothing was sent that the peer would have to be told about.
            State::SynSent => return self.close_as(cx, CloseReason::Aborted),
            // Only close() does not wait for the handshake, as on Linux.
            State::SynReceived if self.is_early() && self.released => self.set_state(cx, State::FinWait1),
            State::SynReceived => {}
            State::Established => self.set_state(cx, State::FinWait1),
            State::CloseWait => self.set_state(cx, State::LastAck),
            _ => return,
        }
        self.snd.fin = Fin::Queued;
    }

    /// Ends the connection with a RST.
    pub fn abort(&mut self, cx: &mut Cx) {
        self.reset(cx, RstWhy::Abort, CloseReason::Aborted);
    }

    /// The owner lets go of the handle (`close(2)`).
    ///
    /// Unread data or a linger time of zero makes it a RST (RFC 9293 §3.6.1, SHLD-3; RFC 2525 §2.17); else a FIN follows
    /// the queued data, and data that still arrives is answered with a RST (MAY-1).
    pub fn release(&mut self, cx: &mut Cx) {
        if self.released {
            return;
        }
        self.released = true;
        if self.state.is_over() {
            return;
        }
        if self.rcv.readable() > 0 {
            return self.reset(cx, RstWhy::UnreadData, CloseReason::Aborted);
        }
        // How long to linger otherwise is the caller's business; the connection goes on in the background.
        if self.opts.linger == Some(Duration::ZERO) {
            return self.abort(cx);
        }
        self.close_write(cx);
        if self.state == State::FinWait2 {
            self.start_farewell(cx);
        }
    }

    /// FIN-WAIT-2 without an owner does not last for ever.
    pub(super) fn start_farewell(&mut self, cx: &mut Cx) {
        match self.opts.fin_timeout {
            _ if !self.released => {}
            Some(time) => self.timers.set(Timer::Farewell, cx.now + time),
            None => {
                self.close_as(cx, CloseReason::Aborted);
                self.intents.rst = Some(Box::new((self.snd.nxt, None, RstWhy::Abort)));
            }
        }
    }

    /// What waits for more may leave now; also what a cork holds, if `corked`: `TCP_CORK` off and `TCP_NODELAY` on, also where they were
    /// so before.
    pub fn push_held(&mut self, corked: bool) {
        self.timers.clear(Timer::Cork);
        (self.intents.more, self.intents.put_off) = (false, false);
        // TCP_NODELAY does so even to what a cork holds.
        self.intents.rush |= corked && self.snd.unsent() > 0;
    }

    /// Changes socket options. What Nagle or a cork held back may leave with the next
    /// [`poll_transmit`](Conn::poll_transmit).
    pub fn set_opts(&mut self, cx: &mut Cx, opts: Opts) {
        let keepalive_changed =
            (opts.keepalive, opts.keepalive_idle) != (self.opts.keepalive, self.opts.keepalive_idle);
        let was_kept_alive = self.opts.keepalive;
        // Uncorking, and switching Nagle's algorithm off (RFC 9293 §3.7.4, MUST-17), push out what is held, as TCP_CORK
        // and TCP_NODELAY do.
        if (self.opts.cork && !opts.cork) || (self.opts.nagle != opts.nagle && opts.nagle == Nagle::Off) {
            self.push_held(opts.cork);
        }
        let clamp_changed = opts.window_clamp != self.opts.window_clamp;
        let algorithm_changed = opts.congestion != self.opts.congestion;
        self.opts = Arc::new(opts);
        if algorithm_changed {
            self.start_congestion(cx, self.cc.cwnd(), self.cc.ssthresh());
        }
        self.snd.fix(opts.send_buffer_initial, opts.send_buffer);
        self.rcv.buffer.fix(&opts);
        if clamp_changed && let Some(most) = opts.window_clamp {
            self.rcv.buffer.limit_to(most, self.rcv.window());
        }
        if keepalive_changed {
            self.keepalives = 0;
            // Switched on, it waits anew; told to wait longer or shorter, it counts from what was received last.
            let since = self.last_received.max(cx.now - opts.keepalive_idle);
            self.arm_keepalive(if was_kept_alive { since } else { cx.now });
        }
        self.arm_user_timeout();
    }

    /// The defaults have changed that its options were made of: as on Linux a keep-alive timer that runs goes on.
    pub fn follow_opts(&mut self, cx: &mut Cx, opts: Opts) {
        let runs = self.timers.at(Timer::KeepAlive);
        self.set_opts(cx, opts);
        if runs < Instant::FAR {
            self.timers.set(Timer::KeepAlive, runs);
        }
    }

    /// The settings have changed under which it is called.
    pub fn on_config(&mut self, cfg: &super::Config) {
        self.rtt.limit(cfg);
        self.rcv.report_twice(cfg.dsack);
        self.rcv.may_shrink(cfg.shrink_window);
    }

    /// The options as they are.
    pub fn opts(&self) -> &Opts {
        &self.opts
    }

    /// `TCP_QUICKACK`: on sends a waiting acknowledgment and acknowledges at once from now on; off ends that.
    pub fn set_quickack(&mut self, on: bool) {
        self.ack.set_quick(on, self.rcv.readable() == 0);
    }

    /// Whether something came that is not acknowledged yet.
    pub fn owes_ack(&self) -> bool {
        self.ack.pending()
    }

    /// What `TCP_QUICKACK` is read as, turned round: acknowledgments wait for data to ride on.
    pub fn is_interactive(&self) -> bool {
        self.ack.is_interactive()
    }

    // What others may know.

    /// When [`on_timeout`](Conn::on_timeout) is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next event for the owner.
    pub fn poll_event(&mut self) -> Option<Event> {
        let events = &mut self.events;
        let take = |flag: &mut bool| std::mem::take(flag);
        if take(&mut events.established) {
            Some(Event::Established)
        } else if take(&mut events.readable) {
            Some(Event::Readable)
        } else if take(&mut events.writable) {
            Some(Event::Writable)
        } else if take(&mut events.all_acked) {
            Some(Event::AllAcked)
        } else {
            events.closed.take().map(Event::Closed)
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The numbers for the trace.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state,
            iss: self.snd.iss,
            irs: self.rcv.irs,
            cwnd: self.cc.cwnd(),
            ssthresh: self.cc.ssthresh(),
            flight: self.snd.flight(),
            srtt: self.rtt.srtt(),
            rto: self.rtt.rto(),
            rwnd: self.snd.wnd,
            unsent: self.snd.unsent(),
            limit: self.blocked,
            ecn: self.marks(),
            ace: self.accurate().is_some(),
        }
    }

    /// In TIME-WAIT: what has to be remembered of the connection.
    pub fn time_wait(&self) -> Option<TimeWait> {
        (self.state == State::TimeWait).then(|| TimeWait {
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            window: self.rcv.current_field(),
            timestamps: self.ts.on.then_some((self.ts.recent, self.ts.offset)),
            iss: self.snd.iss,
            irs: self.rcv.irs,
        })
    }

    /// Why the connection ended; `None` while it lives and after a normal end (`SO_ERROR`).
    pub fn error(&self) -> Option<StreamError> {
        self.error
    }

    /// The last ICMP error about what is in flight, until the peer acknowledges. It ends no connection: RFC 9293
    /// §3.9.1.8 (MUST-47), §3.9.2.2 (SHLD-25).
    pub fn soft_error(&self) -> Option<StreamError> {
        self.soft_error
    }

    /// The same, and nobody is told of it again.
    pub fn take_soft_error(&mut self) -> Option<StreamError> {
        self.soft_error.take()
    }

    /// Bytes that can be read now.
    pub fn readable(&self) -> usize {
        self.rcv.readable()
    }

    /// Whether all that the peer sent has been read and nothing more can come.
    pub fn read_done(&self) -> bool {
        self.rcv.readable() == 0 && (self.rcv.finished || self.rcv.shut || self.state.is_over())
    }

    /// Room for `write`, bytes.
    pub fn writable(&self) -> usize {
        if self.snd.fin == Fin::Open && !self.state.is_over() { self.room() } else { 0 }
    }

    /// Whether whoever waits for room has to go on waiting.
    pub fn writable_soon(&self) -> bool {
        self.snd.fin == Fin::Open && !self.state.is_over() && !self.has_much_room()
    }

    /// Whether so much of the send buffer is free that whoever waits for room is told (`POLLOUT`).
    pub fn has_much_room(&self) -> bool {
        self.writable() > 0 && self.snd.has_much_room(self.board.bursts())
    }

    /// The smoothed round trip (RFC 6298 §2); `None` before the first was measured.
    pub fn srtt(&self) -> Option<Duration> {
        self.rtt.srtt()
    }

    /// Bytes written and not acknowledged.
    pub fn unacked(&self) -> usize {
        self.snd.queued()
    }

    /// Whether a segment may have to be sent although the state is CLOSED: the RST.
    pub fn has_last_word(&self) -> bool {
        self.intents.rst.is_some() || (self.state == State::TimeWait && self.ack.due())
    }

    /// The sizes of the receive and of the send buffer now, in bytes as [`Config::recv_buffer`](super::Config::recv_buffer) and [`Config::send_buffer`](super::Config::send_buffer)
    /// count them.
    pub fn buffers(&self) -> (u32, u32) {
        (self.rcv.buffer.buffer(), self.snd.buffer)
    }

    /// RCV.WND: how many bytes the peer may send beyond what has come in order, by the last window that it was told.
    pub fn receive_window(&self) -> u32 {
        self.rcv.window()
    }

    /// Bytes of buffer memory held now.
    pub fn memory(&self) -> usize {
        self.snd.capacity() + self.rcv.capacity()
    }
}
