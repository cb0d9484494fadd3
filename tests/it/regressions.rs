//! Does our TCP make the mistakes that other TCPs have made?

use std::net::SocketAddr;
use tcpglass::segment::{Arrival, Ecn, Flags, Options, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::sim::{World, host_config};
use tcpglass::stack::queue_device::QueueDevice;
use tcpglass::stack::{ListenerId, Owner, Stack};
use tcpglass::stream::{ByteStream, StreamError};
use tcpglass::tcp::{
    AckNowWhy, Cause, CloseReason, Config, Conn, Cx, DropReason, Event, Log, Nagle, Opts, Received, Room,
    Shutdown, State, Verdict, WindowScale,
};
use tcpglass::time::{Duration, Instant};
use tcpglass::trace::Tracer;
use tcpglass::wire::{self, Decoded, Envelope};

const ISS: Seq = Seq(u32::MAX - 5_000); // our numbers wrap in every longer test
const IRS: Seq = Seq(7_000);
const MS: Duration = Duration::from_millis(1);
const MSS: u32 = 1460;

/// A connection that is told by hand what its peer sends.
struct Glass {
    conn: Conn,
    cfg: Config,
    log: Log,
    now: Instant,
    /// What the peer's next segment carries.
    peer: Segment,
}

/// A segment that the connection sent.
struct Sent {
    at: Instant,
    seg: Segment,
    data: Vec<u8>,
    cause: Cause,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Sent { at, seg, data: _, cause } = self;
        write!(
            f,
            "{at} {} {}+{} ack {} win {} {}",
            seg.flags,
            self.offset(),
            seg.len,
            self.acked(),
            seg.window,
            cause.word()
        )
    }
}

impl Sent {
    /// Where its data begins, counted from the first byte.
    fn offset(&self) -> u32 {
        self.seg.seq.since(ISS + 1)
    }

    /// How much it acknowledges of what the peer sent.
    fn acked(&self) -> u32 {
        self.seg.ack.since(IRS + 1)
    }
}

/// Settings without options and without delays that a test does not ask for.
fn plain() -> Config {
    Config { sack: false, timestamps: false, window_scale: WindowScale::Off, quickack: 0, ..Config::linux() }
}

fn options() -> Options {
    Options { mss: Some(MSS as u16), ..Options::default() }
}

impl Glass {
    /// A connection in SYN-SENT; its SYN has been taken.
    fn connecting(cfg: Config) -> Glass {
        let mut log = Log::new(false);
        let opts = Opts::new(&cfg);
        let mut cx = Cx { now: Instant::ZERO, cfg: &cfg, log: &mut log };
        let conn = Conn::connect(&mut cx, ISS, 0, 20, 1500, opts);
        let peer = Segment { seq: IRS + 1, ack: ISS + 1, window: 65_535, ..Segment::default() };
        let mut glass = Glass { conn, cfg, log, now: Instant::ZERO, peer };
        assert_eq!(glass.sends().len(), 1);
        glass
    }

    /// A connection in ESTABLISHED whose peer's SYN had `options`.
    fn established_with(cfg: Config, options: Options) -> Glass {
        let mut log = Log::new(false);
        let opts = Opts::new(&cfg);
        let syn = Segment { seq: IRS, flags: Flags::SYN, window: 65_535, options, ..Segment::default() };
        let mut cx = Cx { now: Instant::ZERO, cfg: &cfg, log: &mut log };
        let conn = Conn::accept(&mut cx, ISS, 0, 20, 1500, &syn, opts);
        let peer = Segment { seq: IRS + 1, ack: ISS + 1, window: 65_535, ..Segment::default() };
        let mut glass = Glass { conn, cfg, log, now: Instant::ZERO, peer };
        assert_eq!(glass.sends().len(), 1, "the SYN-ACK");
        glass.gets(Flags::ACK, 0, b"");
        assert_eq!(glass.conn.state(), State::Established);
        glass
    }

    fn established(cfg: Config) -> Glass {
        Glass::established_with(cfg, options())
    }

