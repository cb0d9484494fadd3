//! Where does the time of one exchange go, from the name to the close?

use super::addrs::{Addrs, HTTP};
use super::arm::Arm;
use super::notebook::Notebook;
use super::slow_start::{EVERY_ACK, MSS, clean, flights};
use super::web::fetch_from;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::explain::{self, Options, Part};
use crate::segment::Flags;
use crate::sim::{NameServer, Net, Recording, TcpStream};
use crate::time::{Duration, Instant, Spoken};
use crate::trace::{Direction, Format, TraceOptions, to_writer};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "transaction",
    question: "Where does the time of one exchange go, from the look-up of the name to the close?",
    claims: &[
        Claim {
            name: "parts",
            says: "a transaction is delayed by looking up the name, connecting, sending the request, the server's work, the \
                   response and the close",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "mostly-network",
            says: "unless the server is busy, the network takes most of the time and the server's work little",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "names-are-kept",
            says: "a client that keeps the names it has looked up asks only the first time",
            source: "the chapter on connections in the HTTP literature, RFC 1035 §7.2",
        },
        Claim {
            name: "capture-tells",
            says: "a capture made at the client tells connection, way, server and response apart, with the reasons in it or without",
            source: "tcpglass explain",
        },
    ],
    axes: &[
        Axis { name: "rtt", values: "20ms,100ms" },
        Axis { name: "size", values: "1KiB,100KiB" },
        Axis { name: "thinks", values: "0,10ms,500ms" },
        Axis { name: "lookup", values: "30ms" },
    ],
    tun: &[],
    turns: &[EVERY_ACK, &["tcp.nagle", "http.keepalive", "http.parallel"]],
    holds: &[],
    plot: Plot::over("rtt", "whole", (false, false)),
    run,
};

/// The server's name.
const NAME: &str = "glass.test";

/// From first principles, with a round trip R to the name server and to the server alike: the name takes R and what the
/// name server takes, the connection R, the request R/2, the response R/2 and R for each flight of slow start but the
/// first, the client's FIN and its acknowledgment R. The second exchange has the name already. In the capture, request
/// and first flight are one way there and back.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut sums, mut network, mut kept, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (rtt, rtt_text) in lab.round_trips("rtt", Duration::ZERO)? {
        for (size, size_text) in lab.sizes("size", 100 << 20)? {
            if size < HEAD_MAX {
                return Err(LabError::usage(format!(
                    "size {size_text} leaves no room for a response's head"
                )));
            }
            for (thinks, thinks_text) in lab.durations("thinks")? {
                for (lookup, lookup_text) in lab.durations("lookup")? {
                    if rtt + lookup >= ASKS_AGAIN {
                        return Err(LabError::usage(format!(
                            "lookup {lookup_text} is too long here: after {} a question is asked again",
                            Spoken(ASKS_AGAIN)
                        )));
                    }
                    let own = [
                        ("tcp.nagle", "off"),
                        ("http.keepalive", "off"),
                        ("http.parallel", "1"),
                        ("link.rtt", rtt_text.as_str()),
                    ];
                    let varied = [
                        ("rtt", rtt_text.as_str()),
                        ("size", &size_text),
                        ("thinks", &thinks_text),
                        ("lookup", &lookup_text),
                    ];
                    let mut arm = lab.arm(&varied, &[&clean("10")[..], &own].concat())?;
                    let capture = Capture::of(&mut arm, lab.addrs());
                    let found = exchange(&mut arm, size, thinks, lookup)?;
                    arm.end()?;
                    let more = rtt * (flights(size.div_ceil(MSS), 10) - 1);
                    let whole = rtt * 3 + lookup + thinks + more;
                    arm.time("name", found.name, rtt + lookup);
                    arm.time("connection", found.connection, rtt);
                    arm.time("request", found.request, rtt / 2);
                    arm.time("server", found.server, thinks);
                    arm.time("response", found.response, rtt / 2 + more);
                    arm.time("whole", found.whole, whole);
                    arm.time("close", found.close, rtt);
                    arm.time("second", found.second, whole - rtt - lookup);
                    // One for each family of addresses.
                    arm.count("asked", found.asked, 2);
                    arm.count("told", found.told, 2);
                    let parts = found.name + found.connection + found.request + found.server + found.response;
                    let at = format!("{rtt_text}, {size_text}, {thinks_text}");
                    let missing = Quantity::Time(parts.abs_diff(found.whole));
                    sums.push(arm.case(parts.abs_diff(found.whole) <= super::TOLERANCE, missing, &*at));
                    let server = found.server.as_secs_f64() / found.whole.as_secs_f64();
                    let thinking = format!("thinks {thinks_text}");
                    network.push(arm.case(server < 0.5, Quantity::Share(server), thinking));
                    let saved = Quantity::Time(found.whole.saturating_sub(found.second));
                    let looked_up = format!("look-up of {}", Spoken(found.name));
                    kept.push(arm.case(found.second + found.name == found.whole, saved, looked_up));
                    let mut agree = |column, infer| {
                        let agrees = capture.tells(infer, [rtt, rtt, thinks, more])?;
                        let word = |agrees| Quantity::Word(if agrees { "agrees" } else { "differs" });
                        arm.exactly(column, word(agrees), word(true));
                        told.push(arm.case(agrees, word(agrees), column));
                        Ok::<(), LabError>(())
                    };
                    agree("stated", false)?;
                    agree("inferred", true)?;
                    lab.record(arm)?;
                }
            }
        }
    }
    lab.judge("parts", "time of the whole that is in none of the five parts", &sums);
    lab.judge("mostly-network", "the server's share", &network);
    lab.judge("names-are-kept", "the second exchange is shorter by", &kept);
    lab.judge("capture-tells", "what the capture tells", &told);
    Ok(())
}

