//! What did an experiment find? Rows of measurements, and what is left of each claim.

use super::figure::Figure;
use super::quantity::Cell;
use crate::ledger::Parts;
use crate::time::Duration;
use std::fmt;

/// One arm and what was measured in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// What was varied, and how: the same names in every row of an experiment.
    pub varied: Vec<(String, String)>,
    /// When the part began that is measured, counted from the first packet: what came before is preparation.
    pub from: Duration,
    /// The machine had no time for it, as a watch beside it saw; in real time only. What is not as expected then tells nothing.
    pub late: bool,
    /// The measurements: the same names in every row.
    pub cells: Vec<Cell>,
    /// What the time of the client's exchanges went to by its own records, summed up; exchanges that go on at the same time
    /// count each. None if the client is a kernel, which keeps no such records.
    pub ledger: Option<Parts>,
    /// What was written of it, if that was asked for.
    pub captures: Vec<Capture>,
}

/// A capture of one arm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capture {
    /// Who saw it: `client`, `server`.
    pub host: &'static str,
    /// The file's name within the experiment's directory.
    pub file: String,
}

impl Row {
    /// Whether everything is as expected.
    pub fn holds(&self) -> bool {
        self.cells.iter().all(Cell::holds)
    }

    /// What was varied, in one line: `rtt=10ms size=1KiB`.
    pub fn label(&self) -> String {
        self.varied.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// What is left of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was true in each case that was tried.
    Confirmed,
    /// It was true in some cases only; the numbers say in which.
    Refined,
    /// It was true in none.
    Refuted,
    /// What was varied left no case in which it could be tried.
    Untried,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Refined => "refined",
            Verdict::Refuted => "refuted",
            Verdict::Untried => "untried",
        })
    }
}

/// A claim after the experiment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conclusion {
    /// The claim's name.
    pub claim: &'static str,
    /// Cases in which it was true.
    pub held: usize,
    /// Cases that were tried.
    pub of: usize,
    /// Cases that say nothing, since the machine was late; in real time only.
    pub late: usize,
    /// What came out, in numbers; empty if nothing was tried.
    pub numbers: String,
}

impl Conclusion {
    /// What is left of it.
    pub fn verdict(&self) -> Verdict {
        match self.held {
            0 if self.of == 0 => Verdict::Untried,
            0 => Verdict::Refuted,
            n if n == self.of => Verdict::Confirmed,
            _ => Verdict::Refined,
        }
    }
}

/// What an experiment found.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Findings {
    /// Its arms.
    pub rows: Vec<Row>,
    /// Its claims, in their order.
    pub conclusions: Vec<Conclusion>,
    /// What there is to see.
    pub figure: Option<Figure>,
}

impl Findings {
    /// Measurements that were not as expected, and not for want of a machine that has time.
    pub fn surprises(&self) -> usize {
        self.misses(false)
    }

    /// Measurements that were not as expected where the machine was late: of them nothing can be told.
    pub fn untold(&self) -> usize {
        self.misses(true)
    }

    fn misses(&self, late: bool) -> usize {
        let rows = self.rows.iter().filter(|row| row.late == late);
        rows.flat_map(|row| &row.cells).filter(|cell| !cell.holds()).count()
    }

    /// Measurements for which something was expected, and of which something can be told.
    pub fn expectations(&self) -> usize {
        self.cells().filter(|cell| cell.expected != super::Expected::Anything).count() - self.untold()
    }

    /// Whether everything was as expected, and something was expected.
    pub fn hold(&self) -> bool {
        self.expectations() > 0 && self.surprises() == 0
    }

    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.rows.iter().flat_map(|row| &row.cells)
    }

    /// Adds what another round of the same experiment found.
    pub(super) fn merge(&mut self, round: Findings) {
        self.rows.extend(round.rows);
        for conclusion in round.conclusions {
            match self.conclusions.iter_mut().find(|c| c.claim == conclusion.claim) {
                None => self.conclusions.push(conclusion),
                Some(known) => {
                    known.held += conclusion.held;
                    known.of += conclusion.of;
                    known.late += conclusion.late;
                    let both = [&known.numbers, &conclusion.numbers].map(String::as_str);
                    known.numbers = both.into_iter().filter(|n| !n.is_empty()).collect::<Vec<_>>().join("; ");
                }
            }
        }
        match (&mut self.figure, round.figure) {
            (Some(known), Some(figure)) => known.series.extend(figure.series),
            (known, figure) => *known = known.take().or(figure),
        }
    }
}