    fn cx<T>(&mut self, f: impl FnOnce(&mut Conn, &mut Cx) -> T) -> T {
        f(&mut self.conn, &mut Cx { now: self.now, cfg: &self.cfg, log: &mut self.log })
    }

    /// The peer sends `payload` at `offset`, with the acknowledgment and window of `self.peer`.
    fn gets(&mut self, flags: Flags, offset: u32, payload: &[u8]) -> Received {
        let seg = Segment { seq: IRS + 1 + offset, flags, len: payload.len() as u32, ..self.peer };
        self.gets_segment(&seg, payload, 1)
    }

    fn gets_segment(&mut self, seg: &Segment, payload: &[u8], segments: u16) -> Received {
        let arrival = Arrival { seg, payload, segments, ecn: Ecn::NotEct };
        self.cx(|conn, cx| conn.on_segment(cx, &arrival))
    }

    /// The peer acknowledges everything up to `offset` of ours.
    fn acks(&mut self, offset: u32) {
        self.peer.ack = ISS + 1 + offset;
        self.gets(Flags::ACK, 0, b"");
    }

    /// All that is to be sent now.
    fn sends(&mut self) -> Vec<Sent> {
        let room = Room { mtu: 1500, max_packet: 1500 };
        let mut all = Vec::new();
        let at = self.now;
        while let Some(sent) = self.cx(|conn, cx| {
            let t = conn.poll_transmit(cx, room)?;
            Some(Sent { at, seg: t.seg, data: [t.payload.0, t.payload.1].concat(), cause: t.cause })
        }) {
            all.push(sent);
        }
        all
    }

    /// Lets `time` pass; what was sent meanwhile.
    fn waits(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut all = self.sends();
        while let Some(at) = self.conn.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.cx(Conn::on_timeout);
            all.extend(self.sends());
        }
        self.now = end;
        all
    }

    fn writes(&mut self, data: &[u8]) -> Vec<Sent> {
        assert_eq!(self.conn.write(data), Ok(data.len()));
        self.sends()
    }

    /// Reads all there is, and how it ends: `Ok(0)` for the peer's FIN.
    fn reads(&mut self) -> (Vec<u8>, Result<usize, StreamError>) {
        let (mut all, mut buf) = (Vec::new(), [0; 4096]);
        loop {
            match self.cx(|conn, cx| conn.read(cx, &mut buf)) {
                Ok(n) if n > 0 => all.extend_from_slice(&buf[..n]),
                end => return (all, end),
            }
        }
    }
}

fn bytes(range: std::ops::Range<u32>) -> Vec<u8> {
    range.map(|n| (n % 251) as u8).collect()
}

const WOULD_BLOCK: Result<usize, StreamError> = Err(StreamError::WouldBlock);

#[test]
fn a_fin_behind_the_windows_edge_is_not_taken() {
    let mut glass = Glass::established(Config {
        recv_buffer: 29_200,
        ack_adaptive: false,
        whole_segments: false,
        ..plain()
    });
    for start in (0..14_000).step_by(1000) {
        glass.gets(Flags::ACK, start, &bytes(start..start + 1000));
    }
    // The last segment ends one byte beyond the window and carries the FIN.
    glass.gets(Flags::ACK | Flags::FIN, 14_000, &bytes(14_000..14_601));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(14_600), "neither the byte nor the FIN");
    assert_eq!(glass.conn.state(), State::Established);
    assert_eq!(glass.reads(), (bytes(0..14_600), WOULD_BLOCK), "more is to come");
    assert!(glass.sends().last().is_some_and(|s| s.seg.window > 0), "the window opens again");
    glass.gets(Flags::ACK | Flags::FIN, 14_600, &bytes(14_600..14_601));
    assert_eq!(glass.reads(), (bytes(14_600..14_601), Ok(0)));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(14_602));
}

#[test]
fn an_ack_of_what_was_never_sent_is_refused() {
    let mut glass = Glass::established(plain());
    glass.writes(b"four");
    glass.peer.ack = ISS + 1 + 5;
    let received = glass.gets(Flags::ACK, 0, b"data behind a wrong ACK");
    assert_eq!(received.verdict, Verdict::Drop(DropReason::BadAck));
    assert_eq!((glass.conn.unacked(), glass.conn.readable()), (4, 0));
    let answer = glass.sends();
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].cause, Cause::AckNow(AckNowWhy::Challenge));
}

