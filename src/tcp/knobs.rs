//! What are the engine's settings called? The rows behind `--set tcp.…`.

mod congestion;
mod data;
mod life;
mod recovery;

use super::fast_open;
use super::{
    Config, Congestion, EcnMode, EcnOption, IdleRestart, MtuProbing, Nagle, RtoFloor, SynCookies,
    TimeWaitReuse, WindowScale,
};
use crate::knob::{
    Knob, ValueError, duration, duration_in, number, show_duration, show_size, show_switch, size, switch,
};
use crate::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);

fn optional(d: Option<Duration>) -> String {
    d.map_or_else(|| "off".into(), show_duration)
}

fn read_optional(text: &str) -> Result<Option<Duration>, ValueError> {
    if text.trim() == "off" { Ok(None) } else { duration(text).map(Some) }
}

fn buffer(text: &str) -> Result<u32, ValueError> {
    match size(text)? {
        n @ 256..=0x4000_0000 => Ok(n as u32),
        _ => Err(ValueError(format!("{text} is out of range: 256 bytes to 1GiB"))),
    }
}

/// All settings of [`Config`].
pub fn knobs() -> impl Iterator<Item = &'static Knob<Config>> {
    [data::KNOBS, congestion::KNOBS, recovery::KNOBS, life::KNOBS].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_knob_reads_back_what_it_writes() {
        for profile in [Config::linux(), Config::rfc(), Config::classic()] {
            for knob in knobs() {
                let mut changed = profile.clone();
                (knob.set)(&mut changed, &(knob.get)(&profile))
                    .unwrap_or_else(|e| panic!("{}: {e}", knob.name));
                assert_eq!(changed, profile, "{}", knob.name);
            }
        }
    }

    #[test]
    fn every_knob_refuses_nonsense() {
        for knob in knobs() {
            assert!((knob.set)(&mut Config::linux(), "nonsense").is_err(), "{}", knob.name);
        }
    }
}
