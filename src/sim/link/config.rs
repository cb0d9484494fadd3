//! How does a simulated link behave? Its settings, and how they are written.

use crate::knob::{
    Knob, ValueError, duration_in, nearest, number, rate, share, show_duration, show_rate, show_share,
    show_switch, switch,
};
use crate::time::Duration;
use std::fmt;
use std::str::FromStr;

/// What happens to packets on the way, the same in each direction. The default is an ideal link: no delay,
/// no limit, no fault.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// The time there and back; one direction takes half of it.
    pub rtt: Duration,
    /// Bits per second of the IP packets; `None` takes no time to send.
    pub bandwidth: Option<u64>,
    /// Packets that may wait for the wire; those that find the queue full are dropped. 0 is no limit.
    pub queue: u32,
    /// Share of packets that get lost on the wire, parts per billion.
    pub loss: u32,
    /// Share of packets that are held back until later ones have overtaken them, parts per billion.
    pub reorder: u32,
    /// Share of packets that arrive twice, parts per billion.
    pub duplicate: u32,
    /// Share of packets in which one bit is turned over, parts per billion.
    pub corrupt: u32,
    /// Packets waiting for the wire from which on those that are ECN-capable are marked instead of waiting to be dropped
    /// (RFC 3168 §5); 0 never.
    pub ecn_threshold: u32,
    /// Share of the ECN-capable packets that are marked by chance, parts per billion.
    pub ecn_mark: u32,
    /// The largest packet that passes, bytes; 0 is no limit.
    pub mtu: u16,
    /// Whether the sender of a larger one is told by ICMP (in the simulator); without, it is a black hole.
    pub mtu_icmp: bool,
    /// Packets to lose by number: wire segments with data, counted in each direction from 1.
    pub drop_nth: Vec<u32>,
}

impl Default for LinkConfig {
    fn default() -> LinkConfig {
        LinkConfig {
            rtt: Duration::ZERO,
            bandwidth: None,
            queue: 1000, // what a Linux interface holds (txqueuelen)
            loss: 0,
            reorder: 0,
            duplicate: 0,
            corrupt: 0,
            ecn_threshold: 0,
            ecn_mark: 0,
            mtu: 0,
            mtu_icmp: true,
            drop_nth: Vec::new(),
        }
    }
}

impl LinkConfig {
    /// Whether packets pass at once and untouched.
    pub fn is_ideal(&self) -> bool {
        let LinkConfig {
            rtt,
            bandwidth,
            queue: _,
            loss,
            reorder,
            duplicate,
            corrupt,
            ecn_threshold: _,
            ecn_mark,
            mtu,
            mtu_icmp: _,
            drop_nth,
        } = self;
        rtt.is_zero()
            && *mtu == 0
            && bandwidth.is_none()
            && [loss, reorder, duplicate, corrupt, ecn_mark] == [&0; 5]
            && drop_nth.is_empty()
    }
}

/// The largest delay: beyond it every connection has given up, and packets on the way would only fill memory.
const RTT_MAX: Duration = Duration::from_secs(600);
/// More than anyone writes down, and little enough to search for each packet.
const DROP_NTH_MAX: usize = 1000;