#[test]
fn after_a_timeout_an_ack_of_the_whole_flight_is_taken() {
    let mut glass = Glass::established(plain());
    let flight = glass.writes(&bytes(0..5 * MSS));
    assert_eq!(flight.len(), 5);
    let again = glass.waits(Duration::from_secs(2));
    assert!(matches!(again.first().map(|s| s.cause), Some(Cause::Rto { nth: 1, .. })), "{again:?}");
    // The first transmission had arrived after all: everything is acknowledged at once.
    glass.acks(5 * MSS);
    assert_eq!(glass.conn.unacked(), 0);
    assert!(glass.waits(Duration::from_secs(60)).is_empty(), "nothing is sent a third time");
}

#[test]
fn only_a_reset_with_the_very_next_number_closes_the_connection() {
    let mut glass = Glass::established(plain());
    for offset in [1, 100, 60_000] {
        let received = glass.gets(Flags::RST, offset, b"");
        assert_eq!(received.verdict, Verdict::Drop(DropReason::Control));
        assert_eq!(glass.conn.state(), State::Established);
        let answer = glass.sends();
        assert_eq!(answer.len(), 1, "a challenge ACK: RFC 5961 §3.2");
        assert_eq!((answer[0].seg.flags, answer[0].acked()), (Flags::ACK, 0));
        glass.waits(Duration::from_secs(1)); // challenges are rationed
    }
    assert_eq!(glass.gets(Flags::RST, 70_000, b"").verdict, Verdict::Drop(DropReason::Window));
    assert!(glass.sends().is_empty());
    glass.gets(Flags::RST, 0, b"");
    assert_eq!((glass.conn.state(), glass.conn.error()), (State::Closed, Some(StreamError::ConnectionReset)));
}

#[test]
fn a_syn_in_an_open_connection_is_challenged() {
    let mut glass = Glass::established(plain());
    for (flags, offset) in
        [(Flags::SYN, 5), (Flags::SYN | Flags::ACK, 5), (Flags::SYN, 0), (Flags::SYN, 90_000)]
    {
        glass.gets(flags, offset, b"");
        let answer = glass.sends();
        assert_eq!(answer.len(), 1, "a challenge ACK: RFC 5961 §4.2");
        assert_eq!((answer[0].seg.flags, answer[0].acked()), (Flags::ACK, 0));
        glass.waits(Duration::from_secs(1));
    }
    assert_eq!(glass.conn.state(), State::Established);
}

#[test]
fn data_that_carries_an_older_ack_is_taken() {
    let mut glass = Glass::established(plain());
    glass.writes(&bytes(0..2 * MSS));
    let (older, newer) = (ISS + 1, ISS + 1 + 2 * MSS);
    glass.peer.ack = newer;
    glass.gets(Flags::ACK, 100, &bytes(100..200));
    glass.peer.ack = older;
    let received = glass.gets(Flags::ACK, 0, &bytes(0..100));
    assert_eq!(received.delivered, 200, "both have arrived, in the wrong order");
    assert_eq!(glass.reads(), (bytes(0..200), WOULD_BLOCK));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(200));
}

