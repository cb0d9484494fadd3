//! Which bytes does an application get when a connection is closed?

use super::addrs::HTTP;
use super::arm::Arm;
use super::case::many;
use super::kernel::Peer;
use super::notebook::Notebook;
use super::{Axis, Claim, Experiment, LabError, Plot, Quantity};
use crate::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "closing",
    question: "A client has ten responses unread when the server closes: how many bytes does it get?",
    claims: &[
        Claim {
            name: "reset-destroys",
            says: "an eleventh request to a server that has closed brings a RST, and all ten responses are lost",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "half-close-is-safe",
            says: "a server that closes only its sending side and reads on loses nothing",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.6",
        },
        Claim {
            name: "input-close-is-risky",
            says: "closing the receiving side is risky: what came or still comes brings a RST, and that costs what was sent",
            source: "the chapter on connections in the HTTP literature",
        },
        Claim {
            name: "graceful-close",
            says: "who closes its sending side first and then waits for the other's FIN closes without loss",
            source: "the chapter on connections in the HTTP literature, RFC 9112 §9.6",
        },
        Claim {
            name: "full-close-without-more",
            says: "a full close loses nothing as long as the client sends nothing more",
            source: "RFC 9293 §3.6",
        },
    ],
    axes: &[Axis { name: "server", values: SERVERS }],
    tun: &[Axis { name: "server", values: SERVERS }],
    turns: &[&["tcp.keep_data_on_reset", "tcp.init_cwnd", "tcp.mss", "tcp.nagle", "tcp.linger", "link.rtt"]],
    holds: &[],
    plot: Plot::bars("bytes"),
    run,
};

/// What the server does: closes with everything read, closes its sending side, the same and reads on until the client's
/// FIN, closes its receiving side, closes with an eleventh request unread, aborts.
const SERVERS: &str = "full,half,graceful,input,unread,abort";
const RESPONSES: u64 = 10;
const RESPONSE: u64 = 1000;

fn run(lab: &mut Notebook) -> Result<(), LabError> {
    let (mut destroyed, mut half, mut full) = (Vec::new(), Vec::new(), Vec::new());
    let (mut graceful, mut input) = (Vec::new(), Vec::new());
    let (servers, peers) = (lab.words("server", SERVERS)?, lab.peers());
    for (&peer, server) in servers.iter().flat_map(|s| peers.iter().map(move |peer| (peer, s))) {
        for client in ["silent", "eleventh"] {
            // Linux keeps it, whatever we say.
            let choices: &[&str] = if peer == Peer::LinuxClient { &["on"] } else { &["off", "on"] };
            for &keeps in choices {
                let knobs = [
                    ("tcp.keep_data_on_reset", keeps),
                    ("tcp.init_cwnd", "10"),
                    ("tcp.mss", "1460"),
                    ("tcp.nagle", "off"),
                    ("tcp.linger", "off"),
                    ("link.rtt", "20ms"),
                ];
                let varied = [("server", server.as_str()), ("client", client), ("keeps data", keeps)];
                let mut arm = lab.arm_with(peer, &varied, &knobs)?;
                let (bytes, end) = scene(&mut arm, server, client)?;
                let all = RESPONSES * RESPONSE;
                // A RST comes when the server aborts, or when something reaches a socket that nobody reads any more.
                let eleventh = client == "eleventh";
                let reset = server == "abort" || (eleventh && ["full", "unread"].contains(&server.as_str()));
                let expected = if reset && keeps == "off" { 0 } else { all };
                arm.exactly("bytes", Quantity::Bytes(bytes), Quantity::Bytes(expected));
                // Where data is kept, so is the FIN that came before the RST.
                let ends = !reset || (server == "full" && keeps == "on");
                let word = match server.as_str() {
                    // It has not said that nothing more comes.
                    "input" => "open",
                    _ if ends => "end",
                    _ => "reset",
                };
                arm.exactly("then", Quantity::Word(end), Quantity::Word(word));
                let resets = arm.ways().1.rsts;
                arm.count("RSTs", resets, u64::from(reset));
                let at = if keeps == "on" { "kept at a RST" } else { "discarded at a RST" };
                let got = Quantity::Bytes(bytes);
                let both = || format!("{bytes} bytes and {}", many(resets, "RST"));
                match (server.as_str(), client) {
                    ("full", "eleventh") => destroyed.push(arm.case(bytes == 0, got, at)),
                    ("full", _) => full.push(arm.case(bytes == all, got, "")),
                    ("half", _) => half.push(arm.case(bytes == all, got, client)),
                    ("graceful", _) => graceful.push(arm.case(bytes == all && resets == 0, both(), client)),
                    ("input" | "unread", "eleventh") => {
                        input.push(arm.case(bytes < all && resets > 0, both(), format!("{server}, {at}")));
                    }
                    _ => {}
                }
                lab.record(arm)?;
            }
        }
    }
    let all = RESPONSES * RESPONSE;
    lab.judge("reset-destroys", &format!("bytes of {all} that the client gets"), &destroyed);
    lab.judge("half-close-is-safe", &format!("bytes of {all} that the client gets"), &half);
    lab.judge("input-close-is-risky", &format!("of {all} bytes the client gets"), &input);
    lab.judge("graceful-close", &format!("of {all} bytes the client gets"), &graceful);
    lab.judge("full-close-without-more", &format!("bytes of {all} that the client gets"), &full);
    Ok(())
}

/// Ten requests at once, ten responses, the close, perhaps one more request; then the client reads. How much it got and
/// what came then.
fn scene(arm: &mut Arm, server: &str, client: &str) -> Result<(u64, &'static str), LabError> {
    if let Some(real) = &mut arm.real {
        real.keep_in_stack();
    }
    let (near, far) = arm.ends(HTTP)?;
    let start = arm.begin(near);
    arm.write(near, 10 * 100)?;
    arm.read(far, 10 * 100)?;
    for _ in 0..RESPONSES {
        arm.write(far, RESPONSE as usize)?;
    }
    // The responses are there; the server has their acknowledgments.
    arm.pass(Duration::from_millis(100));
    let mut told = false;
    if server == "unread" && client == "eleventh" {
        told = arm.write(near, 1).is_err();
        arm.pass(Duration::from_millis(100));
    }
    match server {
        "full" | "unread" => arm.close(far),
        "half" | "graceful" => arm.half_close(far)?,
        "input" => arm.close_input(far)?,
        _ => arm.abort(far)?,
    }
    arm.pass(Duration::from_millis(100));
    // A socket that has told of the reset once ends after that.
    if server != "unread" && client == "eleventh" {
        told = arm.write(near, 1).is_err();
    }
    arm.pass(Duration::from_millis(100));
    let (data, end) = arm.read_available(near)?;
    arm.over(near, start);
    if server == "graceful" {
        // Whatever the client still sends is read, until its FIN.
        arm.close(near);
        arm.pass(Duration::from_millis(100));
        arm.read_available(far)?;
        arm.close(far);
        arm.pass(Duration::from_millis(100));
    }
    Ok((data.len() as u64, if told { "reset" } else { end }))
}
