//! What does a seed stand for? Settings of both sides, a network, and what is said over it, drawn by lot.

use super::talk::Part;
use super::*;
use std::fmt;
use std::net::IpAddr;
use tcpglass::settings::{Profile, Settings, table};

/// What is tried of the knobs that are no switches; of a switch all positions are.
const VALUES: [(&str, &[&str]); 13] = [
    ("tcp.ack_delay", &["0", "10ms", "200ms", "499ms"]),
    ("tcp.ack_every", &["1", "3", "8"]),
    ("tcp.quickack", &["0", "1", "255"]),
    ("tcp.init_cwnd", &["1", "2", "40"]),
    ("tcp.congestion", &["cubic", "newreno", "fixed:1", "fixed:10", "fixed:1000"]),
    ("tcp.window_scale", &["off", "auto", "0", "3", "14"]),
    ("tcp.mss", &["64", "100", "536", "1460", "9000"]),
    ("tcp.rto_initial", &["300ms", "3s"]),
    ("tcp.rto_min", &["10ms", "1s"]),
    ("tcp.slow_start_limit", &["1", "2"]),
    ("tcp.recv_buffer", &["700", "3000", "16KiB", "64KiB", "1MiB"]),
    ("tcp.send_buffer", &["700", "3000", "16KiB", "64KiB", "1MiB"]),
    // Not always: what answers by a cookie sends it once, so a client that lost its ACK and waits for the server to speak
    // waits for ever (RFC 4987 §3.6). `stack::flood` has cookies and clients that speak.
    ("tcp.syn_cookies", &["off", "full"]),
];

/// The faults of a network and their extents.
const LINK: [(&str, &[&str]); 7] = [
    ("rtt", &["0", "1ms", "20ms", "100ms", "600ms"]),
    ("bandwidth", &["unlimited", "100mbit", "5mbit", "256kbit"]),
    ("queue", &["0", "5", "20", "200"]),
    ("loss", &["0", "0", "1%", "3%", "10%"]),
    ("reorder", &["0", "0", "2%", "10%"]),
    ("duplicate", &["0", "0", "2%", "10%"]),
    ("corrupt", &["0", "0", "1%"]),
];

/// The most that a link loses or damages of what it carries: the largest `loss` and `corrupt` above.
const SPOILED_MAX: f64 = 0.10 + 0.01;

/// All that one seed stands for.
pub struct Lot {
    pub seed: u64,
    pub link: String,
    /// Client and server.
    pub tcp: [Config; 2],
    pub mtu: [u16; 2],
    pub offload: [bool; 2],
    /// What the two ends of each connection do.
    pub talks: Vec<[Part; 2]>,
    sets: [String; 2],
    ipv6: bool,
    /// The size of smoltcp's buffers, whether it uses Nagle's algorithm, its delayed-ACK timer.
    reference: (usize, bool, Duration),
}

/// What takes a promised window back, which not every peer survives, what refuses connections, and what both ends must have.
const HARSH: &[&str] = &["tcp.prune", "tcp.shrink_window", "tcp.abort_on_overflow", "tcp.md5_key"];

/// The knobs that can be drawn: switches, whoever adds them, and those with values to try.
fn knobs() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let drawn = table().filter(|row| row.name().starts_with("tcp.") && !HARSH.contains(&row.name()));
    drawn.filter_map(|row| {
        // `off|duration` names one value and a kind of values.
        let word = |value: &&str| Settings::default().set_value(row.name(), value).is_ok();
        let switch: Vec<&str> = row.values().split('|').filter(word).collect();
        match VALUES.iter().find(|(name, _)| *name == row.name()) {
            Some((name, values)) => Some((*name, values.to_vec())),
            None if switch.len() > 1 => Some((row.name(), switch)),
            None => None,
        }
    })
}

/// Everything that comes up in the descriptions of enough lots.
pub fn vocabulary() -> Vec<String> {
    let knobs = knobs().flat_map(|(name, values)| values.into_iter().map(move |v| format!("{name}={v} ")));
    let faults = LINK.iter().flat_map(|(name, values)| values.iter().map(move |v| format!("{name}={v},")));
    knobs.chain(faults).collect()
}

