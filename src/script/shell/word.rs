//! What is a word of a command? Text, and places that stand for something else until the command is run.

use std::fmt;

/// A piece of a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    Text(String),
    /// `$NAME`, `${NAME:-default}`. Without quotes its value may be several words.
    Name {
        name: String,
        default: Option<String>,
        quoted: bool,
    },
    /// `$((1 + 1))`
    Sum(String),
    /// `$(command)`
    Output(String),
}

/// A word as it was written.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Word {
    pub pieces: Vec<Piece>,
    /// Whether a part of it is in quotes: then it is a word even if it is empty.
    pub quoted: bool,
}

impl Word {
    /// Its text if that is all there is, without quotes.
    pub fn plain(&self) -> Option<&str> {
        match &self.pieces[..] {
            [Piece::Text(text)] if !self.quoted => Some(text),
            _ => None,
        }
    }

    pub fn push(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.to_string())),
        }
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Word {
        Word { pieces: vec![Piece::Text(text.to_string())], quoted: false }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Name { name, default: None, .. } => write!(f, "${name}"),
            Piece::Name { name, default: Some(default), .. } => write!(f, "${{{name}:-{default}}}"),
            Piece::Sum(text) => write!(f, "$(({text}))"),
            Piece::Output(text) => write!(f, "$({text})"),
        })
    }
}
