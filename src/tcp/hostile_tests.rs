//! A connection whose peer is played by hand: what must hold when the peer is strange, broken or hostile.

mod greedy;

use super::*;
use crate::segment::{Arrival, Ecn, Flags, Options, SackBlocks, Segment, Timestamps};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const ISS: Seq = Seq(u32::MAX - 2_000);
const IRS: Seq = Seq(0x7fff_fc00);
const PLAIN: Room = Room { mtu: 1500, max_packet: 1500 };

/// A connection and what its peer would say next.
struct Lab {
    now: Instant,
    cfg: Config,
    log: Log,
    conn: Conn,
    room: Room,
    /// The peer's next number and acknowledgment are `IRS + sent` and `ISS + acked`.
    sent: u32,
    acked: u32,
    window: u16,
}

/// A segment that the connection sent: flags, offset from `ISS`, length.
type Said = (String, u32, u32);

fn syn(mss: u16, scale: Option<u8>, sack: bool) -> Options {
    Options { mss: Some(mss), window_scale: scale, sack_permitted: sack, ..Options::default() }
}

fn blocks(list: &[(u32, u32)]) -> Options {
    let mut sack = SackBlocks::NONE;
    for &(start, end) in list {
        assert!(sack.push(ISS + start, ISS + end));
    }
    Options { sack, ..Options::default() }
}

impl Lab {
    /// A SYN has come, nothing has been answered.
    fn half_open(cfg: Config, syn: Options, window: u16) -> Lab {
        let (now, mut log) = (Instant::from_millis(1000), Log::new(false));
        let seg = Segment { seq: IRS, flags: Flags::SYN, window, options: syn, ..Segment::default() };
        let opts = Opts::new(&cfg);
        let mut cx = Cx { now, cfg: &cfg, log: &mut log };
        let conn = Conn::accept(&mut cx, ISS, 5, 20, 1500, &seg, opts);
        Lab { now, cfg, log, conn, room: PLAIN, sent: 1, acked: 1, window }
    }

    /// The handshake is done, 100 ms of round trip.
    fn open(cfg: Config, syn: Options, window: u16) -> Lab {
        let mut lab = Lab::half_open(cfg, syn, window);
        assert_eq!(lab.said(), [("S.".into(), 0, 0)]);
        lab.pass(100 * MS);
        lab.hear(Flags::ACK, &[]);
        assert_eq!(lab.conn.state(), State::Established);
        assert_eq!(lab.said(), []);
        lab
    }

    /// The usual one: no time stamps, so that lengths are round.
    fn usual() -> Lab {
        Lab::open(Config::linux(), syn(1000, Some(7), true), 500)
    }

    fn cx<R>(&mut self, f: impl FnOnce(&mut Conn, &mut Cx) -> R) -> R {
        let mut cx = Cx { now: self.now, cfg: &self.cfg, log: &mut self.log };
        f(&mut self.conn, &mut cx)
    }

    fn segment(&self, flags: Flags) -> Segment {
        Segment {
            seq: IRS + self.sent,
            ack: ISS + self.acked,
            flags,
            window: self.window,
            ..Segment::default()
        }
    }

    /// The peer sends this, and it arrives.
    fn hear_this(&mut self, seg: Segment, data: &[u8]) -> Received {
        let seg = Segment { len: data.len() as u32, ..seg };
        let arrival = Arrival { seg: &seg, payload: data, segments: 1, ecn: Ecn::NotEct };
        self.cx(|conn, cx| conn.on_segment(cx, &arrival))
    }

    /// The next segment of a peer in order.
    fn hear(&mut self, flags: Flags, data: &[u8]) -> Received {
        let seg = self.segment(flags);
        self.sent += data.len() as u32 + u32::from(flags.contains(Flags::FIN));
        self.hear_this(seg, data)
    }

