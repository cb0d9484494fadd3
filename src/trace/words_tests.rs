//! Every sentence of the trace, as it is read.

use super::record::{Direction, EventKind, EventRecord, PacketRecord, Piece, Why};
use super::words;
use crate::segment::{Flags, Options, SackBlocks, Segment, Timestamps};
use crate::seq::Seq;
use crate::tcp::{
    AckNowWhy, Blocked, Cause, CloseReason, CwndWhy, DataWhy, DropReason, Note, Piggyback, Received, Release,
    RstWhy, Snapshot, State, Verdict,
};
use crate::time::{Duration, Instant};

const ISS: Seq = Seq(u32::MAX - 500);
const IRS: Seq = Seq(9_000_000);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn snapshot() -> Snapshot {
    Snapshot {
        state: State::Established,
        iss: ISS,
        irs: IRS,
        cwnd: 14_600,
        ssthresh: 7_300,
        flight: 2_920,
        srtt: Some(ms(98)),
        rto: ms(400),
        rwnd: 65_535,
        unsent: 37,
        limit: Blocked::Nagle,
        ecn: None,
        ace: false,
    }
}

/// A sent segment with the bytes `start..start + len`, acknowledging 2921.
fn out(start: u32, len: u32, flags: Flags) -> Segment {
    let flags = flags | Flags::ACK;
    Segment { seq: ISS + start, ack: IRS + 2921, flags, len, window: 502, ..Segment::default() }
}

/// A received segment with the bytes `start..start + len`, acknowledging 1001.
fn came(start: u32, len: u32, flags: Flags) -> Segment {
    Segment { seq: IRS + start, ack: ISS + 1001, ..out(0, len, flags) }
}

fn syn(flags: Flags, sack: bool) -> Segment {
    let timestamps = sack.then(Timestamps::default);
    let options = Options {
        mss: Some(1460),
        sack_permitted: sack,
        timestamps,
        window_scale: Some(7),
        ..Options::default()
    };
    Segment { flags, options, ..Segment::default() }
}

fn say_piece(direction: Direction, why: Why, seg: Segment, piece: Piece) -> String {
    let record = PacketRecord {
        at: Instant::ZERO,
        direction,
        frame: &[],
        gso_size: None,
        why,
        conn: Some(3),
        seg: Some(&seg),
        state: Some(snapshot()),
    };
    let mut text = String::new();
    words::why(&mut text, &record, piece).unwrap();
    text
}

fn sent(cause: Cause, seg: Segment) -> String {
    say_piece(Direction::Out, Why::Sent(cause), seg, Piece::WHOLE)
}

