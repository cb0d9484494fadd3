//! What travels with a SYN? TCP Fast Open (RFC 7413), at both ends.

use super::accurate_ecn::Accurate;
use super::cause::AckNowWhy;
use super::conn::{Conn, Cx, LEAST_MSS};
use super::ecn::Agreed;
use super::log::Note;
use super::rack::Seen;
use super::send::Fin;
use super::state::State;
use super::timers::Timer;
use crate::knob::ValueError;
use crate::segment::{Arrival, Cookie, Segment};
use std::fmt;

/// `connect` may send data with its SYN, and ask for the cookie that it needs.
pub const CLIENT: u16 = 0x1;
/// Listeners that have a queue for it take data that comes with a SYN.
pub const SERVER: u16 = 0x2;
/// `connect` needs no cookie.
pub const CLIENT_WITHOUT_COOKIE: u16 = 0x4;
/// Listeners ask for no cookie.
pub const SERVER_WITHOUT_COOKIE: u16 = 0x200;
/// All listeners have a queue, as long as their backlog.
pub const ALL_LISTENERS: u16 = 0x400;

/// Bytes of options that somebody on the way may add to a SYN: data leaves room for them, as on Linux.
const SPARE_OPTIONS: u16 = 40;

const KNOWN: u16 = CLIENT | SERVER | CLIENT_WITHOUT_COOKIE | SERVER_WITHOUT_COOKIE | ALL_LISTENERS;

/// Reads the sum of such bits, in decimal or in hexadecimal with `0x`. As with Linux' sysctl, bits without a meaning have none.
///
/// # Errors
/// Says what is no number.
pub fn read(text: &str) -> Result<u16, ValueError> {
    let text = text.trim();
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match number {
        Ok(bits) => Ok(bits as u16 & KNOWN),
        Err(_) => Err(ValueError(format!("{text:?} is no sum of 1, 2, 4, 512 and 1024"))),
    }
}

/// What cookies are made from: they are made with the first key, and taken with both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    /// The key in use.
    pub primary: [u8; 16],
    /// The one before, while its cookies are still about.
    pub backup: Option<[u8; 16]>,
}

impl Keys {
    /// Of a socket option's value: 16 bytes, or 32 with the second key; `None` if there are others.
    pub fn from_bytes(bytes: &[u8]) -> Option<Keys> {
        let (primary, rest) = bytes.split_first_chunk()?;
        let backup = if rest.is_empty() { None } else { Some(rest.try_into().ok()?) };
        Some(Keys { primary: *primary, backup })
    }

    /// The socket option's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.primary.as_slice(), self.backup.as_ref().map_or(&[], |key| key.as_slice())].concat()
    }

    /// Reads `00000000-00000000-00000000-00000000`, or two with a comma in between, as Linux' sysctl does.
    ///
    /// # Errors
    /// Says what a key looks like.
    pub fn parse(text: &str) -> Result<Keys, ValueError> {
        let wrong = || {
            ValueError(format!("{text:?} is no key: write four groups of hexadecimal digits with - between"))
        };
        let key = |text: &str| -> Option<[u8; 16]> {
            let mut key = [0; 16];
            let mut groups = text.trim().split('-');
            for word in key.chunks_exact_mut(4) {
                word.copy_from_slice(&u32::from_str_radix(groups.next()?, 16).ok()?.to_le_bytes());
            }
            groups.next().is_none().then_some(key)
        };
        let (first, second) = text.split_once(',').map_or((text, None), |(a, b)| (a, Some(b)));
        let primary = key(first).ok_or_else(wrong)?;
        let backup = second.map(|text| key(text).ok_or_else(wrong)).transpose()?;
        Ok(Keys { primary, backup })
    }

    /// The keys in the order in which cookies are tried.
    pub fn iter(&self) -> impl Iterator<Item = &[u8; 16]> {
        std::iter::once(&self.primary).chain(&self.backup)
    }
}

