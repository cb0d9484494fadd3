//! Which words and signs is a command made of?

use super::super::Trouble;
use super::word::{Piece, Word};
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    Word(Word),
    /// `;` stands for the end of a line, too.
    Op(&'static str),
    /// `((1 + 1))`
    Sum(String),
}

/// What becomes of the next word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Argument,
    /// What it names is written.
    Target,
    /// It names what is read, or where errors go, which changes nothing.
    Nothing,
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    out: Vec<Token>,
    word: Option<Word>,
    next: Next,
    text: &'a str,
    line: u32,
}

/// The tokens of a command of line `line`.
pub fn tokens(text: &str, line: u32) -> Result<Vec<Token>, Trouble> {
    let chars = text.chars().peekable();
    let mut lexer = Lexer { chars, out: Vec::new(), word: None, next: Next::Argument, text, line };
    while let Some(c) = lexer.chars.next() {
        lexer.take(c)?;
    }
    lexer.end_word();
    Ok(lexer.out)
}

impl Lexer<'_> {
    fn unsupported(&self, what: &str) -> Trouble {
        Trouble::unsupported(self.line, format!("`{what}` in the command `{}`", self.text.trim()))
    }

    fn unclosed(&self) -> Trouble {
        Trouble::syntax(self.line, "a quote or a bracket in the command is not closed")
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        match std::mem::replace(&mut self.next, Next::Argument) {
            Next::Argument => self.out.push(Token::Word(word)),
            Next::Target if word.plain() != Some("/dev/null") => {
                self.out.extend([Word::from(">"), word].map(Token::Word));
            }
            Next::Target | Next::Nothing => {}
        }
    }

    fn take(&mut self, c: char) -> Result<(), Trouble> {
        match c {
            '\\' => match self.chars.next() {
                Some('\n') | None => {}
                Some(next) => self.word.get_or_insert_default().push(next),
            },
            '"' | '\'' => self.quoted(c)?,
            '$' => {
                let piece = self.expansion(false)?;
                self.word.get_or_insert_default().pieces.push(piece);
            }
            '`' => return Err(self.unsupported("`")),
            '#' if self.word.is_none() => while self.chars.next_if(|c| *c != '\n').is_some() {},
            '(' if self.word.is_none() && self.chars.peek() == Some(&'(') => {
                self.chars.next();
                let text = self.until_closed(2)?;
                self.out.push(Token::Sum(text));
            }
            '\n' | ';' | '(' | ')' | '|' | '&' => {
                self.end_word();
                let double = self.chars.next_if(|next| *next == c && matches!(c, '|' | '&' | ';')).is_some();
                self.out.push(Token::Op(match (c, double) {
                    ('(', _) => "(",
                    (')', _) => ")",
                    ('|', false) => "|",
                    ('|', true) => "||",
                    ('&', false) => "&",
                    ('&', true) => "&&",
                    (_, true) => ";;",
                    (_, false) => ";",
                }));
            }
            // A descriptor's number before the sign belongs to it, and one may stand behind `>&`.
            '>' | '<' if self.word.as_ref().is_none_or(|word| matches!(word.plain(), Some("1" | "2"))) => {
                let number = self.word.take();
                if self.chars.next_if(|next| *next == c).is_some() && c == '<' {
                    return Err(self.unsupported("<<"));
                }
                if self.chars.next_if_eq(&'&').is_some() {
                    while self.chars.next_if(char::is_ascii_alphanumeric).is_some() {}
                    return Ok(());
                }
                let errors = number.is_some_and(|number| number.plain() == Some("2"));
                self.next = if c == '>' && !errors { Next::Target } else { Next::Nothing };
            }
            c if c.is_ascii_whitespace() => self.end_word(),
            c => self.word.get_or_insert_default().push(c),
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<(), Trouble> {
        self.word.get_or_insert_default().quoted = true;
        loop {
            let c = self.chars.next().ok_or_else(|| self.unclosed())?;
            let piece = match c {
                _ if c == quote => return Ok(()),
                '\\' if quote == '"' => {
                    let next = self.chars.next().ok_or_else(|| self.unclosed())?;
                    self.word.get_or_insert_default().push(next);
                    continue;
                }
                '$' if quote == '"' => self.expansion(true)?,
                other => {
                    self.word.get_or_insert_default().push(other);
                    continue;
                }
            };
            self.word.get_or_insert_default().pieces.push(piece);
        }
    }

    /// What stands behind `$`.
    fn expansion(&mut self, quoted: bool) -> Result<Piece, Trouble> {
        if self.chars.next_if_eq(&'(').is_some() {
            if self.chars.next_if_eq(&'(').is_some() {
                return Ok(Piece::Sum(self.until_closed(2)?));
            }
            return Ok(Piece::Output(self.until_closed(1)?));
        }
        if let Some(special) = self.chars.next_if(|c| "$?#@*!0123456789".contains(*c)) {
            return Ok(Piece::Name { name: special.to_string(), default: None, quoted });
        }
        let braces = self.chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if !braces {
            return match name.is_empty() {
                true => Ok(Piece::Text("$".to_string())),
                false => Ok(Piece::Name { name, default: None, quoted }),
            };
        }
        let mut rest = String::new();
        loop {
            match self.chars.next().ok_or_else(|| self.unclosed())? {
                '}' => break,
                c => rest.push(c),
            }
        }
        let default = rest.strip_prefix(":-").or(rest.strip_prefix('-')).map(str::to_string);
        if name.is_empty() || (default.is_none() && !rest.is_empty()) {
            return Err(self.unsupported(&format!("${{{name}{rest}}}")));
        }
        Ok(Piece::Name { name, default, quoted })
    }

    /// The text up to so many closing brackets, which are taken.
    fn until_closed(&mut self, brackets: usize) -> Result<String, Trouble> {
        let (mut text, mut depth) = (String::new(), brackets);
        while depth > 0 {
            let c = self.chars.next().ok_or_else(|| self.unclosed())?;
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            text.push(c);
        }
        text.truncate(text.len() - brackets);
        Ok(text)
    }
}