#[test]
fn every_cause_has_its_sentence() {
    let full = out(1001, 1460, Flags::NONE);
    let small = out(1, 37, Flags::PSH);
    let ack = out(1001, 0, Flags::NONE);
    let fin = out(1001, 0, Flags::FIN);
    let mut sacking = ack;
    sacking.options.sack.push(IRS + 4381, IRS + 5841);
    sacking.options.sack.push(IRS + 7301, IRS + 8761);
    let data = |why| Cause::Data { why, piggyback: None };
    let held = |by| Cause::NagleRelease { held: Duration::from_micros(40_200), by, piggyback: None };
    let now = Cause::AckNow;
    let riding = Some(Piggyback { bytes: 1460, waited: Duration::from_micros(1_200) });
    let just = Some(Piggyback { bytes: 1, waited: Duration::ZERO });
    let table = [
        (
            Cause::Syn,
            syn(Flags::SYN, true),
            "why=syn: opens the connection, offers MSS 1460, SACK, time stamps, window scale 7",
        ),
        (
            Cause::SynRetransmit { nth: 1, waited: ms(1000) },
            syn(Flags::SYN, true),
            "why=syn-retransmit: retransmission 1, 1 s without an answer (srtt 98 ms, rto 400 ms)",
        ),
        (
            Cause::SynAck { nth: 0 },
            syn(Flags::SYN | Flags::ACK, false),
            "why=syn-ack: accepts the connection, answers MSS 1460, window scale 7",
        ),
        (
            Cause::SynAck { nth: 2 },
            syn(Flags::SYN | Flags::ACK, false),
            "why=syn-ack: retransmission 2, the one before went unanswered (srtt 98 ms, rto 400 ms)",
        ),
        (
            Cause::Syn,
            syn(Flags::SYN | Flags::ACE, false),
            "why=syn: opens the connection, offers MSS 1460, window scale 7, accurate ECN",
        ),
        (
            Cause::SynAck { nth: 0 },
            syn(Flags::SYN | Flags::ACK | Flags::CWR, false),
            "why=syn-ack: accepts the connection, answers MSS 1460, window scale 7, accurate ECN (ACE 2)",
        ),
        (
            now(AckNowWhy::EcnChange),
            ack,
            "why=ack-now(ecn-change): acknowledges 2921, what comes has another ECN field than before",
        ),
        (
            Cause::SynCookie,
            syn(Flags::SYN | Flags::ACK, false),
            "why=syn-cookie: the SYN queue is full: answers by a cookie, MSS 1460, window scale 7",
        ),
        (data(DataWhy::Full), full, "why=data: 1460 bytes 1001..2461, a full segment"),
        (data(DataWhy::Idle), small, "why=data: 37 bytes 1..38, nothing was in flight"),
        (data(DataWhy::NoDelay), small, "why=data: 37 bytes 1..38, Nagle's algorithm is off"),
        (data(DataWhy::OnlySmall), small, "why=data: 37 bytes 1..38, no other small segment is in flight"),
        (
            data(DataWhy::Last),
            out(1, 37, Flags::FIN),
            "why=data: 37 bytes 1..38 and the FIN, the last of the stream",
        ),
        (
            data(DataWhy::Override),
            small,
            "why=data: 37 bytes 1..38, the peer's window stayed too small for more",
        ),
        (
            Cause::Data { why: DataWhy::Full, piggyback: riding },
            full,
            "why=data: 1460 bytes 1001..2461, a full segment; ack-piggyback: acknowledges 2921, 1460 bytes that came 1.2 ms ago",
        ),
        (
            Cause::Data { why: DataWhy::Idle, piggyback: just },
            small,
            "why=data: 37 bytes 1..38, nothing was in flight; ack-piggyback: acknowledges 2921, 1 byte that just came",
        ),
        (held(Release::Ack), small, "why=nagle-release: 37 bytes 1..38, held 40.2 ms until the ACK came"),
        (
            held(Release::Filled),
            full,
            "why=nagle-release: 1460 bytes 1001..2461, held 40.2 ms until more data filled the segment",
        ),
        (
            held(Release::Option),
            small,
            "why=nagle-release: 37 bytes 1..38, held 40.2 ms until Nagle's algorithm or the cork was switched off",
        ),
        (
            held(Release::Close),
            small,
            "why=nagle-release: 37 bytes 1..38, held 40.2 ms until the application closed its side",
        ),
        (
            held(Release::Timer),
            small,
            "why=nagle-release: 37 bytes 1..38, held 40.2 ms until the cork's time was over",
        ),
        (
            Cause::Rto { nth: 2, waited: ms(400) },
            full,
            "why=rto: retransmission 2 of 1001..2461, 400 ms without an ACK (srtt 98 ms, rto 400 ms)",
        ),
        (
            Cause::Rto { nth: 1, waited: ms(200) },
            fin,
            "why=rto: retransmission 1 of the FIN at 1001, 200 ms without an ACK (srtt 98 ms, rto 400 ms)",
        ),
        (Cause::RtoRecovery, full, "why=rto: 1001..2461 again, presumed lost since the timer expired"),
        (
            Cause::FastRetransmit { duplicates: 3 },
            full,
            "why=fast-retransmit: 1001..2461 again, 3 duplicate ACKs said that it was lost",
        ),
        (
            Cause::FastRetransmit { duplicates: 0 },
            full,
            "why=fast-retransmit: 1001..2461 again, a partial ACK in recovery says that it was lost too",
        ),
        (
            Cause::SackRetransmit,
            full,
            "why=sack-retransmit: 1001..2461 again, SACK blocks beyond it say that it was lost",
        ),
        (Cause::Rack, full, "why=rack: 1001..2461 again, data sent later arrived a reordering window ago"),
        (
            Cause::TailLossProbe,
            full,
            "why=tail-loss-probe: 1001..2461 as a probe, the ACK of the tail is overdue (srtt 98 ms, rto 400 ms)",
        ),
        (
            Cause::WindowProbe { nth: 2 },
            ack,
            "why=window-probe: probe 2, the peer's window is closed, 37 bytes wait",
        ),
        (Cause::KeepAlive { nth: 1 }, ack, "why=keep-alive: probe 1 of an idle connection"),
        (Cause::Fin { piggyback: None }, fin, "why=fin: no more data from this side, FIN at 1001"),
        (
            Cause::Fin { piggyback: riding },
            fin,
            "why=fin: no more data from this side, FIN at 1001; ack-piggyback: acknowledges 2921, 1460 bytes that came 1.2 ms ago",
        ),
        (
            Cause::Fin { piggyback: None },
            out(1, 37, Flags::FIN),
            "why=fin: 37 bytes 1..38 and the FIN, and no more behind them",
        ),
        (Cause::Rst(RstWhy::Abort), ack, "why=rst: the application aborted the connection"),
        (
            Cause::Rst(RstWhy::UnreadData),
            ack,
            "why=rst: the application closed, but there is data that it did not read",
        ),
        (Cause::Rst(RstWhy::NoSocket), ack, "why=rst: no connection and no listener for what came"),
        (Cause::Rst(RstWhy::BadAck), ack, "why=rst: what came acknowledges something never sent"),
        (Cause::Rst(RstWhy::BadSyn), ack, "why=rst: another SYN came in the middle of a handshake"),
        (Cause::Rst(RstWhy::GaveUp), ack, "why=rst: gave up, the peer does not answer"),
        (Cause::AckEvery { segments: 2 }, ack, "why=ack-every: acknowledges 2921, 2 full segments came"),
        (Cause::AckEvery { segments: 1 }, ack, "why=ack-every: acknowledges 2921, 1 full segment came"),
        (
            Cause::AckDelayed { waited: ms(40) },
            ack,
            "why=ack-delayed: acknowledges 2921, waited 40 ms for company",
        ),
        (
            now(AckNowWhy::OutOfOrder),
            sacking,
            "why=ack-now(out-of-order): acknowledges 2921 again, a segment came out of order; holds 4381..5841 7301..8761",
        ),
        (now(AckNowWhy::GapFilled), ack, "why=ack-now(gap-filled): acknowledges 2921, a gap was filled"),
        (now(AckNowWhy::Fin), ack, "why=ack-now(fin): acknowledges 2921, the peer's FIN came"),
        (
            now(AckNowWhy::WindowUpdate),
            ack,
            "why=ack-now(window-update): acknowledges 2921, the receive window opened",
        ),
        (
            now(AckNowWhy::Duplicate),
            ack,
            "why=ack-now(duplicate): acknowledges 2921 again, what came was here already",
        ),
        (
            now(AckNowWhy::Challenge),
            ack,
            "why=ack-now(challenge): acknowledges 2921 again, a challenge to a doubtful segment (RFC 5961)",
        ),
        (now(AckNowWhy::Quick), ack, "why=ack-now(quick): acknowledges 2921, quick ACKs are on"),
        (now(AckNowWhy::NoDelay), ack, "why=ack-now(no-delay): acknowledges 2921, ACKs are not delayed"),
        (
            now(AckNowWhy::Handshake),
            ack,
            "why=ack-now(handshake): acknowledges 2921, completes the handshake",
        ),
        (now(AckNowWhy::Probe), ack, "why=ack-now(probe): acknowledges 2921 again, answers a probe"),
    ];
    for (cause, seg, text) in table {
        assert_eq!(sent(cause, seg), text, "{cause:?}");
    }
}

