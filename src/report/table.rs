//! How do columns line up?

use super::Style;
use std::fmt::Write;

/// Rows of text under headings. A heading that begins with `>` makes its column align to the right.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headings: &[&str]) -> Table {
        let heading = |h: &&str| match h.strip_prefix('>') {
            Some(h) => (h.to_owned(), true),
            None => ((*h).to_owned(), false),
        };
        Table { headings: headings.iter().map(heading).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, surplus ones are not shown.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, columns two spaces apart, each line starting with `indent`.
    pub fn render(&self, style: Style, indent: &str) -> String {
        let cell = |row: &[String], i: usize| row.get(i).cloned().unwrap_or_default();
        let widths: Vec<usize> = (self.headings.iter().enumerate())
            .map(|(i, (h, _))| {
                self.rows.iter().map(|r| cell(r, i).chars().count()).fold(h.chars().count(), usize::max)
            })
            .collect();
        let mut out = String::new();
        let line = |cells: Vec<String>| {
            let mut text = indent.to_owned();
            for (i, cell) in cells.iter().enumerate() {
                let (width, gap) = (widths[i], if i > 0 { "  " } else { "" });
                let _ = match self.headings[i].1 {
                    true => write!(text, "{gap}{cell:>width$}"),
                    false => write!(text, "{gap}{cell:<width$}"),
                };
            }
            text.truncate(text.trim_end().len());
            text
        };
        out += &style.bold(&line(self.headings.iter().map(|(h, _)| h.clone()).collect()));
        out.push('\n');
        for row in &self.rows {
            out += &line((0..self.headings.len()).map(|i| cell(row, i)).collect());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_blanks() {
        let mut table = Table::new(&["word", ">packets", ""]);
        table.row(["syn", "1", ""]);
        table.row(["ack-délayé", "1200", "x"]);
        table.row(["short"]);
        assert_eq!(
            table.render(Style::PLAIN, "  "),
            "  word        packets\n  syn               1\n  ack-délayé     1200  x\n  short\n"
        );
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let table = Table::new(&["a"]);
        assert!(!table.render(Style::PLAIN, "").contains('\x1b'));
        assert!(table.render(Style { color: true }, "").contains('\x1b'));
    }
}
