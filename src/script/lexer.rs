//! Which words is a packet script made of?

use super::Trouble;
use super::cursor::Cursor;
use std::collections::BTreeMap;
use std::fmt;

/// A word of the language.
#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    /// Letters, digits and underscores, not a number.
    Word(String),
    /// A decimal number.
    Int(i64),
    /// A number that began with `0x`.
    Hex(i64),
    /// A number with a point, as written.
    Float(String),
    /// Between double quotes.
    Str(String),
    /// Between back quotes.
    Command(String),
    /// Between `%{` and `}%`.
    Code(String),
    /// `--name` or `--name=value`.
    Option(String, Option<String>),
    /// `...`
    Ellipsis,
    /// Any other character.
    Char(char),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(w) | Token::Float(w) => write!(f, "`{w}`"),
            Token::Int(n) => write!(f, "`{n}`"),
            Token::Hex(n) => write!(f, "`{n:#x}`"),
            Token::Str(_) => f.write_str("a string"),
            Token::Command(_) => f.write_str("a command"),
            Token::Code(_) => f.write_str("a code block"),
            Token::Option(name, _) => write!(f, "`--{name}`"),
            Token::Ellipsis => f.write_str("`...`"),
            Token::Char(c) => write!(f, "`{c}`"),
        }
    }
}

/// A token and the line it begins on.
pub type Spanned = (Token, u32);

/// How a comment begins that carries an option: `// tcpglass: --set=tcp.nagle=on`.
const OWN: &str = "tcpglass:";

/// Scripts longer than this are refused: nobody writes them, and every later stage may rely on it.
const MAX_SOURCE: usize = 4 << 20;

/// Splits `source` into tokens. Words that `defines` knows are replaced; `--define=NAME=VALUE` lines add to it.
pub fn tokens(source: &str, defines: &BTreeMap<String, String>) -> Result<Vec<Spanned>, Trouble> {
    if source.len() > MAX_SOURCE {
        return Err(Trouble::syntax(1, format!("the script is longer than {MAX_SOURCE} bytes")));
    }
    let mut lexer = Lexer { at: Cursor { rest: source, line: 1 }, defines: defines.clone(), out: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.out)
}

struct Lexer<'a> {
    at: Cursor<'a>,
    defines: BTreeMap<String, String>,
    out: Vec<Spanned>,
}