    fn hear_ack(&mut self, acked: u32, options: Options) -> Received {
        self.acked = acked;
        let seg = Segment { options, ..self.segment(Flags::ACK) };
        self.hear_this(seg, &[])
    }

    fn segments(&mut self) -> Vec<(Segment, Cause)> {
        let (mut all, room) = (Vec::new(), self.room);
        while let Some(t) = self.cx(|conn, cx| conn.poll_transmit(cx, room).map(|t| (t.seg, t.cause))) {
            all.push(t);
            assert!(all.len() < 10_000, "it never stops sending");
        }
        all
    }

    fn said(&mut self) -> Vec<Said> {
        let said = self.segments();
        said.iter().map(|(seg, _)| (seg.flags.to_string(), seg.seq.since(ISS), seg.len)).collect()
    }

    /// Time passes, timers run; nothing is sent yet.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.cx(|conn, cx| conn.on_timeout(cx));
    }

    /// The next deadline has come.
    fn pass_to_deadline(&mut self) -> Duration {
        let at = self.conn.next_deadline().expect("a deadline");
        let time = at.since(self.now);
        self.pass(time);
        time
    }

    fn write(&mut self, n: usize) {
        assert_eq!(self.conn.write(&vec![7; n]), Ok(n));
    }
}

fn said(flags: &str, at: u32, len: u32) -> Said {
    (flags.into(), at, len)
}

#[test]
fn a_fin_behind_a_full_window_does_not_open_it() {
    let cfg = Config { recv_buffer: 4000, quickack: 0, ack_adaptive: false, ..Config::linux() };
    let mut lab = Lab::open(cfg, syn(1000, None, false), 5000);
    lab.hear(Flags::ACK, &[1; 730]);
    lab.hear(Flags::ACK, &[1; 730]);
    assert_eq!(lab.segments()[0].0.window, 0);
    lab.hear(Flags::ACK | Flags::FIN, &[]);
    assert_eq!(lab.conn.state(), State::CloseWait);
    let ack = lab.segments()[0].0;
    assert_eq!((ack.ack, ack.window), (IRS + 1462, 0));
    // Acknowledgments are still heard, and a blind reset is not.
    lab.write(10);
    assert_eq!(lab.said(), [said("P.", 1, 10)]);
    let blind = Segment { seq: IRS + 1_000_000, ..lab.segment(Flags::RST) };
    assert_eq!(lab.hear_this(blind, &[]), Received::new(Verdict::Drop(DropReason::Window)));
    assert_eq!(lab.said(), []);
    assert_eq!(lab.hear_ack(11, Options::default()).acked, 10);
}

#[test]
fn small_segments_do_not_fill_more_than_the_buffer_because_windows_are_rounded() {
    // The window is told in units of 128 bytes; a peer that sends 100 at a time never meets its edge exactly.
    let cfg = Config { recv_buffer: 4096, whole_segments: false, ..Config::linux() };
    let mut lab = Lab::open(cfg, syn(1000, Some(7), true), 500);
    for _ in 0..400 {
        let told = lab.conn.snapshot();
        assert_eq!(told.state, State::Established);
        lab.hear(Flags::ACK | Flags::PSH, &[1; 100]);
        if let Some((ack, _)) = lab.segments().last() {
            lab.sent = ack.ack.since(IRS);
            if ack.window == 0 {
                assert!(lab.conn.readable() <= 4096 + 128, "{}", lab.conn.readable());
                // What was promised before is taken all the same (RFC 7323 §2.4).
                lab.hear(Flags::ACK, &[1; 28]);
                assert!(lab.conn.readable() <= 4096 + 128, "{}", lab.conn.readable());
                return;
            }
        }
    }
    panic!("{} bytes are in a buffer of 4096", lab.conn.readable());
}

impl Lab {
    /// As if so many bytes had been sent and acknowledged since.
    fn leap(&mut self, n: u32) {
        assert_eq!(self.conn.snd.flight(), 0);
        self.conn.snd.una += n;
        self.conn.snd.nxt += n;
        self.acked = self.acked.wrapping_add(n);
    }

