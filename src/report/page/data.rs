//! What does the page's script get to draw? Columns of small numbers, and the words they stand for, as JSON.

use crate::explain::{Line, Step, Summary, Trail};
use crate::segment::Flags;
use crate::time::Duration;
use std::collections::HashMap;
use std::fmt::Write;

/// Bytes of sentences that a page carries; steps beyond have their word alone.
const TEXT: usize = 1 << 20;

/// What a step is, in bits. The script has the same names.
mod bit {
    pub const CLIENT: u32 = 1;
    pub const ACK: u32 = 2;
    pub const SYN: u32 = 4;
    pub const FIN: u32 = 8;
    pub const RST: u32 = 16;
    pub const PSH: u32 = 32;
    pub const ECE: u32 = 64;
    pub const CWR: u32 = 128;
    pub const AGAIN: u32 = 256;
    pub const REPEATED: u32 = 512;
    pub const STATED: u32 = 1024;
    pub const WINDOW: u32 = 2048;
    pub const RECEIVED: u32 = 4096;
}

/// The data block's content. It cannot end the element that it stands in, whatever the capture holds.
pub(super) fn data(summary: &Summary, trail: &Trail) -> String {
    let mut texts = Texts::default();
    // The graph opens on what cost most.
    let cost = summary.findings.iter().flat_map(|f| f.connections.first()).next();
    let mut first = 0;
    let shown = trail.lines.iter().filter(|line| !line.steps.is_empty());
    let lines: Vec<String> = shown
        .filter_map(|line| Some((line, summary.connections.iter().find(|c| c.number == line.number)?)))
        .enumerate()
        .map(|(n, (line, connection))| {
            if Some(&line.number) == cost {
                first = n;
            }
            let (client, server) = (connection.client.to_string(), connection.server.to_string());
            self::line(line, &client, &server, &mut texts)
        })
        .collect();
    let mut out = String::from("{");
    let _ = write!(out, "\"passed\":{},\"kept\":{},\"every\":{},", trail.passed, trail.kept(), trail.every);
    let _ = write!(out, "\"first\":{first},\"words\":{},", strings(&trail.words));
    let _ = write!(out, "\"texts\":{},", strings(&texts.list));
    let _ = write!(out, "\"silent\":{},\"lines\":[{}]}}", texts.silent, lines.join(",\n"));
    out
}

/// JSON whose strings hold nothing that HTML or a script could take for more than text.
fn strings(list: &[String]) -> String {
    let json = serde_json::Value::from(list).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

/// Sentences with their numbers left out: there are few.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    places: HashMap<String, usize>,
    bytes: usize,
    /// Sentences that there was no room for.
    silent: u64,
}

impl Texts {
    /// The place of the text; 0 means none.
    fn place(&mut self, text: String) -> usize {
        if text.is_empty() {
            return 0;
        }
        if let Some(place) = self.places.get(&text) {
            return *place;
        }
        if self.bytes + text.len() > TEXT {
            self.silent += 1;
            return 0;
        }
        self.bytes += text.len() + 4;
        self.list.push(text.clone());
        self.places.insert(text, self.list.len());
        self.list.len()
    }
}

/// A sentence as a pattern and the numbers that fit into its places. `{L}`, `{S}`, `{E}` and `{A}` are the packet's own
/// length, first number, number behind and acknowledgment; `{}` takes the next number of the list.
fn pattern(step: &Step, numbers: &mut Vec<String>) -> String {
    let known = [
        ("{L}", Some(i64::from(step.len))),
        ("{S}", Some(step.seq)),
        ("{E}", Some(step.seq + i64::from(step.len))),
        ("{A}", step.ack),
    ];
    let mut out = String::new();
    let mut rest = &*step.sentence;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let length = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (digits, behind) = from.split_at(length);
        // A brace in the sentence would be taken for a place.
        out.extend(before.chars().map(|c| if matches!(c, '{' | '}') { '?' } else { c }));
        let value = digits.parse::<i64>().ok().filter(|n| *n < 1 << 53 && n.to_string() == digits);
        match (value, known.iter().find(|(_, number)| value.is_some() && *number == value)) {
            (_, Some((place, _))) => out += place,
            (Some(_), None) => {
                out += "{}";
                numbers.push(digits.to_owned());
            }
            // Zeros before it, as behind a decimal point: they are a part of the pattern.
            (None, None) => out += digits,
        }
        rest = behind;
    }
    out.extend(rest.chars().map(|c| if matches!(c, '{' | '}') { '?' } else { c }));
    out
}

/// Numbers of which each is written as what it differs from the one before.
#[derive(Default)]
struct Column {
    text: String,
    last: i64,
}