#[test]
fn a_window_that_closes_under_data_in_flight_is_probed_for_as_long_as_the_peer_answers() {
    let mut glass = Glass::established(Config { rto_max: Duration::from_secs(10), ..plain() });
    glass.writes(&bytes(0..3 * MSS));
    glass.peer.window = 0; // the peer takes its window back and nothing in
    glass.acks(0);
    assert_eq!(glass.conn.write(&bytes(3 * MSS..5 * MSS)), Ok(2 * MSS as usize));
    // For as long as the peer answers something is tried again and again (RFC 9293 §3.8.6.1, MUST-37).
    for round in 0..100 {
        let tried = glass.waits(Duration::from_secs(10));
        assert!(!tried.is_empty(), "round {round}, {:?}", glass.conn.error());
        assert!(tried.iter().all(|s| s.offset() + s.seg.len <= 3 * MSS), "nothing new is sent: {tried:?}");
        glass.acks(0);
        assert!(glass.conn.next_deadline().is_some(), "round {round}");
    }
    // The window opens again and everything gets through.
    glass.peer.window = 65_535;
    let mut acked = 0;
    for _ in 0..20 {
        glass.acks(acked);
        for sent in glass.waits(Duration::from_secs(9)) {
            if sent.offset() == acked {
                assert_eq!(sent.data, bytes(acked..acked + sent.seg.len));
            }
            acked = acked.max(sent.offset() + sent.seg.len);
        }
    }
    assert_eq!((acked, glass.conn.unacked()), (5 * MSS, 0));
}

#[test]
fn a_window_counts_from_the_acknowledgment_that_it_came_with() {
    let mut glass = Glass::established(Config { nagle: Nagle::Off, ..plain() });
    glass.peer.window = 2000;
    glass.gets(Flags::ACK, 100, b"later data"); // out of order: its number is the newest seen
    glass.writes(&bytes(0..1000));
    // Sent again with an older number, but it acknowledges more than anything before: its window is the newest.
    glass.peer.ack = ISS + 1 + 1000;
    glass.peer.window = 100;
    glass.gets(Flags::ACK, 0, b"earlier data");
    let mut sent = glass.writes(&bytes(1000..3000));
    sent.extend(glass.waits(Duration::from_secs(5)));
    assert!(sent.iter().all(|s| s.offset() + s.seg.len <= 1100), "{sent:?}");
}

#[test]
fn a_fin_out_of_order_is_remembered() {
    let mut glass = Glass::established(plain());
    glass.gets(Flags::ACK | Flags::FIN, 100, &bytes(100..200));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(0));
    glass.gets(Flags::ACK, 0, &bytes(0..100));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(201), "the FIN is acknowledged with the data");
    assert_eq!(glass.reads(), (bytes(0..200), Ok(0)));
    assert_eq!(glass.conn.state(), State::CloseWait);
}

/// Found by fuzzing: the number of a second FIN before the first one passed for a byte, which nobody had sent.
#[test]
fn a_second_fin_before_the_first_stands_for_no_byte() {
    let mut glass = Glass::established(plain());
    glass.gets(Flags::ACK | Flags::FIN, 300, &bytes(300..400));
    glass.gets(Flags::ACK | Flags::FIN, 100, &bytes(100..200));
    glass.gets(Flags::ACK, 0, &bytes(0..100));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(201), "the nearer FIN ends the stream");
    glass.gets(Flags::ACK, 200, &bytes(200..300));
    assert_eq!(glass.reads(), (bytes(0..200), Ok(0)));
}

#[test]
fn a_bare_fin_out_of_order_is_remembered() {
    let mut glass = Glass::established(plain());
    glass.gets(Flags::ACK | Flags::FIN, 100, b"");
    assert_eq!(glass.conn.state(), State::Established);
    glass.gets(Flags::ACK, 0, &bytes(0..100));
    assert_eq!(glass.sends().last().map(Sent::acked), Some(101));
    assert_eq!(glass.reads(), (bytes(0..100), Ok(0)));
}

#[test]
fn every_hole_is_kept_and_acknowledged() {
    let mut glass = Glass::established(plain());
    // Every second hundred bytes arrives: thirty holes.
    for n in 0..30 {
        let start = 100 + n * 200;
        glass.gets(Flags::ACK, start, &bytes(start..start + 100));
        let answer = glass.sends();
        assert_eq!(answer.len(), 1, "a duplicate ACK for segment {n} (RFC 5681 §4.2)");
        assert_eq!((answer[0].acked(), answer[0].cause), (0, Cause::AckNow(AckNowWhy::OutOfOrder)));
    }
    for n in 0..30 {
        glass.gets(Flags::ACK, n * 200, &bytes(n * 200..n * 200 + 100));
        assert_eq!(glass.sends().last().map(Sent::acked), Some((n + 1) * 200), "all was kept");
    }
    assert_eq!(glass.reads(), (bytes(0..6000), WOULD_BLOCK));
}

