//! What came out where a claim was tried? Cases, and the words that follow from them and from nothing else.

use super::quantity::Quantity;

/// One case in which a claim was tried.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Case {
    held: bool,
    /// The machine was so late that it says nothing about TCP.
    late: bool,
    found: Found,
    /// Where: what was varied, as far as it matters to the claim.
    at: String,
}

/// What was measured.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Found {
    Measure(Quantity),
    Words(String),
}

impl From<Quantity> for Found {
    fn from(quantity: Quantity) -> Found {
        Found::Measure(quantity)
    }
}

impl From<String> for Found {
    fn from(words: String) -> Found {
        Found::Words(words)
    }
}

impl Found {
    fn shown(&self) -> String {
        match self {
            Found::Measure(quantity) => quantity.to_string(),
            Found::Words(words) => words.clone(),
        }
    }
}

/// So many different values are told one by one; of more, the smallest and the largest.
const VALUES: usize = 6;
/// The same for the places where a value was found.
const PLACES: usize = 6;

impl Case {
    pub fn new(held: bool, found: impl Into<Found>, at: impl Into<String>) -> Case {
        Case { held, late: false, found: found.into(), at: at.into() }
    }

    /// Nothing can be told from it if `late`.
    pub fn unless(self, late: bool) -> Case {
        Case { late, ..self }
    }

    /// The same, which counts only against the claim: a machine that rests too long makes nothing true.
    pub fn unless_held(self, overslept: bool) -> Case {
        let late = self.late || (overslept && !self.held);
        Case { late, ..self }
    }

    pub fn holds(&self) -> bool {
        self.held && !self.late
    }
}

/// How many cases held, of how many that tell something, and how many came too late.
pub(super) fn counts(cases: &[Case]) -> (usize, usize, usize) {
    let late = cases.iter().filter(|case| case.late).count();
    (cases.iter().filter(|case| case.holds()).count(), cases.len() - late, late)
}

/// `1 RST`, `0 RSTs`.
pub(super) fn many(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `measure: value (where, where), value (where); but value (where)`. What contradicts the claim stands behind the `but`
/// where other cases agree with it.
pub(super) fn told(measure: &str, cases: &[Case]) -> String {
    let side = |held: bool| values(cases.iter().filter(|case| !case.late && case.held == held));
    let (for_it, against) = (side(true), side(false));
    match (for_it.is_empty(), against.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!("{measure}: {for_it}"),
        (true, false) => format!("{measure}: {against}"),
        (false, false) => format!("{measure}: {for_it}; but {against}"),
    }
}

fn values<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    // What came out, what it looks like, and where.
    let mut groups: Vec<(&Found, String, Vec<&str>)> = Vec::new();
    let mut all = 0;
    for case in cases {
        all += 1;
        let shown = case.found.shown();
        let known = match groups.iter_mut().find(|group| group.1 == shown) {
            Some((.., places)) => places,
            None => {
                groups.push((&case.found, shown, Vec::new()));
                match groups.last_mut() {
                    Some((.., places)) => places,
                    None => continue,
                }
            }
        };
        if !case.at.is_empty() && !known.contains(&case.at.as_str()) {
            known.push(&case.at);
        }
    }
    if groups.len() > VALUES {
        let number = |found: &Found| match found {
            Found::Measure(quantity) => Some(quantity.number()),
            Found::Words(_) => None,
        };
        let mut sorted: Vec<(f64, &str)> =
            groups.iter().filter_map(|(found, shown, _)| Some((number(found)?, shown.as_str()))).collect();
        if sorted.len() == groups.len() {
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            return format!("{} to {} in {all} cases", sorted[0].1, sorted[sorted.len() - 1].1);
        }
    }
    let (first, rest) = groups.split_at(groups.len().min(2 * VALUES));
    let one = |(_, shown, places): &(&Found, String, Vec<&str>)| match places.len() {
        0 => shown.clone(),
        1..=PLACES => format!("{shown} ({})", apart(places)),
        n => format!("{shown} ({n} cases)"),
    };
    let commas = first.iter().any(|group| group.1.contains(", "));
    let mut told = first.iter().map(one).collect::<Vec<_>>().join(if commas { "; " } else { ", " });
    if !rest.is_empty() {
        told += &format!(" and {} other values", rest.len());
    }
    told
}

/// With a comma between them, unless they have some of their own.
fn apart(parts: &[&str]) -> String {
    parts.join(if parts.iter().any(|part| part.contains(", ")) { "; " } else { ", " })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(held: bool, n: u64, at: &str) -> Case {
        Case::new(held, Quantity::Count(n), at)
    }

    #[test]
    fn equal_values_are_told_once_with_all_their_places() {
        let cases = [case(true, 0, "off"), case(true, 0, "off"), case(true, 0, "on"), case(true, 7, "on")];
        assert_eq!(told("RSTs", &cases), "RSTs: 0 (off, on), 7 (on)");
        let many: Vec<Case> = (0..9).map(|n| case(true, 1, &n.to_string())).collect();
        assert_eq!(told("RSTs", &many), "RSTs: 1 (9 cases)");
        let many: Vec<Case> = (0..9).map(|n| case(true, 9 - n, "x")).collect();
        assert_eq!(told("RSTs", &many), "RSTs: 1 to 9 in 9 cases");
    }

    #[test]
    fn what_contradicts_the_claim_is_told_apart() {
        let cases = [case(true, 1, "a"), case(false, 2, "b")];
        assert_eq!(told("x", &cases), "x: 1 (a); but 2 (b)");
        assert_eq!(told("x", &cases[1..]), "x: 2 (b)");
        assert_eq!(told("x", &[]), "");
    }

    #[test]
    fn what_came_too_late_is_neither_for_it_nor_against() {
        let cases = [case(true, 1, "a"), case(false, 2, "b").unless(true), case(true, 3, "c").unless(true)];
        assert_eq!((counts(&cases), told("x", &cases)), ((1, 1, 2), "x: 1 (a)".into()));
    }
}
