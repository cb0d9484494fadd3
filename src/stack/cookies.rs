//! How is a SYN answered without remembering it? By a number that only we can have made (RFC 4987 §3.6).
//!
//! The initial sequence number tells the minute, which of four MSS fits the peer's, and that it is ours; the lowest
//! bits of the time stamp tell the other options, as on Linux. A peer without time stamps has none of them.

use super::addrs::Flow;
use super::isn::Secrets;
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

/// How long a cookie is good for at the least, and how long acknowledgments are tried as one after the last was sent.
pub(super) const VALID: Duration = Duration::from_secs(60);

/// The MSS that a cookie can tell, for IPv4 and for IPv6: what Ethernet, PPPoE, tunnels and jumbo frames leave.
const MSS: [[u16; 4]; 2] = [[536, 1300, 1440, 1460], [1220, 1420, 1440, 8940]];

/// The bits of the time stamp that tell options: four for the shift, one each for SACK and for ECN.
const BITS: u32 = 6;
const NO_SCALE: u32 = 15;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;
/// How a SYN asks for ECN (RFC 3168 §6.1.1).
const ASKS: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);
/// What no acknowledgment of a SYN-ACK says that did not agree to accurate ECN: more than this (RFC 9768 §5.1).
const MOST_CLASSIC: u8 = 1;

/// The number for the SYN-ACK, and the SYN as far as the cookie tells it; `stamps` if this end uses time stamps.
pub(super) fn make(
    secrets: &Secrets,
    now: Instant,
    flow: &Flow,
    syn: &Segment,
    stamps: bool,
) -> (Seq, Segment) {
    let table = &MSS[family(flow)];
    let mss = syn.options.mss.unwrap_or(table[0]);
    let index = table.partition_point(|&m| m <= mss).saturating_sub(1) as u32;
    let mut told = Segment { seq: syn.seq, flags: Flags::SYN, ..Segment::default() };
    // Without time stamps nothing else can be told, so nothing else is agreed on.
    if stamps && syn.options.timestamps.is_some() {
        told.options = syn.options;
        told.flags |= Flags(syn.flags.0 & Flags::ACE.0);
    }
    told.options.mss = Some(table[index as usize]);
    let minute = minute(now);
    let value =
        (minute as u32) << 24 | (of_minute(secrets, flow, syn.seq, minute).wrapping_add(index) & 0xff_ffff);
    (Seq(value) + secrets.cookie(flow, syn.seq, None), told)
}

/// The time stamp clock of a SYN-ACK, in milliseconds, with the options in its lowest bits, `ecn` if that was granted; it never
/// runs ahead.
pub(super) fn clock(millis: u32, syn: &Segment, ecn: bool) -> u32 {
    let scale = syn.options.window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
    let ecn = if ecn { ECN } else { 0 };
    let bits = scale | ecn | if syn.options.sack_permitted { SACK } else { 0 };
    let told = (millis >> BITS << BITS) | bits;
    if told > millis { told.wrapping_sub(1 << BITS) } else { told }
}

/// The SYN that `seg` acknowledges the cookie of, as far as the cookie tells; None if it is none of the last two
/// minutes' for this flow. `offset` is that of our time stamp clock.
pub(super) fn check(
    secrets: &Secrets,
    now: Instant,
    flow: &Flow,
    seg: &Segment,
    offset: u32,
) -> Option<Segment> {
    let (irs, cookie) = (seg.seq - 1, seg.ack - 1);
    let value = cookie.since(Seq(secrets.cookie(flow, irs, None)));
    let age = (minute(now) as u32).wrapping_sub(value >> 24) & 0xff;
    let made = minute(now).checked_sub(u64::from(age)).filter(|_| age < 2)?;
    let index = value.wrapping_sub(of_minute(secrets, flow, irs, made)) & 0xff_ffff;
    let mss = *MSS[family(flow)].get(index as usize)?;
    let mut options = Options { mss: Some(mss), ..Options::default() };
    let mut flags = Flags::SYN;
    if let Some(Timestamps { value, echo }) = seg.options.timestamps {
        let bits = echo.wrapping_sub(offset);
        options.timestamps = Some(Timestamps { value, echo: 0 });
        options.sack_permitted = bits & SACK != 0;
        if bits & ECN != 0 {
            flags |= if seg.flags.ace() > MOST_CLASSIC { Flags::ACE } else { ASKS };
        }
        options.window_scale = Some((bits & 15) as u8).filter(|&shift| u32::from(shift) != NO_SCALE);
    }
    Some(Segment { seq: irs, flags, options, ..Segment::default() })
}

fn family(flow: &Flow) -> usize {
    usize::from(flow.ip_header() > 20)
}

fn minute(now: Instant) -> u64 {
    now.as_millis() / 60_000
}

