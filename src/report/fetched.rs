//! How does an exchange look that our client made?

use super::timeline::{phases, timeline};
use super::{Style, plural, printable};
use crate::service::Fetched;
use crate::time::Spoken;

/// A line on what was asked and answered, and a bar for each part of its ledger.
pub fn fetched(fetched: &Fetched, style: Style) -> String {
    let answer = match (&fetched.error, fetched.status()) {
        (Some(error), _) => style.bad(&format!("{error}")),
        (None, Some(status)) => format!("{}, {}", status.as_u16(), plural(fetched.body_len, "byte")),
        (None, None) => "no answer".to_owned(),
    };
    let total = fetched.ledger.total();
    let head = format!("{} {} → {answer} in {}", fetched.method, printable(&fetched.url), Spoken(total));
    let place = match (fetched.conn, fetched.reused) {
        (0, _) => "no connection".to_owned(),
        (n, true) => format!("connection {n}, kept"),
        (n, false) => format!("connection {n}, new"),
    };
    let phases = phases(&fetched.ledger);
    format!("{}  {}\n{}", style.bold(&head), style.dim(&place), timeline(&phases, total, style, "  "))
}