/// All settings of [`LinkConfig`].
pub static KNOBS: &[Knob<LinkConfig>] = &[
    Knob {
        name: "link.rtt",
        values: "duration 0..10min",
        meaning: "the delay there and back; one direction takes half of it",
        linux: "tc netem delay",
        rfc: "",
        get: |c| show_duration(c.rtt),
        set: |c, v| Ok(c.rtt = duration_in(v, Duration::ZERO, RTT_MAX)?),
    },
    Knob {
        name: "link.bandwidth",
        values: "rate|unlimited",
        meaning: "how fast each direction carries IP packets",
        linux: "tc netem rate, tc tbf",
        rfc: "",
        get: |c| show_rate(c.bandwidth),
        set: |c, v| Ok(c.bandwidth = rate(v)?),
    },
    Knob {
        name: "link.queue",
        values: "packets 0..1000000",
        meaning: "how many packets may wait for the wire; 0 is no limit",
        linux: "txqueuelen, tc pfifo limit",
        rfc: "",
        get: |c| c.queue.to_string(),
        set: |c, v| Ok(c.queue = number(v, 0, 1_000_000)?),
    },
    Knob {
        name: "link.loss",
        values: "share 0..100%",
        meaning: "share of packets that get lost",
        linux: "tc netem loss",
        rfc: "",
        get: |c| show_share(c.loss),
        set: |c, v| Ok(c.loss = share(v)?),
    },
    Knob {
        name: "link.reorder",
        values: "share 0..100%",
        meaning: "share of packets that are overtaken by one to four later ones",
        linux: "tc netem reorder",
        rfc: "",
        get: |c| show_share(c.reorder),
        set: |c, v| Ok(c.reorder = share(v)?),
    },
    Knob {
        name: "link.duplicate",
        values: "share 0..100%",
        meaning: "share of packets that arrive twice",
        linux: "tc netem duplicate",
        rfc: "",
        get: |c| show_share(c.duplicate),
        set: |c, v| Ok(c.duplicate = share(v)?),
    },
    Knob {
        name: "link.corrupt",
        values: "share 0..100%",
        meaning: "share of packets in which one bit is turned over",
        linux: "tc netem corrupt",
        rfc: "",
        get: |c| show_share(c.corrupt),
        set: |c, v| Ok(c.corrupt = share(v)?),
    },
    Knob {
        name: "link.ecn_threshold",
        values: "packets 0..1000000",
        meaning: "mark ECN-capable packets while so many wait for the wire; 0 never",
        linux: "tc red ecn, fq_codel ce_threshold",
        rfc: "RFC 3168 §5",
        get: |c| c.ecn_threshold.to_string(),
        set: |c, v| Ok(c.ecn_threshold = number(v, 0, 1_000_000)?),
    },
    Knob {
        name: "link.ecn_mark",
        values: "share 0..100%",
        meaning: "share of the ECN-capable packets that are marked by chance",
        linux: "tc netem loss … ecn",
        rfc: "RFC 3168 §5",
        get: |c| show_share(c.ecn_mark),
        set: |c, v| Ok(c.ecn_mark = share(v)?),
    },
    Knob {
        name: "link.mtu",
        values: "0|bytes 68..65535",
        meaning: "drop packets that are larger; 0 drops none",
        linux: "ip link … mtu, ip route … mtu",
        rfc: "RFC 1191",
        get: |c| c.mtu.to_string(),
        set: |c, v| Ok(c.mtu = if v.trim() == "0" { 0 } else { number(v, 68, 65_535)? }),
    },
    Knob {
        name: "link.mtu_icmp",
        values: "on|off",
        meaning: "tell the sender of a packet that is larger than link.mtu (in the simulator); off is a black hole",
        linux: "",
        rfc: "RFC 1191 §4, RFC 8201, RFC 2923 §2.1",
        get: |c| show_switch(c.mtu_icmp),
        set: |c, v| Ok(c.mtu_icmp = switch(v)?),
    },
    Knob {
        name: "link.drop_nth",
        values: "none|N+N+…",
        meaning: "lose the Nth segments that carry data, counted in each direction from 1",
        linux: "",
        rfc: "",
        get: |c| match c.drop_nth.as_slice() {
            [] => "none".into(),
            all => all.iter().map(u32::to_string).collect::<Vec<_>>().join("+"),
        },
        set: |c, v| {
            let mut all = Vec::new();
            if v.trim() != "none" {
                for n in v.split('+') {
                    all.push(number(n, 1, u32::MAX)?);
                }
            }
            all.sort_unstable();
            all.dedup();
            if all.len() > DROP_NTH_MAX {
                return Err(ValueError(format!(
                    "{} numbers are too many: at most {DROP_NTH_MAX}",
                    all.len()
                )));
            }
            Ok(c.drop_nth = all)
        },
    },
];

const PREFIX: &str = "link.";

fn short(knob: &Knob<LinkConfig>) -> &'static str {
    knob.name.strip_prefix(PREFIX).unwrap_or(knob.name)
}

/// Reads `rtt=100ms,bandwidth=10mbit,loss=1%,drop_nth=6+11`: knobs without their prefix (with it, too), over the
/// ideal link. The empty text and `ideal` are the ideal link.
impl FromStr for LinkConfig {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<LinkConfig, ValueError> {
        let mut config = LinkConfig::default();
        if matches!(text.trim(), "" | "ideal") {
            return Ok(config);
        }
        for item in text.split(',') {
            let (name, value) = item.split_once('=').ok_or_else(|| {
                ValueError(format!("{:?} has no value: write rtt=100ms,loss=1%", item.trim()))
            })?;
            let name = name.trim();
            let name = name.strip_prefix(PREFIX).unwrap_or(name);
            let knob = KNOBS.iter().find(|k| short(k) == name).ok_or_else(|| unknown(name))?;
            (knob.set)(&mut config, value).map_err(|e| ValueError(format!("{name}: {e}")))?;
        }
        Ok(config)
    }
}

