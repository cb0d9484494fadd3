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
        self.lines(style, indent, usize::MAX).concat()
    }

    /// How many columns of text it takes, without an indent.
    pub fn width(&self) -> usize {
        let widths = self.widths(|heading| heading.chars().count());
        widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(2)
    }

    fn widths(&self, heading: impl Fn(&str) -> usize) -> Vec<usize> {
        let cell = |row: &Vec<String>, i: usize| row.get(i).map_or(0, |cell| cell.chars().count());
        let widest = |(i, (h, _)): (usize, &(String, bool))| {
            self.rows.iter().map(|row| cell(row, i)).fold(heading(h), usize::max)
        };
        self.headings.iter().enumerate().map(widest).collect()
    }

    /// The headings, and each row, with their ends of lines. Where all that is wider than `width`, headings of several words
    /// stand on several lines, and if that is not enough there is one space between columns.
    pub fn lines(&self, style: Style, indent: &str, width: usize) -> Vec<String> {
        let fold = indent.len() + self.width() > width;
        let words = |heading: &str| -> Vec<String> {
            if fold { heading.split(' ').map(str::to_owned).collect() } else { vec![heading.to_owned()] }
        };
        let longest = |heading: &str| words(heading).iter().map(|w| w.chars().count()).max().unwrap_or(0);
        let widths = self.widths(longest);
        let all = widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(2);
        let between = if fold && indent.len() + all > width { " " } else { "  " };
        let line = |cell: &dyn Fn(usize) -> String| {
            let mut text = indent.to_owned();
            for (i, width) in widths.iter().enumerate() {
                let (cell, gap) = (cell(i), if i > 0 { between } else { "" });
                let _ = match self.headings[i].1 {
                    true => write!(text, "{gap}{cell:>width$}"),
                    false => write!(text, "{gap}{cell:<width$}"),
                };
            }
            text.truncate(text.trim_end().len());
            text
        };
        let headings: Vec<Vec<String>> = self.headings.iter().map(|(h, _)| words(h)).collect();
        let deep = headings.iter().map(Vec::len).max().unwrap_or(1);
        let mut first = String::new();
        for at in 0..deep {
            // The last words stand right above the rows.
            let word = |i: usize| {
                let skipped = deep - headings[i].len();
                at.checked_sub(skipped).map_or_else(String::new, |at| headings[i][at].clone())
            };
            first += &style.bold(&line(&word));
            first.push('\n');
        }
        let rows = self.rows.iter().map(|row| line(&|i| row.get(i).cloned().unwrap_or_default()) + "\n");
        std::iter::once(first).chain(rows).collect()
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
    fn headings_of_several_words_are_folded_where_the_table_is_too_wide() {
        let mut table = Table::new(&["way", ">without any waiting", ">rate"]);
        table.row(["reuse", "100", "3/s"]);
        assert_eq!(table.width(), 32);
        let lines = table.lines(Style::PLAIN, " ", 32);
        assert_eq!(
            lines,
            ["        without\n            any\n way    waiting  rate\n", " reuse      100   3/s\n"]
        );
        assert_eq!(table.lines(Style::PLAIN, " ", 33).concat(), table.render(Style::PLAIN, " "));
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let table = Table::new(&["a"]);
        assert!(!table.render(Style::PLAIN, "").contains('\x1b'));
        assert!(table.render(Style { color: true }, "").contains('\x1b'));
    }
}