#[test]
fn the_window_of_a_syn_is_never_scaled_however_large_the_buffer() {
    let cfg = Config {
        recv_buffer: 1 << 20,
        recv_buffer_initial: 1 << 20,
        window_scale: WindowScale::Auto,
        whole_segments: false,
        ..plain()
    };
    let scaled = Options { window_scale: Some(7), ..options() };
    let mut glass = Glass::established_with(cfg, scaled);
    // The SYN-ACK said 65,535, unscaled (RFC 7323 §2.2): nothing beyond may have been sent yet.
    let beyond = glass.gets(Flags::ACK, 65_535, &bytes(0..1000));
    assert_eq!(beyond.verdict, Verdict::Drop(DropReason::Window));
    let edge = glass.gets(Flags::ACK, 65_000, &bytes(65_000..66_000));
    assert_eq!(edge.verdict, Verdict::OutOfOrder, "what fits is kept");
    for start in (0..65_000).step_by(1000) {
        glass.gets(Flags::ACK, start, &bytes(start..start + 1000));
    }
    assert_eq!(glass.reads(), (bytes(0..65_535), WOULD_BLOCK));
}

#[test]
fn no_segment_of_a_hostile_peer_panics() {
    for cfg in [
        Config { recv_buffer: 64 << 10, window_scale: WindowScale::Shift(14), ..Config::linux() },
        Config { recv_buffer: 4 << 20, window_scale: WindowScale::Auto, ..Config::linux() },
        Config { recv_buffer: 256, ..plain() },
    ] {
        let stamps = Timestamps { value: 1, echo: 0 };
        let syn = Options {
            window_scale: Some(255),
            sack_permitted: true,
            timestamps: Some(stamps),
            mss: Some(0),
            ..Options::default()
        };
        let mut rng = tcpglass::sim::Rng::new(1, cfg.recv_buffer.into());
        let mut dice = move |n: u64| rng.below(n) as u32;
        let mut glass = Glass::established_with(cfg, syn);
        glass.conn.write(&bytes(0..50_000)).unwrap();
        let payload = bytes(0..65_000);
        let near =
            [0u32, 1, 2, 255, 256, 65_534, 65_535, 65_536, 1 << 20, 1 << 30, 1 << 31, u32::MAX - 1, u32::MAX];
        for _ in 0..20_000 {
            let snapshot = glass.conn.snapshot();
            let mut any = |base: Seq| base + near[dice(near.len() as u64) as usize] + dice(3) - 1;
            let (seq, ack) = (any(IRS + 1), any(ISS + 1));
            let (from, to) = (any(ISS + 1), any(ISS + 1));
            let mut seg = Segment {
                seq,
                ack,
                flags: Flags(dice(512) as u16 & !Flags::RST.0),
                window: dice(65_536) as u16,
                urgent: dice(65_536) as u16,
                len: [0, 1, 1000, 65_000][dice(4) as usize],
                ..Segment::default()
            };
            seg.options.sack.push(from, to);
            seg.options.timestamps = Some(Timestamps { value: dice(1 << 32), echo: dice(1 << 32) });
            glass.gets_segment(&seg, &payload[..seg.len as usize], 1 + dice(3) as u16);
            glass.sends();
            if dice(10) == 0 {
                glass.now += MS * dice(2000);
                glass.cx(Conn::on_timeout);
                glass.sends();
            }
            if dice(20) == 0 {
                drop(glass.reads());
            }
            assert_eq!(snapshot.iss, ISS);
        }
    }
}

#[test]
fn what_was_not_read_outlives_the_connection() {
    let mut glass = Glass::established(plain());
    glass.cx(|conn, cx| conn.shutdown(cx, Shutdown::Write));
    assert_eq!(glass.sends().len(), 1, "our FIN");
    glass.acks(1);
    assert_eq!(glass.conn.state(), State::FinWait2);
    glass.gets(Flags::ACK | Flags::FIN, 0, &bytes(0..5000));
    assert_eq!(glass.conn.state(), State::TimeWait);
    glass.waits(Duration::from_secs(600));
    assert_eq!(glass.reads(), (bytes(0..5000), Ok(0)));
}