fn unknown(name: &str) -> ValueError {
    let names = || KNOBS.iter().map(short);
    let all = names().collect::<Vec<_>>().join(", ");
    match nearest(name, names()) {
        Some(near) => ValueError(format!("a link has no {name:?}: did you mean {near}? (there are {all})")),
        None => ValueError(format!("a link has no {name:?}: there are {all}")),
    }
}

/// What differs from the ideal link, as [`LinkConfig::from_str`] reads it; `ideal` if nothing does.
impl fmt::Display for LinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ideal = LinkConfig::default();
        let mut separator = "";
        for knob in KNOBS {
            let value = (knob.get)(self);
            if value != (knob.get)(&ideal) {
                write!(f, "{separator}{}={value}", short(knob))?;
                separator = ",";
            }
        }
        f.write_str(if separator.is_empty() { "ideal" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_and_written_back() {
        let text = "rtt=100ms,bandwidth=10mbit,queue=50,loss=1%,reorder=0.5%,duplicate=2%,corrupt=0.1%,ecn_threshold=20,\
                    ecn_mark=3%,mtu=1400,mtu_icmp=off,drop_nth=6+11";
        let link: LinkConfig = text.parse().unwrap();
        assert_eq!(
            link,
            LinkConfig {
                rtt: Duration::from_millis(100),
                bandwidth: Some(10_000_000),
                queue: 50,
                loss: 10_000_000,
                reorder: 5_000_000,
                duplicate: 20_000_000,
                corrupt: 1_000_000,
                ecn_threshold: 20,
                ecn_mark: 30_000_000,
                mtu: 1400,
                mtu_icmp: false,
                drop_nth: vec![6, 11],
            }
        );
        assert_eq!(link.to_string(), text);
        assert_eq!(
            " link.rtt = 100ms , loss=0.01 ".parse::<LinkConfig>().unwrap().to_string(),
            "rtt=100ms,loss=1%"
        );
    }

    #[test]
    fn no_setting_is_the_ideal_link() {
        for text in ["", "ideal", "rtt=0,loss=0%,drop_nth=none"] {
            let link: LinkConfig = text.parse().unwrap();
            assert!(link.is_ideal(), "{text}");
            assert_eq!(link.to_string(), "ideal");
        }
        for text in [
            "rtt=1ns",
            "bandwidth=1gbit",
            "loss=1%",
            "reorder=1%",
            "duplicate=1%",
            "corrupt=1%",
            "ecn_mark=1%",
            "mtu=1400",
            "drop_nth=1",
        ] {
            assert!(!text.parse::<LinkConfig>().unwrap().is_ideal(), "{text}");
        }
    }

    #[test]
    fn a_wrong_name_or_value_is_refused_with_what_would_be_right() {
        for (text, part) in [
            ("rt=100ms", "did you mean rtt?"),
            ("los=1%", "did you mean loss?"),
            ("bandwith=10mbit", "did you mean bandwidth?"),
            ("weather=bad", "there are rtt, bandwidth"),
            ("rtt", "has no value"),
            ("rtt=100", "rtt: \"100\" is not a duration"),
            ("rtt=11min", "out of range: 0 to 600s"),
            ("loss=101%", "loss: "),
            ("loss=1%,", "has no value"),
            ("drop_nth=0", "whole number from 1"),
            ("drop_nth=6+", "whole number from 1"),
            ("bandwidth=10", "write 10mbit"),
        ] {
            let error = text.parse::<LinkConfig>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join("+");
        assert!(
            format!("drop_nth={many}")
                .parse::<LinkConfig>()
                .unwrap_err()
                .to_string()
                .contains("at most 1000")
        );
    }

    #[test]
    fn every_knob_reads_back_what_it_shows() {
        for text in ["ideal", "rtt=7ns,bandwidth=56kbit,queue=0,loss=100%,drop_nth=1+4294967295"] {
            let link: LinkConfig = text.parse().unwrap();
            for knob in KNOBS {
                let mut copy = link.clone();
                (knob.set)(&mut copy, &(knob.get)(&link)).unwrap();
                assert_eq!(copy, link, "{}", knob.name);
            }
        }
    }
}
