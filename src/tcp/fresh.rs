//! What of what was never sent leaves now? Nagle, the windows, and how much at once.

use super::cause::{Blocked, Cause, DataWhy, Release};
use super::config::Nagle;
use super::conn::{Conn, Cx};
use super::mtu_search::MayProbe;
use super::output::{Decision, Kind, Plan, Room};
use super::pieces::Head;
use super::send::Fin;
use super::state::State;
use crate::segment::Options;

/// New data that leaves in one segment or super-segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    /// Its bytes.
    pub(super) len: u32,
    /// The FIN goes with it.
    pub(super) fin: bool,
    /// It ends with a segment that is not full.
    pub(super) small: bool,
    /// What leaves together with it, and itself, bytes.
    pub(super) burst: u32,
    /// The piece that it is cut from, if what is written is kept in pieces.
    pub(super) head: Option<Head>,
}

/// What bounds new data.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The payload of a full segment, bytes.
    full: u32,
    /// What is left of the peer's window.
    usable: u32,
    /// Of the congestion window.
    window: u32,
    /// What pacing lets go.
    paced: u32,
    /// The rest of what is leaving together was judged with its beginning.
    going: Option<u32>,
}

impl Conn {
    /// New data and the FIN: the lesser of both windows (RFC 5681 §3.1, RFC 6675 §4) and segments as large as
    /// possible, whatever the writes were (RFC 9293 §3.9.1.2, SHLD-27, SHLD-28).
    pub(super) fn decide_new(&self, cx: &Cx, room: Room, options: &Options) -> Decision {
        let unsent = self.snd.unsent();
        let fin = self.snd.fin == Fin::Queued && self.state != State::SynReceived;
        if unsent == 0 && !fin {
            return Decision::Wait(Blocked::Idle);
        }
        let usable = self.snd.usable();
        let going = self.burst_left(self.snd.nxt).filter(|&left| left > 0 && left <= usable);
        let piggyback = self.ack.piggyback(cx.now);
        let alone = Portion { len: 0, fin: true, small: false, burst: 0, head: None };
        if unsent == 0 {
            return if usable == 0 {
                Decision::Wait(Blocked::PeerWindow)
            } else if self.pipe() + self.mss() > self.cc.cwnd() && !self.intents.probe {
                Decision::Wait(Blocked::Cwnd)
            } else {
                Decision::Send(Plan { kind: Kind::New(alone), cause: Cause::Fin { piggyback } })
            };
        }
        let full = self.fresh_payload(options);
        match self.mtu_probe(options) {
            MayProbe::Now(len, mtu) => {
                let head = self.snd.is_pieced().then(|| self.snd.head(len));
                let probe = Portion { len, fin: false, head, ..alone };
                return Decision::Send(Plan { kind: Kind::New(probe), cause: Cause::MtuProbe { mtu } });
            }
            MayProbe::Soon => return Decision::Wait(Blocked::Cwnd),
            MayProbe::No => {}
        }
        let mss = self.mss();
        let window = (self.cc.cwnd() / mss).saturating_sub(self.tally().in_network()).saturating_mul(full);
        let paced = match self.paced(cx) {
            Ok(most) => Some(most.div_ceil(full).saturating_mul(full)),
            Err(_) => self.intents.probe.then_some(u32::MAX),
        };
        let bounds = Bounds { full, usable, window, paced: paced.unwrap_or(0), going };
        let portion = match self.snd.is_pieced() {
            true => self.portion_of_pieces(cx, &bounds),
            false => self.portion(&bounds),
        };
        let (mut portion, mut why) = match portion {
            Ok(portion) => portion,
            Err(blocked) => return Decision::Wait(blocked),
        };
        let headers = u32::from(self.ip_header) + 20 + options.encoded_len();
        // The pointer counts from each segment's own beginning.
        let offload = room.max_packet > u32::from(room.mtu) && !self.snd.is_urgent();
        let most = if offload { room.max_packet.min(65_535).saturating_sub(headers).max(full) } else { full };
        if portion.len > most {
            (portion.len, portion.fin, why) = (most - most % full, false, DataWhy::Full);
        }
        portion.small = !portion.len.is_multiple_of(full);
        let cause = match self.held_since {
            _ if self.intents.probe => Cause::TailLossProbe,
            Some(since) => Cause::NagleRelease { held: cx.now.since(since), by: release(why), piggyback },
            None => Cause::Data { why, piggyback },
        };
        Decision::Send(Plan { kind: Kind::New(portion), cause })
    }

    /// By RFC 9293: a stream without marks.
    fn portion(&self, bounds: &Bounds) -> Result<(Portion, DataWhy), Blocked> {
        let &Bounds { full, usable, window, paced, going } = bounds;
        // A record is sent as if nothing were behind it, but waits for nothing if something is.
        let end = self.snd.record_end(self.snd.nxt).unwrap_or(self.snd.data_end());
        let (behind, unsent) = (end.lt(self.snd.data_end()), end.since(self.snd.nxt));
        let least = unsent.min(full);
        // RFC 9293 §3.8.6.2.1 (MUST-38): a full segment, or all there is, or half of the largest window ever seen.
        let half = usable > 0 && usable >= self.snd.max_wnd / 2;
        if usable < least && !half && !(self.intents.override_hold && usable > 0) {
            return Err(Blocked::PeerWindow);
        }
        let least = least.min(usable);
        if window == 0 && !self.intents.probe {
            return Err(Blocked::Cwnd);
        }
        if paced == 0 {
            return Err(Blocked::Pacing);
        }
        let together = going.unwrap_or_else(|| self.burst_limit(full));
        let mut len = unsent.min(usable).min(window.max(least)).min(together.max(least)).min(paced);
        if self.intents.probe {
            len = len.min(full);
        }
        // A super-segment is a number of full segments and perhaps a tail, which is judged on its own.
        let tail = len % full;
        let mut why = DataWhy::Full;
        if tail > 0 {
            let verdict = match len == unsent {
                true if behind => Ok(DataWhy::Record),
                true => self.may_send_small(len > full),
                false => Ok(DataWhy::HalfWindow),
            };
            match verdict {
                Ok(reason) if len < full => why = reason,
                Ok(_) if len == unsent => {}
                // Cut in the middle of a segment: the full ones go, the rest waits.
                Ok(_) => len -= tail,
                Err(_) if len > full => len -= tail,
                Err(blocked) => return Err(blocked),
            }
        }
        let fin = self.snd.fin == Fin::Queued
            && self.state != State::SynReceived
            && len == unsent
            && len < usable
            && !behind;
        Ok((Portion { len, fin, small: false, burst: len, head: None }, why))
    }