    /// Sends and gets acknowledged a bit, at four places of the next 2 GiB.
    fn two_gibibytes(&mut self) {
        for _ in 0..4 {
            self.leap(1 << 29);
            self.write(100);
            assert_eq!(self.said().len(), 1);
            self.hear_ack(self.acked.wrapping_add(100), Options::default());
            self.said();
        }
    }
}

#[test]
fn after_four_gibibytes_the_numbers_are_those_of_the_beginning() {
    let mut lab = Lab::usual();
    lab.leap(u32::MAX - 20);
    let data: Vec<u8> = (0..60).collect();
    lab.conn.write(&data).unwrap();
    assert_eq!(lab.said().len(), 1);
    // The acknowledgment is ISS again, but no SYN is in front of it.
    lab.hear_ack(0, Options::default());
    assert_eq!((lab.conn.snd.una, lab.conn.unacked()), (ISS, 40));
    assert_eq!(lab.conn.snd.bytes(ISS, 40).0, &data[20..]);
    lab.write(1);
    assert_eq!(lab.conn.snd.unsent(), 1);
}

#[test]
fn losses_are_found_by_acknowledgments_after_two_gibibytes_too() {
    for sack in [false, true] {
        let mut lab = Lab::open(Config::linux(), syn(1000, Some(7), sack), 500);
        lab.write(10_000);
        assert_eq!(lab.said().len(), 10);
        // One recovery at the beginning, so that there is something to remember.
        for n in 1..=3 {
            let options = if sack { blocks(&[(1001, 1001 + n * 1000)]) } else { Options::default() };
            lab.hear_ack(1, options);
        }
        assert_eq!(lab.said(), [said(".", 1, 1000)]);
        lab.hear_ack(10_001, Options::default());
        lab.two_gibibytes();
        lab.leap(5000);
        let start = lab.acked;
        lab.write(4000);
        assert_eq!(lab.said().len(), 4);
        for n in 1..=3 {
            let options = match sack {
                true => blocks(&[(start.wrapping_add(1000), start.wrapping_add((n + 1) * 1000))]),
                false => Options::default(),
            };
            lab.hear_ack(start, options);
        }
        assert_eq!(lab.said(), [said(".", start, 1000)], "sack {sack}");
    }
}

#[test]
fn a_small_segment_of_two_gibibytes_ago_holds_nothing_back() {
    let mut lab = Lab::usual();
    lab.write(10);
    assert_eq!(lab.said(), [said("P.", 1, 10)]);
    lab.hear_ack(11, Options::default());
    for _ in 0..5 {
        lab.leap(1 << 29);
    }
    let start = lab.acked;
    lab.write(1000);
    assert_eq!(lab.said(), [said("P.", start, 1000)]);
    lab.write(10);
    assert_eq!(lab.said(), [said("P.", start.wrapping_add(1000), 10)]);
}

#[test]
fn sacks_of_single_bytes_make_no_records_and_no_tiny_segments() {
    for max_packet in [1500, 65_535] {
        let mut lab = Lab::usual();
        lab.room.max_packet = max_packet;
        lab.write(10_000);
        lab.said();
        for n in 0..2500 {
            let at = |k: u32| (4 * n + k * 1000) % 9_900 + 2;
            lab.hear_ack(1, blocks(&[(at(0), at(0) + 1), (at(1), at(1) + 1), (at(2), at(2) + 2)]));
        }
        assert!(lab.conn.board.len() <= 10, "{} records", lab.conn.board.len());
        assert_eq!(lab.conn.board.tally().sacked, 0);
        lab.conn.board.check();
        // What it covers wholly counts: two and a half segments are two.
        lab.hear_ack(1, blocks(&[(501, 3001)]));
        assert_eq!(lab.conn.board.tally().sacked, 2);
        lab.hear_ack(1, blocks(&[(1001, 4001)]));
        assert_eq!(lab.said()[0], said(".", 1, 1000));
    }
}

