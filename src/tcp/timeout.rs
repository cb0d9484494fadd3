//! What happens when nothing happens? The timers' handlers, and what ICMP says about the path.

use super::cause::{AckNowWhy, RstWhy};
use super::conn::{Conn, Cx};
use super::send::Fin;
use super::state::{CloseReason, State};
use super::timers::Timer;
use crate::seq::Seq;
use crate::stream::StreamError;
use crate::time::{Duration, Instant};

/// No path is believed to carry less: RFC 1191 §3 for IPv4 with the floor that hosts use against forged
/// messages, RFC 8201 §4 for IPv6.
const LEAST_MTU: [u16; 2] = [552, 1280];

pub(super) fn least_mtu(ip_header: u16) -> u16 {
    LEAST_MTU[usize::from(ip_header > 20)]
}

/// What is unsendable waits no less for a probe, as on Linux.
const LEAST_PERSIST: Duration = Duration::from_millis(200);

/// No timer is set to less, as on Linux.
const LEAST_WAIT: Duration = Duration::from_millis(2);

/// What give-up times are reckoned from, as on Linux.
const LEAST_RTO: Duration = Duration::from_millis(200);

/// How long buffers without data are kept for more.
const REST: Duration = Duration::from_secs(1);

impl Conn {
    /// [`next_deadline`](Conn::next_deadline) has passed; harmless when it has not. After the time of `retries` repetitions the
    /// connection fails: R2 of RFC 9293 §3.8.3 (MUST-20).
    pub fn on_timeout(&mut self, cx: &mut Cx) {
        let now = cx.now;
        if self.timers.take_expired(Timer::User, now) || self.timers.take_expired(Timer::Farewell, now) {
            return self.on_giving_up(cx);
        }
        if self.timers.take_expired(Timer::Reorder, now) {
            self.on_reorder_time(cx);
        }
        if self.timers.take_expired(Timer::Tail, now) {
            self.on_probe_time(cx);
        }
        if self.timers.take_expired(Timer::Rto, now) {
            match self.state.is_opening() || self.is_early() {
                true => self.on_syn_timeout(cx),
                false if !self.board.is_empty() => {
                    let over = self.is_out_of_patience(cx);
                    self.suspect_fast_open(over);
                    if over {
                        return self.close_as(cx, CloseReason::TimedOut);
                    }
                    self.on_rto(cx);
                }
                false => {}
            }
        }
        // Whoever calls this asks for what may be sent next.
        self.timers.take_expired(Timer::Pacing, now);
        if self.timers.take_expired(Timer::Persist, now) {
            self.on_persist(cx);
        }
        if self.timers.take_expired(Timer::Ack, now) {
            self.ack.on_timer(self.opts.ack_delay, self.rtt.rto());
        }
        if self.timers.take_expired(Timer::Gathered, now) {
            self.ack.at_once(AckNowWhy::OutOfOrder);
        }
        if self.timers.take_expired(Timer::Cork, now) {
            self.intents.override_hold = true;
        }
        if self.timers.take_expired(Timer::Rest, now) {
            self.rest(now);
        }
        if self.timers.take_expired(Timer::KeepAlive, now) {
            self.on_keepalive(cx);
        }
        self.timers.rest();
    }

    /// After a while without data the memory that it needed is given back; the next data allocates again.
    fn rest(&mut self, now: Instant) {
        self.ledger.rest();
        if self.board.is_empty() {
            self.board.reset();
            self.rack.rest();
        }
        // Both, whatever the first one says.
        if !(self.snd.rest() & self.rcv.rest()) {
            self.timers.set(Timer::Rest, now + REST);
        }
    }

    /// Data came or was acknowledged: rest later.
    pub(super) fn stir(&mut self, now: Instant) {
        self.timers.set(Timer::Rest, now + REST);
    }

    /// The user timeout or FIN-WAIT-2 is over.
    fn on_giving_up(&mut self, cx: &mut Cx) {
        if self.state == State::FinWait2 {
            // The peer has all our data and our FIN; its own end is no concern of ours any more.
            self.close_as(cx, CloseReason::Normal);
            return self.set_state(cx, State::Closed);
        }
        self.close_as(cx, CloseReason::TimedOut);
    }

    /// R2 for SYNs: RFC 9293 §3.8.3 (MUST-22).
    fn on_syn_timeout(&mut self, cx: &mut Cx) {
        let (limit, linear) = match self.state {
            State::SynSent => (cx.cfg.syn_retries, cx.cfg.syn_linear),
            _ if self.is_early() => (cx.cfg.synack_retries.saturating_add(1), 0),
            _ => (cx.cfg.synack_retries, 0),
        };
        // The time that as many doubled intervals would have taken is enough as well.
        let doubled = doublings(cx, limit, cx.cfg.rto_initial);
        let late = linear > 0 && self.stalled_since.is_some_and(|since| cx.now.since(since) >= doubled);
        let over = late || self.retries >= limit.saturating_add(linear);
        self.suspect_fast_open(over);
        if over {
            return self.close_as(cx, CloseReason::TimedOut);
        }
        if self.state == State::SynSent {
            self.counters.on_rto(cx.now, self.retries == 0);
        }
        if self.is_early() && self.retries == 1 {
            // Like Linux: who has not answered two SYN-ACKs has not got data behind them either.
            return self.on_early_loss(cx);
        }
        self.retries += 1;
        if self.retries > linear && !self.is_early() {
            self.rtt.back_off();
        }
        self.intents.syn = true;
    }

