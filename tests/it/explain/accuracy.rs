//! How often does the analyser say of a capture without words what the words of the stack would have said?
//!
//! Seeds draw settings, networks and conversations. Each end's capture is explained without its words; what is said of
//! the packets that this end sent is held against its own words, what is said of those that it received against the
//! other end's.

use super::*;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::ops::Range;
use tcpglass::settings::{Profile, Settings};
use tcpglass::sim::Rng;

const LINK: [(&str, &[&str]); 6] = [
    ("rtt", &["1ms", "5ms", "20ms", "80ms", "200ms"]),
    ("bandwidth", &["unlimited", "unlimited", "100mbit", "10mbit"]),
    ("queue", &["100", "30"]),
    ("loss", &["0", "0", "0", "1%", "3%"]),
    ("reorder", &["0", "0", "0", "1%"]),
    ("duplicate", &["0", "0", "0", "1%"]),
];
const KNOBS: [(&str, &[&str]); 8] = [
    ("tcp.nagle", &["off", "on"]),
    ("tcp.ack_delay", &["40ms", "200ms"]),
    ("tcp.quickack", &["0", "16"]),
    ("tcp.sack", &["on", "off"]),
    ("tcp.timestamps", &["on", "off"]),
    ("tcp.init_cwnd", &["2", "10"]),
    ("tcp.recv_buffer", &["16KiB", "1MiB"]),
    ("tcp.congestion", &["cubic", "newreno"]),
];

/// What nothing tells apart from outside is one.
fn class<'a>(word: &'a str, sentence: &str) -> &'a str {
    match word {
        // A full segment does not show that its application wrote it in pieces.
        "nagle-release" if sentence.contains("more data filled") => "data",
        // Which rule of the sender's counted the same acknowledgments.
        "fast-retransmit" | "sack-retransmit" | "rack" => "repair",
        "ack-now(no-delay)" => "ack-now(quick)",
        word => word,
    }
}

