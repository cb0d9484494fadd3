//! Does a connection keep its promises whatever arrives, whatever the application does, and whenever?
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tcpglass::segment::{Arrival, Ecn, Flags, Options, SackBlocks, Segment, Timestamps};
use tcpglass::seq::Seq;
use tcpglass::tcp::{Config, Conn, Cx, Log, Nagle, Opts, Room, Shutdown, State};
use tcpglass::time::{Duration, Instant};

/// A segment, its numbers relative to what the connection expects.
#[derive(Arbitrary, Debug)]
struct Piece {
    seq: i16,
    ack: i16,
    flags: u8,
    window: u16,
    len: u16,
    timestamps: Option<(i16, i16)>,
    sack: Vec<(u16, u16)>,
    /// Numbers far from what is expected.
    wild: Option<(u32, u32)>,
    segments: u8,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Segment(Piece),
    Write(u16),
    Read(u16),
    ShutWrite,
    ShutRead,
    Abort,
    Release,
    Wait { ms: u16 },
    Timer,
    Mtu { mtu: u16, back: u16 },
    Unreachable { back: u16, hard: bool },
    Quickack(bool),
    Nagle(u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    profile: u8,
    passive: bool,
    offload: bool,
    iss: u32,
    irs: u32,
    mss: Option<u16>,
    shift: Option<u8>,
    steps: Vec<Step>,
}

const MTU: u16 = 1500;

/// By how much one number is beyond another.
fn ahead(one: Seq, other: Seq) -> i32 {
    one.0.wrapping_sub(other.0) as i32
}

struct Driver {
    cfg: Config,
    log: Log,
    now: Instant,
    conn: Conn,
    room: Room,
    iss: Seq,
    /// The number after the highest one sent, and the highest acknowledgment and right edge announced.
    sent: Seq,
    ack: Option<Seq>,
    edge: Option<Seq>,
    shift: u8,
    irs: Seq,
    written: u64,
    /// Bytes of payload that arrived, an upper bound for what can be read.
    arrived: u64,
    read: u64,
}

impl Driver {
    fn with<T>(&mut self, f: impl FnOnce(&mut Conn, &mut Cx) -> T) -> T {
        f(&mut self.conn, &mut Cx { now: self.now, cfg: &self.cfg, log: &mut self.log })
    }

    /// Sends all there is to send, which must end, and looks at it.
    fn transmit(&mut self) {
        let most = 64 + (self.conn.unacked() + self.conn.memory()) / 8;
        for n in 0.. {
            assert!(n <= most, "{n} segments at one time");
            let mut cx = Cx { now: self.now, cfg: &self.cfg, log: &mut self.log };
            let Some(out) = self.conn.poll_transmit(&mut cx, self.room) else { break };
            let seg = out.seg;
            assert_eq!(seg.len as usize, out.payload.0.len() + out.payload.1.len());
            let most = if out.gso_size.is_some() { self.room.max_packet } else { u32::from(MTU) };
            assert!(20 + 20 + seg.options.encoded_len() + seg.len <= most, "{seg:?}");
            if seg.has(Flags::RST) {
                continue;
            }
            assert!(ahead(seg.seq, self.iss) >= -1, "before the first number: {seg:?}");
            if ahead(seg.end(), self.sent) > 0 {
                self.sent = seg.end();
            }
            let payload = u64::from(self.sent.0.wrapping_sub(self.iss.0));
            assert!(payload <= self.written + 2, "{payload} numbers used, {} bytes written", self.written);
            if seg.has(Flags::ACK) {
                if let Some(ack) = self.ack {
                    assert!(ahead(seg.ack, ack) >= 0, "the acknowledgment goes back: {seg:?}");
                }
                self.ack = Some(seg.ack);
                if seg.has(Flags::SYN) {
                    self.shift = seg.options.window_scale.unwrap_or(0);
                } else {
                    let edge = seg.ack + (u32::from(seg.window) << self.shift);
                    if let Some(old) = self.edge {
                        assert!(ahead(edge, old) >= 0, "the window's right edge goes back: {seg:?}");
                    }
                    self.edge = Some(edge);
                }
            }
        }
    }

    fn timers(&mut self, until: Instant) {
        for n in 0.. {
            let Some(at) = self.conn.next_deadline().filter(|at| *at <= until) else { break };
            assert!(n < 100_000, "timers without end");
            self.now = self.now.max(at);
            self.with(|conn, cx| conn.on_timeout(cx));
            self.transmit();
        }
        self.now = self.now.max(until);
    }