#[test]
fn reading_one_byte_of_a_full_buffer_offers_no_window_of_one() {
    let mut glass = Glass::established(Config { recv_buffer: 29_200, ..plain() });
    let (mut at, mut told) = (0, None);
    while told != Some(0) {
        glass.gets(Flags::ACK, at, &bytes(at..at + MSS));
        at += MSS;
        glass.now += MS * 50;
        glass.cx(Conn::on_timeout);
        told = glass.sends().last().map(|s| s.seg.window);
    }
    let mut one = [0];
    for _ in 0..100 {
        assert_eq!(glass.cx(|conn, cx| conn.read(cx, &mut one)), Ok(1));
        assert!(glass.sends().is_empty(), "RFC 9293 §3.8.6.2.2: not worth telling");
    }
    // A probe is answered with a window that is still closed, not with a silly one.
    glass.gets(Flags::ACK, u32::MAX, b"");
    assert_eq!(glass.sends().last().map(|s| s.seg.window), Some(0));
    let mut most = vec![0; 8000];
    assert_eq!(glass.cx(|conn, cx| conn.read(cx, &mut most)), Ok(8000));
    let update = glass.sends();
    assert_eq!(update.len(), 1);
    assert!(u32::from(update[0].seg.window) >= 2 * MSS);
}

#[test]
fn the_end_of_the_send_ring_makes_no_short_segment() {
    let cfg = Config { nagle: Nagle::Off, send_buffer: 10_000, init_cwnd: 100, ..plain() };
    let mut glass = Glass::established(cfg);
    let (mut written, mut sent_to) = (0, 0);
    // The ring's size is no multiple of the segment's, so every round the data lies across its end elsewhere.
    for _ in 0..50 {
        let n = glass.conn.write(&bytes(written..written + 6 * MSS)).unwrap() as u32;
        written += n;
        let sent = glass.sends();
        let (last, full) = sent.split_last().unwrap();
        for s in full {
            assert_eq!((s.seg.len, s.offset()), (MSS, sent_to), "only the last may be short");
            assert_eq!(s.data, bytes(sent_to..sent_to + MSS));
            sent_to += s.seg.len;
        }
        assert_eq!(last.data, bytes(sent_to..written));
        sent_to = written;
        glass.acks(sent_to);
    }
}

#[test]
fn a_segment_that_stands_for_ten_is_acknowledged_at_once() {
    let mut glass = Glass::established(plain());
    let data = bytes(0..10 * MSS);
    let seg = Segment { flags: Flags::ACK, len: 10 * MSS, ..glass.peer };
    glass.gets_segment(&seg, &data, 10);
    let answer = glass.sends();
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].cause, Cause::AckEvery { segments: 10 });
    assert_eq!((answer[0].at, answer[0].acked()), (Instant::ZERO, 10 * MSS));
}

#[test]
fn the_user_timeout_leaves_idle_connections_alone() {
    let cfg = Config { user_timeout: Some(Duration::from_secs(10)), ..plain() };
    let mut glass = Glass::established(cfg);
    glass.writes(b"x");
    glass.acks(1);
    glass.waits(Duration::from_secs(24 * 3600));
    assert_eq!(glass.conn.state(), State::Established, "idle for a day");
    // Unacknowledged data is what it is for.
    glass.writes(b"y");
    let last = glass.waits(Duration::from_secs(60)).pop().unwrap();
    assert_eq!(glass.conn.error(), Some(StreamError::TimedOut));
    assert!(last.at.since(Instant::ZERO) <= Duration::from_secs(24 * 3600 + 10));
}

