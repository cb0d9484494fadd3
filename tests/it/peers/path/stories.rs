//! Does `explain` charge Linux's own exchanges to what was done to them? Both ends are Linux; what thinks, what is lost and
//! what pauses is known, and seen from the client, from the middle and from the server.
// What passes is stamped with the time at which it does.
#![allow(clippy::disallowed_methods)]

use super::Host::Linux;
use super::*;
use smoltcp::phy::{self, DeviceCapabilities, RxToken as _};
use smoltcp::time::Instant as Tick;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tcpglass::explain::{Options, Part, Summary, What, explain};

const MS: Duration = Duration::from_millis(1);

/// What is done to an exchange: how long nobody speaks before it, how long the server thinks, and what is lost once.
struct Deed {
    pause: u64,
    think: u64,
    lost: &'static str,
}

const DEEDS: [Deed; 10] = [
    Deed { pause: 0, think: 0, lost: "" },
    Deed { pause: 0, think: 300, lost: "" },
    Deed { pause: 0, think: 0, lost: "request" },
    Deed { pause: 0, think: 0, lost: "" },
    Deed { pause: 0, think: 0, lost: "response" },
    Deed { pause: 1500, think: 0, lost: "" },
    Deed { pause: 1200, think: 0, lost: "request" },
    Deed { pause: 0, think: 400, lost: "acknowledgment" },
    Deed { pause: 0, think: 350, lost: "response" },
    Deed { pause: 0, think: 0, lost: "" },
];

/// Packets with their times, and what is still to be lost.
#[derive(Default)]
struct Log {
    packets: Vec<(u64, Vec<u8>)>,
    /// What was lost, by the exchange.
    lost: Vec<usize>,
    /// The exchange whose request passed last.
    now: usize,
}

/// A device that writes down what passes; `loses` if something does not.
struct Tap<D> {
    device: D,
    log: Arc<Mutex<Log>>,
    since: Instant,
    loses: bool,
}

fn payload(packet: &[u8]) -> &[u8] {
    let tcp = usize::from(packet[0] & 15) * 4;
    packet.get(tcp + usize::from(packet[tcp + 12] >> 4) * 4..).unwrap_or_default()
}

fn number(text: &[u8], behind: &str) -> Option<usize> {
    let text = std::str::from_utf8(&text[..text.len().min(100)]).ok()?;
    let digits = &text[text.find(behind)? + behind.len()..];
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

impl<D> Tap<D> {
    /// Whether it passes.
    fn passes(&self, packet: &[u8]) -> bool {
        if packet[0] >> 4 != 4 || packet[9] != 6 {
            return true;
        }
        let mut log = self.log.lock().unwrap();
        log.packets.push((self.since.elapsed().as_micros() as u64, packet.to_vec()));
        let text = payload(packet);
        let (asks, answers) = (number(text, "GET /"), number(text, "X-Number: "));
        log.now = asks.unwrap_or(log.now);
        let flags = packet[usize::from(packet[0] & 15) * 4 + 13];
        let bare = text.is_empty() && flags == 0x10 && packet[15] == 2;
        let here = match (asks, answers) {
            (Some(n), _) => Some(n).filter(|n| DEEDS[*n].lost == "request"),
            (_, Some(n)) => Some(n).filter(|n| DEEDS[*n].lost == "response"),
            _ => Some(log.now).filter(|n| bare && DEEDS[*n].lost == "acknowledgment"),
        };
        match here.filter(|n| self.loses && !log.lost.contains(n)) {
            Some(n) => log.lost.push(n),
            None => return true,
        }
        false
    }
}

impl<D: AsFd> AsFd for Tap<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

struct Came(Vec<u8>);

impl phy::RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Goes<'a, D>(&'a mut Tap<D>, Tick);

impl<D: phy::Device> phy::TxToken for Goes<'_, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        if self.0.passes(&packet)
            && let Some(room) = self.0.device.transmit(self.1)
        {
            room.consume(len, |buf| buf.copy_from_slice(&packet));
        }
        result
    }
}

impl<D: phy::Device> phy::Device for Tap<D> {
    type RxToken<'a>
        = Came
    where
        Self: 'a;
    type TxToken<'a>
        = Goes<'a, D>
    where
        Self: 'a;

    fn receive(&mut self, now: Tick) -> Option<(Came, Goes<'_, D>)> {
        loop {
            let (token, _) = self.device.receive(now)?;
            let packet = token.consume(<[u8]>::to_vec);
            if self.passes(&packet) {
                return Some((Came(packet), Goes(self, now)));
            }
        }
    }