    /// How often the same is sent again: less for a connection that nobody looks after any more.
    fn patience(&self, cx: &Cx) -> u8 {
        if self.released { cx.cfg.orphan_retries } else { cx.cfg.retries }
    }

    /// Whether what is missing is being sent again for as long as `times` doublings of the shortest time-out take: the time
    /// decides and not the number, as on Linux.
    pub(super) fn retried_for(&self, cx: &Cx, times: u8) -> bool {
        let since = self.recovery.since;
        let enough = doublings(cx, times, cx.cfg.rto_min.max(LEAST_RTO));
        self.retries > 0 && since != Instant::FAR && cx.now.since(since) >= enough
    }

    /// The timer expired with data in flight: R2 of RFC 9293 §3.8.3 (MUST-20), or the user's own limit (RFC 5482).
    fn is_out_of_patience(&self, cx: &Cx) -> bool {
        let since = self.recovery.since;
        let again = if since == Instant::FAR { Duration::ZERO } else { cx.now.since(since) };
        if self.snd.wnd == 0 && !self.released {
            // A peer that answers with a closed window is alive: RFC 9293 §3.8.6.1 (MUST-37), §3.8.6 (SHLD-17).
            let longest = cx.cfg.rto_max * 2;
            let limit = self.opts.user_timeout.map_or(longest, |limit| longest.min(limit));
            let mute = cx.now.since(self.last_received) > limit;
            return self.opts.user_timeout.is_some_and(|user| again > user) || mute && again > limit;
        }
        match self.opts.user_timeout {
            Some(limit) => self.retries > 0 && again >= limit,
            None => self.retried_for(cx, self.patience(cx)),
        }
    }

    /// RFC 9293 §3.8.6.1 (MUST-35, MUST-36): ask whether the window is still closed; for ever, as long as somebody
    /// answers. But without an owner nobody could end it, and whoever holds windows closed would fill the memory
    /// (RFC 6429 §3): like on Linux, it is over when the probes are as rare as they can get.
    fn on_persist(&mut self, cx: &mut Cx) {
        if !self.board.is_empty() || !self.has_more() {
            (self.probes, self.stalled_since) = (0, None);
            return;
        }
        let longest = self.rtt.rto().saturating_mul(1 << self.probe_backoff.min(16)) >= cx.cfg.rto_max;
        let since = *self.stalled_since.get_or_insert(cx.now);
        // RFC 5482: a peer that answers does not help if the user will not wait.
        let bored = self.opts.user_timeout.is_some_and(|limit| since < cx.now && since + limit <= cx.now);
        if bored || self.probes >= self.patience(cx) || self.released && longest {
            return self.close_as(cx, CloseReason::TimedOut);
        }
        if self.snd.usable() > 0 {
            // There is a little room, or a cork: RFC 9293 §3.8.6.2.1's override.
            self.intents.override_hold = true;
            self.snd.forced();
        } else {
            self.intents.window_probe = true;
            // RFC 9293 §3.8.5: the peer learns of urgent data even if it has no room for it.
            self.intents.urgent_probe = self.snd.urgent_pointer(self.snd.nxt).is_some();
        }
    }

    /// RFC 9293 §3.8.4 (MAY-5): a probe when all is acknowledged (MUST-26); one without an answer proves nothing
    /// (MUST-29).
    fn on_keepalive(&mut self, cx: &mut Cx) {
        let idle = cx.now.since(self.last_received);
        // Unacknowledged data is a probe already.
        if self.snd.flight() > 0 || self.snd.unsent() > 0 {
            self.arm_keepalive(cx.now);
        } else if idle < self.opts.keepalive_idle {
            // What came did not put the timer off: behind an answered probe the next look is taken when another would have been
            // due. As on Linux.
            self.timers.set(Timer::KeepAlive, cx.now + (self.opts.keepalive_idle - idle));
        } else if self.is_given_up_alive(cx) {
            self.reset(cx, RstWhy::GaveUp, CloseReason::TimedOut);
        } else {
            self.keepalives += 1;
            self.intents.keepalive = true;
            self.timers.set(Timer::KeepAlive, cx.now + self.opts.keepalive_interval);
        }
    }

    /// Whether enough probes went unanswered. With a user timeout the time decides, not their number, as on Linux.
    fn is_given_up_alive(&self, cx: &Cx) -> bool {
        match self.opts.user_timeout {
            Some(limit) => self.keepalives > 0 && cx.now.since(self.last_received) >= limit,
            None => self.keepalives >= self.opts.keepalive_count,
        }
    }