#[test]
fn what_came_is_described() {
    let verdict = |v| Received::new(v);
    let acked = Received { acked: 1460, ..verdict(Verdict::InOrder) };
    let delivered = Received { delivered: 2920, ..verdict(Verdict::InOrder) };
    let duplicate = Received { duplicate_acks: 2, ..verdict(Verdict::Duplicate) };
    let data = came(1, 1460, Flags::NONE);
    let ack = came(1, 0, Flags::NONE);
    let mut sacking = ack;
    sacking.options.sack.push(ISS + 2461, ISS + 3921);
    let mut first = syn(Flags::SYN, true);
    first.seq = IRS;
    let table = [
        (
            verdict(Verdict::InOrder),
            first,
            "why=in-order: SYN offers MSS 1460, SACK, time stamps, window scale 7",
        ),
        (
            Received { acked: 1, ..verdict(Verdict::InOrder) },
            Segment { ack: ISS + 1, flags: Flags::SYN | Flags::ACK, ..Segment::default() },
            "why=in-order: SYN-ACK answers no options, acknowledges 1 (+1)",
        ),
        (Received { delivered: 1460, ..verdict(Verdict::InOrder) }, data, "why=in-order: 1460 bytes 1..1461"),
        (
            Received { window: Some(65_536), ..verdict(Verdict::InOrder) },
            ack,
            "why=in-order: window now 65536 bytes",
        ),
        (delivered, data, "why=in-order: 1460 bytes 1..1461, 2920 bytes can be read now"),
        (acked, ack, "why=in-order: acknowledges 1001 (+1460)"),
        (verdict(Verdict::InOrder), ack, "why=in-order: acknowledges 1001, nothing new"),
        (verdict(Verdict::InOrder), came(1461, 0, Flags::FIN), "why=in-order: FIN at 1461"),
        (
            verdict(Verdict::InOrder),
            came(1461, 9, Flags::FIN),
            "why=in-order: 9 bytes 1461..1470 and the FIN",
        ),
        (verdict(Verdict::InOrder), came(1461, 0, Flags::RST), "why=in-order: RST"),
        (verdict(Verdict::OutOfOrder), data, "why=out-of-order: 1460 bytes 1..1461, beyond a gap, kept"),
        (duplicate, sacking, "why=duplicate: duplicate ACK 2 of 1001; the peer holds 2461..3921"),
        (verdict(Verdict::Duplicate), data, "why=duplicate: 1460 bytes 1..1461, here already, beyond a gap"),
        (verdict(Verdict::Old), data, "why=old: 1460 bytes 1..1461, here already"),
        (verdict(Verdict::Partial), data, "why=partial: 1460 bytes 1..1461, only some of it new"),
        (
            verdict(Verdict::Drop(DropReason::Window)),
            data,
            "why=drop-window: 1460 bytes 1..1461, outside the receive window",
        ),
    ];
    for (it, seg, text) in table {
        assert_eq!(say_piece(Direction::In, Why::Received(it), seg, Piece::WHOLE), text, "{it:?}");
    }
}