/// Both ends' captures of what `seed` stands for.
pub(super) fn capture(seed: u64) -> [Vec<u8>; 2] {
    let mut rng = Rng::new(seed, 5);
    let mut dice = move |n: usize| rng.below(n as u64) as usize;
    let link = LINK.map(|(name, values)| format!("{name}={}", values[dice(values.len())])).join(",");
    let [client, server] = [(); 2].map(|()| {
        let mut settings = Settings::new(Profile::ALL[[0, 0, 0, 1, 2][dice(5)] % Profile::ALL.len()]);
        for (name, values) in KNOBS {
            if dice(3) == 0 {
                settings.set_value(name, values[dice(values.len())]).unwrap();
            }
        }
        settings.tcp
    });
    let mut scene = Scene::seeded(seed, &link, &client, &server);
    for _ in 0..1 + dice(2) {
        let Ok(socket) = scene.world.connect(scene.hosts[0], SocketAddr::new(SERVER, 80)) else { continue };
        for _ in 0..1 + dice(4) {
            scene.world.run_for([0, 0, 5, 300, 2000][dice(5)] * MS);
            let len = match dice(4) {
                0 | 1 => {
                    let len = [0, 100, 5000, 30_000, 150_000][dice(5)];
                    scene.write(socket, &format!("GET /bytes/{len} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    len
                }
                2 => {
                    let len = [50, 900, 3000, 20_000][dice(4)];
                    scene.write(
                        socket,
                        &format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n"),
                    );
                    let cut = dice(len);
                    scene.write(socket, &"b".repeat(cut));
                    scene.world.run_for([0, 0, 3][dice(3)] * MS);
                    scene.write(socket, &"b".repeat(len - cut));
                    len
                }
                _ => {
                    let wait = [1, 30, 400][dice(3)];
                    scene.write(socket, &format!("GET /delay/{wait} HTTP/1.1\r\nHost: x\r\n\r\n"));
                    0
                }
            };
            scene.read(socket, len);
        }
        scene.world.close(socket);
    }
    scene.world.run_for(2000 * MS);
    scene.world.finish().unwrap();
    scene.files.map(|file| file.take())
}

/// What was said, from one vantage point.
#[derive(Default)]
struct Score {
    /// By cause: said rightly, said, and true.
    causes: BTreeMap<String, [u64; 3]>,
    /// What was said instead: `(true, said)`.
    wrong: BTreeMap<(String, String), (u64, String)>,
}

impl Score {
    fn add(&mut self, was: &str, said: &str, place: impl Fn() -> String) {
        let said = class(said, "");
        let was = match was {
            // Whether the application read at that moment does not show: it is one of those that leave at once, or the
            // one that the count of segments was waiting for.
            "ack-now(read)" if matches!(said, "ack-now(quick)" | "ack-every") => said,
            was => was,
        };
        self.causes.entry(said.into()).or_default()[1] += 1;
        self.causes.entry(was.into()).or_default()[2] += 1;
        if was == said {
            self.causes.entry(said.into()).or_default()[0] += 1;
        } else {
            let wrong = self.wrong.entry((was.into(), said.into())).or_default();
            *wrong = (wrong.0 + 1, place());
        }
    }

    fn print(&self, name: &str) -> String {
        let percent = |n: u64, of: u64| {
            if of == 0 { "-".into() } else { format!("{:.1}", 100.0 * n as f64 / of as f64) }
        };
        let mut out = format!("{name:<24} {:>10} {:>10} {:>8}\n", "precision", "recall", "packets");
        for (word, [right, said, was]) in &self.causes {
            let _ = writeln!(
                out,
                "{word:<24} {:>10} {:>10} {was:>8}",
                percent(*right, *said),
                percent(*right, *was)
            );
        }
        let mut wrong: Vec<_> = self.wrong.iter().collect();
        wrong.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
        for ((was, said), (n, place)) in wrong.into_iter().take(16) {
            let _ = writeln!(out, "  {n} times {was} was called {said}, as in {place}");
        }
        out
    }
}

/// What is known of a packet by the words of the stack that sent it.
#[derive(Clone, Copy)]
struct Known {
    at: Duration,
    /// Nothing else is in flight, and it was sent before.
    lone: bool,
    /// A small segment of a stack that holds such segments while others are in flight.
    held: bool,
}

impl Known {
    fn of(c: &tcpglass::explain::Caused<'_>) -> Known {
        let flight = format!("flight={} ", c.segment.seq_len());
        let again = matches!(c.stated, Some("rto" | "tail-loss-probe"));
        Known {
            at: c.at,
            lone: again && c.numbers.is_some_and(|numbers| numbers.contains(&flight)),
            held: c.stated == Some("data") && c.sentence.contains("nothing was in flight"),
        }
    }

    /// Whether nothing tells a wait for it that is called `a` from one that is called `b`: a probe of a lone segment may come when
    /// the time-out would, and what a window of one segment holds Nagle's algorithm would hold for as long.
    fn either(self, a: What, b: What) -> bool {
        use What::{Congestion, InitialWindow, LateAcks, Nagle, SlowStart, SlowStartAfterIdle, SpuriousRto};
        let pair =
            |x: &[What], y: &[What]| (x.contains(&a) && y.contains(&b)) || (x.contains(&b) && y.contains(&a));
        let timers = pair(&[What::Rto, SpuriousRto], &[What::TailLoss, LateAcks]);
        let small = pair(&[InitialWindow, SlowStart, SlowStartAfterIdle, Congestion], &[Nagle]);
        (self.lone && timers) || (self.held && small)
    }
}

/// All that is counted.
#[derive(Default)]
pub(super) struct Accuracy {
    /// Of packets that the capturing end sent, and of those that it received.
    own: Score,
    far: Score,
    /// Time of exchanges charged alike with the stack's words and without, and all of it.
    alike: Duration,
    whole: Duration,
    /// By part: with words, without.
    parts: BTreeMap<&'static str, [Duration; 2]>,
    /// By finding: what it cost with words, without, and the lesser of the two in each capture.
    findings: BTreeMap<&'static str, [Duration; 3]>,
    /// Where they differ most: by how much, and in which capture.
    apart: BTreeMap<&'static str, Vec<(Duration, String)>>,
    /// Time that has another name of which nothing tells the first from.
    either: Duration,
}

impl Accuracy {
    pub fn of(seeds: Range<u64>) -> Accuracy {
        let mut all = Accuracy::default();
        for seed in seeds {
            let files = capture(seed);
            for end in [0, 1] {
                all.add(&files[end], &files[1 - end], &format!("seed {seed}, {}", ["client", "server"][end]));
            }
        }
        all
    }

    fn add(&mut self, here: &[u8], there: &[u8], name: &str) {
        let infer = Options { infer: true, ..Options::default() };
        let mut sent: HashMap<Vec<u8>, VecDeque<String>> = HashMap::new();
        causes(there, infer.clone(), &mut |c| {
            if let Some(word) = c.stated.filter(|_| c.sent) {
                sent.entry(c.data.to_vec()).or_default().push_back(class(word, c.sentence).to_owned());
            }
        })
        .unwrap();
        let mut known = HashMap::new();
        let without = causes(here, infer, &mut |c| {
            known.insert(c.frame, Known::of(c));
            let place = || format!("{name}, frame {}", c.frame);
            match c.stated {
                Some(word) if c.sent => {
                    // Of a lone segment nothing tells one from the other.
                    let timer = |word| matches!(word, "rto" | "tail-loss-probe");
                    let lone = known[&c.frame].lone && timer(c.inferred);
                    self.own.add(class(word, c.sentence), if lone { word } else { c.inferred }, place);
                }
                // A copy that the network made has no cause.
                _ => {
                    if let Some(word) = sent.get_mut(c.data).and_then(VecDeque::pop_front) {
                        self.far.add(&word, c.inferred, place);
                    }
                }
            }
        })
        .unwrap();
        self.compare(here, &without, &known, name);
    }

    /// A capture of which only one end is there.
    pub fn add_alone(&mut self, here: &[u8], name: &str) {
        let infer = Options { infer: true, ..Options::default() };
        let mut known = HashMap::new();
        let without = causes(here, infer, &mut |c| {
            known.insert(c.frame, Known::of(c));
            if let Some(word) = c.stated.filter(|_| c.sent) {
                let place = || format!("{name}, frame {}", c.frame);
                self.own.add(class(word, c.sentence), c.inferred, place);
            }
        })
        .unwrap();
        self.compare(here, &without, &known, name);
    }

    /// Holds what is said of the time without words against what is said with them.
    fn compare(&mut self, here: &[u8], without: &Summary, known: &HashMap<u64, Known>, name: &str) {
        let with = explain(here, Options::default()).unwrap();
        let cost = |summary: &Summary, what: What| {
            summary.findings.iter().filter(|f| f.what == what).map(|f| f.cost).sum::<Duration>()
        };
        let whats: BTreeSet<What> = with.findings.iter().chain(&without.findings).map(|f| f.what).collect();
        let mut said: BTreeMap<What, Duration> = whats.iter().map(|&w| (w, cost(without, w))).collect();
        for was in &with.findings {
            for is in without.findings.iter().filter(|is| is.what != was.what) {
                for frames in was.frames.iter().filter(|frames| is.frames.contains(frames)) {
                    let [Some(first), Some(last)] = [known.get(&frames.0), known.get(&frames.1)] else {
                        continue;
                    };
                    if last.either(was.what, is.what) {
                        let time = last.at.saturating_sub(first.at).min(said[&is.what]);
                        *said.get_mut(&is.what).unwrap() -= time;
                        *said.get_mut(&was.what).unwrap() += time;
                        self.either += time;
                    }
                }
            }
        }
        for what in whats {
            let costs = [cost(&with, what), said[&what]];
            let apart = self.apart.entry(what.word()).or_default();
            apart.push((costs[0].abs_diff(costs[1]), name.to_owned()));
            apart.sort_by(|a, b| b.cmp(a));
            apart.truncate(2);
            let sums = self.findings.entry(what.word()).or_default();
            sums.iter_mut()
                .zip([costs[0], costs[1], costs[0].min(costs[1])])
                .for_each(|(sum, time)| *sum += time);
        }
        for (with, without) in with.connections.iter().zip(&without.connections) {
            for (with, without) in with.exchanges.iter().zip(&without.exchanges) {
                for part in Part::ALL {
                    let times = [with, without].map(|e| e.parts.of(part));
                    self.alike += times[0].min(times[1]);
                    let sums = self.parts.entry(part.word()).or_default();
                    sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
                }
                self.whole += with.parts.total();
            }
        }
    }

    /// The packets of which the right cause was said, in percent: sent by the capturing end, by the other.
    pub fn packets(&self) -> [f64; 2] {
        [&self.own, &self.far].map(|score| {
            let sum = |n: usize| score.causes.values().map(|count| count[n]).sum::<u64>() as f64;
            100.0 * sum(0) / sum(2)
        })
    }

    /// Precision and recall of a cause at the end that sent it, in percent.
    pub fn own(&self, word: &str) -> (f64, f64) {
        let [right, said, was] = self.own.causes[word].map(|n| n as f64);
        (100.0 * right / said, 100.0 * right / was)
    }

    /// The share of the time that is charged alike, in percent.
    pub fn time(&self) -> f64 {
        100.0 * self.alike.as_secs_f64() / self.whole.as_secs_f64()
    }

    /// Precision and recall of a finding's time, in percent.
    pub fn finding(&self, what: What) -> (f64, f64) {
        let [with, without, alike] = self.findings[what.word()].map(|time| time.as_secs_f64());
        (100.0 * alike / without, 100.0 * alike / with)
    }

    pub fn print(&self) -> String {
        let mut out = self.own.print("sent by this end");
        out += "\n";
        out += &self.far.print("sent by the other end");
        let _ = writeln!(
            out,
            "\n{:.1} % of the exchanges' time is charged alike; seconds with words, without:",
            self.time()
        );
        for (part, [with, without]) in self.parts.iter().filter(|(_, t)| t[0] + t[1] > Duration::ZERO) {
            let _ =
                writeln!(out, "  {part:<16} {:>10.3} {:>10.3}", with.as_secs_f64(), without.as_secs_f64());
        }
        let _ = writeln!(
            out,
            "\n{:<24} {:>10} {:>10} {:>8}",
            "finding, by its time", "precision", "recall", "seconds"
        );
        for (word, [with, without, alike]) in &self.findings {
            let percent = |of: &Duration| match of.is_zero() {
                true => "-".to_owned(),
                false => format!("{:.1}", 100.0 * alike.as_secs_f64() / of.as_secs_f64()),
            };
            let _ = write!(
                out,
                "{word:<24} {:>10} {:>10} {:>8.3}",
                percent(without),
                percent(with),
                with.as_secs_f64()
            );
            for (time, name) in self.apart[word].iter().filter(|(time, _)| *time > MS) {
                let _ = write!(out, "  {:.3} s in {name}", time.as_secs_f64());
            }
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "{:.3} s of these have either of two names: of a lone segment's first repetition a probe or a time-out, of a small \
             one behind a lone small one Nagle's algorithm or a window of one",
            self.either.as_secs_f64()
        );
        out
    }
}