#[test]
fn without_a_user_timeout_a_syn_is_not_repeated_for_ever() {
    let cfg = Config { syn_retries: 6, user_timeout: None, ..plain() };
    let mut glass = Glass::connecting(cfg);
    let again = glass.waits(Duration::from_secs(24 * 3600));
    let seconds: Vec<u64> = again.iter().map(|s| s.at.as_millis() / 1000).collect();
    assert_eq!(
        seconds,
        [1, 2, 3, 4, 5, 7, 11, 19, 35, 67],
        "four at one interval, then each after twice the time: RFC 6298 §5.5"
    );
    assert_eq!(glass.conn.error(), Some(StreamError::TimedOut));
    let events: Vec<Event> = std::iter::from_fn(|| glass.conn.poll_event()).collect();
    assert!(events.contains(&Event::Closed(CloseReason::TimedOut)), "{events:?}");
}

#[test]
fn two_losses_in_a_burst_are_repaired_within_two_round_trips() {
    for (lost, millis) in [("none", 10), ("5", 30), ("5+12", 30), ("5+6+7", 30), ("1+2+3+10+15", 31)] {
        let mut world = World::new(1, format!("rtt=20ms,drop_nth={lost}").parse().unwrap());
        let cfg = Config { init_cwnd: 20, ..Config::linux() };
        let [a, b] = ["10.0.0.1", "10.0.0.2"]
            .map(|ip| world.add_host(ip, host_config(ip.parse().unwrap(), cfg.clone()), Tracer::default()));
        let (here, there) = world.pair(a, b, ([10, 0, 0, 2], 80)).unwrap();
        let start = world.now();
        let data = bytes(0..20 * 1448);
        assert_eq!(world.transfer(here, there, &data).unwrap(), data);
        assert_eq!(world.now().since(start), MS * millis, "segments lost: {lost}");
    }
}

/// A stack that listens on port 80, and a peer that sends what it likes.
struct Server {
    stack: Stack,
    device: QueueDevice,
    listener: ListenerId,
    now: Instant,
}

const OWNER: Owner = Owner(1);

impl Server {
    fn new() -> Server {
        let config = host_config([10, 0, 0, 1].into(), Config::linux());
        let mut stack = Stack::new(config, Tracer::default());
        let listener = stack.listen(([10, 0, 0, 1], 80).into(), None, OWNER).unwrap();
        Server { stack, device: QueueDevice::new(1500, 100), listener, now: Instant::from_millis(1) }
    }

    /// A segment from `port` of the peer; what it is answered with.
    fn gets(&mut self, port: u16, seg: &Segment, payload: &[u8]) -> Vec<Segment> {
        let src: SocketAddr = ([10, 0, 0, 2], port).into();
        let envelope =
            Envelope { src, dst: ([10, 0, 0, 1], 80).into(), ecn: Ecn::NotEct, dscp: 0, ident: 0, hops: 64 };
        let seg = Segment { len: payload.len() as u32, window: 65_535, ..*seg };
        let mut frame = vec![0; wire::encoded_len(&envelope, &seg)];
        wire::encode(&mut frame, &envelope, &seg, [payload, &[]]);
        self.stack.on_frame(self.now, &frame);
        self.sends()
    }

    fn sends(&mut self) -> Vec<Segment> {
        self.stack.transmit(self.now, &mut self.device, usize::MAX);
        let (mut all, mut frame) = (Vec::new(), Vec::new());
        while self.device.pop(&mut frame).is_some() {
            if let Ok(Decoded::Tcp(packet)) = wire::decode(&frame, true) {
                all.push(packet.seg);
            }
        }
        all
    }

    fn waits(&mut self, time: Duration) {
        self.now += time;
        while self.stack.next_deadline().is_some_and(|at| at <= self.now) {
            self.stack.on_timeout(self.now);
            self.sends();
        }
    }
}

fn syn_with(seq: u32, stamp: u32) -> Segment {
    let options = Options {
        window_scale: Some(7),
        timestamps: Some(Timestamps { value: stamp, echo: 0 }),
        sack_permitted: true,
        ..options()
    };
    Segment { seq: Seq(seq), flags: Flags::SYN, options, ..Segment::default() }
}

