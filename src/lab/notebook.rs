//! What does an experiment write into while it runs? Arms are taken from here and come back as rows.

use super::addrs::{Addrs, V4, V6};
use super::arm::{Arm, Plan, Written};
use super::brief::{Brief, PACKETS};
use super::case::{Case, counts, told};
use super::figure::Figure;
use super::findings::{Conclusion, Findings};
use super::kernel::{Peer, Real};
use super::{Capture, Experiment, HELD, LabError, Setup};
use crate::knob;
use crate::settings::Settings;
use crate::time::{Duration, Spoken};
use crate::trace::{Format, TraceOptions, to_writer};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::str::FromStr;

/// What of each packet is kept in captures if the plan asks for no more: headers and the beginning of the data.
const SNAPLEN: u32 = 128;
/// When a SYN is repeated: all plans hold `tcp.rto_initial`.
const SYN_TIMER: Duration = Duration::from_secs(1);

/// One round of one experiment.
pub(super) struct Notebook<'a> {
    experiment: &'a Experiment,
    setup: &'a Setup,
    settings: Settings,
    /// Knobs that are swept from outside, in this round.
    round: Vec<(String, String)>,
    directory: Option<PathBuf>,
    snaplen: u32,
    throw: u64,
    findings: Findings,
}

impl<'a> Notebook<'a> {
    pub fn new(
        experiment: &'a Experiment,
        setup: &'a Setup,
        round: Vec<(String, String)>,
    ) -> Result<Notebook<'a>, LabError> {
        let mut settings = setup.settings.clone();
        for (name, value) in HELD.iter().chain(experiment.holds) {
            settings.set_value(name, value)?;
        }
        for (name, value) in &round {
            settings.set_value(name, value).map_err(|e| LabError::usage(e.to_string()))?;
        }
        let directory = setup.captures.as_ref().map(|directory| directory.join(experiment.name));
        if let Some(directory) = &directory {
            fs::create_dir_all(directory)
                .map_err(|e| LabError::new(format!("cannot make {}: {e}", directory.display())))?;
        }
        Ok(Notebook {
            experiment,
            setup,
            settings,
            round,
            directory,
            snaplen: if setup.keep_all { 0 } else { SNAPLEN },
            throw: 0,
            findings: Findings::default(),
        })
    }

    /// From now on captures hold packets as a whole, so that their checksums can be verified.
    pub fn whole_packets(&mut self) {
        self.snaplen = 0;
    }

    pub fn into_findings(self) -> Findings {
        self.findings
    }

    /// The values of an axis, as they are written.
    pub fn values(&self, axis: &str) -> Vec<String> {
        match self.setup.sweep.iter().find(|(name, _)| name == axis) {
            Some((_, values)) => values.clone(),
            None => {
                let axes = if self.setup.tun { self.experiment.tun } else { self.experiment.axes };
                let own = axes.iter().find(|own| own.name == axis);
                own.map_or("", |own| own.values).split(',').map(str::to_owned).collect()
            }
        }
    }

    /// The values of an axis that is one of some words, which are separated by commas as the axis has them.
    pub fn words(&self, axis: &str, known: &str) -> Result<Vec<String>, LabError> {
        let values = self.values(axis);
        match values.iter().find(|value| known.split(',').all(|word| word != *value)) {
            None => Ok(values),
            Some(other) => {
                Err(LabError::usage(format!("{axis} {other:?} is none of {}", known.replace(',', ", "))))
            }
        }
    }

    /// The values of an axis that is a time, with how they are written.
    pub fn durations(&self, axis: &str) -> Result<Vec<(Duration, String)>, LabError> {
        self.parsed(axis, |text| Ok(knob::duration(text)?))
    }

    /// The same, where nothing below `least` makes sense.
    pub fn durations_from(&self, axis: &str, least: Duration) -> Result<Vec<(Duration, String)>, LabError> {
        let values = self.durations(axis)?;
        match values.iter().find(|value| value.0 < least) {
            Some((_, text)) => {
                Err(LabError::usage(format!("{axis} {text} is too short here: at least {}", Spoken(least))))
            }
            None => Ok(values),
        }
    }

    /// The one value of an axis that is a time from `least` to `most`: what is compared has to last equally long.
    pub fn one_duration(
        &self,
        axis: &str,
        least: Duration,
        most: Duration,
    ) -> Result<(Duration, String), LabError> {
        match &self.durations(axis)?[..] {
            [(value, text)] if (least..=most).contains(value) => Ok((*value, text.clone())),
            [(_, text)] => Err(LabError::usage(format!(
                "{axis} {text} is out of range: {} to {}",
                Spoken(least),
                Spoken(most)
            ))),
            several => Err(LabError::usage(format!("{axis} has one value at a time, not {}", several.len()))),
        }
    }

    /// The values of an axis that is a delay: none, or one from `least` to `most`.
    pub fn delays(
        &self,
        axis: &str,
        least: Duration,
        most: Duration,
    ) -> Result<Vec<(Duration, String)>, LabError> {
        let values = self.durations(axis)?;
        match values.iter().find(|value| !value.0.is_zero() && !(least..=most).contains(&value.0)) {
            Some((_, text)) => Err(LabError::usage(format!(
                "{axis} {text} is not computed with here: 0, or {} to {}",
                Spoken(least),
                Spoken(most)
            ))),
            None => Ok(values),
        }
    }

    /// The values of an axis that is a round trip time on a path that connections are made on: a SYN must not be repeated,
    /// which it is after a second.
    pub fn round_trips(&self, axis: &str, least: Duration) -> Result<Vec<(Duration, String)>, LabError> {
        let values = self.durations_from(axis, least)?;
        match values.iter().find(|value| value.0 >= SYN_TIMER) {
            Some((_, text)) => Err(LabError::usage(format!(
                "{axis} {text} is too long here: a SYN is repeated after {}",
                Spoken(SYN_TIMER)
            ))),
            None => Ok(values),
        }
    }

    /// The values of an axis in bytes, from 1 to `most`: more take longer than anybody waits.
    pub fn sizes(&self, axis: &str, most: usize) -> Result<Vec<(usize, String)>, LabError> {
        self.parsed(axis, |text| {
            let n = usize::try_from(knob::size(text)?).unwrap_or(usize::MAX);
            if n == 0 || n > most {
                let most = knob::show_size(most as u64);
                return Err(LabError::new(format!("{axis} {text} is out of range: 1 to {most}")));
            }
            Ok(n)
        })
    }

    /// The values of an axis that is a number.
    pub fn numbers<T>(&self, axis: &str, low: T, high: T) -> Result<Vec<(T, String)>, LabError>
    where
        T: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        self.parsed(axis, |text| Ok(knob::number(text, low, high)?))
    }

    /// The values of an axis that is a rate in bits per second.
    pub fn rates(&self, axis: &str) -> Result<Vec<(u64, String)>, LabError> {
        self.parsed(axis, |text| {
            let rate = knob::rate(text)?;
            rate.ok_or_else(|| LabError::new(format!("{axis} has to be a rate here, such as 10mbit")))
        })
    }

    fn parsed<T>(
        &self,
        axis: &str,
        parse: impl Fn(&str) -> Result<T, LabError>,
    ) -> Result<Vec<(T, String)>, LabError> {
        let values = self.values(axis).into_iter();
        values
            .map(|text| Ok((parse(&text).map_err(|e| LabError::usage(format!("{axis}: {e}")))?, text)))
            .collect()
    }

    /// With whom each arm is run: with our own stack in virtual time, or with a kernel as the server and as the client.
    pub fn peers(&self) -> &'static [Peer] {
        if self.setup.tun { &[Peer::LinuxServer, Peer::LinuxClient] } else { &[Peer::Ours] }
    }

    /// Whether a kernel is at the other end, and time is real.
    pub fn is_real(&self) -> bool {
        self.setup.tun
    }

    /// A new arm in virtual time: what is varied, and the knobs that are turned for it.
    pub fn arm(&self, varied: &[(&str, &str)], knobs: &[(&str, &str)]) -> Result<Arm, LabError> {
        self.arm_with(Peer::Ours, varied, knobs)
    }

    /// A new arm, with a peer of [`peers`](Self::peers).
    pub fn arm_with(
        &self,
        peer: Peer,
        varied: &[(&str, &str)],
        knobs: &[(&str, &str)],
    ) -> Result<Arm, LabError> {
        let mut settings = self.settings.clone();
        turn(&mut settings, knobs)?;
        let mut all = self.round.clone();
        if peer != Peer::Ours {
            // Before there are threads.
            Real::enter(&settings)?;
            all.push(("peer".into(), peer.name().into()));
        }
        all.extend(varied.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        let captures = match peer {
            Peer::Ours => self.captures(&["client", "server"], &all, &settings)?,
            _ => self.captures(&[peer.our_side()], &all, &settings)?,
        };
        let (seed, addrs) = (self.seed(), self.addrs());
        Arm::new(Plan { settings: &settings, seed, addrs, varied: all, captures, peer })
    }

    /// From now on chance in arms follows from another number, which follows from the seed.
    pub fn throw(&mut self, n: u64) {
        self.throw = n;
    }

    fn seed(&self) -> u64 {
        if self.throw == 0 {
            self.setup.seed
        } else {
            self.setup.seed.wrapping_mul(1000).wrapping_add(self.throw)
        }
    }

    /// Where the hosts are.
    pub fn addrs(&self) -> &'static Addrs {
        if self.setup.ipv6 { &V6 } else { &V4 }
    }

    /// Hosts for something that has no place in an arm's capture.
    pub fn beside(&self, knobs: &[(&str, &str)]) -> Result<Arm, LabError> {
        let mut settings = self.settings.clone();
        turn(&mut settings, knobs)?;
        let (seed, addrs) = (self.setup.seed, self.addrs());
        let (varied, captures) = (Vec::new(), Vec::new());
        Arm::new(Plan { settings: &settings, seed, addrs, varied, captures, peer: Peer::Ours })
    }

    fn captures(
        &self,
        hosts: &[&'static str],
        varied: &[(String, String)],
        settings: &Settings,
    ) -> Result<Vec<Written>, LabError> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let (name, addrs) = (file_name(varied), self.addrs());
        let one = |&host: &&'static str| {
            let capture = Capture { host, file: format!("{name}.{host}.pcapng") };
            let path = directory.join(&capture.file);
            let file = File::create(&path)
                .map_err(|e| LabError::new(format!("cannot write the capture {}: {e}", path.display())))?;
            let options = TraceOptions {
                snaplen: self.snaplen,
                names: vec![(addrs.client, "client".into()), (addrs.server, "server".into())],
                interface: host.into(),
                description: format!(
                    "tcpglass lab {}: {}; as the {host} saw it{}{}; {} seed={}",
                    self.experiment.name,
                    spoken(varied),
                    if self.setup.keep_all {
                        String::new()
                    } else {
                        format!(", the first {PACKETS} packets at most")
                    },
                    if self.snaplen > 0 {
                        format!(", {} bytes of each", self.snaplen)
                    } else {
                        String::new()
                    },
                    settings.changed(),
                    self.seed()
                ),
                portable: true,
                ..TraceOptions::default()
            };
            let sink = to_writer(BufWriter::new(file), Format::Pcapng, &options);
            let sink = if self.setup.keep_all { sink } else { Box::new(Brief::new(sink)) };
            Ok((capture, sink))
        };
        hosts.iter().map(one).collect()
    }

    /// An arm is done.
    pub fn record(&mut self, arm: Arm) -> Result<(), LabError> {
        self.findings.rows.push(arm.finish()?);
        Ok(())
    }

    /// What is left of a claim after its cases; `measure` says what their values are.
    pub fn judge(&mut self, claim: &'static str, measure: &str, cases: &[Case]) {
        let ((held, of, late), numbers) = (counts(cases), told(measure, cases));
        self.findings.conclusions.push(Conclusion { claim, held, of, late, numbers });
    }

    /// A drawing of its own instead of the one that follows from the table.
    pub fn draw(&mut self, figure: Figure) {
        self.findings.figure = Some(figure);
    }
}

/// A value that a knob refuses is one that was asked for: the plan's own are good.
fn turn(settings: &mut Settings, knobs: &[(&str, &str)]) -> Result<(), LabError> {
    let refused = |e: crate::settings::SettingError| LabError::usage(e.to_string());
    knobs.iter().try_for_each(|(name, value)| settings.set_value(name, value).map_err(refused))
}

fn spoken(varied: &[(String, String)]) -> String {
    varied.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A name made of letters, digits and what no shell minds.
fn file_name(varied: &[(String, String)]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "=._-".contains(c) { c } else { '-' };
    let parts = varied.iter().map(|(name, value)| format!("{name}={value}"));
    parts.collect::<Vec<_>>().join("_").chars().map(plain).collect()
}