struct Found {
    name: Duration,
    connection: Duration,
    request: Duration,
    server: Duration,
    response: Duration,
    whole: Duration,
    /// From the last byte to the acknowledgment of the client's FIN.
    close: Duration,
    /// All of the second exchange.
    second: Duration,
    /// Questions to the name server, and its answers.
    asked: u64,
    told: u64,
}

/// Two exchanges one after the other, each with a connection of its own.
fn exchange(arm: &mut Arm, size: usize, thinks: Duration, lookup: Duration) -> Result<Found, LabError> {
    let addrs = arm.addrs;
    arm.world.add_name_server(NameServer::new(addrs.names).name(NAME, addrs.server).takes(lookup));
    let packets = arm.world.record(arm.client);
    let server = arm.server;
    let served = arm.world.spawn(server, move |net| serve(net, size, thinks));
    arm.pass(Duration::ZERO);
    let (fetched, _) = fetch_from(arm, &format!("http://{NAME}"), &["GET /".into(), "GET /".into()])?;
    arm.quiet();
    let served = arm.world.join(served)??;
    let missing = || LabError::new("a request has no times");
    let (timings, &(asked, answered)) = (fetched[0].timings, served.first().ok_or_else(missing)?);
    let marks = (timings.start, timings.name, timings.established, timings.last_byte);
    let (Some(start), Some(name), Some(established), Some(last)) = marks else { return Err(missing()) };
    let second = fetched[1].timings;
    let (Some(again), Some(end)) = (second.start, second.last_byte) else { return Err(missing()) };
    Ok(Found {
        name: name.since(start),
        connection: established.since(name),
        request: asked.since(established),
        server: answered.since(asked),
        response: last.since(answered),
        whole: last.since(start),
        close: closed(&packets).ok_or_else(missing)?.since(last),
        second: end.since(again),
        asked: arm.sent(arm.client, "dns"),
        told: arm.received(arm.client, "dns"),
    })
}

/// When the first connection's FIN was acknowledged.
fn closed(packets: &Recording) -> Option<Instant> {
    let packets = packets.packets();
    let first = packets.iter().find_map(|p| p.conn)?;
    let of_first = || packets.iter().filter(|p| p.conn == Some(first));
    let fin = of_first().find(|p| p.direction == Direction::Out && p.seg.has(Flags::FIN))?;
    let acknowledges = |p: &&crate::sim::Recorded| p.direction == Direction::In && p.seg.ack == fin.seg.end();
    of_first().find(acknowledges).map(|p| p.at)
}

/// The head of a response, with room for the largest length.
const HEAD_MAX: usize = 100;
/// A name server that has not answered by then is asked once more.
const ASKS_AGAIN: Duration = Duration::from_secs(1);

/// Two connections with a request each: when it was there, and when the answer was written. Head and body are `size`
/// bytes together.
fn serve(net: &Net, size: usize, thinks: Duration) -> io::Result<Vec<(Instant, Instant)>> {
    let listener = net.listen(HTTP)?;
    let mut times = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = listener.accept()?;
        read_head(&mut stream)?;
        let asked = net.now();
        net.sleep(thinks);
        times.push((asked, net.now()));
        let head = |body: usize| {
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {body:010}\r\n\r\n")
        };
        let body = size - head(0).len();
        stream.write_all(&[head(body).as_bytes(), &vec![b'x'; body]].concat())?;
    }
    Ok(times)
}

fn read_head(stream: &mut TcpStream) -> io::Result<()> {
    let (mut head, mut buf) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buf)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&buf[..n]),
        }
    }
    Ok(())
}

/// A capture in memory, made at the client.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    fn of(arm: &mut Arm, addrs: &Addrs) -> Capture {
        let capture = Capture::default();
        let options = TraceOptions {
            names: vec![(addrs.client, "client".into()), (addrs.server, "server".into())],
            portable: true,
            ..TraceOptions::default()
        };
        let sink = to_writer(capture.clone(), Format::Pcapng, &options);
        arm.world.stack(arm.client).tracer().add(sink);
        capture
    }

    /// Whether its first exchange has these times: handshake, way, server, and the response behind its first flight.
    fn tells(&self, infer: bool, expected: [Duration; 4]) -> Result<bool, LabError> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let options = Options { infer, ..Options::default() };
        let summary =
            explain::explain(bytes.as_slice(), options).map_err(|e| LabError::new(e.to_string()))?;
        let first = summary.connections.first().and_then(|c| c.exchanges.first());
        let first = first.ok_or_else(|| LabError::new("the capture has no exchange"))?;
        let named = [Part::Handshake, Part::Link, Part::Server].map(|part| first.parts.of(part));
        let rest = first.parts.total().saturating_sub(named.iter().sum());
        let [handshake, way, server] = named;
        let agrees = |(a, b): (Duration, Duration)| a.abs_diff(b) <= super::TOLERANCE;
        Ok([handshake, way, server, rest].into_iter().zip(expected).all(agrees))
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
