//! How do many exchanges look beside each other? A row for each on a common scale.

use super::spans::{Spans, spans};
use super::{Style, Table, plural, printable};
use crate::service::Fetched;
use crate::time::{Duration, Instant, Spoken};

/// Columns of the scale.
const WIDTH: u64 = 50;
/// Rows that are shown.
const ROWS: usize = 200;

/// What each step of an exchange is called, and how it is drawn.
const PARTS: [(&str, &str, char); 7] = [
    ("lost, sent again", "recovery", '~'),
    ("name", "name", '?'),
    ("wait", "queue", '·'),
    ("connect", "handshake", '-'),
    ("send", "request", '>'),
    ("server", "wait", '░'),
    ("receive", "transfer", '█'),
];

/// A row: an exchange's parts as spans of time, in microseconds after the first one was there to be made.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    connection: String,
    answer: String,
    /// What is drawn, from when, until when.
    spans: Vec<(char, u64, u64)>,
    end: u64,
}

/// Exchanges that are collected to be shown beside each other; at most 200 are kept.
#[derive(Clone, Default, Debug)]
pub struct Waterfall {
    begin: Option<Instant>,
    rows: Vec<Row>,
    more: u64,
}

impl Waterfall {
    /// Adds an exchange. The first one's `ready` is where the scale begins.
    pub fn add(&mut self, fetched: &Fetched) {
        if self.rows.len() >= ROWS {
            self.more += 1;
            return;
        }
        let t = &fetched.timings;
        let begin = *self.begin.get_or_insert(t.ready.or(t.start).unwrap_or_default());
        let after = |at: Option<Instant>| at.map_or(0, |at| at.since(begin).as_micros() as u64);
        let start = after(t.start);
        let Spans { steps, total_us } = spans(t, t.latest());
        let mut drawings = vec![('·', after(t.ready).min(start), start)];
        for step in &steps {
            let to = if step.what == "port-wait" { "queue" } else { step.what };
            let drawn = PARTS.iter().find(|part| part.1 == to).map_or('x', |part| part.2);
            drawings.push((drawn, start + step.start_us, start + step.start_us + step.us));
        }
        let kind = match (fetched.reused, fetched.pipelined) {
            (_, true) => " piped",
            (true, false) => " kept",
            (false, false) => "",
        };
        self.rows.push(Row {
            what: printable(&format!("{} {}", fetched.method, fetched.url)),
            connection: if fetched.conn == 0 { "-".into() } else { format!("{}{kind}", fetched.conn) },
            answer: match (&fetched.error, fetched.status()) {
                (None, Some(status)) => status.as_u16().to_string(),
                _ => "failed".into(),
            },
            spans: drawings,
            end: start + total_us,
        });
    }

    /// How many exchanges were added.
    pub fn len(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, the scale and what the bars mean.
    pub fn text(&self, style: Style) -> String {
        let total = self.rows.iter().map(|row| row.end).max().unwrap_or(0).max(1);
        let micros = |us: u64| Spoken(Duration::from_micros(us)).to_string();
        let scale = format!("0 to {}", micros(total));
        let mut table = Table::new(&["exchange", "conn", "status", ">done at", &scale]);
        for row in &self.rows {
            let end = micros(row.end);
            let cells = [row.what.clone(), row.connection.clone(), row.answer.clone(), end, bar(row, total)];
            table.row(cells);
        }
        let mut out = table.render(style, "");
        if self.more > 0 {
            out += &format!("… and {} more\n", plural(self.more, "exchange"));
        }
        let legend: Vec<String> = PARTS.iter().map(|(name, _, drawn)| format!("{drawn} {name}")).collect();
        out += &style.dim(&legend.join("  "));
        out.push('\n');
        out
    }
}

/// In each column what took most of its time, so that the parts are to scale; what began in a column and ended in it
/// is seen there if nothing else is.
fn bar(row: &Row, total: u64) -> String {
    let column = |n: u64| u128::from(n) * u128::from(total);
    let drawn = |n: u64| {
        let (from, to) = (column(n), column(n + 1));
        let share = |span: &&(char, u64, u64)| {
            let (a, b) = (u128::from(span.1 * WIDTH), u128::from(span.2 * WIDTH));
            b.min(to).saturating_sub(a.max(from))
        };
        row.spans.iter().rev().max_by_key(share).filter(|span| share(span) > 0).map_or(' ', |span| span.0)
    };
    (0..WIDTH).map(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(spans: &[(char, u64, u64)]) -> Row {
        Row {
            what: String::new(),
            connection: String::new(),
            answer: String::new(),
            spans: spans.to_vec(),
            end: 0,
        }
    }

    #[test]
    fn a_bar_is_to_scale_and_begins_where_its_exchange_begins() {
        let text = bar(&row(&[('-', 100, 200), ('░', 200, 300), ('█', 300, 400)]), 500);
        let count = |c| text.chars().filter(|&x| x == c).count();
        assert_eq!((count('-'), count('░'), count('█'), count(' ')), (10, 10, 10, 20), "{text}");
        assert!(text.starts_with("          -") && text.chars().count() == 50, "{text}");
        assert_eq!(bar(&row(&[('█', 0, 1)]), 1).chars().count(), 50);
        assert_eq!(bar(&row(&[]), 1).trim(), "");
    }
}
