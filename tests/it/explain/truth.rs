//! How often is what went wrong named, and how often what did not? Stories whose truth is known because they were made.
//!
//! Each is told many times over drawn distances, sizes and pauses; what is said of it without a word of its stacks is
//! held against what was done to it, at each end where that can be seen.

use super::*;
use std::fmt::Write;
use tcpglass::segment::Flags;
use tcpglass::sim::Rng;
use tcpglass::sim::rule::{Action, Passing};

/// What may be said of a capture: nothing else of these is true of it.
const WHATS: [What; 19] = [
    What::KeepAliveRace,
    What::ResetResponse,
    What::NoAnswer,
    What::CutShort,
    What::HalfClose,
    What::ClientAbort,
    What::Unanswered,
    What::SynLoss,
    What::SynAckLoss,
    What::ZeroWindow,
    What::WindowScaling,
    What::MtuBlackHole,
    What::SendBuffer,
    What::Rto,
    What::SpuriousRto,
    What::TailLoss,
    What::FastRetransmit,
    What::LostBefore,
    What::SlowServer,
];

/// A conversation of two ends that the test speaks for.
struct Tale {
    scene: Scene,
    ends: [Socket; 2],
    rng: Rng,
    /// There and back, in milliseconds.
    rtt: u64,
}

impl Tale {
    /// Both ends, `rules` being added to the link from the client and from the server before anything is sent.
    fn new(seed: u64, link: &str, configs: [Config; 2], lost: fn(&Passing<'_>, u32) -> bool) -> Tale {
        let mut rng = Rng::new(seed, 77);
        let rtt = [5, 12, 30, 60, 150][rng.below(5) as usize];
        let mut scene = Scene::seeded(seed, &format!("rtt={rtt}ms{link}"), &configs[0], &configs[1]);
        let [client, server] = scene.hosts;
        for (from, to) in [(client, server), (server, client)] {
            let mut passed = 0;
            scene.world.add_rule(from, to, move |packet: &Passing<'_>| {
                let counts = !packet.payload.is_empty() || packet.seg.flags.contains(Flags::SYN);
                passed += u32::from(counts);
                if counts && lost(packet, passed) { Action::Drop } else { Action::Pass }
            });
        }
        let (a, b) = scene.world.pair(client, server, (SERVER, 81)).unwrap();
        Tale { scene, ends: [a, b], rng, rtt }
    }

    fn plain(seed: u64) -> Tale {
        Tale::new(seed, "", [linux(), linux()], |_, _| false)
    }

    fn draw(&mut self, of: u64) -> u64 {
        self.rng.below(of)
    }

    fn wait(&mut self, ms: u64) {
        self.scene.world.run_for(Duration::from_millis(ms));
    }

    fn say(&mut self, end: usize, text: &str) {
        self.scene.write(self.ends[end], text);
    }

    /// The client asks, and the server has heard it.
    fn ask(&mut self) {
        let text = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
        self.say(0, text);
        self.scene.world.read_exact(self.ends[1], &mut vec![0; text.len()]).unwrap();
    }

    /// The server promises so many bytes and sends so many.
    fn answer(&mut self, promised: usize, sent: usize) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n");
        self.say(1, &(head + &"b".repeat(sent)));
    }

    /// The server answers with so many bytes, while the client reads.
    fn deliver(&mut self, len: usize) {
        let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
        text.resize(text.len() + len, b'b');
        self.scene.world.transfer(self.ends[1], self.ends[0], &text).unwrap();
    }

    /// A whole exchange with a short answer.
    fn usual(&mut self) {
        self.ask();
        self.answer(100, 100);
        self.take();
    }

    /// The client reads one response.
    fn take(&mut self) {
        let (world, a) = (&mut self.scene.world, self.ends[0]);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            world.read_exact(a, &mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        world.read_exact(a, &mut vec![0; length.parse().unwrap()]).unwrap();
    }
}

/// What a story is called, what is to be said of it at each end (`None`: what can be seen there is something else), and
/// how it goes.
type Story = (&'static str, [Option<&'static [What]>; 2], fn(u64) -> Tale);

fn no_probe() -> Config {
    Config { tail_loss_probe: false, rack: false, ..linux() }
}

/// The third packet that the server sends with anything in it: SYN-ACK, first answer, the one after it.
fn third_of_server(packet: &Passing<'_>, n: u32) -> bool {
    packet.src.port() == 81 && n == 3
}