    /// ICMP: the path carries packets of `mtu` bytes only; `seq` is the number that the message quotes.
    ///
    /// Believed only if that number is in flight (RFC 5927 §4.1), and down to a floor.
    pub fn on_path_mtu(&mut self, cx: &mut Cx, mtu: u16, seq: Seq) {
        let least = least_mtu(self.ip_header);
        if self.ip_header > 20 && mtu < least {
            // No IPv6 link carries less, whatever is said: RFC 8201 §4.
            return;
        }
        let mtu = mtu.max(least);
        if !cx.cfg.pmtud || mtu >= self.mtu || !self.in_flight(seq) {
            return;
        }
        let (from, before) = (self.cc.cwnd(), self.mss());
        self.mtu = mtu;
        if let Some(search) = &mut self.search {
            search.limit(mtu);
        }
        if !self.state.is_opening() {
            self.obey_search(before);
            let mss = self.mss();
            self.board.lose_longer_than(mss);
            if self.board.first_lost().is_some() {
                self.repeat_for_path();
            }
            self.note_cwnd(cx, from, super::log::CwndWhy::Mtu);
        }
    }

    /// What packets may take as far as the link and routers say, bytes.
    pub fn path_mtu(&self) -> u16 {
        self.mtu
    }

    /// ICMP: the destination cannot be reached; `seq` is the number that the message quotes.
    ///
    /// `hard` says that trying again is pointless. Even then only a connection attempt ends (RFC 5461 §4); on an open
    /// connection the error is remembered and reported if retransmission gives up. RFC 9293 §3.9.2.2 (MUST-56, SHLD-26)
    /// would have attempts outlive soft errors and connections end by hard ones.
    pub fn on_unreachable(&mut self, cx: &mut Cx, seq: Seq, error: StreamError, hard: bool) {
        let of_syn = self.is_early() && seq == self.snd.iss;
        if !self.in_flight(seq) && !of_syn {
            return;
        }
        self.soft_error = Some(error);
        if hard && self.state.is_opening() {
            self.error = Some(error);
            self.close_as(cx, CloseReason::Unreachable);
        }
    }

    /// ICMP: a router knew no way for the segment at `seq`. So it was no congestion that kept it from its goal: the last doubling
    /// of the time-out is taken back, and what has waited for that long already is sent again at once (RFC 6069 §4).
    pub fn on_no_route(&mut self, cx: &mut Cx, seq: Seq) {
        let Some(head) = self.board.head().filter(|_| seq == self.snd.una) else { return };
        if self.retries == 0 || self.state.is_opening() || self.is_early() || !self.rtt.take_back() {
            return;
        }
        let at = (head.last_sent + self.rtt.rto()).max(cx.now);
        self.set_only(Timer::Rto, at);
    }

    fn in_flight(&self, seq: Seq) -> bool {
        seq.ge(self.snd.una) && seq.lt(self.snd.nxt)
    }

    /// Arms the timer that an unsendable rest needs; called when nothing can be sent. RFC 9293 §3.8.6.1: after an RTO
    /// (SHLD-29), then after twice as long each time (SHLD-30).
    pub(super) fn arm_persist(&mut self, cx: &mut Cx) {
        if !self.has_more() || !self.board.is_empty() || self.timers.is_set(Timer::Persist) {
            return;
        }
        let delay = self.rtt.rto().max(LEAST_PERSIST).min(cx.cfg.rto_max);
        self.timers.set(Timer::Persist, cx.now + delay + self.pacing_delay(cx));
        if self.probe_backoff == 0 {
            cx.log.push(super::log::Note::PersistTimer { delay });
        }
    }

    /// Whether data or a FIN has not left yet.
    fn has_more(&self) -> bool {
        self.snd.unsent() > 0 || self.snd.fin == Fin::Queued
    }

    /// A window came while nothing was in flight: what waits fits now, or the next probe waits its full time from here.
    pub(super) fn on_window(&mut self, cx: &Cx) {
        if !self.has_more() || self.state.is_opening() {
            return;
        }
        if self.snd.head_fits() {
            (self.probe_backoff, self.stalled_since) = (0, None);
            self.timers.clear(Timer::Persist);
        } else {
            self.timers.set(Timer::Persist, cx.now + self.persist_delay(cx));
        }
    }

    /// How long the next window probe waits; no longer than the user does.
    pub(super) fn persist_delay(&self, cx: &Cx) -> Duration {
        let base = self.rtt.rto().max(LEAST_PERSIST);
        let delay = base.saturating_mul(1 << self.probe_backoff.min(16)).min(cx.cfg.rto_max);
        match (self.opts.user_timeout, self.stalled_since) {
            (Some(limit), Some(since)) => {
                let left = (since + limit).since(cx.now);
                delay.min(left.max(LEAST_WAIT))
            }
            _ => delay,
        }
    }
}

/// How long `times` repetitions take, `first` apart at first and twice as long each time up to the longest time-out (Linux'
/// tcp_model_timeout).
fn doublings(cx: &Cx, times: u8, first: Duration) -> Duration {
    let longest = cx.cfg.rto_max;
    let growing = (longest.as_micros() / first.as_micros().max(1)).max(1).ilog2().min(times.into()).min(30);
    first.saturating_mul((2 << growing) - 1) + longest.saturating_mul(u32::from(times) - growing)
}