#[test]
fn a_fin_that_comes_again_is_acknowledged_each_time() {
    let mut lab = Lab::usual();
    lab.hear(Flags::ACK | Flags::FIN, &[]);
    lab.pass(2 * MS);
    assert_eq!(lab.said(), [said(".", 1, 0)]);
    for _ in 0..3 {
        lab.pass(100 * MS);
        let again = Segment { seq: IRS + 1, ..lab.segment(Flags::ACK | Flags::FIN) };
        lab.hear_this(again, &[]);
        assert_eq!(lab.said(), [said(".", 1, 0)]);
    }
}

#[test]
fn two_ends_that_believe_in_a_byte_never_sent_do_not_answer_each_other_for_ever() {
    // A byte was injected on either side: each end's acknowledgment lies one beyond, each number one below.
    let mut lab = Lab::usual();
    lab.hear(Flags::ACK, &[1]);
    lab.said();
    let seg = Segment { seq: IRS + 1, ack: ISS + 2, ..lab.segment(Flags::ACK) };
    let mut answers = 0;
    for _ in 0..100 {
        lab.hear_this(seg, &[]);
        answers += lab.said().len();
        lab.pass(MS);
    }
    assert_eq!(answers, 1);
    // Honest probes are answered all the same, twice a second.
    for _ in 0..3 {
        lab.pass(500 * MS);
        lab.hear_this(Segment { seq: IRS + 1, ..lab.segment(Flags::ACK) }, &[]);
        assert_eq!(lab.said(), [said(".", 1, 0)]);
    }
}

#[test]
fn syns_that_come_again_use_up_no_retries_and_put_no_timer_off() {
    let mut lab = Lab::half_open(Config::linux(), syn(1000, None, false), 500);
    let again = Segment { seq: IRS, ack: Seq(0), ..lab.segment(Flags::SYN) };
    assert_eq!(lab.said(), [said("S.", 0, 0)]);
    for _ in 0..9 {
        lab.pass(100 * MS);
        lab.hear_this(again, &[]);
        assert_eq!(lab.said(), [said("S.", 0, 0)]);
    }
    // 1 s after the first one, then as often as ever.
    assert_eq!(lab.pass_to_deadline(), 100 * MS);
    let mut times = 0;
    while lab.conn.state() == State::SynReceived {
        assert_eq!(lab.said(), [said("S.", 0, 0)]);
        times += 1;
        lab.pass_to_deadline();
    }
    assert_eq!(times, 5);
}

#[test]
fn in_syn_received_what_does_not_fit_is_told_where_we_are() {
    let mut lab = Lab::half_open(Config::linux(), syn(1000, Some(7), false), 500);
    lab.said();
    let beyond = Segment { seq: IRS + 1_000_000, ..lab.segment(Flags::ACK) };
    lab.hear_this(beyond, &[1; 10]);
    let all = lab.segments();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0.seq, all[0].0.ack, all[0].0.flags), (ISS + 1, IRS + 1, Flags::ACK));
    lab.hear(Flags::ACK, &[]);
    assert_eq!(lab.said(), [], "nothing is owed any more");
}

#[test]
fn a_peer_that_keeps_its_window_closed_cannot_keep_connections_that_nobody_holds() {
    let mut lab = Lab::usual();
    lab.window = 0;
    lab.hear(Flags::ACK, &[]);
    lab.write(100);
    assert_eq!(lab.said(), []);
    for held in [true, false] {
        for n in 0..40 {
            if lab.conn.state() == State::Closed {
                break;
            }
            lab.pass_to_deadline();
            assert!(n < 39 || held, "it lives for ever");
            lab.said();
            lab.hear(Flags::ACK, &[]);
        }
        if held {
            assert_eq!(lab.conn.state(), State::Established);
            lab.cx(|conn, cx| conn.release(cx));
        }
    }
    assert_eq!(lab.conn.error(), Some(crate::stream::StreamError::TimedOut));
}

