//! What do the packets of a capture tell of the applications behind them?
//!
//! A write is what leaves without waiting for anybody but TCP: it goes on while windows, losses and the wire hold it
//! back, and ends with a segment that is not full, or before a pause in which somebody thought.

use super::habits::{full, inferred, ip_length, usual_rate};
use super::line::Line;
use super::rows::Row;
use super::scenario::{Scenario, ScenarioError, order};
use super::wire_model::WireModel;
use crate::explain::{Caused, Options, Seen, Summary, follow};
use crate::settings::{Profile, Settings};
use crate::sim::LinkConfig;
use crate::tcp::Nagle;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;

/// Bytes of all streams together that are held again.
const BYTES: usize = 256 << 20;
/// Connections that are held again.
const TALKS: usize = 2000;
/// What follows faster was in a queue of this host: it says nothing of the path, bits per second.
const FASTEST: u64 = 20_000_000_000;
impl Scenario {
    /// Takes the scenario from a capture; with `connection` of this one alone, by its number from 1. With `infer` as
    /// from the capture of a foreign stack.
    ///
    /// # Errors
    /// It is no capture, holds no connection from its beginning, or more than is held again.
    pub fn read(input: impl Read, connection: Option<usize>, infer: bool) -> Result<Scenario, ScenarioError> {
        let mut listener = Listener { connection, ..Listener::default() };
        let options = Options { infer, connection, ..Options::default() };
        let summary = follow(input, options, &mut |seen| match seen {
            Seen::About(text) if !infer => listener.about(text),
            Seen::About(_) => {}
            Seen::Event { at, text } if !infer => listener.event(at, text),
            Seen::Event { .. } => {}
            Seen::Packet(caused) => listener.packet(&caused),
            Seen::Connection(_) => {}
        })
        .map_err(ScenarioError::Read)?;
        listener.finish(&summary)
    }
}

#[derive(Default)]
struct Listener {
    connection: Option<usize>,
    /// With which settings the capture was made, by its own word.
    settings: Option<Settings>,
    /// From which number the simulator that it was made in drew its faults.
    seed: Option<u64>,
    lines: BTreeMap<usize, Line>,
    /// From one host to another.
    wires: BTreeMap<(IpAddr, IpAddr), WireModel>,
    bytes: usize,
    beyond: bool,
    /// What the links did that is not done again.
    not_again: BTreeMap<&'static str, u64>,
}

impl Listener {
    /// `tcpglass 0.1.0: tcp.nagle=off link.rtt=20ms`, or `… profile linux`.
    fn about(&mut self, text: &str) {
        let Some((name, changed)) = text.strip_prefix("tcpglass ").and_then(|t| t.split_once(": ")) else {
            return;
        };
        let mut settings = Settings::new(Profile::Linux);
        // A laboratory's arm says first in words what it varies.
        let changed =
            if name.starts_with("lab ") { changed.rsplit_once("; ").map_or("", |s| s.1) } else { changed };
        if changed.is_empty() {
            return;
        }
        let mut seed = None;
        for word in changed.split(' ').filter(|w| w.contains('=')) {
            match word.strip_prefix("seed=") {
                Some(number) => seed = number.parse().ok(),
                None if settings.set(word).is_err() => return,
                None => {}
            }
        }
        self.seed = seed;
        self.settings = Some(settings);
    }

    /// The simulator's link, if one was between the ends.
    fn link(&self) -> Option<&LinkConfig> {
        let link = self.settings.as_ref().map(|s| &s.link);
        link.filter(|link| self.seed.is_some() || !link.is_ideal())
    }

    /// What a link did, when the packet was sent.
    fn event(&mut self, at: Duration, text: &str) {
        let Some(row) = Row::read(text) else { return };
        let Some(link) = self.link().cloned() else { return };
        let found = self.lines.values_mut().rev().find_map(|line| match (row.from, row.to) {
            ends if ends == (line.client, line.server) => Some((line, 0)),
            ends if ends == (line.server, line.client) => Some((line, 1)),
            _ => None,
        });
        let Some((line, e)) = found else { return };
        if row.word == "queue-full"
            && line.near == Some(e)
            && let Some(wire) = self.wires.get_mut(&(row.from.ip(), row.to.ip()))
        {
            wire.undo();
        }
        // The simulator's dice fall again as they fell; what fell elsewhere is done again where that is possible.
        let again = !row.is_chance() || self.seed.is_none();
        if again && row.is_loss() && row.word != "queue-full" && row.is_bare() {
            *self.not_again.entry("lost acknowledgments").or_insert(0) += 1;
        }
        let other = match row.word {
            "delayed" => Some("packets that a rule delayed"),
            "reset-by-rule" => Some("resets by a rule"),
            "reordered" | "duplicated" | "marked" if self.seed.is_none() => {
                Some("packets that were reordered, doubled or marked")
            }
            _ => None,
        };
        if let Some(what) = other {
            *self.not_again.entry(what).or_insert(0) += 1;
        }
        line.row(e, at, &row, &link, again);
    }

