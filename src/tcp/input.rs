//! What does an arriving segment change? RFC 9293 §3.10.7, in its order.

use super::accurate_ecn::Accurate;
use super::ack::{self, Came};
use super::cause::{AckNowWhy, Received, RstWhy, Verdict};
use super::conn::{Conn, Cx, seconds};
use super::ecn::Agreed;
use super::ledger::Said;
use super::log::Note;
use super::receive::Placed;
use super::send::Fin;
use super::state::{CloseReason, State};
use super::timers::Timer;
use super::window::Room;
use crate::dropped::DropReason;
use crate::segment::{Arrival, Flags, Segment};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// TS.Recent is not believed for more seconds (RFC 7323 §5.5).
const PAWS_AGE: u32 = 24 * 24 * 3600;

/// After a RST that clears the way the SYN is repeated so soon.
const SYN_BEHIND_RST: Duration = Duration::from_millis(2);

/// No timer is shorter: half a tick of Linux' clock.
const TICK: Duration = Duration::from_millis(2);

/// A time stamp may be so much older than TS.Recent: two segments of one tick may have changed places, as in Linux.
const PAWS_SLACK: i32 = 1;

/// The four cases of RFC 9293 §3.10.7.4 table 6; with a closed window, what carries no new data passes so that
/// its ACK and RST are heard.
pub(super) fn fits_window(seg: &Segment, nxt: Seq, window: u32) -> bool {
    match (seg.seq_len(), window) {
        (0, 0) => seg.seq == nxt,
        // The right edge itself is where a peer that filled the window stands.
        (0, _) => seg.seq.within(nxt, window + 1),
        (_, 0) => seg.seq == nxt,
        (len, _) => seg.seq.within(nxt, window) || (seg.seq + (len - 1)).within(nxt, window),
    }
}

/// Segments in order let the window grow from this size on.
const NO_TINYGRAM: u32 = 128;

fn dropped(reason: DropReason) -> Received {
    Received::new(Verdict::Drop(reason))
}

impl Conn {
    /// A segment arrived for this connection; its checksum is right.
    pub fn on_segment(&mut self, cx: &mut Cx, arrival: &Arrival) -> Received {
        self.counters.on_arrival(arrival.segments, arrival.seg.len);
        let received = match self.state {
            State::SynSent => self.in_syn_sent(cx, arrival),
            State::TimeWait | State::Closed => dropped(DropReason::NoSocket),
            _ => self.in_synchronized(cx, arrival),
        };
        // Whatever fits shows that the peer is there: RFC 9293 §3.8.4 (MUST-26). What does not says nothing: anybody can
        // send it.
        if !matches!(received.verdict, Verdict::Drop(_)) {
            self.last_received = cx.now;
            if !cx.cfg.ack_adaptive {
                self.keepalives = 0;
            }
        }
        received
    }

