//! How does a client know that a response is complete, and what does it do with one that is not?

use super::addrs::HTTP;
use super::arm::Arm;
use super::notebook::Notebook;
use super::web::attempt;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::service::Fetched;
use crate::tcp::Shutdown;
use crate::time::Duration;
use std::io::{self, Read, Write};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "framing",
    question: "How does a client know that a response is complete?",
    claims: &[
        Claim {
            name: "length-tells",
            says: "a response that is cut short is known by its Content-Length, or by its chunks",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §8",
        },
        Claim {
            name: "close-hides",
            says: "where the close alone ends a response, nobody can tell a whole one from a part",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §8",
        },
        Claim {
            name: "length-keeps",
            says: "only a response that ends by itself leaves the connection for another request",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.3",
        },
    ],
    axes: &[Axis { name: "size", values: "100,10000" }],
    tun: &[],
    turns: &[&["http.keepalive", "http.parallel", "http.pipeline", "tcp.init_cwnd", "tcp.nagle", "link.rtt"]],
    holds: &[],
    plot: Plot::bars("bytes"),
    run,
};

const RTT: Duration = Duration::from_millis(20);

/// Two requests for the same page; a response that is cut short ends after half of its body. The second request needs a
/// connection of its own unless the first response is whole and ends by itself.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut told, mut hidden, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (size, text) in lab.sizes("size", 100 << 20)? {
        for framing in ["length", "chunks", "close"] {
            for ends in ["whole", "cut short"] {
                let knobs = [
                    ("http.keepalive", "on"),
                    ("http.parallel", "1"),
                    ("http.pipeline", "1"),
                    ("tcp.init_cwnd", "100"),
                    ("tcp.nagle", "off"),
                    ("link.rtt", "20ms"),
                ];
                let varied = [("ends by", framing), ("response", ends), ("size", text.as_str())];
                let mut arm = lab.arm(&varied, &knobs)?;
                let fetched = fetch(&mut arm, framing, ends == "cut short", size)?;
                let first = fetched.first().ok_or_else(|| LabError::new("nothing came back"))?;
                let cut = ends == "cut short";
                let word = if first.error.is_some() { "incomplete" } else { "complete" };
                let expected = if cut && framing != "close" { "incomplete" } else { "complete" };
                arm.exactly("taken for", Quantity::Word(word), Quantity::Word(expected));
                let bytes = if cut { size / 2 } else { size } as u64;
                arm.exactly("bytes", Quantity::Bytes(first.body_len), Quantity::Bytes(bytes));
                let connections = arm.ways().0.syns;
                let reusable = framing != "close" && !cut;
                arm.count("connections", connections, if reusable { 1 } else { 2 });
                let found = format!("{word} with {} of {size} bytes", first.body_len);
                match (framing, cut) {
                    ("close", true) => hidden.push(arm.case(word == "complete", found, framing)),
                    (_, true) => told.push(arm.case(word == "incomplete", found, framing)),
                    (_, false) => {
                        let held = (connections == 1) == (framing != "close");
                        kept.push(arm.case(held, Quantity::Count(connections), framing));
                    }
                }
                lab.record(arm)?;
            }
        }
    }
    lab.judge("length-tells", "a response cut short is taken for", &told);
    lab.judge("close-hides", "a response cut short is taken for", &hidden);
    lab.judge("length-keeps", "connections for two requests", &kept);
    Ok(())
}

fn fetch(arm: &mut Arm, framing: &'static str, cut: bool, size: usize) -> Result<Vec<Fetched>, LabError> {
    let server = arm.server;
    arm.world.spawn(server, move |net| -> io::Result<()> {
        let listener = net.listen(HTTP)?;
        loop {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 4096];
            // Each request comes in one piece.
            while let Ok(1..) = stream.read(&mut request) {
                stream.write_all(&response(framing, cut, size))?;
                if cut || framing == "close" {
                    stream.shutdown(Shutdown::Write)?;
                }
            }
        }
    });
    let fetched = attempt(arm, &["GET /".into(), "GET /".into()])?;
    arm.pass(RTT);
    Ok(fetched)
}

fn response(framing: &str, cut: bool, size: usize) -> Vec<u8> {
    let sent = if cut { size / 2 } else { size };
    let body = "x".repeat(sent);
    let text = match framing {
        "length" => format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{body}"),
        "chunks" if cut => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}"),
        "chunks" => {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n")
        }
        _ => format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
    };
    text.into_bytes()
}
