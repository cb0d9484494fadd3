//! Does anything that a peer or an application can do break what always holds?

use super::fast_open::Offer;
use super::timers::Timer;
use super::*;
use crate::segment::{Arrival, Cookie, Ecn, EcnBytes, Flags, Options, SackBlocks, Segment, Timestamps};
use crate::seq::Seq;
use crate::time::{Duration, Instant};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n.max(1)
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u32) as usize]
    }
}

/// What has been seen of the connection under test.
struct Seen {
    iss: Seq,
    /// The number behind the highest one sent, and the FIN's.
    max: Seq,
    fin: Option<Seq>,
    /// The furthest right edge that the peer has offered in a segment that may have been believed.
    offered: Option<Seq>,
    ack: Option<Seq>,
    edge: Option<Seq>,
}

struct Fuzz {
    random: Random,
    now: Instant,
    cfg: Config,
    log: Log,
    conn: Conn,
    room: Room,
    seen: Seen,
    /// The peer's numbers: its next one, and what it has of ours.
    peer_iss: Seq,
    peer_has: Seq,
    peer_scale: u8,
    stamps: bool,
    history: Vec<String>,
}

impl Fuzz {
    fn new(seed: u64) -> Fuzz {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut cfg = random.of(&[Config::linux as fn() -> Config, Config::rfc, Config::classic])();
        cfg.recv_buffer = random.of(&[256, 1000, 5000, 65_535, 512 << 10]);
        cfg.recv_buffer_initial = random.of(&[256, 3000, 128 << 10]);
        cfg.send_buffer = random.of(&[256, 3000, 70_000, 1 << 20]);
        cfg.window_scale = random.of(&[
            cfg.window_scale,
            WindowScale::Off,
            WindowScale::Auto,
            WindowScale::Shift(14),
            WindowScale::Shift(3),
        ]);
        cfg.mss = random.of(&[None, None, Some(64), Some(536)]);
        cfg.nagle = random.of(&[Nagle::Off, Nagle::On, Nagle::Minshall]);
        cfg.cork = random.one_in(8);
        cfg.keepalive = random.one_in(4);
        cfg.user_timeout = random.of(&[None, None, Some(Duration::from_secs(20))]);
        cfg.linger = random.of(&[None, None, Some(Duration::ZERO), Some(Duration::from_secs(3))]);
        let modes = [EcnMode::Off, EcnMode::On, EcnMode::Passive, EcnMode::Accurate, EcnMode::Accurate];
        cfg.ecn = random.of(&modes);
        cfg.ecn_option = random.of(&[EcnOption::Off, EcnOption::Sparse, EcnOption::Full, EcnOption::Always]);
        let mtu = random.of(&[576, 1280, 1500, 65_535]);
        let max_packet = random.of(&[u32::from(mtu), 65_535]);
        let iss = Seq(random.of(&[0, 1, u32::MAX, u32::MAX - 700, 0x7fff_ffff, 0x8000_0000]));
        let peer_iss = Seq(random.of(&[0, u32::MAX, u32::MAX - 700, 0x7fff_ff00, 0x8000_0001]));
        let (now, mut log) = (Instant::from_millis(1000), Log::new(false));
        let opts = Opts::new(&cfg);
        let ip = random.of(&[20, 40]);
        let options = Options {
            mss: random.of(&[None, Some(0), Some(48), Some(536), Some(1460), Some(65_535)]),
            window_scale: random.of(&[None, Some(0), Some(7), Some(14), Some(255)]),
            sack_permitted: !random.one_in(3),
            timestamps: random.one_in(2).then_some(Timestamps { value: 0xffff_ff00, echo: 0 }),
            ..Options::default()
        };
        let window = random.of(&[0, 1, 1000, 65_535]);
        let flags = Flags::SYN | Flags::of_ace(random.of(&[0, 0, 3, 7, 7, 4]));
        let syn = Segment { seq: peer_iss, flags, window, options, ..Segment::default() };
        let mut cx = Cx { now, cfg: &cfg, log: &mut log };
        let passive = random.one_in(2);
        let fast = random.one_in(3);
        let len = random.of(&[0, 1, 700, 3000]);
        let payload: Vec<u8> = (0..len).map(|i| ((i + 1) % 253) as u8).collect();
        let (mut carried, mut acked) = (0, iss + 1);
        let mut conn = match passive {
            true if fast => {
                let arrival = Arrival {
                    seg: &Segment { len, ..syn },
                    payload: &payload,
                    segments: 1,
                    ecn: Ecn::NotEct,
                };
                let cookie = random.one_in(2).then_some(Cookie::REQUEST);
                Conn::accept_early(&mut cx, iss, 5, ip, mtu, &arrival, cookie, opts)
            }
            true => Conn::accept(&mut cx, iss, 5, ip, mtu, &syn, opts),
            false => {
                let mut conn = Conn::connect(&mut cx, iss, 5, ip, mtu, opts);
                if fast {
                    let offer = Offer {
                        cookie: random.one_in(2).then_some(Cookie::REQUEST),
                        data: random.one_in(2),
                        mss: random.of(&[None, Some(0), Some(300), Some(65_535)]),
                    };
                    let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
                    carried = conn.offer_fast_open(&offer, &data) as u32;
                }
                conn
            }
        };
        let room = Room { mtu, max_packet };
        assert!(
            conn.poll_transmit(&mut cx, room).is_some_and(|t| t.seg.has(Flags::SYN) && t.seg.len == carried)
        );
        let seen = Seen { iss, max: iss + 1 + carried, fin: None, offered: None, ack: None, edge: None };
        if !passive && random.one_in(2) {
            acked += random.of(&[0, carried / 2, carried]);
            let answer = Segment { flags: Flags::SYN | Flags::ACK, ack: acked, ..syn };
            let arrival = Arrival { seg: &answer, payload: &[], segments: 1, ecn: Ecn::NotEct };
            conn.on_segment(&mut cx, &arrival);
        }
        let scale = options.window_scale.filter(|_| cfg.window_scale != WindowScale::Off);
        let stamps = options.timestamps.is_some() && cfg.timestamps;
        let mut fuzz = Fuzz {
            random,
            now,
            cfg,
            log,
            conn,
            room,
            seen,
            peer_iss,
            peer_has: iss + 1,
            peer_scale: scale.unwrap_or(0).min(14),
            stamps,
            history: vec![format!(
                "seed {seed} passive {passive} fast {fast} {len} mtu {mtu} {max_packet} {options:?}"
            )],
        };
        fuzz.offer(acked, u32::from(window));
        fuzz
    }