    /// RFC 9293 §3.10.7.3.
    fn in_syn_sent(&mut self, cx: &mut Cx, arrival: &Arrival) -> Received {
        let seg = arrival.seg;
        // First and second: the ACK and the RST bit.
        if seg.has(Flags::ACK) && (seg.ack.le(self.snd.una) || seg.ack.gt(self.snd.nxt)) {
            if !seg.has(Flags::RST) {
                self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::BadAck)));
                // The RST makes an old connection at the other end go away; then it takes the SYN.
                if self.retries == 0 && self.syns > 0 {
                    self.timers.set(Timer::Rto, cx.now + SYN_BEHIND_RST);
                }
            }
            return dropped(DropReason::BadAck);
        }
        if seg.has(Flags::ACK) && !self.echoes_syn(cx, seg) {
            if !seg.has(Flags::RST) {
                self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::BadAck)));
            }
            return dropped(DropReason::Paws);
        }
        if seg.has(Flags::RST) {
            if !seg.has(Flags::ACK) {
                return dropped(DropReason::Control);
            }
            self.close_as(cx, CloseReason::Refused);
            return Received::new(Verdict::InOrder);
        }
        // Fourth: the SYN bit.
        if !seg.has(Flags::SYN) {
            return dropped(DropReason::Control);
        }
        self.take_syn(cx, seg);
        self.agree_in_syn_sent(cx, arrival);
        if !seg.has(Flags::ACK) {
            // Simultaneous open (MUST-10): our SYN goes out again, with an acknowledgment.
            self.intents.syn = true;
            (self.syns, self.retries) = (0, 0);
            self.set_state(cx, State::SynReceived);
            return Received::new(Verdict::InOrder);
        }
        // The window of a SYN is not scaled (RFC 7323 §2.2).
        self.establish(cx, seg, u32::from(seg.window));
        self.ack.at_once(AckNowWhy::Handshake);
        let mut received = Received { acked: 1, ..Received::new(Verdict::InOrder) };
        if self.fast_open.is_some() {
            let readable = self.rcv.readable();
            self.on_fast_answer(cx, arrival);
            received.acked = seg.ack.since(self.snd.iss);
            received.delivered = (self.rcv.readable() - readable) as u32;
        } else if cx.cfg.syn_ack_data && (!arrival.payload.is_empty() || seg.has(Flags::FIN)) {
            let behind = Segment { seq: seg.seq + 1, ..*seg };
            let text = self.take_text(cx, &behind, arrival);
            (received.verdict, received.delivered) = (text.verdict, text.delivered);
        }
        received
    }

    /// What the peer's SYN or SYN-ACK says of ECN.
    fn agree_in_syn_sent(&mut self, cx: &Cx, arrival: &Arrival) {
        if arrival.seg.has(Flags::ACK) {
            let agreed = Agreed::with_syn_ack(cx.cfg, arrival.seg);
            self.agree_ecn(agreed, || Accurate::new(cx.cfg, arrival.ecn));
            self.on_granted(arrival, cx.cfg.ecn_fallback);
        } else {
            let agreed = Agreed::with_crossing(cx.cfg, arrival.seg);
            self.agree_ecn(agreed, || Accurate::crossed(cx.cfg, arrival.ecn));
        }
    }

    /// What a SYN-ACK echoes must be the time of one of our SYNs, if it echoes anything: as with Linux.
    fn echoes_syn(&self, cx: &Cx, seg: &Segment) -> bool {
        let echo = seg.options.timestamps.filter(|t| self.ts.on && t.echo != 0).map(|t| t.echo);
        let first = self.stalled_since.unwrap_or(cx.now);
        echo.is_none_or(|echo| {
            let age = self.ts_now(cx.now).wrapping_sub(echo);
            age <= self.ts_now(cx.now).wrapping_sub(self.ts_now(first))
        })
    }

    /// RFC 9293 §3.10.7.4.
    fn in_synchronized(&mut self, cx: &mut Cx, arrival: &Arrival) -> Received {
        let mut seg = *arrival.seg;
        self.fall_silent();
        if (self.state == State::SynReceived || self.is_early())
            && seg.has(Flags::SYN)
            && seg.seq == self.rcv.irs
            && !seg.has(Flags::RST)
        {
            if !seg.has(Flags::ACK) {
                // The peer has not seen our SYN-ACK.
                self.intents.syn = true;
                return Received::new(Verdict::Duplicate);
            }
            // The SYN-ACK of a simultaneous open (RFC 9293 figure 8): its SYN is old, its ACK is news. The peer hears at once
            // that we have both.
            self.on_repetition(cx);
            self.rcv.came_twice(seg.seq, seg.seq + 1);
            self.ack.at_once(AckNowWhy::Handshake);
            self.take_late_syn(arrival, false);
            seg.flags = seg.flags.without(Flags::SYN | Flags::ACE);
            seg.seq += 1;
            // The window of a SYN is never scaled (RFC 7323 §2.2); from here on it will be.
            seg.window >>= self.snd.shift;
        }
        // First: the sequence number, and before it the time stamp (RFC 7323 §5.3 R1).
        if !self.passes_paws(cx.now, &seg) {
            // A bare acknowledgment that changed places with data is nothing unusual.
            let bare = seg.has(Flags::ACK) && seg.seq_len() == 0 && seg.seq.lt(self.rcv.nxt);
            if !(bare && cx.cfg.ack_adaptive) {
                self.note_repetition(cx, &seg);
                self.answer_doubtful(cx, &seg, AckNowWhy::Duplicate);
            }
            return dropped(DropReason::Paws);
        }
        let closing = cx.cfg.rst_lenient && seg.has(Flags::RST) && self.is_reset_behind_fin(&seg);
        if !closing && !self.is_acceptable(cx, &seg) {
            return self.refuse(cx, &seg);
        }
        // Second: the RST bit (RFC 5961 §3.2), whatever data it carries (SHLD-2).
        if seg.has(Flags::RST) {
            if seg.seq != self.rcv.nxt && !(cx.cfg.rst_lenient && self.is_reset_by(&seg)) {
                if self.state == State::Established {
                    self.suspect_gap();
                }
                self.answer_doubtful(cx, &seg, AckNowWhy::Challenge);
                return dropped(DropReason::Control);
            }
            // Who opened passively goes back to LISTEN: RFC 9293 §3.5 (MUST-11).
            let reason = match self.state {
                State::SynReceived if self.active && !cx.cfg.rst_lenient => CloseReason::Refused,
                State::Closing => CloseReason::Normal,
                // Linux tells who still looks.
                State::LastAck if !cx.cfg.rst_lenient => CloseReason::Normal,
                _ => CloseReason::Reset,
            };
            self.close_by_reset(cx, reason);
            return Received::new(Verdict::InOrder);
        }
        // Fourth: the SYN bit (RFC 5961 §4.2).
        if seg.has(Flags::SYN) {
            self.answer_doubtful(cx, &seg, AckNowWhy::Challenge);
            let answers = self.ack.now == Some(AckNowWhy::Challenge);
            self.take_late_syn(arrival, answers);
            return dropped(DropReason::Control);
        }
        // Fifth: the ACK field.
        if !seg.has(Flags::ACK) {
            return dropped(DropReason::Control);
        }
        let mut received = Received::new(Verdict::InOrder);
        let early = self.is_early();
        let completes = early || self.state == State::SynReceived;
        if !completes {
            self.count_marks(arrival, cx.cfg);
        }
        if early {
            if !self.acknowledges_early(&seg) {
                self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::BadAck)));
                return dropped(DropReason::BadAck);
            }
        } else if self.state == State::SynReceived {
            if seg.ack.le(self.snd.una) || seg.ack.gt(self.snd.nxt) {
                self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::BadAck)));
                return dropped(DropReason::BadAck);
            }
            let closing = self.snd.fin == Fin::Queued;
            self.establish(cx, &seg, u32::from(seg.window) << self.snd.shift);
            self.on_reflection(arrival.seg, cx.cfg.ecn_fallback);
            if self.active {
                // On Linux our SYN-ACK counts beside our SYN.
                self.rate.open_again();
            } else {
                self.count_marks(arrival, cx.cfg);
            }
            if closing {
                self.set_state(cx, State::FinWait1);
            }
            received.acked = 1;
        }
        // RFC 5961 §5.2 (RFC 9293 §3.10.7.4, MAY-12).
        // Below what was ever acknowledged there is nothing that an old acknowledgment could be of. As on Linux.
        let reach = u64::from(self.snd.max_wnd).min(self.counters.bytes_acked) as u32;
        if seg.ack.gt(self.snd.nxt) || seg.ack.lt(self.snd.una - reach) {
            self.answer_doubtful(cx, &seg, AckNowWhy::Challenge);
            return dropped(DropReason::BadAck);
        }
        if seg.ack.ge(self.snd.una) || self.is_predicted(cx, &seg) {
            let newer = self.take_timestamp(cx.now, &seg);
            self.note_newer(newer && !completes);
        }
        if !completes && self.is_plain_data(cx, &seg) {
            // Nor is anything sent on its account that waits.
        } else if seg.ack.ge(self.snd.una) {
            self.accept_reduction(&seg);
            let (wnd, most, mss) = (self.snd.wnd, self.snd.max_wnd, self.mss());
            let window = self.snd.update_window(&seg, seg.ack != self.snd.una);
            match self.snd.max_wnd > most {
                true => self.obey_search(mss),
                false => self.remeasure(mss),
            }
            (self.intents.more, self.intents.put_off) = (false, false);
            let idle = self.board.is_empty();
            let (acked, duplicates) = self.on_ack(cx, &seg, window);
            if idle {
                self.on_window(cx);
            }
            self.after_ack(cx, acked);
            received.window = (received.acked + acked == 0 && self.snd.wnd != wnd).then_some(self.snd.wnd);
            received.acked += acked;
            received.duplicate_acks = duplicates;
            if early {
                self.complete_early(cx);
                self.on_reflection(arrival.seg, cx.cfg.ecn_fallback);
            }
            if duplicates > 0 {
                received.verdict = Verdict::Duplicate;
            }
            if self.state == State::Closed {
                return received;
            }
        } else {
            self.intents.put_off = false;
            self.on_old_ack(cx, &seg);
        }
        // Sixth: the URG bit.
        if seg.has(Flags::URG) || self.urgent.is_some() {
            self.take_urgent(cx, &seg, arrival);
        }
        // Seventh and eighth: the text and the FIN.
        if seg.len > 0 || seg.has(Flags::FIN) {
            let text = self.take_text(cx, &seg, arrival);
            (received.verdict, received.delivered) = (text.verdict, text.delivered);
        }
        received
    }

    fn is_acceptable(&self, cx: &Cx, seg: &Segment) -> bool {
        // What does not end before our last acknowledgment may be old, but its own acknowledgment may be news.
        let recent = seg.end().ge(self.ts.last_ack_sent) && seg.end().le(self.rcv.nxt);
        (recent || fits_window(seg, self.rcv.nxt, self.rcv.window()))
            && (!cx.cfg.whole_segments || self.rcv.has_place_until(seg.seq + seg.len))
    }

    /// A RST from a peer that has sent its FIN and did not count it.
    fn is_reset_behind_fin(&self, seg: &Segment) -> bool {
        let said = matches!(self.state, State::CloseWait | State::LastAck | State::Closing);
        said && seg.seq == self.rcv.nxt - 1
    }

    /// A RST that does not name RCV.NXT but is as good as one that does.
    fn is_reset_by(&self, seg: &Segment) -> bool {
        let last_block = self.sack && self.rcv.highest() == Some(seg.seq);
        last_block || self.is_reset_behind_fin(seg)
    }

    /// Outside the window: say where we are, unless it is a RST (RFC 5961 §3.2).
    fn refuse(&mut self, cx: &mut Cx, seg: &Segment) -> Received {
        if seg.has(Flags::RST) {
            return dropped(DropReason::Window);
        }
        let old = seg.end().le(self.rcv.nxt);
        let why = match seg.seq_len() {
            0 if seg.seq == self.rcv.nxt - 1 => AckNowWhy::Probe,
            _ if seg.has(Flags::SYN) => AckNowWhy::Challenge,
            _ => AckNowWhy::Duplicate,
        };
        self.note_repetition(cx, seg);
        self.answer_doubtful(cx, seg, why);
        if old { Received::new(Verdict::Old) } else { dropped(DropReason::Window) }
    }

    /// What is refused may be data that was here before.
    fn note_repetition(&mut self, cx: &Cx, seg: &Segment) {
        if seg.seq_len() > 0 && !seg.has(Flags::SYN) && seg.seq.lt(self.rcv.nxt) {
            self.on_repetition(cx);
            self.suspect_option(seg.seq);
            self.rcv.came_twice(seg.seq, self.rcv.nxt.min(seg.end()));
        }
    }

    /// An ACK in answer to something doubtful, not more often than `challenge_interval` allows (RFC 5961 §7).
    fn answer_doubtful(&mut self, cx: &Cx, seg: &Segment, why: AckNowWhy) {
        if why != AckNowWhy::Challenge {
            if seg.has(Flags::RST) {
                return;
            }
            // Our acknowledgment may have been lost: the peer waits for it, with a FIN not less than with data. What
            // occupies numbers is no acknowledgment, so no two ends can answer each other for ever with it.
            if seg.seq_len() > 0 && !seg.has(Flags::SYN) {
                return self.ack.at_once(why);
            }
        }
        let wait = cx.cfg.challenge_interval;
        // A probe waits for its answer; one that acknowledges what was never sent is none. Linux makes no difference.
        let probe = !cx.cfg.ack_adaptive && why == AckNowWhy::Probe && seg.ack.le(self.snd.nxt);
        if !probe && self.counters.seen().last_challenge.is_some_and(|at| cx.now.since(at) < wait) {
            return;
        }
        if why == AckNowWhy::Challenge && !self.challenges {
            return;
        }
        self.counters.rare().last_challenge = Some(cx.now);
        self.ack.at_once(why);
    }

    fn close_by_reset(&mut self, cx: &mut Cx, reason: CloseReason) {
        // RFC 9293 §3.10.7.4 has all queues flushed: the RST destroys what came before it and was not read.
        let unread = self.rcv.readable() as u32;
        if reason == CloseReason::Reset && !cx.cfg.keep_data_on_reset && unread > 0 {
            self.rcv.consume(cx.now, unread as usize);
            // A FIN that had come with it must not make this look like a regular end.
            self.rcv.finished = false;
            cx.log.push(Note::Destroyed { bytes: unread });
        }
        self.close_as(cx, reason);
        self.set_state(cx, State::Closed);
    }

    /// RFC 7323 §5.3 R1: an older time stamp means an older segment. A RST needs none (§5.2), and a segment without
    /// is taken (§3.2 would have it dropped; Linux does not either).
    fn passes_paws(&self, now: Instant, seg: &Segment) -> bool {
        let Some(t) = seg.options.timestamps.filter(|_| self.ts.on && !seg.has(Flags::RST)) else {
            return true;
        };
        !self.is_older(now, t.value, PAWS_SLACK) || self.says_nothing(seg, t.value)
    }

    /// Whether the time stamp is older than TS.Recent by more than `slack`.
    fn is_older(&self, now: Instant, value: u32, slack: i32) -> bool {
        let older = (value.wrapping_sub(self.ts.recent) as i32) < -slack;
        // A TS.Recent of zero is a peer's that had no clock yet when it sent its SYN.
        older && self.ts.recent != 0 && seconds(now).wrapping_sub(self.ts.recent_at) <= PAWS_AGE
    }

    /// A pure ACK that repeats what is known, not much older than it: it changed places with the one before, and is no
    /// reason to answer.
    fn says_nothing(&self, seg: &Segment, value: u32) -> bool {
        let age = u64::from(self.ts.recent.wrapping_sub(value));
        seg.seq == self.rcv.nxt
            && seg.seq_len() == 0
            && seg.ack == self.snd.una
            && u32::from(seg.window) << self.snd.shift == self.snd.wnd
            && Duration::from_millis(age) <= self.rtt.rto()
    }

    /// Whether it is plain data in its turn, and says nothing of what we sent: Linux does not look at its acknowledgment then.
    fn is_plain_data(&self, cx: &Cx, seg: &Segment) -> bool {
        let flags = seg.flags.without(Flags::PSH);
        cx.cfg.ack_adaptive
            && flags == Flags::ACK
            && seg.len > 0
            && seg.seq == self.rcv.nxt
            && seg.ack == self.snd.una
            && seg.options.sack.is_empty()
            && u32::from(seg.window) << self.snd.shift == self.snd.wnd
            && self.accurate().is_none()
            && !self.rcv.has_gap()
            && self.rcv.window() > 0
            && self.urgent.is_none()
    }

    /// Whether what it acknowledges is old and its time stamp counts all the same: on Linux only that of a bare acknowledgment, where
    /// nothing else is new either.
    fn is_predicted(&self, cx: &Cx, seg: &Segment) -> bool {
        let flags = match self.accurate().is_some_and(|accurate| accurate.expects(seg)) {
            true => seg.flags.without(Flags::ACE),
            false => seg.flags,
        };
        let bare = flags == Flags::ACK && seg.options.sack.is_empty() && seg.len == 0;
        let steady = !self.rcv.has_gap() && u32::from(seg.window) << self.snd.shift == self.snd.wnd;
        !cx.cfg.ack_adaptive || bare && steady && seg.seq == self.rcv.nxt
    }

    /// RFC 7323 §4.3 (2), §5.3 R3. True if it is newer than the last one.
    fn take_timestamp(&mut self, now: Instant, seg: &Segment) -> bool {
        if let Some(t) = seg.options.timestamps
            && self.ts.on
            && seg.seq.le(self.ts.last_ack_sent)
            && !self.is_older(now, t.value, 0)
        {
            let newer = t.value.wrapping_sub(self.ts.recent) as i32 > 0;
            (self.ts.recent, self.ts.recent_at) = (t.value, seconds(now));
            return newer;
        }
        false
    }

    /// The window and what follows from the acknowledgment, loss apart.
    fn after_ack(&mut self, cx: &mut Cx, acked: u32) {
        // Who answers with a closed window is alive: RFC 9293 §3.8.6.1 (MUST-37).
        (self.probes, self.keepalives) = (0, 0);
        if acked == 0 {
            return;
        }
        self.stir(cx.now);
        // The window has room, and nothing is there to fill it.
        let room = match self.snd.is_pieced() {
            true => self.pipe() < self.cc.cwnd(),
            false => (self.snd.queued() as u32) < self.cc.cwnd(),
        };
        if self.wants_room && room {
            self.snd.grow(self.cc.cwnd() / self.mss(), self.base_mss());
        }
        self.offer_room();
        if self.snd.flight() == 0 && self.snd.unsent() == 0 && self.snd.fin != Fin::Queued {
            self.events.all_acked = true;
        }
        if self.snd.fin == Fin::Acked {
            self.ledger.on_fin_acked(cx.now);
            match self.state {
                State::FinWait1 => {
                    self.set_state(cx, State::FinWait2);
                    self.start_farewell(cx);
                }
                State::Closing | State::LastAck => self.close_as(cx, CloseReason::Normal),
                _ => {}
            }
        }
    }

    /// The payload, cut to the window or whole ([`Config::whole_segments`](super::Config::whole_segments)), and the FIN behind
    /// it (RFC 9293 §3.10.7.4, seventh and eighth).
    fn take_text(&mut self, cx: &mut Cx, seg: &Segment, arrival: &Arrival) -> Received {
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            // The peer has said FIN already; nothing can follow it: RFC 9293 §3.10.7.4, seventh and eighth.
            if seg.seq.lt(self.rcv.nxt) {
                if cx.cfg.rst_lenient && (seg.seq + seg.len).gt(self.rcv.nxt) {
                    self.close_by_reset(cx, CloseReason::Reset);
                    self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::UnreadData)));
                    return Received::new(Verdict::Old);
                }
                self.on_repetition(cx);
                self.rcv.came_twice(seg.seq, self.rcv.nxt.min(seg.end()));
                self.ack.at_once(AckNowWhy::Duplicate);
            }
            return Received::new(Verdict::Old);
        }
        // What lies beyond the window was never asked for, the FIN behind it included.
        let edge = self.rcv.nxt + self.rcv.window();
        let len = arrival.payload.len() as u32;
        let fits = match edge.gt(seg.seq) {
            true if cx.cfg.whole_segments => len,
            true => edge.since(seg.seq).min(len),
            false => 0,
        };
        let cut = fits < len;
        let fin = seg.has(Flags::FIN) && !cut;
        let news = (seg.seq + fits).gt(self.rcv.nxt);
        let deaf = self.rcv.shut && matches!(self.state, State::FinWait1 | State::FinWait2);
        if (self.released || deaf) && news {
            // Nobody will ever read it: RFC 9293 §3.6.1 (SHLD-3), answered like a segment without a connection.
            let reason = if self.released { CloseReason::Aborted } else { CloseReason::Reset };
            self.close_by_reset(cx, reason);
            self.intents.rst = Some(Box::new((seg.ack, None, RstWhy::UnreadData)));
            return Received::new(Verdict::InOrder);
        }
        self.take_marks(seg, arrival.ecn, news);
        let trimmed = cut || seg.seq.lt(self.rcv.nxt);
        if !self.rcv.has_memory(seg.seq, fits) {
            self.ack.at_once(AckNowWhy::NoMemory);
            return dropped(DropReason::Memory);
        }
        if cx.cfg.prune && news {
            let room = self.rcv.buffer.make_room(self.rcv.copied());
            if room != Room::Plenty {
                self.ack.leave_quick();
            }
            let beyond = seg.seq.gt(self.rcv.nxt);
            if room == Room::None && (beyond || fits > 0 && self.rcv.readable() > 0) {
                if !beyond {
                    self.ack.now = Some(AckNowWhy::NoMemory);
                }
                return dropped(DropReason::Memory);
            }
        }
        let gap_before = self.rcv.has_gap();
        self.stir(cx.now);
        if let Some((echo, age)) = self.echo(cx, seg) {
            let drained = self.rcv.readable() == 0;
            self.rcv.buffer.on_echo(echo, age, fits, drained);
        }
        if seg.seq.gt(self.rcv.nxt) {
            self.learn_segment_size(seg, fits, arrival.segments);
        }
        match self.rcv.place(seg.seq, &arrival.payload[..fits as usize], fin) {
            Placed::InOrder(bytes) => {
                self.note_said(cx, seg, fits, gap_before);
                self.counters.bytes_received += u64::from(bytes);
                let finished = self.rcv.finished;
                let delivered = bytes - u32::from(finished);
                if gap_before {
                    // RFC 5681 §4.2: at once when a gap is filled, wholly or in part.
                    if self.rcv.has_gap() {
                        self.acknowledge_beyond(cx, AckNowWhy::GapFilled);
                    } else {
                        self.ack.at_once(AckNowWhy::GapFilled);
                    }
                }
                if delivered > 0 {
                    self.rcv.on_turn(cx.now);
                    // Not what had waited behind the gap: it says nothing about the size of the peer's segments.
                    let (around, full) = (self.around(cx), self.ack.full());
                    self.ack.on_data(&around, delivered.min(fits), self.came(seg, fits, arrival.segments));
                    self.learn_memory(full, fits, arrival.segments);
                }
                self.rcv.buffer.queue(seg.seq, fits, arrival.segments);
                let each = fits / u32::from(arrival.segments.max(1));
                if each >= NO_TINYGRAM && self.rcv.buffer.grow(each) {
                    self.ack.on_growth();
                }
                if gap_before {
                    self.rcv.buffer.join(self.rcv.nxt);
                }
                self.events.readable = true;
                if finished {
                    self.on_fin(cx);
                }
                self.schedule_ack(cx);
                let verdict = if trimmed { Verdict::Partial } else { Verdict::InOrder };
                if cut {
                    self.ack.at_once(AckNowWhy::Probe);
                }
                Received { delivered, ..Received::new(verdict) }
            }
            // RFC 5681 §3.2, RFC 9293 §3.10.7.4 (MAY-13).
            Placed::Beyond => {
                self.note_said(cx, seg, fits, false);
                self.counters.rare().rcv_ooopack += u32::from(arrival.segments.max(1));
                // Without SACK the window stays, so that duplicate ACKs look like such.
                let each = fits / u32::from(arrival.segments.max(1));
                if self.sack && self.rcv.buffer.grow(each) {
                    self.ack.on_growth();
                }
                self.rcv.buffer.keep(seg.seq, fits, arrival.segments);
                self.acknowledge_beyond(cx, AckNowWhy::OutOfOrder);
                Received::new(Verdict::OutOfOrder)
            }
            Placed::Full => {
                self.ack.at_once(AckNowWhy::OutOfOrder);
                dropped(DropReason::Memory)
            }
            Placed::Known if fits == 0 && len > 0 => {
                self.on_repetition(cx);
                self.ack.at_once(AckNowWhy::Probe);
                dropped(DropReason::Window)
            }
            Placed::Known if seg.seq.gt(self.rcv.nxt) => {
                self.counters.rare().rcv_ooopack += u32::from(arrival.segments.max(1));
                self.acknowledge_beyond(cx, AckNowWhy::Duplicate);
                Received::new(Verdict::Duplicate)
            }
            Placed::Known => {
                self.on_repetition(cx);
                self.suspect_option(seg.seq);
                self.ack.at_once(AckNowWhy::Duplicate);
                Received::new(Verdict::Old)
            }
        }
    }

    /// For the ledger: the peer said something new.
    fn note_said(&mut self, cx: &Cx, seg: &Segment, len: u32, filled: bool) {
        let fin = len == 0 && seg.has(Flags::FIN);
        let said = Said { filled, len, full: self.expected_mss(), end: seg.seq + len, fin };
        self.ledger.on_said(cx.now, self.rack.min_rtt(), said);
    }

    fn around(&self, cx: &Cx) -> ack::Around {
        ack::Around {
            now: cx.now,
            delay: self.opts.ack_delay,
            srtt: self.rtt.srtt(),
            rto: self.rtt.rto(),
            window: self.rcv.offered(),
            keeps_up: self.rcv.keeps_up(),
            tight: self.rcv.is_tight(),
        }
    }

    fn schedule_ack(&mut self, cx: &mut Cx) {
        if !self.ack.pending() || self.state.is_over() {
            return;
        }
        match self.ack.verdict(&self.around(cx)) {
            ack::Verdict::Now(why) => self.ack.at_once(why),
            ack::Verdict::Every => self.ack.every = true,
            ack::Verdict::Wait(delay) => {
                // Nothing was ever received that the wait could be learned from: only a FIN came.
                let delay = delay.max(TICK);
                let due = self.timers.at(Timer::Ack);
                if cx.cfg.ack_adaptive && due <= cx.now + delay / 4 {
                    // So little is left that waiting brings nothing.
                    self.ack.on_hurry();
                } else if cx.now + delay < due {
                    self.timers.set(Timer::Ack, cx.now + delay);
                    cx.log.push(Note::AckTimer { delay });
                }
            }
        }
    }

    /// Data came while there is a gap (RFC 5681 §4.2: at once; but see [`Config::compressed_acks`]).
    ///
    /// [`Config::compressed_acks`]: super::Config::compressed_acks
    fn acknowledge_beyond(&mut self, cx: &Cx, why: AckNowWhy) {
        let most = cx.cfg.compressed_acks;
        if !self.sack || most == 0 || self.ack.on_beyond(self.rcv.nxt, most) {
            self.ack.at_once(why);
        } else if !self.timers.is_set(Timer::Gathered) {
            let rtt = self.rtt.srtt().map_or(self.rcv.buffer.rtt(), |srtt| srtt.min(self.rcv.buffer.rtt()));
            let wait = (rtt / 20).min(cx.cfg.compressed_ack_delay);
            self.timers.set(Timer::Gathered, cx.now + wait);
        }
    }

    /// What came was here already or lies out of reach: the peer may have missed acknowledgments.
    fn on_repetition(&mut self, cx: &Cx) {
        self.ack.on_repetition(&self.around(cx));
    }

    fn came(&self, seg: &Segment, bytes: u32, segments: u16) -> Came {
        let pushed = seg.has(Flags::PSH) || seg.has(Flags::FIN);
        let usual_options = if self.ts.on { 12 } else { 0 };
        let (options, most) = (seg.options.encoded_len(), self.expected_mss());
        Came { bytes, segments, options, usual_options, pushed, most }
    }

    /// Data beyond a gap tells, too, how large the peer's segments are.
    fn learn_segment_size(&mut self, seg: &Segment, bytes: u32, segments: u16) {
        if bytes > 0 {
            let full = self.ack.full();
            self.ack.on_size(self.came(seg, bytes, segments));
            self.learn_memory(full, bytes, segments);
        }
    }

    /// How much memory the peer's segments take; `full` was the size of a full one until now. What came as one takes memory as one.
    fn learn_memory(&mut self, full: u32, bytes: u32, segments: u16) {
        let size = bytes / u32::from(segments.max(1));
        self.rcv.on_segment_size(if size >= full { size } else { self.ack.full() });
    }

    /// RCV.NXT has passed the peer's FIN.
    fn on_fin(&mut self, cx: &mut Cx) {
        if cx.cfg.ack_adaptive && self.state == State::Established {
            // Who has said all needs no reports any more; Linux makes none.
            self.rcv.reported();
            self.ack.on_fin(cx.now);
        } else {
            self.ack.at_once(AckNowWhy::Fin);
        }
        match self.state {
            State::Established => self.set_state(cx, State::CloseWait),
            State::FinWait1 => self.set_state(cx, State::Closing),
            State::FinWait2 => self.close_as(cx, CloseReason::Normal),
            _ => {}
        }
    }
}