    fn transmit(&mut self, now: Tick) -> Option<Goes<'_, D>> {
        self.device.transmit(now)?;
        Some(Goes(self, now))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

fn ask(mut stream: &Stream) {
    for (n, deed) in DEEDS.iter().enumerate() {
        thread::sleep(Duration::from_millis(deed.pause));
        stream.write_all(format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let len = response(n).len();
        stream.read_exact(&mut vec![0; len]).unwrap();
    }
}

fn response(n: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Number: {n}\r\nContent-Length: 500\r\n\r\n{}", "x".repeat(500))
}

fn answer(mut stream: &Stream) {
    for (n, deed) in DEEDS.iter().enumerate() {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        thread::sleep(Duration::from_millis(deed.think));
        stream.write_all(response(n).as_bytes()).unwrap();
    }
}

/// All exchanges over a path of 20 ms: what the client, the middle and the server see, and what was lost.
fn told(stamps: bool) -> ([Summary; 3], Vec<usize>) {
    WITHOUT_STAMPS.store(!stamps, Ordering::Relaxed);
    let logs: [Arc<Mutex<Log>>; 3] = Default::default();
    let since = Instant::now();
    let link: LinkConfig = "rtt=10ms".parse().unwrap();
    thread::scope(|scope| {
        let (a_end, a) = channel();
        let (b_end, b) = channel();
        let first = scope.spawn(move || host(Linux, 1, "stories", &a_end, ask));
        let second = scope.spawn(move || host(Linux, 2, "stories", &b_end, answer));
        let tap = |n: usize| (logs[n].clone(), since);
        let (Device::Tun(a), Device::Tun(b)) = (a.recv().unwrap(), b.recv().unwrap()) else { panic!() };
        let (left, right) = pipe(MTU).unwrap();
        let [at_a, at_b] = [0, 2].map(tap);
        let a = Tap { device: a, log: at_a.0, since: at_a.1, loses: false };
        let b = Tap { device: b, log: at_b.0, since: at_b.1, loses: false };
        let middle = Tap { device: right, log: logs[1].clone(), since, loses: true };
        let paths = [Path::start(a, left, &link, 1).unwrap(), Path::start(middle, b, &link, 2).unwrap()];
        first.join().unwrap();
        second.join().unwrap();
        for path in paths {
            path.cut().unwrap();
        }
    });
    let lost = logs[1].lock().unwrap().lost.clone();
    let summaries = logs.map(|log| {
        let packets = std::mem::take(&mut log.lock().unwrap().packets);
        let file = crate::explain::pcap(101, usize::MAX, packets);
        explain(file.as_slice(), Options::default()).unwrap()
    });
    (summaries, lost)
}

#[test]
fn exchanges_of_linux_are_charged_to_what_was_done_to_them_from_three_places() {
    const TEST: &str =
        "peers::path::stories::exchanges_of_linux_are_charged_to_what_was_done_to_them_from_three_places";
    inside(TEST, &["-q"], || {
        let (mut right, mut all) = (0, 0);
        for stamps in [true, false] {
            let (summaries, lost) = told(stamps);
            assert_eq!(lost, [2, 4, 6, 7, 8], "each was lost once");
            for (place, summary) in ["client", "middle", "server"].into_iter().zip(summaries) {
                let exchanges = &summary.connections[0].exchanges;
                assert_eq!(exchanges.len(), DEEDS.len(), "{place}: {exchanges:#?}");
                for (n, (e, deed)) in exchanges.iter().zip(&DEEDS).enumerate() {
                    assert_eq!(e.parts.total(), e.end - e.start, "{place}, exchange {n}: {e:#?}");
                    let said = [Part::Server, Part::Recovery].map(|part| e.parts.of(part) >= 120 * MS);
                    // What was asked again is seen at the server when it comes.
                    let waits = deed.lost == "response" || (deed.lost == "request" && place != "server");
                    let is = [deed.think > 0, waits];
                    all += 1;
                    right += u32::from(said == is);
                    if said != is {
                        println!("{place}, exchange {n}: {:?}", e.parts);
                    }
                }
                let cost = |what| {
                    summary
                        .findings
                        .iter()
                        .filter(|f| f.what == what)
                        .map(|f| f.cost.as_millis())
                        .sum::<u128>()
                };
                // A pause before a loss is none of its cost.
                assert!(cost(What::LostBefore) < 1000, "{place}: {:?}", summary.findings);
            }
        }
        println!("{right} of {all} exchanges of Linux are charged to what was done to them");
        assert!(right * 20 >= all * 19);
    });
}
