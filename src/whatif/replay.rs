//! How does the same conversation go under other settings? It is held in the simulator and captured where it was.

use super::player::{Connects, Player, Role};
use super::scenario::{Deed, End, Loss, Scenario};
use crate::explain::{Options, Summary, explain};
use crate::segment::Flags;
use crate::seq::Seq;
use crate::settings::Settings;
use crate::sim::rule::{Action, Passing};
use crate::sim::{HostId, LinkConfig, World, host_config};
use crate::stack::Owner;
use crate::time::Duration;
use crate::trace::{Format, TraceOptions, Tracer, to_writer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A replay that takes so many times as long as what was captured has come to a standstill.
const PATIENCE: u32 = 100;
/// What it may take at the least.
const LEAST: Duration = Duration::from_secs(600);
/// What closing may take after the last act.
const CLOSING: Duration = Duration::from_secs(60);

/// What became of a replay.
#[derive(Clone, Debug)]
pub struct Played {
    /// From the first SYN to the last byte that anybody wrote passing where the capture was made.
    pub lasted: Duration,
    /// What the analysis of captures says of it.
    pub summary: Summary,
    /// The capture, as pcapng.
    pub capture: Vec<u8>,
    /// It as a scenario: when each write passed.
    pub scenario: Scenario,
}

/// Why a replay came to no end.
#[derive(Debug)]
pub enum ReplayError {
    /// Something is still waited for, after so long.
    Stalled {
        /// Acts that nobody came to do.
        acts: usize,
        /// The time that had passed.
        after: Duration,
    },
    /// Its capture cannot be read.
    Unreadable(String),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Stalled { acts, after } => write!(
                f,
                "the replay came to no end: after {} {acts} writes and closes were still waiting",
                crate::time::Spoken(*after)
            ),
            ReplayError::Unreadable(why) => write!(f, "the replay cannot be analysed: {why}"),
        }
    }
}

impl Error for ReplayError {}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Addresses of the simulated network for those of the capture, which may be any.
#[derive(Default)]
struct Addresses(BTreeMap<IpAddr, IpAddr>);

impl Addresses {
    fn of(&mut self, original: SocketAddr) -> SocketAddr {
        let n = self.0.len() as u16;
        // No host has a network's first or last number.
        let [high, low] = [(n / 254) as u8, (n % 254) as u8 + 1];
        let new = match original.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 77, high, low)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, n + 1)),
        };
        SocketAddr::new(*self.0.entry(original.ip()).or_insert(new), original.port())
    }
}

impl Scenario {
    /// Holds the conversation again; `change` is made to the settings of both ends and of the link between them.
    ///
    /// # Errors
    /// It comes to no end.
    pub fn play(&self, change: impl Fn(End, &mut Settings)) -> Result<Played, ReplayError> {
        let mut settings = self.settings.clone();
        change(End::Client, &mut settings[0]);
        change(End::Server, &mut settings[1]);
        let seed = self.seed.unwrap_or(1);
        let (mut world, memory) = (World::new(seed, LinkConfig::default()), Memory::default());
        world.check_invariants(false);
        let mut addresses = Addresses::default();
        let ends: Vec<[SocketAddr; 2]> =
            self.talks.iter().map(|t| [addresses.of(t.client), addresses.of(t.server)]).collect();
        let at_client = self.talks[0].at_client;
        let watched = ends[0][usize::from(!at_client)].ip();
        let hosts = self.hosts(&mut world, &ends, &settings, (watched, &memory));
        self.links(&mut world, &ends, &hosts, &settings);
        let left = self.cast(&mut world, &ends, &hosts);
        let limit = LEAST.max(self.lasted() * PATIENCE);
        let done = world.run_until(limit, |_| left.load(Ordering::Relaxed) == 0);
        if !done {
            let acts = left.load(Ordering::Relaxed);
            return Err(ReplayError::Stalled { acts, after: limit });
        }
        let all: Vec<HostId> = hosts.values().copied().collect();
        world.run_until(CLOSING, |w| all.iter().all(|host| w.stack(*host).open_connections() == 0));
        world.finish().map_err(|e| ReplayError::Unreadable(e.to_string()))?;
        let capture = std::mem::take(&mut *memory.0.lock().unwrap_or_else(PoisonError::into_inner));
        let unreadable = |e: &dyn fmt::Display| ReplayError::Unreadable(e.to_string());
        let summary = explain(capture.as_slice(), Options::default()).map_err(|e| unreadable(&e))?;
        let mut scenario = Scenario::read(capture.as_slice(), None, false).map_err(|e| unreadable(&e))?;
        // By the numbers of the original, whatever the order in which they were opened now.
        for talk in &mut scenario.talks {
            let original = ends.iter().position(|e| *e == [talk.client, talk.server]);
            talk.number = original.map_or(0, |n| self.talks[n].number);
        }
        Ok(Played { lasted: scenario.lasted(), summary, capture, scenario })
    }

