//! What would have happened under other settings? A capture's conversation, held again in the simulator.
//!
//! [`Scenario::read`] takes from a capture what the applications did (what they wrote, after having read how much, and
//! after thinking how long) and what the network did to it (delay, losses). [`Scenario::play`] lets applications that
//! do the same talk over simulated hosts, under any settings. Played with the settings it was captured with, it must
//! come out as it was: that is the measure of how far it can be believed.

mod fit;
mod habits;
mod line;
mod listen;
mod player;
mod replay;
mod rows;
mod scenario;
mod steady;
mod way;
mod wire_model;

pub use replay::{Played, ReplayError};
pub use scenario::{Act, Deed, End, Loss, Scenario, ScenarioError, Talk};

use crate::settings::Settings;
use crate::time::Duration;

/// By how much a replay under the same settings may be off before nothing is concluded from it.
pub const TOLERANCE: f64 = 0.1;

/// The same conversation before and after a change.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// How long it took in the capture.
    pub observed: Duration,
    /// Replayed under the same settings.
    pub before: Played,
    /// Replayed under the others.
    pub after: Played,
    /// How far the first replay is from what was observed, as a share: of the time in which nobody was thinking, of the
    /// whole, or of what the exchanges took, whichever is most.
    pub error: f64,
    /// Every write passed at the same microsecond as in the capture.
    pub exact: bool,
    /// Pauses of the applications that do not show in the capture, and are as long as makes it come out.
    pub pauses: usize,
    /// What the model takes for granted, in sentences.
    pub assumptions: Vec<String>,
}

impl Comparison {
    /// Whether the model predicts what was observed well enough to be asked for more.
    pub fn holds(&self) -> bool {
        self.error <= TOLERANCE
    }
}

/// Plays the scenario as it was and with what `change` does to the settings of each end. The link's settings are
/// taken from the client's.
///
/// # Errors
/// A replay comes to no end.
pub fn what_if(scenario: &Scenario, change: impl Fn(End, &mut Settings)) -> Result<Comparison, ReplayError> {
    let (fitted, before, pauses) = fit::pauses(scenario)?;
    let after = fitted.play(change)?;
    let (error, exact) = fitted.distance(&before);
    let observed = scenario.lasted();
    Ok(Comparison { observed, before, after, error, exact, pauses, assumptions: fitted.assumptions })
}