#[test]
fn the_window_of_a_simultaneous_syn_ack_is_not_scaled() {
    let (now, cfg, mut log) = (Instant::from_millis(1000), Config::linux(), Log::new(false));
    let opts = Opts::new(&cfg);
    let conn = Conn::connect(&mut Cx { now, cfg: &cfg, log: &mut log }, ISS, 5, 20, 1500, opts);
    let mut lab = Lab { now, cfg, log, conn, room: PLAIN, sent: 0, acked: 1, window: 2000 };
    assert_eq!(lab.said(), [said("S", 0, 0)]);
    let options = syn(1000, Some(7), false);
    let their = Segment { options, ..lab.segment(Flags::SYN) };
    lab.hear_this(their, &[]);
    assert_eq!(lab.said(), [said("S.", 0, 0)]);
    lab.hear_this(Segment { flags: Flags::SYN | Flags::ACK, ..their }, &[]);
    assert_eq!(lab.conn.state(), State::Established);
    let window = lab.conn.snapshot().rwnd;
    assert!(window <= 2000 && window > 1800, "{window}");
}

#[test]
fn a_timeout_that_an_acknowledgment_overtakes_is_forgotten() {
    let cfg = Config { tail_loss_probe: false, ..Config::linux() };
    let mut lab = Lab::open(cfg, syn(1000, Some(7), true), 500);
    lab.write(1000);
    lab.said();
    // The device had no room, and then it was not needed any more: nothing was repeated, so nothing was lost.
    lab.pass_to_deadline();
    lab.hear_ack(1001, Options::default());
    lab.write(10_000);
    let causes: Vec<_> = lab.segments().iter().map(|(_, cause)| cause.word()).collect();
    assert_eq!(causes, ["data"; 10]);
}

#[test]
fn a_probe_that_an_acknowledgment_overtakes_is_forgotten() {
    let mut lab = Lab::usual();
    lab.write(1000);
    lab.said();
    // The device had no room for the probe.
    lab.pass_to_deadline();
    lab.hear_ack(1001, Options::default());
    lab.write(10_000);
    let causes: Vec<_> = lab.segments().iter().map(|(_, cause)| cause.word()).collect();
    assert_eq!(causes, ["data"; 10]);
}

#[test]
fn what_is_repeated_is_put_together_and_keeps_its_push_and_its_fin() {
    let options = syn(1000, Some(7), true);
    let cfg = Config { nagle: Nagle::Off, tail_loss_probe: false, ..Config::linux() };
    let mut lab = Lab::open(cfg, options, 500);
    for n in [300, 300, 300, 300] {
        lab.write(n);
        assert_eq!(lab.said().len(), 1);
    }
    lab.cx(|conn, cx| conn.shutdown(cx, Shutdown::Write));
    assert_eq!(lab.said(), [said("F.", 1201, 0)]);
    lab.pass_to_deadline();
    // Three fit into a segment; the fourth takes the FIN along.
    assert_eq!(lab.said(), [said("P.", 1, 900)]);
    lab.pass(MS);
    lab.hear_ack(901, Options::default());
    assert_eq!(lab.said(), [said("FP.", 901, 300)]);
    lab.conn.board.check();

    let mut lab = Lab::open(Config::linux(), options, 500);
    lab.write(2000);
    lab.cx(|conn, cx| conn.shutdown(cx, Shutdown::Write));
    assert_eq!(lab.said(), [said(".", 1, 1000), said("FP.", 1001, 1000)]);
    lab.hear_ack(1001, Options::default());
    lab.pass_to_deadline();
    assert_eq!(lab.said(), [said("FP.", 1001, 1000)], "a FIN takes no room from the data");

    let cfg = Config { tail_loss_probe: false, ..Config::linux() };
    let mut lab = Lab::open(cfg, options, 500);
    lab.write(1000);
    lab.said();
    lab.write(1000);
    lab.said();
    lab.pass_to_deadline();
    assert_eq!(lab.said(), [said("P.", 1, 1000)], "it was pushed, whatever has been written since");
    // Half of it acknowledged: the other half may still be on its way.
    lab.hear_ack(501, Options::default());
    assert_eq!(lab.said(), []);
    lab.pass_to_deadline();
    assert_eq!(lab.said(), [said("P.", 501, 500)]);
}