    fn cx<R>(&mut self, f: impl FnOnce(&mut Conn, &mut Cx) -> R) -> R {
        let mut cx = Cx { now: self.now, cfg: &self.cfg, log: &mut self.log };
        f(&mut self.conn, &mut cx)
    }

    fn offer(&mut self, ack: Seq, window: u32) {
        let edge = ack + window;
        self.seen.offered = Some(self.seen.offered.map_or(edge, |old| old.max(edge)));
    }

    fn transmit(&mut self) {
        let room = self.room;
        for n in 0.. {
            assert!(n < 60_000, "it never stops sending");
            let mut cx = Cx { now: self.now, cfg: &self.cfg, log: &mut self.log };
            let Some(t) = self.conn.poll_transmit(&mut cx, room) else { break };
            let seg = t.seg;
            assert_eq!(t.payload.0.len() + t.payload.1.len(), seg.len as usize);
            let data = [t.payload.0, t.payload.1].concat();
            let gso = t.gso_size;
            self.history.push(format!("{} > {seg:?} gso {gso:?} {:?}", self.now, t.cause));
            // Every byte is the one that was written at its place.
            for (i, &b) in data.iter().enumerate() {
                let at = (seg.seq + i as u32).since(self.seen.iss + 1);
                assert_eq!(b, (at % 251) as u8, "byte {at}");
            }
            let headers = 40 + seg.options.encoded_len();
            assert!(seg.options.encoded_len() <= 40);
            match gso {
                None => assert!(seg.len + headers <= u32::from(room.mtu).max(104), "{seg:?}"),
                Some(size) => {
                    assert!(
                        seg.len > u32::from(size.get())
                            && seg.len + headers <= 65_535
                            && room.max_packet > u32::from(room.mtu)
                    );
                    assert!(u32::from(size.get()) + headers <= u32::from(room.mtu).max(104));
                }
            }
            if seg.has(Flags::RST) {
                continue;
            }
            let seen = &mut self.seen;
            assert!(seg.seq.le(seen.max) || seg.has(Flags::SYN), "a gap");
            if seg.len > 0 && seg.end().gt(seen.max) {
                assert!(
                    seen.offered.is_some_and(|edge| (seg.seq + seg.len).le(edge)),
                    "beyond the window {:?}",
                    seen.offered
                );
            }
            if seg.has(Flags::FIN) {
                let at = seg.seq + seg.len;
                assert_eq!(*seen.fin.get_or_insert(at), at, "the FIN has moved");
            }
            assert!(seen.fin.is_none_or(|fin| (seg.seq + seg.len).le(fin + u32::from(seg.len == 0))));
            seen.max = seen.max.max(seg.end());
            if seg.has(Flags::ACK) && !seg.has(Flags::SYN) {
                assert!(seen.ack.is_none_or(|ack| seg.ack.ge(ack)), "an acknowledgment goes back");
                seen.ack = Some(seg.ack);
                let unit = 1u32 << self.conn.rcv.shift;
                let edge = seg.ack + (u32::from(seg.window) << self.conn.rcv.shift);
                if !self.conn.rcv.finished {
                    assert!(seen.edge.is_none_or(|old| (edge + (unit - 1)).ge(old)), "the edge goes back");
                }
                seen.edge = Some(seen.edge.map_or(edge, |old| old.max(edge)));
            }
            self.check();
        }
        self.settled();
    }