const STORIES: [Story; 19] = [
    ("nothing", [Some(&[]), Some(&[])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        let pause = t.draw(3000);
        t.wait(pause);
        t.usual();
        t.scene.world.close(t.ends[0]);
        t.wait(t.rtt);
        t.scene.world.close(t.ends[1]);
        t
    }),
    ("race", [Some(&[What::KeepAliveRace]), Some(&[What::KeepAliveRace])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        let pause = 200 + t.draw(3000);
        t.wait(pause);
        t.scene.world.close(t.ends[1]);
        let before = t.draw(t.rtt / 2);
        t.wait(before);
        t.say(0, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
        if t.draw(2) == 0 {
            t.wait(t.rtt);
        }
        t.scene.world.close(t.ends[0]);
        t
    }),
    ("reset", [Some(&[What::ResetResponse]), Some(&[What::ResetResponse])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        t.ask();
        t.answer(9000, 3000);
        t.wait(t.rtt / 2);
        t.scene.world.abort(t.ends[1]);
        t
    }),
    ("no answer", [Some(&[What::NoAnswer]), Some(&[What::NoAnswer])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        t.ask();
        let pause = t.rtt + 50 + t.draw(900);
        t.wait(pause);
        t.scene.world.close(t.ends[1]);
        t
    }),
    ("cut short", [Some(&[What::CutShort]), Some(&[What::CutShort])], |seed| {
        let mut t = Tale::plain(seed);
        t.ask();
        t.answer(9000, 3000);
        t.scene.world.shutdown(t.ends[1], tcp::Shutdown::Write);
        t
    }),
    // The server has to hear of it first: so long it looks slow.
    (
        "half close",
        [Some(&[What::HalfClose, What::SlowServer]), Some(&[What::HalfClose, What::SlowServer])],
        |seed| {
            let mut t = Tale::plain(seed);
            t.ask();
            t.scene.world.shutdown(t.ends[0], tcp::Shutdown::Write);
            t.wait(t.rtt);
            t.answer(9000, 3000);
            t.scene.world.shutdown(t.ends[1], tcp::Shutdown::Write);
            t
        },
    ),
    ("abort", [Some(&[What::ClientAbort]), Some(&[What::ClientAbort])], |seed| {
        let mut t = Tale::plain(seed);
        t.ask();
        t.answer(9000, 3000);
        let pause = 2 * t.rtt + t.draw(500);
        t.wait(pause);
        t.scene.world.abort(t.ends[0]);
        t
    }),
    ("unanswered", [Some(&[What::Unanswered]), Some(&[What::Unanswered])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        t.ask();
        t
    }),
    ("lost SYN", [Some(&[What::SynLoss]), Some(&[])], |seed| {
        let mut t = Tale::new(seed, "", [linux(), linux()], |p, n| p.src.port() != 81 && n == 1);
        t.usual();
        t
    }),
    // At the client a lost SYN looks the same.
    ("lost SYN-ACK", [Some(&[What::SynLoss]), Some(&[What::SynAckLoss])], |seed| {
        let mut t = Tale::new(seed, "", [linux(), linux()], |p, n| p.src.port() == 81 && n == 1);
        t.usual();
        t
    }),
    ("closed window", [Some(&[What::ZeroWindow]), Some(&[What::ZeroWindow])], |seed| {
        let small = Config { recv_buffer: 16 << 10, recv_buffer_initial: 16 << 10, ..linux() };
        let large = Config { send_buffer: 1 << 20, send_buffer_initial: 1 << 20, ..linux() };
        let mut t = Tale::new(seed, "", [small, large], |_, _| false);
        t.ask();
        t.answer(60_000, 60_000);
        let pause = 1000 + t.draw(2000);
        t.wait(pause);
        t.take();
        t
    }),
    ("no scaling", [Some(&[What::WindowScaling]), Some(&[What::WindowScaling])], |seed| {
        let without = Config { window_scale: WindowScale::Off, ..linux() };
        let mut t = Tale::new(seed, "", [without, linux()], |_, _| false);
        t.ask();
        t.deliver(1_000_000);
        t
    }),
    ("black hole", [None, Some(&[What::MtuBlackHole, What::Rto])], |seed| {
        let mut t = Tale::new(seed, ",mtu=1400,mtu_icmp=off", [linux(), linux()], |_, _| false);
        t.ask();
        t.answer(20_000, 20_000);
        t.wait(5000);
        t
    }),
    ("send buffer", [None, Some(&[What::SendBuffer])], |seed| {
        let small = Config { send_buffer: 64 << 10, send_buffer_initial: 64 << 10, ..linux() };
        let mut t = Tale::new(seed, "", [linux(), small], |_, _| false);
        // By a server that writes whenever there is room: its flights are alike.
        let socket = t.scene.connect();
        t.scene.get(socket, "/bytes/1000000", 1_000_000);
        t
    }),
    ("time-out", [Some(&[What::LostBefore]), Some(&[What::Rto])], |seed| {
        // With selective acknowledgments it looks like a probe.
        let plain = Config { sack: false, ..no_probe() };
        let mut t = Tale::new(seed, "", [linux(), plain], third_of_server);
        t.usual();
        t.usual();
        t
    }),
    ("spurious time-out", [None, Some(&[What::SpuriousRto])], |seed| {
        let mut t = Tale::new(seed, "", [no_probe(), no_probe()], |_, _| false);
        t.usual();
        let [client, server] = t.scene.hosts;
        t.ask();
        t.scene.world.set_link(server, client, &"rtt=900ms".parse().unwrap());
        t.answer(100, 100);
        t.take();
        t
    }),
    ("lost tail", [Some(&[What::LostBefore]), Some(&[What::TailLoss])], |seed| {
        let mut t = Tale::new(seed, "", [linux(), linux()], third_of_server);
        t.usual();
        t.usual();
        t
    }),
    ("loss", [Some(&[What::FastRetransmit]), Some(&[What::FastRetransmit])], |seed| {
        let mut t = Tale::new(seed, "", [linux(), linux()], |p, n| p.src.port() == 81 && n == 6);
        t.ask();
        t.deliver(60_000);
        t
    }),
    ("slow server", [Some(&[What::SlowServer]), Some(&[What::SlowServer])], |seed| {
        let mut t = Tale::plain(seed);
        t.usual();
        t.ask();
        let think = t.rtt + t.draw(900);
        t.wait(think);
        t.answer(100, 100);
        t.take();
        t
    }),
];

/// Stories by lots: what was said of each kind rightly, said, and true; and where it was wrong.
pub(super) fn scores(lots: std::ops::Range<u64>) -> (BTreeMap<What, [u64; 3]>, String) {
    let (mut scores, mut wrong) = (BTreeMap::<What, [u64; 3]>::new(), String::new());
    for seed in lots {
        for (name, truth, tell) in STORIES {
            let [_, client, _, server] = tell(seed).scene.end();
            for (end, summary, truth) in [("client", client, truth[0]), ("server", server, truth[1])] {
                let Some(truth) = truth else { continue };
                // Whether a probe of the tail comes before the time-out there depends on the distance.
                let open = |what: &What| name == "black hole" && *what == What::TailLoss;
                for what in WHATS.into_iter().filter(|what| !open(what)) {
                    // Of a lone segment a time-out looks like a probe, and a needless one as late acknowledgments do.
                    let alike = |f: &Finding| f.what == What::LateAcks && what == What::SpuriousRto;
                    let said = summary.findings.iter().any(|f| f.what == what || alike(f));
                    let is = truth.contains(&what);
                    let score = scores.entry(what).or_default();
                    let counts = [said && is, said, is];
                    score.iter_mut().zip(counts).for_each(|(sum, yes)| *sum += u64::from(yes));
                    if said != is {
                        let not = if said { "was said of" } else { "was not said of" };
                        let _ = writeln!(wrong, "  {} {not} {name}, lot {seed}, {end}", what.word());
                    }
                }
            }
        }
    }
    (scores, wrong)
}

/// Ten lots, or those of `TCPGLASS_SEEDS=FIRST..LAST`: `make accuracy`.
#[test]
fn what_went_wrong_is_named_and_nothing_else_is() {
    let (scores, wrong) = scores(soak::seeds(10));
    println!("{:<24} {:>10} {:>10} {:>8}", "finding, by its truth", "precision", "recall", "captures");
    for (what, [right, said, is]) in &scores {
        let percent = |of: u64| if of == 0 { 100.0 } else { 100.0 * *right as f64 / of as f64 };
        let (precision, recall) = (percent(*said), percent(*is));
        println!("{:<24} {precision:>10.1} {recall:>10.1} {is:>8}", what.word());
    }
    println!("{wrong}");
    for (what, [right, said, is]) in scores {
        assert!(right * 100 >= said * 95 && right * 100 >= is * 95, "{}: {wrong}", what.word());
    }
}
