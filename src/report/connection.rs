//! What is known of one connection of a capture, in a few lines?

use super::plural;
use crate::explain::{Connection, End, Ending, Repeats};
use crate::time::Spoken;
use std::fmt::Write;

/// Round trips, what the ends agreed on, and for each end what it sent again, how its window fared and what it waited for.
pub(super) fn lines(c: &Connection) -> Vec<String> {
    let mut out = Vec::new();
    let [client, server] = &c.ends;
    let mut first = format!("{}: ", c.number);
    first += &match (c.round_trip, c.round_trip_median()) {
        (Some(least), Some(median)) if median > least => {
            format!("round trip {} at the least, {} in the middle", Spoken(least), Spoken(median))
        }
        (Some(least), _) => format!("round trip {}", Spoken(least)),
        (None, _) => "no round trip was seen".to_owned(),
    };
    if let (Some(a), Some(b)) = (client.mss, server.mss) {
        let _ = write!(first, "; MSS {a}");
        if a != b {
            let _ = write!(first, " and {b}");
        }
    }
    for (both, name) in [
        (client.sack && server.sack, "SACK"),
        (client.timestamps && server.timestamps, "time stamps"),
        (client.accurate_ecn && server.accurate_ecn, "accurate ECN"),
        (client.ecn && server.ecn && !(client.accurate_ecn && server.accurate_ecn), "ECN"),
    ] {
        if both {
            let _ = write!(first, ", {name}");
        }
    }
    first += &match (client.window_scale, server.window_scale) {
        (Some(a), Some(b)) => format!(", windows × {} and {}", 1 << a, 1 << b),
        // Nobody scales anything where nobody answers.
        _ if c.ending == Ending::Refused || (c.down.packets == 0 && c.missing.is_none()) => String::new(),
        _ => {
            let why = match (client.syn, server.syn) {
                (true, false) => "the server's SYN was not captured",
                (false, true) => "the client's SYN was not captured",
                _ => "the SYNs were not captured",
            };
            let [a, b] = [client, server].map(|end| 1 << end.window_scale.unwrap_or(end.least_window_scale));
            format!(", the windows' scales are not known (× {a} and {b} at the least): {why}")
        }
    };
    out.push(first);
    if let Some(missing) = c.missing {
        let name = ["client", "server"][usize::from(missing)];
        out.push(format!(
            "   nothing that the {name} sent was captured: what is said of it shows in the answers alone"
        ));
    }
    for (end, name) in c.ends.iter().zip(["client", "server"]) {
        let told = told(end);
        if !told.is_empty() {
            out.push(format!("   {name}: {}", told.join("; ")));
        }
    }
    out
}

fn told(end: &End) -> Vec<String> {
    let mut told = Vec::new();
    let again: Vec<String> = kinds(&end.repeats)
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if !again.is_empty() {
        told.push(format!("sent again: {}", again.join(", ")));
    }
    if end.repeats.late > 0 {
        told.push(format!("{} came late or out of order", plural(end.repeats.late, "segment")));
    }
    if end.repeats.copy > 0 {
        told.push(format!("{} doubled on the way", plural(end.repeats.copy, "segment")));
    }
    if end.dsacks > 0 {
        told.push(format!("{} came twice", plural(end.dsacks, "segment")));
    }
    if end.not_captured > 0 {
        told.push(format!("{} bytes were acknowledged and not captured", end.not_captured));
    }
    if end.zero_windows > 0 {
        let times = plural(end.zero_windows, "time");
        told.push(format!("closed its window {times} for {}", Spoken(end.zero_window_time)));
    }
    let mut limits: Vec<_> = end.limits.iter().filter(|(_, time)| time.as_micros() >= 1000).collect();
    limits.sort_by_key(|(part, time)| (std::cmp::Reverse(*time), *part));
    if !limits.is_empty() {
        let each: Vec<String> =
            limits.iter().take(4).map(|(part, time)| format!("{} {}", part.word(), Spoken(*time))).collect();
        told.push(format!("waited for {}", each.join(", ")));
    }
    told
}

/// How many of each kind.
fn kinds(r: &Repeats) -> [(u64, &'static str); 6] {
    [
        (r.syn, "of the handshake"),
        (r.rto, "after a time-out"),
        (r.probe, "to probe the tail"),
        (r.fast, "for duplicate ACKs"),
        (r.sack, "for selective ACKs"),
        (r.mtu, "because a router said that they were too large"),
    ]
}