#[test]
fn with_sack_an_acknowledgment_without_blocks_is_no_duplicate() {
    let mut lab = Lab::usual();
    lab.write(10_000);
    lab.said();
    for _ in 0..4 {
        lab.hear_ack(1, Options::default());
        assert_eq!(lab.said(), []);
    }
}

#[test]
fn strangers_segments_do_not_keep_a_dead_connection_alive() {
    let mut lab = Lab::usual();
    lab.cx(|conn, cx| {
        let opts = Opts { keepalive: true, keepalive_idle: 1000 * MS, ..*conn.opts() };
        conn.set_opts(cx, opts);
    });
    for _ in 0..3 {
        lab.pass(300 * MS);
        let stray = Segment { seq: IRS + 5_000_000, ..lab.segment(Flags::ACK) };
        lab.hear_this(stray, &[]);
        let answers = lab.said();
        assert!(answers.iter().all(|s| s.0 == "." && s.1 == 1), "{answers:?}");
    }
    lab.pass(100 * MS);
    assert_eq!(lab.said(), [said(".", 0, 0)], "the probe is not put off");
}

#[test]
fn a_reset_carries_time_stamps_and_none_is_sent_when_both_ends_have_closed() {
    let stamps = Timestamps { value: 77, echo: 0 };
    let options = Options { timestamps: Some(stamps), ..syn(1000, None, false) };
    let mut lab = Lab::half_open(Config::linux(), options, 500);
    lab.said();
    let mut ack = lab.segment(Flags::ACK);
    ack.options.timestamps = Some(stamps);
    lab.hear_this(ack, &[]);
    lab.cx(|conn, cx| conn.abort(cx));
    let rst = lab.segments()[0].0;
    assert_eq!((rst.flags, rst.seq, rst.ack), (Flags::RST | Flags::ACK, ISS + 1, IRS + 1));
    assert_eq!(rst.options.timestamps.map(|t| t.echo), Some(77));

    let mut lab = Lab::usual();
    lab.hear(Flags::ACK | Flags::FIN, &[]);
    lab.cx(|conn, cx| conn.shutdown(cx, Shutdown::Write));
    lab.said();
    lab.cx(|conn, cx| conn.abort(cx));
    assert_eq!(lab.said(), []);
}

#[test]
fn what_time_showed_to_be_lost_is_not_said_to_have_been_counted() {
    let causes = |lab: &mut Lab| lab.segments().iter().map(|(_, cause)| cause.word()).collect::<Vec<_>>();
    let mut lab = Lab::usual();
    lab.write(3000);
    lab.said();
    lab.pass(100 * MS);
    // One segment beyond the hole: a quarter of a round trip decides.
    lab.hear_ack(1, blocks(&[(1001, 2001)]));
    assert_eq!(causes(&mut lab), [] as [&str; 0]);
    lab.pass_to_deadline();
    assert_eq!(causes(&mut lab), ["rack"]);

    let mut lab = Lab::usual();
    lab.write(5000);
    lab.said();
    lab.pass(100 * MS);
    lab.hear_ack(1, blocks(&[(1001, 4001)]));
    assert_eq!(causes(&mut lab), ["sack-retransmit"]);
    // It is lost again: only the time since tells.
    lab.write(1000);
    lab.said();
    lab.pass(100 * MS);
    lab.hear_ack(1, blocks(&[(1001, 6001)]));
    assert_eq!(causes(&mut lab), ["rack"]);
}