impl Column {
    fn plain(&mut self, value: i64) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        let _ = write!(self.text, "{value}");
    }

    fn delta(&mut self, value: i64) {
        self.plain(value.wrapping_sub(self.last));
        self.last = value;
    }
}

fn micros(time: Duration) -> i64 {
    time.as_micros().min(1 << 52) as i64
}

fn line(line: &Line, client: &str, server: &str, texts: &mut Texts) -> String {
    let mut columns: [Column; 17] = Default::default();
    let [
        frame,
        at,
        bits,
        seq,
        len,
        ack,
        window,
        why,
        taken,
        text,
        numbers,
        sack,
        rtt,
        cwnd,
        ssthresh,
        flight,
        srtt,
    ] = &mut columns;
    let mut limit = Column::default();
    // By direction: where the last segment ended, the last acknowledgment, the last window.
    let mut last = [(0, 0, 0); 2];
    let states = line.steps.iter().any(|s| s.numbers.is_some());
    for (n, step) in line.steps.iter().enumerate() {
        let own = &mut last[usize::from(step.from_client)];
        frame.delta(step.frame as i64);
        at.delta(micros(step.at));
        bits.plain(i64::from(self::bits(step)));
        seq.plain(step.seq - own.0);
        len.plain(i64::from(step.len));
        ack.plain(step.ack.map_or(0, |ack| ack - own.1));
        window.plain(step.window.map_or(0, |window| i64::from(window) - own.2));
        own.0 = step.end();
        own.1 = step.ack.unwrap_or(own.1);
        own.2 = step.window.map_or(own.2, i64::from);
        why.plain(step.why.into());
        if let Some(word) = step.taken_for {
            taken.plain(word.into());
        }
        let mut args = Vec::new();
        let place = texts.place(pattern(step, &mut args));
        text.plain(place as i64);
        if place > 0 {
            for arg in args {
                numbers.plain(arg.parse().unwrap_or(0));
            }
        }
        if let (false, Some(base)) = (step.sack.is_empty(), step.ack) {
            sack.plain(n as i64);
            sack.plain(step.sack.len() as i64);
            for (start, end) in &step.sack {
                sack.plain(start - base);
                sack.plain(end - start);
            }
        }
        if let Some(time) = step.rtt {
            rtt.plain(n as i64);
            rtt.plain(micros(time));
        }
        if states {
            let numbers = step.numbers;
            // What is not known is −1.
            cwnd.delta(numbers.map_or(-1, |n| n.cwnd.into()));
            ssthresh.delta(numbers.and_then(|n| n.ssthresh).map_or(-1, i64::from));
            flight.delta(numbers.map_or(-1, |n| n.flight.into()));
            srtt.delta(numbers.and_then(|n| n.srtt).map_or(-1, micros));
            limit.plain(numbers.map_or(-1, |n| n.limit.into()));
        }
    }
    let own = line.steps.iter().find(|s| s.sent || s.taken_for.is_some());
    let own = own.map_or(-1, |s| i64::from(s.from_client == s.sent));
    let mut out = format!(
        "{{\"number\":{},\"client\":{},\"server\":{},\"own\":{own},\"passed\":{}",
        line.number,
        serde_json::Value::from(client),
        serde_json::Value::from(server),
        line.passed
    );
    let names = [
        "frame", "at", "bits", "seq", "len", "ack", "window", "why", "taken", "text", "numbers", "sack",
        "rtt", "cwnd", "ssthresh", "flight", "srtt",
    ];
    for (name, column) in names.iter().zip(&columns).chain([(&"limit", &limit)]) {
        let _ = write!(out, ",\"{name}\":[{}]", column.text);
    }
    out.push('}');
    out
}

fn bits(step: &Step) -> u32 {
    let flags = [
        (Flags::ACK, bit::ACK),
        (Flags::SYN, bit::SYN),
        (Flags::FIN, bit::FIN),
        (Flags::RST, bit::RST),
        (Flags::PSH, bit::PSH),
        (Flags::ECE, bit::ECE),
        (Flags::CWR, bit::CWR),
    ];
    let control = flags.into_iter().filter(|(flag, _)| step.flags.contains(*flag)).map(|(_, bit)| bit);
    let known = [
        (step.from_client, bit::CLIENT),
        (step.again, bit::AGAIN),
        (step.repeated, bit::REPEATED),
        (step.sent, bit::STATED),
        (step.window.is_some(), bit::WINDOW),
        (step.taken_for.is_some(), bit::RECEIVED),
    ];
    control.chain(known.into_iter().filter(|(is, _)| *is).map(|(_, bit)| bit)).fold(0, |all, bit| all | bit)
}