    fn segment(&mut self, piece: &Piece) {
        let expected = self.ack.unwrap_or(self.irs);
        let near = |base: Seq, by: i16| base + by as i32 as u32;
        let (seq, ack) = match piece.wild {
            Some((seq, ack)) => (Seq(seq), Seq(ack)),
            None => (near(expected, piece.seq), near(self.sent, piece.ack)),
        };
        let mut sack = SackBlocks::default();
        for (start, len) in piece.sack.iter().take(4) {
            let start = self.sent - u32::from(*start);
            sack.push(start, start + u32::from(*len));
        }
        let clock = (self.now.as_nanos() / 1_000_000) as u32;
        let timestamps = piece.timestamps.map(|(value, echo)| Timestamps {
            value: clock.wrapping_add(value as i32 as u32),
            echo: clock.wrapping_add(echo as i32 as u32),
        });
        let len = piece.len % 3000;
        let seg = Segment {
            seq,
            ack,
            flags: Flags(piece.flags.into()),
            window: piece.window,
            options: Options { timestamps, sack, ..Options::default() },
            len: u32::from(len),
            ..Segment::default()
        };
        let payload = vec![b'p'; usize::from(len)];
        self.arrived += u64::from(len);
        let segments = u16::from(piece.segments % 4) + 1;
        let arrival = Arrival { seg: &seg, payload: &payload, segments, ecn: Ecn::NotEct };
        // TIME-WAIT and CLOSED belong to the stack, which hands a connection in them no segments.
        if !matches!(self.conn.state(), State::TimeWait | State::Closed) {
            self.with(|conn, cx| conn.on_segment(cx, &arrival));
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Segment(ref piece) => self.segment(piece),
            Step::Write(n) => {
                if let Ok(n) = self.conn.write(&vec![b'w'; usize::from(n)]) {
                    self.written += n as u64;
                }
            }
            Step::Read(n) => {
                let mut buf = vec![0; usize::from(n)];
                if let Ok(n) = self.with(|conn, cx| conn.read(cx, &mut buf)) {
                    assert!(buf[..n].iter().all(|b| *b == b'p'), "bytes that nobody sent");
                    self.read += n as u64;
                    assert!(self.read <= self.arrived);
                }
            }
            Step::ShutWrite => self.with(|conn, cx| conn.shutdown(cx, Shutdown::Write)),
            Step::ShutRead => self.with(|conn, cx| conn.shutdown(cx, Shutdown::Read)),
            Step::Abort => self.with(|conn, cx| conn.abort(cx)),
            Step::Release => self.with(|conn, cx| conn.release(cx)),
            Step::Wait { ms } => self.timers(self.now + Duration::from_millis(u64::from(ms))),
            Step::Timer => {
                let until = self.conn.next_deadline().unwrap_or(self.now).max(self.now);
                self.timers(until.min(self.now + Duration::from_secs(7300)));
            }
            Step::Mtu { mtu, back } => {
                let seq = self.sent - u32::from(back);
                self.with(|conn, cx| conn.on_path_mtu(cx, mtu, seq));
            }
            Step::Unreachable { back, hard } => {
                let seq = self.sent - u32::from(back);
                let error = tcpglass::stream::StreamError::ConnectionRefused;
                self.with(|conn, cx| conn.on_unreachable(cx, seq, error, hard));
            }
            Step::Quickack(on) => self.conn.set_quickack(on),
            Step::Nagle(which) => {
                let nagle = [Nagle::Off, Nagle::On, Nagle::Minshall][usize::from(which % 3)];
                let opts = Opts { nagle, cork: which & 4 != 0, ..*self.conn.opts() };
                self.with(|conn, cx| conn.set_opts(cx, opts));
            }
        }
        while self.conn.poll_event().is_some() {}
        self.transmit();
        let bound = 2 * (self.cfg.recv_buffer + self.cfg.send_buffer) as usize + (1 << 20);
        assert!(self.conn.memory() <= bound, "{} bytes", self.conn.memory());
        let open = !matches!(self.conn.state(), State::Closed | State::TimeWait);
        // A connection that has something in flight has a timer, or it would wait for ever.
        if open && self.conn.unacked() > 0 && !self.conn.state().is_opening() {
            assert!(
                self.conn.next_deadline().is_some(),
                "bytes wait, and nothing will happen: {:?}",
                self.conn.snapshot()
            );
        }
    }
}

fuzz_target!(|input: Input| {
    let cfg = match input.profile % 3 {
        0 => Config::linux(),
        1 => Config::rfc(),
        _ => Config::classic(),
    };
    let cfg = Config { recv_buffer: 64 << 10, send_buffer: 64 << 10, ..cfg };
    let (iss, irs) = (Seq(input.iss), Seq(input.irs));
    let now = Instant::from_millis(1000);
    let mut log = Log::new(false);
    let room = Room { mtu: MTU, max_packet: if input.offload { 65_535 } else { u32::from(MTU) } };
    let opts = Opts::new(&cfg);
    let options = Options {
        mss: input.mss,
        window_scale: input.shift,
        sack_permitted: input.mss.is_some_and(|m| m & 1 == 0),
        timestamps: (input.irs & 1 == 0).then_some(Timestamps { value: 1000, echo: 0 }),
        ..Options::default()
    };
    let syn = Segment { seq: irs, flags: Flags::SYN, window: 65_535, options, ..Segment::default() };
    let mut cx = Cx { now, cfg: &cfg, log: &mut log };
    let conn = if input.passive {
        Conn::accept(&mut cx, iss, 0, 20, MTU, &syn, opts)
    } else {
        Conn::connect(&mut cx, iss, 0, 20, MTU, opts)
    };
    let (ack, edge) = (None, None);
    let mut driver = Driver {
        cfg,
        log,
        now,
        conn,
        room,
        iss,
        sent: iss,
        ack,
        edge,
        shift: 0,
        irs: irs + 1,
        written: 0,
        arrived: 0,
        read: 0,
    };
    driver.transmit();
    // Most inputs should get past the handshake.
    let (flags, ack) = if input.passive { (Flags::ACK, iss + 1) } else { (Flags::SYN | Flags::ACK, iss + 1) };
    let seq = if input.passive { irs + 1 } else { irs };
    let options =
        Options { timestamps: options.timestamps.map(|t| Timestamps { echo: 1000, ..t }), ..options };
    let options = if input.passive { Options { mss: None, window_scale: None, ..options } } else { options };
    let seg = Segment { seq, ack, flags, window: 65_535, options, ..Segment::default() };
    let arrival = Arrival { seg: &seg, payload: &[], segments: 1, ecn: Ecn::NotEct };
    driver.with(|conn, cx| conn.on_segment(cx, &arrival));
    driver.transmit();
    // Without a window scale from the peer the window field is not scaled: RFC 7323 §2.2.
    if input.shift.is_none() {
        driver.shift = 0;
        driver.edge = None;
    }
    for step in input.steps.iter().take(200) {
        driver.step(step);
    }
});