#[test]
fn a_half_open_connection_that_is_reset_leaves_the_listener_as_it_was() {
    let mut server = Server::new();
    let bare = Segment { seq: Seq(1), flags: Flags::SYN, ..Segment::default() };
    for (port, syn) in [(1000, bare), (1001, syn_with(1, 1))] {
        assert_eq!(server.gets(port, &syn, b"").len(), 1);
        let reset = Segment { seq: Seq(2), flags: Flags::RST, ..Segment::default() };
        assert!(server.gets(port, &reset, b"").is_empty());
        assert_eq!(server.stack.open_connections(), 0);
    }
    let answer = server.gets(1002, &syn_with(1, 1), b"")[0].options;
    assert!(answer.window_scale.is_some() && answer.timestamps.is_some() && answer.sack_permitted);
}

/// A server in TIME-WAIT with port 1000 of the peer, whose time stamps are at 5000; five bytes are unread. Returns the
/// connection and the peer's next segment.
fn in_time_wait() -> (Server, tcpglass::stack::ConnId, Segment) {
    let mut server = Server::new();
    let answer = server.gets(1000, &syn_with(1, 4000), b"")[0];
    let stamps = Timestamps { value: 5000, echo: answer.options.timestamps.unwrap().value };
    let options = Options { timestamps: Some(stamps), ..Options::default() };
    let mut seg =
        Segment { seq: Seq(2), ack: answer.seq + 1, flags: Flags::ACK, options, ..Segment::default() };
    server.gets(1000, &seg, b"");
    let id = server.stack.accept(server.listener, OWNER).unwrap().id;
    server.stack.shutdown(server.now, id, Shutdown::Write);
    assert!(server.sends()[0].has(Flags::FIN));
    seg.ack += 1;
    seg.flags = Flags::FIN | Flags::ACK;
    server.gets(1000, &seg, b"bytes");
    assert_eq!(server.stack.time_waits(), 1);
    seg.seq += 6;
    seg.flags = Flags::ACK;
    (server, id, seg)
}

#[test]
fn the_end_of_time_wait_leaves_what_was_not_read() {
    let (mut server, id, _) = in_time_wait();
    server.waits(Duration::from_secs(600));
    assert_eq!(server.stack.time_waits(), 0);
    let mut buf = [0; 10];
    assert_eq!(server.stack.stream(server.now, id).read(&mut buf), Ok(5));
    assert_eq!(&buf[..5], b"bytes");
    assert_eq!(server.stack.stream(server.now, id).read(&mut buf), Ok(0));
}

#[test]
fn a_reset_does_not_end_time_wait() {
    // RFC 1337: the assassination of TIME-WAIT. Linux lets it happen by default.
    let (mut server, _, seg) = in_time_wait();
    let tcp = server.stack.config().tcp.clone();
    server.stack.set_tcp_config(tcpglass::tcp::Config { rfc1337: true, ..tcp });
    server.gets(1000, &Segment { flags: Flags::RST, ..seg }, b"");
    assert_eq!(server.stack.time_waits(), 1);
    server.waits(Duration::from_secs(59));
    assert_eq!(server.stack.time_waits(), 1);
}

#[test]
fn a_new_syn_takes_a_port_out_of_time_wait() {
    // RFC 6191: a later time stamp proves that it is new, and so does a higher number.
    for (seq, stamp) in [(100_000, 5000 + 2000), (1, 5000 + 2000), (100_000, 5000)] {
        let (mut server, _, _) = in_time_wait();
        let answer = server.gets(1000, &syn_with(seq, stamp), b"");
        assert_eq!(answer.len(), 1);
        assert!(answer[0].has(Flags::SYN | Flags::ACK), "{seq} {stamp}: {answer:?}");
        assert_eq!((answer[0].ack, server.stack.time_waits()), (Seq(seq) + 1, 0));
    }
    // An old one gets the ACK of RFC 9293 §3.10.7.4, and TIME-WAIT goes on.
    let (mut server, _, _) = in_time_wait();
    let answer = server.gets(1000, &syn_with(1, 4000), b"");
    assert_eq!((answer.len(), answer[0].flags), (1, Flags::ACK));
    assert_eq!(server.stack.time_waits(), 1);
}