/// As [`Keys::parse`] reads it.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, key) in self.iter().enumerate() {
            let word = |n: usize| u32::from_le_bytes([key[n], key[n + 1], key[n + 2], key[n + 3]]);
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{:08x}-{:08x}-{:08x}-{:08x}", word(0), word(4), word(8), word(12))?;
        }
        Ok(())
    }
}

/// What is known of a peer when a SYN is made for it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Offer {
    /// The option for the SYN.
    pub cookie: Option<Cookie>,
    /// Whether data may go with it.
    pub data: bool,
    /// The MSS that the peer announced the last time.
    pub mss: Option<u16>,
}

/// What the first segments have shown of the peer and of the way to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lesson {
    /// The SYN was answered.
    pub answer: Option<Answer>,
    /// The path seems to swallow what Fast Open sends (RFC 7413 §4.1.3.1).
    pub swallowed: bool,
}

/// The answer to a SYN that had data or the option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The cookie to use from now on.
    pub cookie: Option<Cookie>,
    /// The MSS that the peer announced.
    pub mss: Option<u16>,
    /// There was no cookie, although it was asked for one with the experimental option or with the other.
    pub unheard: Option<bool>,
}

/// What a connection that uses Fast Open has to know of it.
#[derive(Default)]
pub(super) struct FastOpen {
    /// The option for the first SYN or SYN-ACK.
    pub(super) option: Option<Cookie>,
    /// The option that our SYN had.
    asked: Option<Cookie>,
    /// Bytes of data that our SYN has.
    pub(super) carried: u32,
    /// The data that came with the SYN, or that went with it, was taken.
    pub(super) taken: bool,
    /// The owner may use the connection although the handshake is not done: it was opened passively.
    pub(super) early: bool,
    lesson: Option<Lesson>,
    /// The window field of the SYN-ACK, which all that follow have, too.
    pub(super) window: u16,
}

impl Conn {
    /// Asks for Fast Open; to be called between [`connect`](Conn::connect) and the first segment. Takes of `data` what goes
    /// with the SYN, and says how many bytes that is.
    pub fn offer_fast_open(&mut self, offer: &Offer, data: &[u8]) -> usize {
        let most =
            offer.mss.unwrap_or(u16::MAX).max(LEAST_MSS).min(self.own_mss()).saturating_sub(SPARE_OPTIONS);
        let most = if offer.data { usize::from(most).min(self.snd.room(0)) } else { 0 };
        let carried = data.len().min(most);
        self.snd.append(&data[..carried]);
        let option = offer.cookie;
        self.fast_open = Some(Box::new(FastOpen {
            option,
            asked: option,
            carried: carried as u32,
            ..FastOpen::default()
        }));
        carried
    }

    /// Passive open by a SYN with a good cookie: the connection can be used at once (RFC 7413 §4.2.2). `cookie` goes back with
    /// the SYN-ACK. The other arguments are those of [`accept`](Conn::accept).
    #[expect(clippy::too_many_arguments, reason = "those of accept, and one")]
    pub fn accept_early(
        cx: &mut Cx,
        iss: crate::seq::Seq,
        ts_offset: u32,
        ip_header: u16,
        mtu: u16,
        syn: &Arrival,
        cookie: Option<Cookie>,
        opts: impl Into<std::sync::Arc<super::Opts>>,
    ) -> Conn {
        let mut conn = Conn::accept(cx, iss, ts_offset, ip_header, mtu, syn.seg, opts);
        let agreed = Agreed::with_syn(cx.cfg, syn.seg, syn.ecn);
        conn.agree_ecn(agreed, || Accurate::granted(cx.cfg, syn.ecn));
        conn.count_marks(syn, cx.cfg);
        let taken = !syn.payload.is_empty();
        conn.fast_open = Some(Box::new(FastOpen {
            option: cookie,
            early: true,
            taken,
            window: conn.rcv.syn_window(),
            ..FastOpen::default()
        }));
        // RFC 6298 §5.7: nothing was measured.
        conn.rtt.fall_back();
        // The window of a SYN is not scaled (RFC 7323 §2.2).
        conn.begin(cx, syn.seg, u32::from(syn.seg.window), cx.cfg.init_cwnd);
        conn.rate.open_early();
        conn.ledger.on_established(cx.now);
        if taken {
            conn.counters.data_segs_in = 1;
            conn.take_early_data(syn);
            cx.log.push(Note::FastOpen { bytes: syn.payload.len() as u32 });
        }
        conn
    }

