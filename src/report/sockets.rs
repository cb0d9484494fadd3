//! How are the sockets of a stack that runs shown? In the words of Linux' `ss`.

use super::{Style, printable};
use crate::time::{Duration, Spoken};
use serde_json::Value;
use std::fmt::Write;

/// Rows that are looked at before the widths of the columns are fixed.
const LOOKED_AT: usize = 500;

/// Sockets as lines, as they come: heading, queues and addresses, and below them the numbers.
#[derive(Debug)]
pub struct SocketList {
    style: Style,
    /// What is left out or put together.
    form: SocketForm,
    /// Waiting for the widths.
    waiting: Vec<([String; 5], String)>,
    widths: Option<[usize; 5]>,
}

/// How much of a socket is shown.
#[derive(Clone, Copy, Debug)]
pub struct SocketForm {
    /// With headings.
    pub header: bool,
    /// With the numbers of the connection.
    pub info: bool,
    /// Everything on one line.
    pub oneline: bool,
}

const HEADINGS: [&str; 5] = ["State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port"];

impl SocketList {
    /// Nothing yet.
    pub fn new(form: SocketForm, style: Style) -> SocketList {
        SocketList { style, form, waiting: Vec::new(), widths: None }
    }

    /// The lines that can be shown now that this one has come.
    pub fn add(&mut self, socket: &Value) -> String {
        let info = if self.form.info { numbers(socket, self.style) } else { String::new() };
        let row = row(socket);
        if self.widths.is_none() {
            self.waiting.push((row, info));
            return if self.waiting.len() >= LOOKED_AT { self.flush() } else { String::new() };
        }
        self.line(&row, &info, false)
    }

    /// The rest.
    pub fn finish(mut self) -> String {
        self.flush()
    }

    fn flush(&mut self) -> String {
        if self.widths.is_some() {
            return String::new();
        }
        let waiting = std::mem::take(&mut self.waiting);
        let widest = |at: usize| {
            waiting.iter().map(|(row, _)| row[at].chars().count()).fold(HEADINGS[at].len(), usize::max)
        };
        self.widths = Some(std::array::from_fn(widest));
        let mut out = String::new();
        if self.form.header {
            out += &self.line(&HEADINGS.map(str::to_owned), "", true);
        }
        for (row, info) in &waiting {
            out += &self.line(row, info, false);
        }
        out
    }

    fn line(&self, row: &[String; 5], info: &str, heading: bool) -> String {
        let widths = self.widths.unwrap_or_default();
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let (width, gap) = (widths[at], if at > 0 { " " } else { "" });
            let _ = match at {
                1 | 2 => write!(line, "{gap}{cell:>width$}"),
                _ => write!(line, "{gap}{cell:<width$}"),
            };
        }
        let line = line.trim_end();
        let line = if heading { self.style.bold(line) } else { line.to_owned() };
        match (info.is_empty(), self.form.oneline) {
            (true, _) => line + "\n",
            (false, true) => format!("{line} {info}\n"),
            (false, false) => format!("{line}\n\t {info}\n"),
        }
    }
}

/// The state as `ss` writes it.
pub(super) fn state(socket: &Value) -> &str {
    match socket["state"].as_str().unwrap_or("?") {
        "ESTABLISHED" => "ESTAB",
        "SYN-RECEIVED" => "SYN-RECV",
        "CLOSED" => "UNCONN",
        name => name,
    }
}

fn row(socket: &Value) -> [String; 5] {
    let number = |field: &str| socket[field].as_u64().unwrap_or(0).to_string();
    let end = |field: &str| socket[field].as_str().map_or("*:*".into(), printable);
    [state(socket).to_owned(), number("recv_q"), number("send_q"), end("local"), end("remote")]
}

