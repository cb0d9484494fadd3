//! How does a client know that a response is complete, and what does it do with one that is not?

use super::arm::{Arm, SERVER, WEB};
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::service::{ClientOptions, Fetched, HttpClient, RequestPlan};
use crate::stack::Owner;
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
    turns: &["http.keepalive", "http.parallel", "http.pipeline", "tcp.init_cwnd", "tcp.nagle", "link.rtt"],
    plot: Plot::bars("bytes"),
    run,
};

const RTT: Duration = Duration::from_millis(20);
/// Longer than two requests take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two requests for the same page; a response that is cut short ends after half of its body. The second request needs a
/// connection of its own unless the first response is whole and ends by itself.
fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut told, mut hidden, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (size, text) in lab.sizes("size")? {
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
                let first = fetched.first().ok_or_else(|| LabError("nothing came back".into()))?;
                let cut = ends == "cut short";
                let word = if first.error.is_some() { "incomplete" } else { "complete" };
                let expected = if cut && framing != "close" { "incomplete" } else { "complete" };
                arm.exactly("taken for", Quantity::Word(word), Quantity::Word(expected));
                let bytes = if cut { size / 2 } else { size } as u64;
                arm.exactly("bytes", Quantity::Bytes(first.body_len), Quantity::Bytes(bytes));
                let connections = arm.ways().0.syns;
                let reusable = framing != "close" && !cut;
                arm.count("connections", connections, if reusable { 1 } else { 2 });
                match (framing, cut) {
                    ("close", true) => hidden.push(word == "complete"),
                    (_, true) => told.push(word == "incomplete"),
                    (_, false) => kept.push((connections == 1) == (framing != "close")),
                }
                lab.record(arm)?;
            }
        }
    }
    lab.judge("length-tells", told, "half of the body, and reported as incomplete".to_owned());
    lab.judge("close-hides", hidden, "half of the body, and taken for all of it".to_owned());
    let numbers =
        "one connection for two requests with a length or chunks, two where the close ends a response";
    lab.judge("length-keeps", kept, numbers.to_owned());
    Ok(())
}

fn fetch(arm: &mut Arm, framing: &'static str, cut: bool, size: usize) -> Result<Vec<Fetched>, LabError> {
    let server = arm.server;
    arm.world.spawn(server, move |net| -> io::Result<()> {
        let listener = net.listen(WEB.port())?;
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
    let plan = RequestPlan::get(&format!("http://{SERVER}/")).map_err(|e| LabError(e.to_string()))?;
    let options = ClientOptions { http: arm.settings.http.clone(), ..ClientOptions::default() };
    let client = HttpClient::new(Owner(2), vec![plan.clone(), plan], options);
    let results = client.results();
    arm.world.add_service(arm.client, Box::new(client));
    let mut fetched: Vec<Fetched> = Vec::new();
    arm.world.run_until(PATIENCE, |_| {
        fetched.extend(results.try_iter());
        fetched.len() >= 2
    });
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