    /// After everything was sent that may be.
    fn settled(&self) {
        let conn = &self.conn;
        if conn.state().is_over() {
            return;
        }
        let waits =
            conn.snd.flight() > 0 || conn.snd.unsent() > 0 || conn.snd.fin == super::send::Fin::Queued;
        let timers = [Timer::Rto, Timer::Tail, Timer::Reorder, Timer::Persist, Timer::Cork, Timer::Pacing];
        let timer = timers.iter().any(|&t| conn.timers.is_set(t));
        assert!(!waits || timer, "nothing will wake it: {:?}", conn.snapshot());
        if conn.ack.pending() {
            assert!(conn.timers.is_set(Timer::Ack) || conn.state().is_opening(), "no timer for the ACK");
        }
    }

    fn check(&self) {
        let conn = &self.conn;
        let snd = &conn.snd;
        conn.board.check();
        // The last piece is filled, whatever the buffer has room for, and once more when some of it is sent.
        let piece = if self.cfg.bursts { 2 * 65_535 } else { 0 };
        let buffer = snd.buffer.max(self.cfg.send_buffer);
        assert!(snd.una.le(snd.nxt) && snd.flight() <= buffer + piece as u32 + 2);
        assert!(snd.queued() <= buffer as usize + piece);
        if !conn.state().is_over() && !conn.state().is_opening() {
            assert_eq!(conn.board.is_empty(), snd.flight() == 0);
        }
        assert!(conn.board.len() as u32 <= snd.flight() + 1);
        let unit = 1usize << conn.rcv.shift;
        let buffer = self.cfg.recv_buffer as usize;
        // A segment that nothing waits before is taken whole.
        let most = (buffer + unit).max(self.cfg.recv_buffer as usize + 65_535);
        assert!(conn.readable() <= most, "{} bytes to read", conn.readable());
        assert!(conn.memory() <= 2 * (buffer + unit).max(4096) + 2 * (snd.buffer.max(4096) as usize + piece));
        assert!(conn.rcv.window() <= (65_535 << conn.rcv.shift) + unit as u32);
        assert!(conn.cc.cwnd() > 0);
    }