    /// As Linux: a piece, or as much of it as goes.
    fn portion_of_pieces(&self, cx: &Cx, bounds: &Bounds) -> Result<(Portion, DataWhy), Blocked> {
        let &Bounds { full, usable, window, paced, going } = bounds;
        let closing = self.snd.fin == Fin::Queued && self.state != State::SynReceived;
        let cut = |len: u32, head: Head, why| {
            let fin = closing && head.last && len == head.len;
            Ok((Portion { len, fin, small: false, burst: len, head: Some(head) }, why))
        };
        if let Some(left) = going {
            return cut(left, self.snd.head(left), DataWhy::Full);
        }
        if self.intents.override_hold {
            // Too small a window, or a cork, had its time.
            let head = self.snd.head(full);
            let len = head.len.min(usable).min(full);
            return if len > 0 { cut(len, head, DataWhy::Override) } else { Err(Blocked::PeerWindow) };
        }
        let window = if self.intents.probe { window.max(full) } else { window };
        if window == 0 {
            return Err(Blocked::Cwnd);
        }
        if paced == 0 {
            return Err(Blocked::Pacing);
        }
        let together = if self.snd.is_urgent() { full } else { self.burst_limit(full).max(full) };
        let quota = window.min(together).min(paced);
        let head = self.snd.head(quota);
        let whole = head.len <= full;
        let fin = closing && head.last && whole;
        if head.len.min(full) + u32::from(fin) > usable {
            return Err(Blocked::PeerWindow);
        }
        if whole {
            let why = match head.len < full {
                true if head.last => self.may_send_small(false)?,
                true => DataWhy::Record,
                false => DataWhy::Full,
            };
            return cut(head.len, head, why);
        }
        let most = together / full * full;
        if !self.intents.probe
            && let Some(blocked) = self.puts_off(cx, usable, most, (head.len, full))
        {
            return Err(blocked);
        }
        let needed = head.len.min(usable);
        let len = match quota {
            quota if quota <= usable && !head.last => head.len.min(quota),
            quota if quota <= needed => quota,
            // What is not full at the end is judged on its own.
            _ if needed % full > 0 && self.may_send_small(false).is_err() => needed - needed % full,
            _ => needed,
        };
        cut(len, head, DataWhy::Full)
    }

    /// What a segment of new data can carry, with `options`. All that leaves at once is cut alike, although what it reports is reported
    /// with the first of it.
    pub(super) fn fresh_payload(&self, options: &Options) -> u32 {
        match self.cut {
            0 => self.full_payload(options),
            unit if self.snd.is_pieced() => self.full_payload(options).min(unit.into()),
            _ => self.full_payload(options),
        }
    }

    /// What could not leave has grown nevertheless: the next piece joined the first.
    pub(super) fn grow_head(&mut self, blocked: Blocked) {
        if matches!(blocked, Blocked::PeerWindow | Blocked::Nagle | Blocked::Cork) && self.snd.unsent() > 0 {
            let quota = self.quota(self.full_payload(&self.usual_options()));
            let (nxt, head) = (self.snd.nxt, self.snd.head(quota));
            self.snd.leave(nxt, head, nxt);
        }
    }

    /// Nagle's algorithm (RFC 9293 §3.7.4, SHLD-7) and the cork (§3.9.1.2, MAY-16), for a segment that is not full and would empty the buffer; `behind` says that
    /// full segments go out right before it.
    fn may_send_small(&self, behind: bool) -> Result<DataWhy, Blocked> {
        if self.snd.fin == Fin::Queued {
            return Ok(DataWhy::Last);
        }
        let forced = self.intents.override_hold || self.intents.rush || self.intents.probe;
        if forced || self.recovery.new_first {
            return Ok(DataWhy::Override);
        }
        if self.snd.is_urgent() {
            return Ok(DataWhy::Urgent);
        }
        if self.opts.cork || self.intents.more {
            return Err(Blocked::Cork);
        }
        let in_flight = behind || self.snd.flight() > 0;
        match self.opts.nagle {
            Nagle::Off => Ok(DataWhy::NoDelay),
            _ if !in_flight => Ok(DataWhy::Idle),
            Nagle::On => Err(Blocked::Nagle),
            Nagle::Minshall if self.snd.small_in_flight() => Err(Blocked::Nagle),
            Nagle::Minshall => Ok(DataWhy::OnlySmall),
        }
    }
}

/// What set held data free, seen from why it may go now.
fn release(why: DataWhy) -> Release {
    match why {
        DataWhy::Full | DataWhy::HalfWindow | DataWhy::Record => Release::Filled,
        DataWhy::Idle | DataWhy::OnlySmall => Release::Ack,
        DataWhy::NoDelay => Release::Option,
        DataWhy::Last => Release::Close,
        DataWhy::Override => Release::Timer,
        DataWhy::Urgent => Release::Filled,
    }
}
