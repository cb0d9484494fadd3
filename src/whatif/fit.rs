//! How long did somebody think where it does not show? What TCP held back, or the network, hides a pause; where both
//! are known to the last bit, the replay tells how long it was.

use super::replay::{Played, ReplayError};
use super::scenario::{Deed, Scenario};
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

/// What stacks do differently and captures do not show: each is taken if the replay comes nearer to the capture with it.
const HABITS: [(&str, &[&str]); 5] = [
    ("the path's rate never counts", &["link.bandwidth=unlimited"]),
    ("acknowledgments always wait for company", &["tcp.ack_adaptive=off", "tcp.quickack=0"]),
    ("what the window allows is spread over the round trip", &["tcp.pacing=on"]),
    ("Nagle's algorithm waits for any data, not for small segments only", &["tcp.nagle=on"]),
    ("nobody waits with small segments", &["tcp.nagle=off"]),
];

/// Tries such habits while the replay is off by more than is tolerated.
fn habits((mut scenario, mut played, pauses): (Scenario, Played, usize)) -> (Scenario, Played, usize) {
    let mut error = scenario.distance(&played).0;
    let bytes: usize = scenario.talks.iter().flat_map(|t| &t.bytes).map(|b| b.len() + 10_000).sum();
    for (told, changes) in HABITS.iter().take(BYTES / bytes.max(1)) {
        if error <= super::TOLERANCE {
            break;
        }
        let mut other = scenario.clone();
        for settings in &mut other.settings {
            // They are ours: each can be set.
            changes.iter().for_each(|change| drop(settings.set(change)));
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
