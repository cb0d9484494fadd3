//! Which words is a block of Python made of, and how deep does each line stand?

use super::super::Trouble;
use super::super::cursor::Cursor;

/// A word.
#[derive(Clone, PartialEq, Debug)]
pub enum Tok {
    /// A name or a keyword.
    Name(String),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A text, and whether it is a formatted one.
    Text(String, bool),
    /// An operator or a bracket.
    Op(&'static str),
}

/// A logical line: where it begins, how far it is indented, as written, and its words.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// From 1, in the script.
    pub number: u32,
    /// Columns in front of it.
    pub indent: usize,
    /// As written.
    pub text: String,
    /// Its words; there is at least one.
    pub words: Vec<Tok>,
}

/// The longer ones first.
const OPERATORS: &[&str] = &[
    "**=", "//=", "<<=", ">>=", "==", "!=", "<=", ">=", "<<", ">>", "//", "**", "+=", "-=", "*=", "/=", "%=",
    "&=", "|=", "^=", "->", "<", ">", "=", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ":",
    ";", ".", "&", "|", "^", "~", "@",
];

/// A line with more words than these nests deeper than anybody writes.
const MOST_WORDS: usize = 512;

/// The logical lines of a block that begins on line `first`.
pub fn lines(text: &str, first: u32) -> Result<Vec<Line>, Trouble> {
    let at = Cursor { rest: text, line: first };
    let mut lexer = Lexer { at, depth: 0, out: Vec::new(), start: None, fresh: true, indent: 0 };
    // What stands right behind `%{` begins at the left edge.
    lexer.indent();
    while lexer.step()? {}
    lexer.end();
    for line in &mut lexer.out {
        line.text = line.text.trim().to_string();
        if line.words.len() > MOST_WORDS {
            return Err(Trouble::syntax(line.number, "the line of Python is too long"));
        }
    }
    Ok(lexer.out)
}

struct Lexer<'a> {
    at: Cursor<'a>,
    /// Open brackets.
    depth: u32,
    out: Vec<Line>,
    /// Where the present logical line began in what was left then.
    start: Option<&'a str>,
    /// Whether the next word begins a logical line.
    fresh: bool,
    indent: usize,
}

impl<'a> Lexer<'a> {
    /// Measures and takes the blanks at the beginning of a line.
    fn indent(&mut self) {
        let n = self.at.run(|b| matches!(b, b' ' | b'\t' | b'\r'));
        let blanks = self.at.take(n);
        self.indent = blanks.bytes().fold(0, |at, b| if b == b'\t' { (at / 8 + 1) * 8 } else { at + 1 });
    }

    /// A logical line ends.
    fn end(&mut self) {
        if let (Some(start), Some(line)) = (self.start.take(), self.out.last_mut()) {
            line.text = start[..start.len() - self.at.rest.len()].to_string();
        }
        self.fresh = true;
    }

    fn push(&mut self, word: Tok, line: u32, at: &'a str) {
        if self.fresh {
            self.out.push(Line { number: line, indent: self.indent, text: String::new(), words: Vec::new() });
            self.start = Some(at);
            self.fresh = false;
        }
        if let Some(line) = self.out.last_mut() {
            line.words.push(word);
        }
    }