    fn packet(&mut self, c: &Caused<'_>) {
        if c.doubled || self.connection.is_some_and(|n| n != c.connection) {
            return;
        }
        if !self.lines.contains_key(&c.connection) && self.lines.len() >= TALKS {
            self.beyond = true;
            return;
        }
        let (seg, at) = (c.segment, c.at);
        let (client, server) =
            if c.from_client { (seg.source, seg.destination) } else { (seg.destination, seg.source) };
        let (bandwidth, told) = (self.link().and_then(|link| link.bandwidth), self.link().is_some());
        if c.inferred == "drop-checksum" && !told {
            // Nobody took it, and its numbers may be anything.
            return;
        }
        let line = self.lines.entry(c.connection).or_insert_with(|| Line::new(client, server, told));
        let e = usize::from(!c.from_client);
        if told {
            line.near.get_or_insert(if c.sent { e } else { 1 - e });
        }
        let before = line.ways[e].bytes.len();
        let wire = self.wires.entry((seg.source.ip(), seg.destination.ip()));
        let wire = wire.or_insert_with(|| WireModel::new(bandwidth));
        let bytes = ip_length(c);
        let sending = if c.sent { wire.sent(at, bytes) } else { wire.came(at, bytes) };
        line.packet(e, at, c, sending);
        self.bytes += line.ways[e].bytes.len() - before;
        if self.bytes > BYTES {
            self.beyond = true;
            line.ways[e].bytes.truncate(before);
        }
    }

    fn finish(mut self, summary: &Summary) -> Result<Scenario, ScenarioError> {
        if self.beyond {
            return Err(ScenarioError::TooLarge(format!(
                "more than {} MiB or {TALKS} connections are not replayed: choose one with --connection",
                BYTES >> 20
            )));
        }
        let (mut talks, mut left_out, mut measured) = (Vec::new(), Vec::new(), Vec::new());
        let mut rates = Vec::new();
        let speaks = summary.connections.iter().any(|connection| !connection.exchanges.is_empty());
        let held = self.lines.values().any(|line| line.ways.iter().any(|way| way.held));
        if let Some(settings) =
            self.settings.as_mut().filter(|settings| settings.http.nodelay && speaks && !held)
        {
            // Ends of ours that speak HTTP switch it off, unless they show that they did not.
            settings.tcp.nagle = Nagle::Off;
        }
        for (number, mut line) in std::mem::take(&mut self.lines) {
            let Some(connection) = summary.connections.iter().find(|c| c.number == number) else { continue };
            let known = self.link().map(|link| link.rtt / 2);
            let paths = match (known, connection.at_client) {
                (Some(delay), true) => [Duration::ZERO, delay],
                (Some(delay), false) => [delay, Duration::ZERO],
                (None, _) => connection.paths.map(|path| path.unwrap_or_default() / 2),
            };
            if let Some(settings) = &self.settings {
                // Who does without although it is on has set TCP_NODELAY.
                line.ways.iter_mut().for_each(|way| way.held |= settings.tcp.nagle != Nagle::Off);
            }
            measured.push([0, 1].map(|e| {
                let full = full(line.ways[e].offer, line.ways[1 - e].offer);
                line.ways[e].habits(paths[e], full, (e == 0) == connection.at_client)
            }));
            // What came from afar shows the path's rate; so do the acknowledgments of what was sent there.
            let (near, far) = if connection.at_client { (0, 1) } else { (1, 0) };
            let trip = (paths[0] + paths[1]) * 2;
            rates.extend(
                usual_rate(&line.ways[far].rates, trip)
                    .or_else(|| usual_rate(&line.ways[near].ack_rates, trip)),
            );
            match line.talk(number, paths, connection.at_client) {
                // Whoever leaves out so much is not believed.
                Ok(talk) if talk.reaches() > BYTES as u64 => {
                    left_out.push((number, "its numbers leave out more than is held again"));
                }
                Ok(mut talk) => {
                    talk.exchanges = connection.exchanges.iter().map(|e| e.end - e.start).collect();
                    talks.push(talk);
                }
                Err(why) => left_out.push((number, why)),
            }
        }
        if talks.is_empty() {
            let why = left_out.first().map_or("it holds no TCP connection", |(_, why)| why);
            return Err(ScenarioError::Nothing(format!("nothing can be replayed: {why}")));
        }
        order(&mut talks);
        let known = self.link().is_some();
        let mut assumptions = Vec::new();
        let settings = match &self.settings {
            Some(settings) if known => {
                let mut settings = settings.clone();
                if self.seed.is_none() {
                    // What the network did is done again packet by packet.
                    let link = &mut settings.link;
                    (link.loss, link.reorder, link.duplicate, link.corrupt, link.ecn_mark) = (0, 0, 0, 0, 0);
                    link.drop_nth.clear();
                }
                [settings.clone(), settings]
            }
            own => {
                let bandwidth = rates.into_iter().max().filter(|rate| *rate < FASTEST);
                if let Some(rate) = bandwidth {
                    // Three figures are more than it is worth.
                    let unit = 10_u64.pow(rate.max(1).ilog10().saturating_sub(2));
                    let shown = crate::knob::show_rate(Some(rate / unit * unit));
                    assumptions.push(format!("the path carries {shown}, as packets followed each other"));
                }
                let mut settings = inferred(&talks, &measured, bandwidth);
                let at_client = talks[0].at_client;
                let whose = match own {
                    Some(own) => {
                        settings[usize::from(!at_client)].tcp = own.tcp.clone();
                        "the other end behaves"
                    }
                    None => "both ends behave",
                };
                assumptions.insert(0, format!("{whose} as a current Linux, but for what the capture shows"));
                settings
            }
        };
        assumptions.extend(self.not_again.iter().map(|(what, n)| format!("{n} {what} are not so again")));
        Ok(Scenario { talks, settings, known, seed: self.seed, left_out, assumptions })
    }
}