/// Milliseconds as `ss` writes them: at most three digits behind the point, none that say nothing.
fn millis(us: u64) -> String {
    let text = format!("{}.{:03}", us / 1000, us % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time in one word: `40.2ms`.
fn short(time: Spoken) -> String {
    time.to_string().replace(' ', "")
}

fn rate(bytes_per_second: u64) -> String {
    format!("{}bps", u128::from(bytes_per_second) * 8)
}

/// What `ss -i` writes, then what limits the connection and where its time went.
fn numbers(socket: &Value, style: Style) -> String {
    let mut out = Vec::new();
    let info = &socket["tcp_info"];
    if info.is_object() {
        tcp_info(&mut out, info, socket["congestion"].as_str().unwrap_or("?"));
    }
    let time = |field: &str| socket[field].as_u64().map(|us| short(Spoken(Duration::from_micros(us))));
    match state(socket) {
        "LISTEN" => out.push(format!("half_open:{}", socket["half_open"])),
        "TIME-WAIT" => out.extend(time("left_us").map(|left| format!("timer:(timewait,{left},0)"))),
        "SYN-RECV" if !info.is_object() => out.extend(time("rto_us").map(|rto| format!("rto:{rto}"))),
        _ => {}
    }
    if let Some(limit) = socket["limit"].as_str() {
        out.push(style.bold(&format!("limit:{}", printable(limit))));
    }
    let ledger: Vec<String> =
        largest(socket).into_iter().map(|(part, time)| format!("{part}:{}", short(time))).collect();
    if !ledger.is_empty() {
        out.push(format!("ledger:({})", ledger.join(",")));
    }
    out.join(" ")
}

/// What `ecn_mode` says of accurate ECN.
const ACCURATE: u64 = 2;

fn tcp_info(out: &mut Vec<String>, info: &Value, congestion: &str) {
    let n = |field: &str| info[field].as_u64().unwrap_or(0);
    let options = n("options");
    for (bit, word) in [(1, "ts"), (2, "sack"), (8, "ecn"), (16, "ecnseen"), (128, "fastopen")] {
        if options & bit != 0 {
            out.push(word.into());
        }
    }
    if n("ecn_mode") == ACCURATE {
        out.push("accecn".into());
    }
    out.push(printable(congestion));
    let mut say = |if_it: bool, text: String| {
        if if_it {
            out.push(text);
        }
    };
    say(options & 4 != 0, format!("wscale:{},{}", n("snd_wscale"), n("rcv_wscale")));
    say(true, format!("rto:{}", millis(n("rto"))));
    say(n("backoff") > 0, format!("backoff:{}", n("backoff")));
    say(n("rtt") > 0, format!("rtt:{}/{}", millis(n("rtt")), millis(n("rttvar"))));
    say(n("ato") > 0, format!("ato:{}", millis(n("ato"))));
    for (word, field) in [("mss", "snd_mss"), ("pmtu", "pmtu"), ("rcvmss", "rcv_mss"), ("advmss", "advmss")] {
        say(n(field) > 0, format!("{word}:{}", n(field)));
    }
    say(true, format!("cwnd:{}", n("snd_cwnd")));
    say(n("snd_ssthresh") < 0x7fff_ffff, format!("ssthresh:{}", n("snd_ssthresh")));
    for field in [
        "bytes_sent",
        "bytes_retrans",
        "bytes_acked",
        "bytes_received",
        "segs_out",
        "segs_in",
        "data_segs_out",
        "data_segs_in",
    ] {
        say(n(field) > 0, format!("{field}:{}", n(field)));
    }
    let rtt = n("rtt");
    if rtt > 0 {
        let sends = u128::from(n("snd_cwnd")) * u128::from(n("snd_mss")) * 8_000_000 / u128::from(rtt);
        say(true, format!("send {sends}bps"));
    }
    for (word, field) in
        [("lastsnd", "last_data_sent"), ("lastrcv", "last_data_recv"), ("lastack", "last_ack_recv")]
    {
        say(n(field) > 0, format!("{word}:{}", n(field)));
    }
    let unlimited = u64::MAX;
    say(
        n("pacing_rate") != unlimited,
        match n("max_pacing_rate") {
            most if most != unlimited => format!("pacing_rate {}/{}", rate(n("pacing_rate")), rate(most)),
            _ => format!("pacing_rate {}", rate(n("pacing_rate"))),
        },
    );
    say(n("delivery_rate") > 0, format!("delivery_rate {}", rate(n("delivery_rate"))));
    say(n("delivered") > 0, format!("delivered:{}", n("delivered")));
    say(n("delivered_ce") > 0, format!("delivered_ce:{}", n("delivered_ce")));
    say(n("delivery_rate_app_limited") > 0, "app_limited".into());
    let busy = n("busy_time");
    say(busy > 0, format!("busy:{}ms", busy / 1000));
    for field in ["rwnd_limited", "sndbuf_limited"] {
        let (time, tenths) = (n(field), n(field) * 1000 / busy.max(1));
        say(time > 0, format!("{field}:{}ms({}.{}%)", time / 1000, tenths / 10, tenths % 10));
    }
    say(n("unacked") > 0, format!("unacked:{}", n("unacked")));
    say(n("total_retrans") > 0, format!("retrans:{}/{}", n("retrans"), n("total_retrans")));
    for field in ["lost", "sacked", "dsack_dups"] {
        say(n(field) > 0, format!("{field}:{}", n(field)));
    }
    say(n("reordering") != 3, format!("reordering:{}", n("reordering")));
    say(n("reord_seen") > 0, format!("reord_seen:{}", n("reord_seen")));
    say(n("rcv_rtt") > 0, format!("rcv_rtt:{}", millis(n("rcv_rtt"))));
    for (word, field) in
        [("rcv_space", "rcv_space"), ("rcv_ssthresh", "rcv_ssthresh"), ("notsent", "notsent_bytes")]
    {
        say(n(field) > 0, format!("{word}:{}", n(field)));
    }
    say(n("min_rtt") > 0 && n("min_rtt") < u64::from(u32::MAX), format!("minrtt:{}", millis(n("min_rtt"))));
    for field in ["rcv_ooopack", "snd_wnd", "rcv_wnd"] {
        say(n(field) > 0, format!("{field}:{}", n(field)));
    }
}

/// The parts of a socket's ledger, the largest first.
pub(super) fn largest(socket: &Value) -> Vec<(String, Spoken)> {
    let parts = socket["ledger_us"].as_object().into_iter().flatten();
    let mut parts: Vec<(u64, &str)> =
        parts.filter_map(|(part, us)| Some((us.as_u64()?, part.as_str()))).collect();
    parts.sort_by_key(|(us, part)| (std::cmp::Reverse(*us), *part));
    parts.into_iter().map(|(us, part)| (printable(part), Spoken(Duration::from_micros(us)))).collect()
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
