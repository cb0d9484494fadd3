//! How long did somebody think where it does not show? What TCP held back, or the network, hides a pause; where both
//! are known to the last bit, the replay tells how long it was.

use super::replay::{Played, ReplayError};
use super::scenario::{Deed, Scenario};
use super::steady::STEADY;
use crate::settings::Settings;
use crate::tcp::{Congestion, Nagle};
use crate::time::Duration;

/// Replays that the search may take, and bytes that they may carry together.
const TRIES: usize = 100;
const BYTES: usize = 64 << 20;

/// The first thing that a replay does at another time.
struct Off {
    talk: usize,
    /// The end and the number of the act; `None` if it is the connection's beginning.
    act: Option<(usize, usize)>,
    observed: Duration,
    replayed: Duration,
}

/// Takes what may have been one write for one if that fits better, and makes pauses longer or shorter until the replay comes out as the capture, as far as that goes. Returns the best
/// scenario, its replay and how many pauses are others.
///
/// # Errors
/// The scenario as it is comes to no end.
pub(super) fn pauses(scenario: &Scenario) -> Result<(Scenario, Played, usize), ReplayError> {
    let first = scenario.play(|_, _| {})?;
    let mut best = (scenario.clone(), first, 0);
    let (error, exact) = scenario.distance(&best.1);
    if let Some(lumped) = scenario.lumped().filter(|_| !exact)
        && let Ok(played) = lumped.play(|_, _| {})
        && lumped.distance(&played).0 < error
    {
        best = (lumped, played, 0);
    }
    // Elsewhere it would hide what the model does not know.
    if scenario.seed.is_none() {
        return Ok(if scenario.known { best } else { habits(best) });
    }
    let bytes: usize = scenario.talks.iter().flat_map(|t| &t.bytes).map(|b| b.len() + 10_000).sum();
    let mut scenario = best.0.clone();
    let mut last = Duration::ZERO;
    let mut off = scenario.first_off(&best.1);
    for changed in 1..=TRIES.min(BYTES / bytes.max(1)) {
        let Some(found) = off else { break };
        let when = found.observed.min(found.replayed);
        if when < last || !scenario.shift(&found) {
            break;
        }
        last = when;
        let Ok(played) = scenario.play(|_, _| {}) else { break };
        off = scenario.first_off(&played);
        if off.is_none() || scenario.distance(&played).0 < scenario.distance(&best.1).0 {
            best = (scenario.clone(), played, changed);
        }
    }
    Ok(best)
}

/// What stacks do differently and captures do not show: each is taken if the replay comes nearer to the capture with it. `flights`
/// is what the end had under way at the most, and what the other had. Bytes.
type Habit = (&'static str, fn(&mut Settings, [u64; 2]));
const HABITS: [Habit; 9] = [
    ("losses do not shrink the sender's window (BBR)", |s, _| s.tcp.congestion = Congestion::Custom(STEADY)),
    ("losses halve the sender's window", |s, _| s.tcp.congestion = Congestion::NewReno),
    ("the sender's buffer holds no more than was under way", |s, [own, _]| set(s, "tcp.send_buffer", own)),
    ("the receiver's buffer holds no more than was under way", |s, [_, other]| {
        set(s, "tcp.recv_buffer", other * 7 / 4);
    }),
    ("the path's rate never counts", |s, _| s.link.bandwidth = None),
    ("acknowledgments always wait for company", |s, _| {
        (s.tcp.ack_adaptive, s.tcp.quickack) = (false, 0);
    }),
    ("what the window allows is spread over the round trip", |s, _| s.tcp.pacing = true),
    ("Nagle's algorithm waits for any data, not for small segments only", |s, _| s.tcp.nagle = Nagle::On),
    ("nobody waits with small segments", |s, _| s.tcp.nagle = Nagle::Off),
];

/// Sets a size, as near to it as the knob can be set.
fn set(settings: &mut Settings, knob: &str, bytes: u64) {
    if bytes > 0 {
        // It is ours, and no size of a flight is beyond what it takes.
        drop(settings.set(&format!("{knob}={}", bytes.clamp(4096, 1 << 28))));
    }
}

/// Tries such habits while the replay is off by more than is tolerated, twice: one may matter only with another.
fn habits((mut scenario, mut played, pauses): (Scenario, Played, usize)) -> (Scenario, Played, usize) {
    let mut error = scenario.distance(&played).0;
    let bytes: usize = scenario.talks.iter().flat_map(|t| &t.bytes).map(|b| b.len() + 10_000).sum();
    let flights = [0, 1].map(|e| scenario.talks.iter().map(|talk| talk.flights[e]).max().unwrap_or(0));
    for (told, change) in HABITS.iter().chain(&HABITS).take(BYTES / bytes.max(1)) {
        if error <= super::TOLERANCE {
            break;
        }
        let mut other = scenario.clone();
        for (e, settings) in other.settings.iter_mut().enumerate() {
            change(settings, [flights[e], flights[1 - e]]);
        }
        if other.settings == scenario.settings {
            continue;
        }
        let Ok(replay) = other.play(|_, _| {}) else { continue };
        let off = other.distance(&replay).0;
        if off < error * 0.8 {
            other.assumptions.push(format!("{told}: so it comes nearer to what was captured"));
            (scenario, played, error) = (other, replay, off);
        }
    }
    (scenario, played, pauses)
}

impl Scenario {
    fn first_off(&self, played: &Played) -> Option<Off> {
        let first = |s: &Scenario| s.talks.iter().map(|t| t.start.at).min().unwrap_or_default();
        let (from, since) = (first(self), first(&played.scenario));
        let mut found: Option<Off> = None;
        let mut see = |talk, act, observed: Duration, replayed: Duration| {
            let (observed, replayed) = (observed.saturating_sub(from), replayed.saturating_sub(since));
            let earlier = found.as_ref().is_none_or(|f| observed.min(replayed) < f.observed.min(f.replayed));
            if observed.as_micros() != replayed.as_micros() && earlier {
                found = Some(Off { talk, act, observed, replayed });
            }
        };
        for (n, talk) in self.talks.iter().enumerate() {
            let Some(same) = played.scenario.talks.iter().find(|t| t.number == talk.number) else { continue };
            see(n, None, talk.start.at, same.start.at);
            for (e, acts) in talk.acts.iter().enumerate() {
                for (a, act) in acts.iter().enumerate() {
                    if let Deed::Write(until) = act.deed
                        && let Some(at) = same.passed(e, until)
                    {
                        see(n, Some((e, a)), act.passed, at);
                    }
                }
            }
        }
        found
    }

    /// Makes the pause before it longer or shorter; false if that cannot be.
    fn shift(&mut self, off: &Off) -> bool {
        let talk = &mut self.talks[off.talk];
        let think = match off.act {
            Some((e, a)) => &mut talk.acts[e][a].think,
            None => &mut talk.start.think,
        };
        let longer = off.observed.saturating_sub(off.replayed);
        let shorter = off.replayed.saturating_sub(off.observed).min(*think);
        *think = *think + longer - shorter;
        longer + shorter > Duration::ZERO
    }
}