    fn flags(&mut self) -> Flags {
        match self.random.below(40) {
            0 => Flags(self.random.next() as u16 & 0x1ff),
            1 => Flags::SYN,
            2 => Flags::SYN | Flags::ACK,
            3 if self.random.one_in(4) => Flags::RST,
            4 if self.random.one_in(4) => Flags::RST | Flags::ACK,
            5 => Flags::ACK | Flags::FIN,
            _ => Flags::ACK,
        }
    }

    fn arrive(&mut self) {
        let flags = self.flags();
        let len = match self.random.below(8) {
            0..=3 => 0,
            4 => self.random.below(2000),
            5 => 1,
            6 => self.random.below(64),
            _ => self.random.of(&[536, 1000, 1448]),
        };
        let flight = self.conn.snd.nxt.since(self.peer_has);
        let ack = match self.random.below(20) {
            0 => Seq(self.random.next()),
            1 => self.conn.snd.nxt + self.random.below(3),
            2 => self.conn.snd.una - self.random.below(3000),
            3 => self.conn.snd.nxt + 0x8000_0000,
            4..=9 => self.peer_has,
            10..=14 => self.peer_has + self.random.below(flight.min(5000) + 1),
            _ => self.conn.snd.nxt,
        };
        let window = self.conn.rcv.window();
        let seq = match self.random.below(16) {
            0 => Seq(self.random.next()),
            1 => self.conn.rcv.nxt + window,
            2 => self.conn.rcv.nxt + window - 1,
            3 => self.conn.rcv.nxt - 1 - self.random.below(2000),
            4 | 5 => self.conn.rcv.nxt + self.random.below(window.min(100_000)),
            6 => self.peer_iss,
            _ => self.conn.rcv.nxt,
        };
        let mut sack = SackBlocks::NONE;
        for _ in 0..self.random.below(5) {
            let at = self.conn.snd.una + self.random.below(self.conn.snd.flight() + 2);
            sack.push(at, at + self.random.below(4000));
        }
        if self.random.one_in(10) {
            sack.push(Seq(self.random.next()), Seq(self.random.next()));
        }
        let base = 0xffff_ff00u32.wrapping_add(self.now.as_millis() as u32);
        let timestamps = (self.stamps && !self.random.one_in(10)).then(|| Timestamps {
            value: if self.random.one_in(10) { self.random.next() } else { base },
            echo: if self.random.one_in(5) { self.random.next() } else { self.now.as_millis() as u32 },
        });
        let field = self.random.of(&[0, 0, 1, 50, 1000, 65_535]);
        let counts = [(); 3].map(|()| self.random.below(3000) * self.random.below(9000));
        let most = self.random.below(4) as usize;
        let ecn = self.random.one_in(2).then(|| EcnBytes::new(&counts[..most], self.random.one_in(2)));
        let ace = if self.random.one_in(2) { self.random.below(8) } else { 0 };
        let flags = flags | Flags::of_ace(ace);
        let mark = self.random.of(&[Ecn::NotEct, Ecn::Ect0, Ecn::Ect0, Ecn::Ect1, Ecn::Ce]);
        let seg = Segment {
            seq,
            ack,
            flags,
            window: field,
            urgent: self.random.next() as u16,
            options: Options { sack, timestamps, ecn, ..Options::default() },
            len,
        };
        if flags.contains(Flags::ACK) && ack.ge(self.conn.snd.una) && ack.le(self.conn.snd.nxt) {
            let shift = if flags.contains(Flags::SYN) { 0 } else { self.peer_scale };
            self.offer(ack, u32::from(field) << shift);
        }
        if flags.contains(Flags::SYN) && self.conn.state() == State::SynSent {
            self.peer_scale = 0;
            self.stamps = false;
        }
        let data: Vec<u8> = (0..len).map(|i| ((seq + i).since(self.peer_iss) % 253) as u8).collect();
        let segments = self.random.of(&[1, 1, 1, 2, 40]);
        self.history.push(format!("{} < {seg:?}", self.now));
        self.cx(|conn, cx| conn.on_segment(cx, &Arrival { seg: &seg, payload: &data, segments, ecn: mark }));
        self.peer_has = self.conn.snd.una;
        self.check();
    }