    fn hosts(
        &self,
        world: &mut World,
        ends: &[[SocketAddr; 2]],
        settings: &[Settings; 2],
        (watched, memory): (IpAddr, &Memory),
    ) -> BTreeMap<IpAddr, HostId> {
        let mut hosts = BTreeMap::new();
        for (talk, ends) in self.talks.iter().zip(ends) {
            for (e, end) in ends.iter().enumerate() {
                hosts.entry(end.ip()).or_insert_with(|| {
                    let mut config = host_config(end.ip(), settings[e].tcp.clone());
                    config.addrs[0].1 = if end.is_ipv4() { 16 } else { 64 };
                    let headers = if end.is_ipv4() { 40 } else { 60 };
                    config.mtu = talk.offers[e].mss.unwrap_or(1460).saturating_add(headers).max(576);
                    let tracer = if end.ip() == watched {
                        let options = TraceOptions {
                            description: description(&settings[e], world.seed()),
                            ..TraceOptions::default()
                        };
                        Tracer::new(vec![to_writer(memory.clone(), Format::Pcapng, &options)])
                    } else {
                        Tracer::default()
                    };
                    world.add_host(&end.ip().to_string(), config, tracer)
                });
            }
        }
        hosts
    }

    fn links(
        &self,
        world: &mut World,
        ends: &[[SocketAddr; 2]],
        hosts: &BTreeMap<IpAddr, HostId>,
        settings: &[Settings; 2],
    ) {
        for (talk, [client, server]) in self.talks.iter().zip(ends) {
            let (near, far) = (hosts[&client.ip()], hosts[&server.ip()]);
            let mut link = settings[0].link.clone();
            if link.rtt == self.settings[0].link.rtt {
                // Each pair of hosts has its own distance, unless another one is asked for.
                link.rtt = talk.round_trip;
            }
            world.set_link(near, far, &link);
            for (from_client, from, to) in [(true, near, far), (false, far, near)] {
                let losses: Vec<Loss> =
                    talk.losses.iter().filter(|l| l.from_client == from_client).copied().collect();
                if !losses.is_empty() {
                    let ends = if from_client { (*client, *server) } else { (*server, *client) };
                    world.add_rule(from, to, again(ends, losses));
                }
            }
        }
    }

    fn cast(
        &self,
        world: &mut World,
        ends: &[[SocketAddr; 2]],
        hosts: &BTreeMap<IpAddr, HostId>,
    ) -> Arc<AtomicUsize> {
        let left = Arc::new(AtomicUsize::new(0));
        let first = self.talks.iter().map(|t| t.start.at).min().unwrap_or_default();
        let mut roles: BTreeMap<IpAddr, Vec<Role>> = BTreeMap::new();
        let mut places = Vec::new();
        for (talk, [client, server]) in self.talks.iter().zip(ends) {
            let [near, far] = [client, server].map(|end| end.ip());
            let role = |e: usize, connects| Role {
                local: [*client, *server][e],
                remote: [*server, *client][e],
                connects,
                acts: talk.acts[e].clone(),
                bytes: talk.bytes[e].clone(),
            };
            let connects = match talk.start.after {
                None => Connects { after: None, think: talk.start.at - first },
                Some(after) => Connects { after: Some(after), think: talk.start.think },
            };
            let clients = roles.entry(near).or_default();
            places.push(clients.len());
            clients.push(role(0, Some(connects)));
            roles.entry(far).or_default().push(role(1, None));
        }
        // What a client waits for is told by its place among the roles of its host.
        for role in roles.values_mut().flatten() {
            if let Some(Connects { after: Some((talk, _)), .. }) = &mut role.connects {
                *talk = places[*talk];
            }
        }
        for (ip, roles) in roles {
            world.add_service(hosts[&ip], Box::new(Player::new(Owner(1), roles, left.clone())));
        }
        left
    }