#[test]
fn each_reason_to_drop_has_its_word_and_sentence() {
    let said = DropReason::ALL
        .map(|reason| say_piece(Direction::In, Why::Dropped(reason), Segment::default(), Piece::WHOLE));
    assert_eq!(
        said,
        [
            "why=drop-checksum: the checksum is wrong",
            "why=drop-window: outside the receive window",
            "why=drop-paws: its time stamp is older than the last one (RFC 7323)",
            "why=drop-malformed: not a well-formed packet",
            "why=drop-no-socket: no connection and no listener",
            "why=drop-backlog: the listener's accept queue is full",
            "why=drop-syn-queue: the listener's SYN queue is full and cookies are off",
            "why=drop-cookie: acknowledges no SYN cookie of the last minutes",
            "why=drop-bad-ack: its acknowledgment is outside what can be acknowledged (RFC 5961)",
            "why=drop-not-for-us: not for an address of this stack",
            "why=drop-unhandled: a protocol or packet type that nothing here handles",
            "why=drop-control: a control bit that does not fit the state",
            "why=drop-signed: it is signed, and there is no key to verify it with",
            "why=drop-unsigned: it is not signed, and its sender has a key (RFC 2385)",
            "why=drop-signature: its signature is not the key's (RFC 2385)",
            "why=drop-deferred: it carries nothing, and the listener waits for data",
            "why=drop-memory: too many gaps are open, or too little memory is left, to keep it",
        ]
    );
}