fn of_minute(secrets: &Secrets, flow: &Flow, irs: Seq, minute: u64) -> u32 {
    secrets.cookie(flow, irs, Some(minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flow(port: u16) -> Flow {
        Flow::new(([10, 0, 0, 2], port).into(), ([10, 0, 0, 1], 80).into())
    }

    fn ack_of(cookie: Seq, syn: &Segment, timestamps: Option<Timestamps>) -> Segment {
        let options = Options { timestamps, ..Options::default() };
        Segment { seq: syn.seq + 1, ack: cookie + 1, flags: Flags::ACK, options, ..Segment::default() }
    }

    proptest! {
        #[test]
        fn what_was_offered_comes_back(
            irs in any::<u32>(), mss in prop::option::of(any::<u16>()), scale in prop::option::of(0u8..15),
            sack in any::<bool>(), ts in prop::option::of(any::<u32>()), at in 0u64..1 << 40, later in 0u64..60_000,
            offset in any::<u32>(), ecn in any::<bool>(),
        ) {
            let secrets = Secrets::new(7);
            let stamps = ts.map(|value| Timestamps { value, echo: 0 });
            let options = Options { mss, window_scale: scale, sack_permitted: sack, timestamps: stamps, ..Options::default() };
            let flags = if ecn { Flags::SYN | ASKS } else { Flags::SYN };
            let syn = Segment { seq: Seq(irs), flags, options, ..Segment::default() };
            let now = Instant::from_millis(at);
            let (cookie, told) = make(&secrets, now, &flow(1), &syn, true);
            let clock = clock(at as u32, &told, told.has(ASKS));
            prop_assert!((at as u32).wrapping_sub(clock) < 128, "the clock does not run ahead, nor far behind");
            let echo = stamps.map(|t| Timestamps { value: t.value, echo: clock.wrapping_add(offset) });
            let later = now + Duration::from_millis(later);
            let got = check(&secrets, later, &flow(1), &ack_of(cookie, &syn, echo), offset);
            prop_assert_eq!(got, Some(told));
            prop_assert!(told.options.mss.unwrap() <= mss.unwrap_or(536).max(536));
            prop_assert_eq!(told.options.sack_permitted, sack && ts.is_some());
            prop_assert_eq!(told.has(ASKS), ecn && ts.is_some());
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_flow_and_number_and_for_one_to_two_minutes() {
        let secrets = Secrets::new(7);
        let now = Instant::from_millis(90_000);
        let syn = Segment { seq: Seq(5), flags: Flags::SYN, ..Segment::default() };
        let (cookie, _) = make(&secrets, now, &flow(1), &syn, true);
        let ack = ack_of(cookie, &syn, None);
        let good = |secrets: &Secrets, at, flow: &Flow, ack: &Segment| {
            check(secrets, Instant::from_millis(at), flow, ack, 0).is_some()
        };
        assert!(good(&secrets, 90_000, &flow(1), &ack) && good(&secrets, 179_999, &flow(1), &ack));
        for (sentence, secrets, at, port, ack) in [
            ("too old", secrets, 180_000, 1, ack),
            ("of the future", secrets, 59_999, 1, ack),
            ("another flow's", secrets, 90_000, 2, ack),
            ("another stack's", Secrets::new(8), 90_000, 1, ack),
            ("for another SYN", secrets, 90_000, 1, Segment { seq: Seq(7), ..ack }),
            ("another number", secrets, 90_000, 1, Segment { ack: ack.ack + 4, ..ack }),
        ] {
            assert!(!good(&secrets, at, &flow(port), &ack), "{sentence}");
        }
    }

    #[test]
    fn without_time_stamps_at_either_end_nothing_but_the_mss_is_agreed_on() {
        let secrets = Secrets::new(7);
        let stamps = Some(Timestamps { value: 9, echo: 0 });
        let offered = |timestamps| Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps,
            ..Options::default()
        };
        for (theirs, ours) in [(None, true), (stamps, false), (None, false)] {
            let options = offered(theirs);
            let syn = Segment { seq: Seq(5), flags: Flags::SYN | ASKS, options, ..Segment::default() };
            let (_, told) = make(&secrets, Instant::from_millis(90_000), &flow(1), &syn, ours);
            let only = Options { mss: Some(1460), ..Options::default() };
            assert_eq!((told.options, told.flags), (only, Flags::SYN), "{theirs:?} {ours}");
        }
    }

    #[test]
    fn a_million_guesses_hit_nothing() {
        let (secrets, now) = (Secrets::new(7), Instant::from_millis(600_000));
        let guess =
            |n: u32| Segment { seq: Seq(n), ack: Seq(n.wrapping_mul(0x9e37_79b9)), ..Segment::default() };
        assert_eq!(
            (0..1_000_000).filter(|&n| check(&secrets, now, &flow(1), &guess(n), 0).is_some()).count(),
            0
        );
    }
}