    /// Data that came with a SYN, or with the SYN-ACK that answers one with data.
    pub(super) fn take_early_data(&mut self, arrival: &Arrival) {
        let fits = arrival.payload.len().min(self.rcv.window() as usize);
        if fits == 0 {
            return;
        }
        self.rcv.place(arrival.seg.seq + 1, &arrival.payload[..fits], false);
        self.rcv.buffer.queue(arrival.seg.seq + 1, fits as u32, arrival.segments);
        self.rcv.start_behind_data();
        self.ts.last_ack_sent = self.rcv.nxt;
        self.counters.bytes_received += fits as u64;
        self.events.readable = true;
    }

    /// Whether the connection is in use although its handshake is not done.
    pub fn is_early(&self) -> bool {
        self.fast_open.as_ref().is_some_and(|fast| fast.early)
    }

    /// Whether data went, or came, with a SYN and was taken (`TCPI_OPT_SYN_DATA`).
    pub fn sent_with_syn(&self) -> bool {
        self.fast_open.as_ref().is_some_and(|fast| fast.taken)
    }

    /// Takes what there is to learn for the next connection to the same peer.
    pub fn take_lesson(&mut self) -> Option<Lesson> {
        self.fast_open.as_mut()?.lesson.take()
    }

    /// Whether data came although our SYN asked for a cookie or had one.
    pub fn heard_after_asking(&self) -> bool {
        self.counters.data_segs_in > 0 && self.fast_open.as_ref().is_some_and(|fast| fast.asked.is_some())
    }

    /// Bytes of data for the first SYN.
    pub(super) fn data_of_syn(&self) -> u32 {
        self.fast_open
            .as_ref()
            .filter(|_| self.state == State::SynSent && self.syns == 0)
            .map_or(0, |fast| fast.carried)
    }

    /// Whether what stands at `start` went with our SYN, and was not taken.
    pub(super) fn has_unanswered_syn_data(&self, start: crate::seq::Seq) -> bool {
        let Some(fast) = &self.fast_open else { return false };
        !fast.taken && start.lt(self.snd.iss + 1 + fast.carried)
    }

    /// The SYN-ACK `arrival` answers a SYN of Fast Open; `advanced` says how much of its data. What it does not cover goes
    /// again at once: RFC 7413 §4.2.1 (3, 4).
    pub(super) fn on_fast_answer(&mut self, cx: &mut Cx, arrival: &Arrival) {
        let seg = arrival.seg;
        let again = self.syns > 1;
        let Some(fast) = &mut self.fast_open else { return };
        if fast.asked.is_none() && fast.carried == 0 {
            return;
        }
        let cookie = seg.options.fast_open.filter(|cookie| fast.asked.is_some() && !cookie.is_request());
        let unheard = fast.asked.filter(|_| cookie.is_none() && fast.carried == 0 && !again);
        let answer =
            Answer { cookie, mss: seg.options.mss, unheard: unheard.map(|asked| asked.experimental) };
        fast.lesson.get_or_insert_default().answer = Some(answer);
        let carried = fast.carried;
        let acked = seg.ack.since(self.snd.una);
        if acked > 0 {
            let seen = Seen { now: cx.now, echoed: None };
            self.board.release(seg.ack, &mut self.rack, seen, seg.ack);
            self.snd.release(seg.ack);
            self.counters.bytes_acked += u64::from(acked);
        }
        if acked < carried {
            self.board.lose_all();
            self.recovery.lose_with_syn(self.snd.nxt);
            self.intents.resend = true;
            self.timers.set(Timer::Rto, cx.now + self.rtt.rto());
            return;
        }
        if let Some(fast) = &mut self.fast_open {
            fast.taken = carried > 0;
        }
        if carried > 0 {
            cx.log.push(Note::FastOpen { bytes: carried });
        }
        self.take_early_data(arrival);
        if !arrival.payload.is_empty() {
            self.ack.at_once(AckNowWhy::Handshake);
        }
    }