#[test]
fn pieces_of_a_super_segment_say_so() {
    let cause = Why::Sent(Cause::Data { why: DataWhy::Full, piggyback: None });
    let say = |seg, nth| say_piece(Direction::Out, cause, seg, Piece { nth, of: 3 });
    assert_eq!(
        say(out(1, 1460, Flags::NONE), 1),
        "why=data: 1460 bytes 1..1461, a full segment (1 of 3 from one super-segment)"
    );
    assert_eq!(
        say(out(2921, 7, Flags::NONE), 3),
        "why=data: 7 bytes 2921..2928, follows full segments (3 of 3 from one super-segment)"
    );
    let whole = Received { delivered: 2927, acked: 5, ..Received::new(Verdict::InOrder) };
    let say = |seg, nth| say_piece(Direction::In, Why::Received(whole), seg, Piece { nth, of: 3 });
    assert_eq!(
        say(came(1, 1460, Flags::NONE), 1),
        "why=in-order: 1460 bytes 1..1461 (1 of 3 from one super-segment)"
    );
    assert_eq!(
        say(came(2921, 7, Flags::NONE), 3),
        "why=in-order: 7 bytes 2921..2928, 2927 bytes can be read now, acknowledges 1001 (+5) \
         (3 of 3 from one super-segment)"
    );
}

#[test]
fn the_second_comment_has_the_numbers() {
    let say = |conn, state: Option<Snapshot>| {
        let mut text = String::new();
        words::state(&mut text, conn, state.as_ref()).unwrap();
        text
    };
    assert_eq!(
        say(Some(3), Some(snapshot())),
        "conn=3 state=ESTABLISHED cwnd=14600 ssthresh=7300 flight=2920 srtt=98ms rto=400ms rwnd=65535 unsent=37 \
         limit=nagle"
    );
    let fresh = Snapshot { ssthresh: u32::MAX, srtt: None, rto: ms(1000), ..snapshot() };
    assert_eq!(
        say(Some(3), Some(fresh)),
        "conn=3 state=ESTABLISHED cwnd=14600 ssthresh=unset flight=2920 srtt=unset rto=1s rwnd=65535 unsent=37 \
         limit=nagle"
    );
    let fast = Snapshot { srtt: Some(Duration::from_nanos(40_250)), ..snapshot() };
    assert!(say(Some(3), Some(fast)).contains(" srtt=40.2us "));
    assert_eq!(say(Some(3), None), "conn=3");
    assert_eq!(say(None, None), "conn=none");
}

