//! How does a transfer look in xplot? The time–sequence graph that tcptrace draws, one for each direction.

use crate::explain::{Line, Summary, Trail};
use crate::segment::Flags;
use std::fmt::Write;

/// How each graph begins.
pub const XPLOT_START: &str = "timeval unsigned\n";

/// A graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph {
    /// The connection's number in the capture, from 1.
    pub connection: usize,
    /// What the client sent, or what the server did.
    pub from_client: bool,
    /// The commands.
    pub text: String,
}

/// The graphs of the connections that the trail has: segments in white, the acknowledgments' line in green, the window's
/// edge in yellow, what was sent again in red and what was acknowledged beyond a gap in purple.
pub fn xplot(summary: &Summary, trail: &Trail) -> Vec<Graph> {
    let both = |line| [true, false].map(|from_client| graph(summary, line, from_client));
    trail.lines.iter().flat_map(both).collect()
}

fn graph(summary: &Summary, line: &Line, from_client: bool) -> Graph {
    let ends = summary.connections.iter().find(|c| c.number == line.number).map(|c| match from_client {
        true => (c.client, c.server),
        false => (c.server, c.client),
    });
    let title = ends.map_or(String::new(), |(from, to)| format!("{from}_==>_{to} (time sequence graph)"));
    let mut text = format!("{XPLOT_START}title\n{title}\nxlabel\ntime\nylabel\nsequence number\n");
    // The last acknowledgment, and the last edge of the window.
    let mut before: [Option<(String, i64)>; 2] = [None, None];
    for step in &line.steps {
        let at = format!("{}.{:06}", step.at.as_secs(), step.at.subsec_micros());
        if step.from_client == from_client {
            if step.len > 0 {
                let color = if step.again { "red" } else { "white" };
                let end = step.seq + i64::from(step.len);
                let _ = writeln!(text, "{color}\ndarrow {at} {}\nuarrow {at} {end}", step.seq);
                let _ = writeln!(text, "line {at} {} {at} {end}", step.seq);
            }
            for (flag, name) in [(Flags::SYN, "SYN"), (Flags::FIN, "FIN"), (Flags::RST, "RST")] {
                if step.flags.contains(flag) {
                    let _ = writeln!(text, "orange\natext {at} {}\n{name}", step.end());
                }
            }
            continue;
        }
        let Some(ack) = step.ack else { continue };
        for (start, end) in &step.sack {
            let _ = writeln!(text, "purple\nline {at} {start} {at} {end}");
        }
        let edge = step.window.map(|window| ack + i64::from(window));
        for (n, color, now) in [(0, "green", Some(ack)), (1, "yellow", edge)] {
            let Some(now) = now else { continue };
            if let Some((then, value)) = &before[n] {
                let _ =
                    writeln!(text, "{color}\nline {then} {value} {at} {value}\nline {at} {value} {at} {now}");
            }
            before[n] = Some((at.clone(), now));
        }
    }
    text += "go\n";
    Graph { connection: line.number, from_client, text }
}