    /// The handshake of an [early](Conn::is_early) connection is done.
    pub(super) fn complete_early(&mut self, cx: &mut Cx) {
        if let Some(fast) = &mut self.fast_open {
            fast.early = false;
        }
        self.rate.open_again();
        self.intents.syn = false;
        if self.syns == 1 && self.rtt.srtt().is_none() {
            let rtt = cx.now.since(self.syn_sent_at);
            self.rtt.sample(cx.cfg, rtt, self.snd.una, self.snd.nxt);
            self.rack.note_rtt(cx.now, rtt);
        }
        self.retries = 0;
        // The timer was the SYN-ACK's.
        if self.board.is_empty() {
            self.timers.clear(Timer::Rto);
            self.stalled_since = None;
        } else {
            // Like Linux, where one timer is for all: what waited for reordering waits for a time-out now.
            let since = match self.timers.is_set(Timer::Reorder) {
                true => self.board.head_sent().unwrap_or(cx.now),
                false => cx.now,
            };
            self.timers.clear(Timer::Reorder);
            self.timers.set(Timer::Rto, since + self.rtt.rto());
            self.stalled_since = Some(cx.now);
        }
        self.arm_user_timeout();
        if self.state == State::SynReceived {
            self.set_state(cx, State::Established);
            self.events.established = true;
            self.arm_keepalive(cx.now);
        }
        if self.snd.fin == Fin::Queued && self.state == State::Established {
            self.set_state(cx, State::FinWait1);
        }
    }

    /// A time-out, the last if `over`: does the path carry what Fast Open sends? Linux minds the third in a row.
    pub(super) fn suspect_fast_open(&mut self, over: bool) {
        if self.retries == 2 || self.retries < 2 && over {
            self.note_swallowed();
        }
    }

    /// A RST or a FIN came out of order, and no data before it: what lies between was kept from us.
    pub(super) fn suspect_gap(&mut self) {
        if self.counters.data_segs_in == 0 && self.fast_open.as_ref().is_some_and(|fast| fast.asked.is_some())
        {
            self.note_swallowed();
        }
    }

    fn note_swallowed(&mut self) {
        if let Some(fast) = &mut self.fast_open
            && self.active
            && (fast.asked.is_some() || fast.carried > 0)
        {
            fast.lesson.get_or_insert_default().swallowed = true;
        }
    }

    /// Whether `seg` may end the handshake of an early connection.
    pub(super) fn acknowledges_early(&self, seg: &Segment) -> bool {
        seg.ack.ge(self.snd.una) && seg.ack.le(self.snd.nxt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_they_are_read() {
        for text in [
            "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4",
            "00000001-00000002-00000003-00000004,00000005-00000006-00000007-00000008",
        ] {
            assert_eq!(Keys::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1-2-3", "1-2-3-4-5", "1-2-3-x", "1-2-3-4,", "1-2-3-100000000"] {
            assert!(Keys::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_has_sixteen_bytes_and_there_may_be_two() {
        for (len, wanted) in [(0, false), (15, false), (16, true), (17, false), (32, true), (33, false)] {
            assert_eq!(Keys::from_bytes(&vec![7; len]).is_some(), wanted, "{len}");
        }
    }
}