#[test]
fn each_event_has_its_word_and_sentence() {
    let cwnd = |why, ssthresh| Note::Cwnd { from: 14_600, to: 7_300, ssthresh, why };
    let closed = |reason| EventKind::Conn(Note::Closed { reason });
    let table = [
        (
            EventKind::Conn(Note::State { from: State::SynSent, to: State::Established }),
            "state: SYN-SENT -> ESTABLISHED",
        ),
        (
            EventKind::Conn(Note::Hold { bytes: 3, cork: false }),
            "nagle-hold: Nagle's algorithm holds 3 bytes until an ACK comes",
        ),
        (EventKind::Conn(Note::Hold { bytes: 1, cork: true }), "cork-hold: the cork holds 1 byte"),
        (
            EventKind::Conn(Note::AckTimer { delay: ms(40) }),
            "ack-timer: an ACK waits for company, at most 40 ms",
        ),
        (
            EventKind::Conn(Note::RtoTimer { rto: ms(400) }),
            "rto-timer: the retransmission timer is set to 400 ms",
        ),
        (
            EventKind::Conn(Note::PersistTimer { delay: ms(200) }),
            "persist-timer: the peer's window is closed, a probe follows in 200 ms",
        ),
        (
            EventKind::Conn(Note::Destroyed { bytes: 3 }),
            "destroyed: the RST takes 3 bytes that had come and were not read",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::Rto, 7_300)),
            "cwnd: congestion window 14600 -> 7300, threshold 7300: the retransmission timer expired",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::Recovery, 7_300)),
            "cwnd: congestion window 14600 -> 7300, threshold 7300: loss was detected, recovery begins",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::Recovered, 7_300)),
            "cwnd: congestion window 14600 -> 7300, threshold 7300: recovery is over",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::Idle, u32::MAX)),
            "cwnd: congestion window 14600 -> 7300, no threshold: the connection was idle",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::Mtu, u32::MAX)),
            "cwnd: congestion window 14600 -> 7300, no threshold: the path's MTU changed",
        ),
        (
            EventKind::Conn(cwnd(CwndWhy::SlowStartLeft, 7_300)),
            "cwnd: congestion window 14600 -> 7300, threshold 7300: the round trips grow, slow start ends",
        ),
        (closed(CloseReason::Normal), "closed: both sides are done"),
        (closed(CloseReason::Refused), "closed: the peer refused the connection"),
        (closed(CloseReason::Reset), "closed: the peer reset the connection"),
        (closed(CloseReason::Aborted), "closed: this side aborted"),
        (closed(CloseReason::TimedOut), "closed: the peer does not answer"),
        (closed(CloseReason::Unreachable), "closed: ICMP says that there is no way to the peer"),
        (
            EventKind::Link { action: "dropped", text: "the queue was full" },
            "link: dropped, the queue was full",
        ),
        (EventKind::Port { text: "waited for a port" }, "port: waited for a port"),
        (
            EventKind::App { word: "http", text: "GET /\r\nEvil: \u{1b}[2J" },
            "http: GET /\u{fffd}\u{fffd}Evil: \u{fffd}[2J",
        ),
    ];
    for (kind, text) in table {
        let record = EventRecord { at: Instant::ZERO, conn: Some(1), local: None, remote: None, kind };
        let mut said = format!("{}: ", words::event_word(&kind));
        words::event(&mut said, &record).unwrap();
        assert_eq!(said, text);
    }
}

#[test]
fn a_text_from_outside_is_bounded() {
    let text = "ä".repeat(70_000);
    let said = words::Clean(&text).to_string();
    assert_eq!(said.chars().count(), 1001);
    assert!(said.ends_with('…'));
}

#[test]
fn the_count_of_accurate_ecn_is_no_echo() {
    let seg = out(1001, 0, Flags::of_ace(7));
    // The ECN field of an IPv4 header, ECT(0).
    let mut frame = [0; 20];
    (frame[0], frame[1]) = (0x45, 2);
    let said = |ace| {
        let record = PacketRecord {
            at: Instant::ZERO,
            direction: Direction::Out,
            frame: &frame,
            gso_size: None,
            why: Why::Sent(Cause::AckNow(AckNowWhy::Quick)),
            conn: Some(1),
            seg: Some(&seg),
            state: Some(Snapshot { ace, ..snapshot() }),
        };
        let mut text = String::new();
        words::why(&mut text, &record, Piece::WHOLE).unwrap();
        text
    };
    assert_eq!(said(true), "why=ack-now(quick): acknowledges 2921, quick ACKs are on [ECT0 ACE 7]");
    assert_eq!(said(false), "why=ack-now(quick): acknowledges 2921, quick ACKs are on [ECT0 ECE CWR]");
}

#[test]
fn without_a_connection_numbers_are_those_of_the_wire() {
    let mut sack = SackBlocks::NONE;
    sack.push(Seq(100), Seq(200));
    let seg = Segment { seq: Seq(5), ack: Seq(7), flags: Flags::ACK, len: 2, ..Segment::default() };
    let record = PacketRecord {
        at: Instant::ZERO,
        direction: Direction::Out,
        frame: &[],
        gso_size: None,
        why: Why::Sent(Cause::AckNow(AckNowWhy::Challenge)),
        conn: None,
        seg: Some(&Segment { options: Options { sack, ..seg.options }, ..seg }),
        state: None,
    };
    let mut text = String::new();
    words::why(&mut text, &record, Piece::WHOLE).unwrap();
    assert_eq!(
        text,
        "why=ack-now(challenge): acknowledges 7 again, a challenge to a doubtful segment (RFC 5961); holds 100..200"
    );
}