impl<'a> Lexer<'a> {
    /// What stands before `close`, `open` bytes being taken first; the closing mark is taken too.
    fn until(&mut self, open: usize, close: &str, what: &str) -> Result<&'a str, Trouble> {
        let line = self.at.line;
        match self.at.rest[open..].find(close) {
            Some(at) => {
                self.at.take(open);
                let body = self.at.take(at);
                self.at.take(close.len());
                Ok(body)
            }
            None => Err(Trouble::syntax(line, format!("{what} is not closed: `{close}` is missing"))),
        }
    }

    /// A quoted text in which a backslash keeps the next character.
    fn quoted(&mut self, quote: char, what: &str) -> Result<String, Trouble> {
        let line = self.at.line;
        let mut text = String::new();
        let mut chars = self.at.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, next)) => text.extend([c, next]),
                    None => break,
                },
                c if c == quote => {
                    self.at.take(at + c.len_utf8());
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(Trouble::syntax(line, format!("{what} is not closed: {quote} is missing")))
    }

    fn step(&mut self) -> Result<bool, Trouble> {
        let blanks = self.at.run(|b| b.is_ascii_whitespace());
        self.at.take(blanks);
        let line = self.at.line;
        let Some(first) = self.at.rest.chars().next() else { return Ok(false) };
        let token = if self.at.rest.starts_with("//") {
            let n = self.at.run(|b| b != b'\n');
            // An option of our own stands in a comment, so that others who read the language pass over it.
            let own = self.at.rest[2..n].trim_start().strip_prefix(OWN).map(str::trim_start);
            match own.filter(|option| option.starts_with("--")) {
                Some(option) => {
                    self.at.take(n - option.len());
                    self.option()?
                }
                None => {
                    self.at.take(n);
                    return Ok(true);
                }
            }
        } else if self.at.rest.starts_with("/*") {
            self.until(2, "*/", "the comment")?;
            return Ok(true);
        } else if self.at.rest.starts_with("%{") {
            Token::Code(self.until(2, "}%", "the code block")?.to_string())
        } else if self.at.rest.starts_with("...") {
            self.at.take(3);
            Token::Ellipsis
        } else if self.at.rest.starts_with("--")
            && self.at.rest[2..].starts_with(|c: char| c.is_ascii_alphabetic())
        {
            self.option()?
        } else if first == '"' {
            Token::Str(self.quoted('"', "the string")?)
        } else if first == '`' {
            Token::Command(self.quoted('`', "the command")?)
        } else if self.in_cookie() && first.is_ascii_alphanumeric() {
            let n = self.at.run(|b| b.is_ascii_alphanumeric() || b == b'_');
            let word = self.at.take(n);
            Token::Word(self.defines.get(word).map_or(word, |value| value).to_string())
        } else if let Some(number) = self.number()? {
            number
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let n = self.at.run(|b| b.is_ascii_alphanumeric() || b == b'_');
            let word = self.at.take(n);
            self.defined(word, line)?
        } else {
            self.at.take(first.len_utf8());
            Token::Char(first)
        };
        self.out.push((token, line));
        Ok(true)
    }

    /// Whether what comes now are the digits of a Fast Open cookie or of a signature, where a zero in front counts.
    fn in_cookie(&self) -> bool {
        matches!(self.out.last(), Some((Token::Word(word), _)) if matches!(word.as_str(), "FO" | "FOEXP" | "md5"))
    }

    /// `--name=value`, the value quoted or up to the next blank.
    fn option(&mut self) -> Result<Token, Trouble> {
        self.at.take(2);
        let n = self.at.run(|b| b.is_ascii_alphanumeric() || b == b'_');
        let name = self.at.take(n).to_string();
        if !self.at.rest.starts_with('=') {
            return Ok(Token::Option(name, None));
        }
        self.at.take(1);
        let value = if self.at.rest.starts_with('"') {
            self.quoted('"', "the option's value")?
        } else {
            let n = self.at.run(|b| !b.is_ascii_whitespace());
            self.at.take(n).to_string()
        };
        if name == "define"
            && let Some((name, value)) = value.split_once('=')
        {
            self.defines.insert(name.to_string(), value.to_string());
        }
        Ok(Token::Option(name, Some(value)))
    }

    /// A number, unless letters follow it at once: then it is a word.
    fn number(&mut self) -> Result<Option<Token>, Trouble> {
        let line = self.at.line;
        let sign = usize::from(self.at.rest.starts_with('-'));
        let digits = |s: &str| s.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(s.len());
        let wordy = |s: &str| s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let too_big = |text: &str| Trouble::syntax(line, format!("{text} is too big a number"));
        let body = &self.at.rest[sign..];
        if sign == 0 && body.starts_with("0x") {
            let n = body[2..].bytes().position(|b| !b.is_ascii_hexdigit()).unwrap_or(body.len() - 2);
            if n > 0 && !wordy(&body[2 + n..]) {
                let text = self.at.take(2 + n);
                let value = i64::from_str_radix(&text[2..], 16).map_err(|_| too_big(text))?;
                return Ok(Some(Token::Hex(value)));
            }
        }
        let whole = digits(body);
        let fraction = match body[whole..].strip_prefix('.') {
            Some(rest) => digits(rest),
            None => 0,
        };
        if fraction > 0 {
            return Ok(Some(Token::Float(self.at.take(sign + whole + 1 + fraction).to_string())));
        }
        if whole == 0 || wordy(&body[whole..]) {
            return Ok(None);
        }
        let text = self.at.take(sign + whole);
        Ok(Some(Token::Int(text.parse().map_err(|_| too_big(text))?)))
    }

    /// The word, or what a definition puts in its place.
    fn defined(&self, word: &str, line: u32) -> Result<Token, Trouble> {
        let Some(value) = self.defines.get(word) else { return Ok(Token::Word(word.to_string())) };
        let inside = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
        Ok(if let Some(text) = inside('"') {
            Token::Str(text.to_string())
        } else if let Some(text) = inside('`') {
            Token::Command(text.to_string())
        } else if let Ok(n) = value.parse() {
            Token::Int(n)
        } else if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Token::Word(value.clone())
        } else {
            return Err(Trouble::syntax(line, format!("{word} is defined as {value:?}, which is no word")));
        })
    }
}

/// Seconds as written, in microseconds; digits behind the sixth are cut off.
pub fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let six: String = fraction.chars().chain(std::iter::repeat('0')).take(6).collect();
    // A day too far in the future is a slip of the pen, and keeps sums away from overflow.
    (whole < 1_000_000_000).then_some(())?;
    Some(whole * 1_000_000 + six.parse::<u64>().ok()?)
}