impl Lot {
    /// The lot of `seed`. With a `reference` it leaves out what smoltcp's socket is known not to bear.
    pub fn draw(seed: u64, reference: bool) -> Lot {
        let mut rng = Rng::new(seed, 3);
        let mut dice = move |n: usize| rng.below(n as u64) as usize;
        let link = LINK.map(|(name, values)| format!("{name}={},", values[dice(values.len())])).concat();
        let mut side = || {
            let profile = Profile::ALL[dice(Profile::ALL.len())];
            let mut settings = Settings::new(profile);
            let mut sets = format!("--profile {} ", profile.name());
            // Chance shall not end a connection: one SYN in 50,000 is in vain with all its six repetitions.
            let patient = ["tcp.syn_retries", "tcp.synack_retries", "tcp.retries", "tcp.orphan_retries"];
            let patient = patient.map(|name| (name, "60"));
            patient.iter().for_each(|(name, value)| settings.set_value(name, value).unwrap());
            for (name, values) in knobs() {
                if dice(3) == 0 {
                    let value = values[dice(values.len())];
                    settings.set_value(name, value).unwrap_or_else(|e| panic!("{e}"));
                    sets += &format!("--set {name}={value} ");
                }
            }
            settings.check().unwrap_or_else(|e| panic!("{e}"));
            (settings.tcp, sets)
        };
        let mut sides = [side(), side()];
        // smoltcp knows no keys.
        if !reference && Rng::new(seed, 4).below(4) == 0 {
            for (tcp, sets) in &mut sides {
                let mut settings = Settings { tcp: tcp.clone(), ..Settings::default() };
                settings.set_value("tcp.md5_key", "text:of both").unwrap();
                *tcp = settings.tcp;
                *sets += "--set 'tcp.md5_key=text:of both' ";
            }
        }
        let [(client, its_sets), (server, other_sets)] = sides;
        let ipv6 = dice(3) == 0;
        let mtu = [(); 2].map(|()| [1500, 1500, 1280, 9000, if ipv6 { 1400 } else { 576 }][dice(5)]);
        let talks = (0..[1, 1, 1, 2, 5][dice(5)]).map(|_| Part::draw(&mut dice, reference)).collect();
        Lot {
            seed,
            link: link.trim_end_matches(',').into(),
            tcp: [client, server],
            mtu,
            offload: [dice(2) == 0, dice(2) == 0],
            talks,
            sets: [its_sets, other_sets],
            ipv6,
            reference: (
                [1 << 10, 5000, 32 << 10, 60_000][dice(4)],
                dice(2) == 0,
                Duration::from_millis([0, 10, 200][dice(3)]),
            ),
        }
    }

    /// Where the `n`th connection ends at the client (0) or the server (1).
    pub fn addr(&self, which: usize, n: usize) -> SocketAddr {
        let ip: IpAddr = match self.ipv6 {
            false => [10, 0, 0, 1 + which as u8].into(),
            true => [0xfd00, 0, 0, 0, 0, 0, 0, 1 + which as u16].into(),
        };
        SocketAddr::new(ip, 8000 + n as u16)
    }

    /// smoltcp's host in the place of the client or the server, one for each connection.
    pub fn reference(&self, which: usize, n: usize) -> Reference {
        // Its address is the one of the host that it replaces, or another one in the same network.
        let ip: IpAddr = match (self.addr(which, n).ip(), n) {
            (ip, 0) => ip,
            (IpAddr::V4(_), n) => [10, 0, 0, 10 + n as u8].into(),
            (IpAddr::V6(_), n) => [0xfd00, 0, 0, 0, 0, 0, 0, 0x10 + n as u16].into(),
        };
        let (buffer, nagle, ack_delay) = self.reference;
        let mut reference = Reference::new(ip, self.mtu[which], buffer, self.seed + n as u64);
        reference.tcp().set_nagle_enabled(nagle);
        let delay = (!ack_delay.is_zero())
            .then(|| smoltcp::time::Duration::from_millis(ack_delay.as_millis() as u64));
        reference.tcp().set_ack_delay(delay);
        reference
    }

    /// How long nobody may hear anything new.
    ///
    /// Whoever has something unacknowledged tries again after a time-out of at most `rto_max`, and so does whoever
    /// asks for a window. A try is of use unless it or its answer is spoiled, so that with the worst link a share
    /// `q` of 21 % of them is in vain, and `n` in a row with a chance of `q`^n. After so many that this is less than
    /// one in 10^15, it is no chance. smoltcp's largest time-out is 60 s.
    pub fn patience(&self) -> Duration {
        let in_vain = 1.0 - (1.0 - SPOILED_MAX).powi(2);
        let tries = (1e-15f64.ln() / in_vain.ln()).ceil() as u32;
        let rto_max = self.tcp.iter().map(|cfg| cfg.rto_max).max().unwrap_or_default();
        tries * rto_max.max(Duration::from_secs(60))
    }
}

impl fmt::Display for Lot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lot { seed, link, mtu, offload, talks, sets: [client, server], reference, .. } = self;
        writeln!(f, "seed {seed}, link {link},")?;
        writeln!(f, "  client: {client}")?;
        writeln!(f, "  server: {server}")?;
        writeln!(f, "  MTU {mtu:?}, offload {offload:?}, smoltcp (buffer, Nagle, ACK delay) {reference:?}")?;
        writeln!(f, "  {talks:?}")
    }
}