    /// How far a replay is from what was captured: by which share of the time in which nobody was thinking, of the whole or
    /// of what the exchanges took, whichever is most; and whether every write passed at its microsecond.
    pub fn distance(&self, played: &Played) -> (f64, bool) {
        let (mut off, mut busy) = (Duration::ZERO, Duration::ZERO);
        let (mut asked, mut answered) = (Duration::ZERO, Duration::ZERO);
        for talk in &self.talks {
            let same = played.scenario.talks.iter().find(|t| t.number == talk.number);
            off += same.map_or(talk.lasted(), |same| talk.lasted().abs_diff(same.lasted()));
            busy += talk.busy();
            let others = same.map_or(&[][..], |same| &same.exchanges);
            for (n, took) in talk.exchanges.iter().enumerate() {
                asked += took.abs_diff(others.get(n).copied().unwrap_or_default());
                answered += *took;
            }
        }
        let share = |off: Duration, of: Duration| off.as_secs_f64() / of.as_secs_f64().max(1e-9);
        let whole = share(self.lasted().abs_diff(played.lasted), self.lasted());
        let error = share(off, busy).max(whole).max(share(asked, answered));
        let first = |s: &Scenario| s.talks.iter().map(|t| t.start.at).min().unwrap_or_default();
        let (from, since) = (first(self), first(&played.scenario));
        let exact = self.talks.iter().all(|talk| {
            let same = played.scenario.talks.iter().find(|t| t.number == talk.number);
            same.is_some_and(|same| {
                [0, 1].iter().all(|&e| {
                    talk.acts[e].iter().all(|act| match act.deed {
                        Deed::Write(until) => {
                            let when = same.passed(e, until).map(|at| at.saturating_sub(since).as_micros());
                            when == Some(act.passed.saturating_sub(from).as_micros())
                        }
                        _ => true,
                    })
                })
            })
        });
        (error, exact)
    }
}

impl super::Talk {
    /// When the first so many bytes of the end `e` had passed.
    pub(super) fn passed(&self, e: usize, until: u64) -> Option<Duration> {
        let reached = &self.reached[e];
        reached.get(reached.partition_point(|r| r.1 < until)).map(|r| r.0)
    }
}

/// Loses again what was lost: the packets that hold the same bytes, as often as then.
fn again(
    (from, to): (SocketAddr, SocketAddr),
    mut losses: Vec<Loss>,
) -> impl FnMut(&Passing<'_>) -> Action + Send {
    let offsets: BTreeSet<i64> = losses.iter().map(|l| l.offset).collect();
    let mut isn: Option<Seq> = None;
    let mut passed: HashMap<i64, u32> = HashMap::new();
    move |packet: &Passing<'_>| {
        if (packet.src, packet.dst) != (from, to) {
            return Action::Pass;
        }
        let seg = packet.seg;
        let range = if seg.flags.contains(Flags::SYN) {
            isn = Some(seg.seq);
            -1..0
        } else {
            let Some(isn) = isn else { return Action::Pass };
            let start = i64::from(seg.seq.since(isn)) - 1;
            start..start + i64::from(seg.seq_len())
        };
        offsets.iter().filter(|o| range.contains(o)).for_each(|o| *passed.entry(*o).or_insert(0) += 1);
        let before = losses.len();
        losses.retain(|loss| !range.contains(&loss.offset) || passed[&loss.offset] != loss.nth);
        if losses.len() < before { Action::Drop } else { Action::Pass }
    }
}

fn description(settings: &Settings, seed: u64) -> String {
    format!("tcpglass {}: {} seed={seed}", env!("CARGO_PKG_VERSION"), settings.changed())
}