    fn application(&mut self) {
        let op = self.random.below(12);
        self.history.push(format!("{} app {op}", self.now));
        match op {
            0..=3 => {
                let at = (self.conn.snd.data_end()).since(self.seen.iss + 1);
                let n = self.random.of(&[1, 10, 100, 1000, 1460, 20_000, 200_000]);
                let data: Vec<u8> = (0..n).map(|i| (at.wrapping_add(i) % 251) as u8).collect();
                let _ = self.conn.write(&data);
            }
            4..=6 => {
                let mut buf = vec![0; self.random.of(&[1, 100, 10_000]) as usize];
                let _ = self.cx(|conn, cx| conn.read(cx, &mut buf));
            }
            7 if self.random.one_in(10) => self.cx(|conn, cx| conn.shutdown(cx, Shutdown::Write)),
            8 if self.random.one_in(20) => self.cx(|conn, cx| conn.shutdown(cx, Shutdown::Read)),
            9 if self.random.one_in(20) => self.cx(|conn, cx| conn.release(cx)),
            10 => {
                let mut opts = *self.conn.opts();
                opts.nagle = self.random.of(&[Nagle::Off, Nagle::On, Nagle::Minshall]);
                opts.cork = self.random.one_in(3);
                opts.keepalive = self.random.one_in(3);
                self.cx(|conn, cx| conn.set_opts(cx, opts));
            }
            11 => {
                let seq = self.conn.snd.una + self.random.below(3);
                let mtu = self.random.of(&[0, 68, 552, 1000, 1300, 9000]);
                if self.random.one_in(5) {
                    self.cx(|conn, cx| conn.on_path_mtu(cx, mtu, seq));
                }
            }
            _ => {}
        }
        while self.conn.poll_event().is_some() {}
        self.check();
    }

    fn time(&mut self) {
        let at = self.conn.next_deadline();
        self.now = match at {
            Some(at) if !self.random.one_in(4) => self.now.max(at),
            _ => self.now + Duration::from_micros(u64::from(self.random.below(300_000))),
        };
        let deadline = self.conn.next_deadline();
        self.cx(|conn, cx| conn.on_timeout(cx));
        let after = self.conn.next_deadline();
        assert!(
            deadline.is_none_or(|d| d > self.now) || after.is_none_or(|a| a > self.now),
            "a timer that does not end"
        );
        self.check();
    }

    fn run(&mut self) {
        for _ in 0..400 {
            match self.random.below(8) {
                0..=3 => self.arrive(),
                4 | 5 => self.application(),
                _ => self.time(),
            }
            // The device is not always ready.
            if !self.random.one_in(5) {
                self.transmit();
            }
            if self.conn.state() == State::Closed {
                self.transmit();
                return;
            }
        }
    }
}

#[test]
fn whatever_the_peer_and_the_application_do_the_promises_hold() {
    let asked = std::env::var("TCPGLASS_FUZZ").ok().and_then(|v| {
        let (a, b) = v.split_once('+')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    });
    let (first, count) = asked.unwrap_or((1, 400));
    for seed in first..first + count {
        let mut fuzz = Fuzz::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fuzz.run()));
        if let Err(panic) = result {
            let last = fuzz.history.len().saturating_sub(12);
            eprintln!("{}\n{}", fuzz.history[0], fuzz.history[last..].join("\n"));
            std::panic::resume_unwind(panic);
        }
    }
}