    fn step(&mut self) -> Result<bool, Trouble> {
        let (line, at) = (self.at.line, self.at.rest);
        let Some(first) = self.at.rest.chars().next() else { return Ok(false) };
        match first {
            '\n' => {
                if self.depth == 0 {
                    self.end();
                }
                self.at.take(1);
                if self.depth == 0 {
                    self.indent();
                }
            }
            ' ' | '\t' | '\r' | '\u{c}' => {
                self.at.take(1);
            }
            '#' => {
                let n = self.at.run(|b| b != b'\n');
                // The comment is no part of what is shown.
                if self.depth == 0 {
                    self.end();
                }
                self.at.take(n);
            }
            '\\' if self.at.rest[1..].trim_start_matches('\r').starts_with('\n') => {
                let n = self.at.run(|b| b != b'\n') + 1;
                self.at.take(n);
            }
            '"' | '\'' => {
                let text = self.text("")?;
                self.push(text, line, at);
            }
            c if c.is_ascii_digit()
                || c == '.' && self.at.rest[1..].starts_with(|d: char| d.is_ascii_digit()) =>
            {
                let number = self.number()?;
                self.push(number, line, at);
            }
            c if c.is_alphabetic() || c == '_' => {
                let n = self
                    .at
                    .rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(self.at.rest.len());
                let word = self.at.take(n);
                let prefix = word.len() <= 2
                    && word.chars().all(|c| matches!(c.to_ascii_lowercase(), 'f' | 'r' | 'b' | 'u'))
                    && self.at.rest.starts_with(['"', '\'']);
                let word =
                    if prefix { self.text(&word.to_ascii_lowercase())? } else { Tok::Name(word.to_string()) };
                self.push(word, line, at);
            }
            other => {
                let Some(op) = OPERATORS.iter().find(|op| self.at.rest.starts_with(**op)) else {
                    return Err(Trouble::unsupported(line, format!("`{other}` in a code block")));
                };
                self.at.take(op.len());
                match *op {
                    "(" | "[" | "{" => self.depth += 1,
                    ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.push(Tok::Op(op), line, at);
            }
        }
        Ok(true)
    }

    fn number(&mut self) -> Result<Tok, Trouble> {
        let line = self.at.line;
        let wrong = |text: &str| Trouble::syntax(line, format!("{text} is no number"));
        let bytes = self.at.rest.as_bytes();
        let mut n = 0;
        while n < bytes.len() {
            let exponent = n > 0
                && matches!(bytes[n], b'+' | b'-')
                && matches!(bytes[n - 1], b'e' | b'E')
                && !self.at.rest.starts_with("0x");
            if !(bytes[n].is_ascii_alphanumeric() || matches!(bytes[n], b'.' | b'_') || exponent) {
                break;
            }
            n += 1;
        }
        let text = self.at.take(n);
        let plain = text.replace('_', "").to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0b", 2), ("0o", 8)] {
            if let Some(digits) = plain.strip_prefix(prefix) {
                return i128::from_str_radix(digits, radix).map(Tok::Int).map_err(|_| wrong(text));
            }
        }
        if plain.bytes().all(|b| b.is_ascii_digit()) {
            return plain.parse().map(Tok::Int).map_err(|_| wrong(text));
        }
        plain.parse().map(Tok::Float).map_err(|_| wrong(text))
    }

    /// A text behind its prefix, which is taken already.
    fn text(&mut self, prefix: &str) -> Result<Tok, Trouble> {
        let line = self.at.line;
        let open = || Trouble::syntax(line, "a string in the code block is not closed");
        let quote = &self.at.rest[..1];
        let triple = quote.repeat(3);
        let close = if self.at.rest.starts_with(&triple) { triple.as_str() } else { quote };
        self.at.take(close.len());
        let raw = prefix.contains('r');
        let mut out = String::new();
        loop {
            if self.at.rest.starts_with(close) {
                self.at.take(close.len());
                return Ok(Tok::Text(out, prefix.contains('f')));
            }
            let c = self.at.rest.chars().next().ok_or_else(open)?;
            if c == '\n' && close.len() == 1 {
                return Err(open());
            }
            self.at.take(c.len_utf8());
            if c != '\\' {
                out.push(c);
                continue;
            }
            let next = self.at.rest.chars().next().ok_or_else(open)?;
            self.at.take(next.len_utf8());
            match next {
                next if raw => out.extend(['\\', next]),
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                '\n' => {}
                '\\' | '\'' | '"' => out.push(next),
                other => out.extend(['\\', other]),
            }
        }
    }
}
