//! What does a shell make of a command's text? Words, lists, pipes, conditions and loops; nothing is executed.

use super::Trouble;
use std::iter::Peekable;
use std::str::Chars;

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A program and its arguments; a redirection is the word `>` and the file's name.
    Simple(Vec<String>),
    /// `a; b`
    List(Vec<Node>),
    /// `a | b`
    Pipe(Vec<Node>),
    /// `a && b`
    And(Box<Node>, Box<Node>),
    /// `a || b`
    Or(Box<Node>, Box<Node>),
    /// `! a`
    Not(Box<Node>),
    /// `if a; then b; elif c; then d; else e; fi`: the last one's condition is none.
    If(Vec<(Option<Node>, Node)>),
    /// `for NAME in WORDS; do a; done`
    For(String, Vec<String>, Box<Node>),
}

/// Nesting beyond this is no command that anybody writes.
const MAX_DEPTH: u32 = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Word(String),
    /// `;` stands for the end of a line, too.
    Op(&'static str),
}

/// Reads a command of line `line`.
pub fn parse(text: &str, line: u32) -> Result<Node, Trouble> {
    let mut parser = Parser { tokens: tokens(text, line)?, at: 0, text, line };
    let list = parser.list(&[], 0)?;
    if parser.at < parser.tokens.len() { Err(parser.unsupported()) } else { Ok(list) }
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    text: &'a str,
    line: u32,
}

impl Parser<'_> {
    fn unsupported(&self) -> Trouble {
        let found = match self.tokens.get(self.at) {
            Some(Token::Word(word)) => word.as_str(),
            Some(Token::Op(op)) => op,
            None => "the end",
        };
        Trouble::unsupported(self.line, format!("`{found}` in the command `{}`", self.text.trim()))
    }

    fn accept(&mut self, op: &'static str) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Op(op));
        self.at += usize::from(found);
        found
    }

    fn word(&self) -> Option<&str> {
        match self.tokens.get(self.at)? {
            Token::Word(word) => Some(word),
            Token::Op(_) => None,
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self.word() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), Trouble> {
        if self.keyword(word) { Ok(()) } else { Err(self.unsupported()) }
    }

    /// Commands up to one of these words, which is not taken, or up to a closing bracket.
    fn list(&mut self, ends: &[&str], depth: u32) -> Result<Node, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the command is nested too deeply"));
        }
        let mut list = Vec::new();
        loop {
            while self.accept(";") || self.accept("&") {}
            match self.tokens.get(self.at) {
                None | Some(Token::Op(")")) => return Ok(Node::List(list)),
                Some(Token::Word(word)) if ends.contains(&word.as_str()) => return Ok(Node::List(list)),
                Some(_) => list.push(self.chain(depth)?),
            }
        }
    }

    fn chain(&mut self, depth: u32) -> Result<Node, Trouble> {
        let mut left = self.pipe(depth)?;
        loop {
            let and = self.accept("&&");
            if !and && !self.accept("||") {
                return Ok(left);
            }
            while self.accept(";") {}
            let right = Box::new(self.pipe(depth)?);
            left = if and { Node::And(Box::new(left), right) } else { Node::Or(Box::new(left), right) };
        }
    }

    fn pipe(&mut self, depth: u32) -> Result<Node, Trouble> {
        let mut stages = vec![self.one(depth)?];
        while self.accept("|") {
            stages.push(self.one(depth)?);
        }
        Ok(if stages.len() == 1 { stages.remove(0) } else { Node::Pipe(stages) })
    }

    fn one(&mut self, depth: u32) -> Result<Node, Trouble> {
        if self.keyword("!") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.accept("(") {
            let list = self.list(&[], depth + 1)?;
            return if self.accept(")") { Ok(list) } else { Err(self.unsupported()) };
        }
        if self.keyword("{") {
            let list = self.list(&["}"], depth + 1)?;
            self.expect("}")?;
            return Ok(list);
        }
        if self.keyword("if") {
            let mut arms = Vec::new();
            loop {
                let condition = self.list(&["then"], depth + 1)?;
                self.expect("then")?;
                arms.push((Some(condition), self.list(&["elif", "else", "fi"], depth + 1)?));
                if self.keyword("elif") {
                    continue;
                }
                if self.keyword("else") {
                    arms.push((None, self.list(&["fi"], depth + 1)?));
                }
                self.expect("fi")?;
                return Ok(Node::If(arms));
            }
        }
        if self.keyword("for") {
            let name = self.word().ok_or_else(|| self.unsupported())?.to_string();
            self.at += 1;
            self.expect("in")?;
            let mut values = Vec::new();
            while let Some(word) = self.word() {
                values.push(word.to_string());
                self.at += 1;
            }
            while self.accept(";") {}
            self.expect("do")?;
            let body = self.list(&["done"], depth + 1)?;
            self.expect("done")?;
            return Ok(Node::For(name, values, Box::new(body)));
        }
        let mut words = Vec::new();
        while let Some(word) = self.word() {
            words.push(word.to_string());
            self.at += 1;
        }
        if words.is_empty() { Err(self.unsupported()) } else { Ok(Node::Simple(words)) }
    }
}

impl Node {
    /// The same with `$name` standing for `value`.
    pub fn with(&self, name: &str, value: &str) -> Node {
        let every = |list: &[Node]| list.iter().map(|node| node.with(name, value)).collect();
        let inner = |node: &Node| Box::new(node.with(name, value));
        let words = |words: &[String]| words.iter().map(|w| w.replace(&format!("${name}"), value)).collect();
        match self {
            Node::Simple(list) => Node::Simple(words(list)),
            Node::List(list) => Node::List(every(list)),
            Node::Pipe(list) => Node::Pipe(every(list)),
            Node::And(a, b) => Node::And(inner(a), inner(b)),
            Node::Or(a, b) => Node::Or(inner(a), inner(b)),
            Node::Not(a) => Node::Not(inner(a)),
            Node::If(arms) => Node::If(
                arms.iter()
                    .map(|(c, body)| (c.as_ref().map(|c| c.with(name, value)), body.with(name, value)))
                    .collect(),
            ),
            Node::For(other, list, body) => Node::For(other.clone(), words(list), inner(body)),
        }
    }
}

fn tokens(text: &str, line: u32) -> Result<Vec<Token>, Trouble> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    let unclosed = || Trouble::syntax(line, "a quote in the command is not closed");
    let no_number = || Trouble::unsupported(line, "an expansion in a command that is no number");
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(unclosed)? {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(chars.next().ok_or_else(unclosed)?),
                        '$' if c == '"' => word.push_str(&expansion(&mut chars).ok_or_else(no_number)?),
                        other => word.push(other),
                    }
                }
            }
            '$' => {
                let value = expansion(&mut chars).ok_or_else(no_number)?;
                word.get_or_insert_default().push_str(&value);
            }
            '`' => {
                return Err(Trouble::unsupported(line, format!("`{c}` in the command `{}`", text.trim())));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '(' | ')' | '|' | '&' => {
                out.extend(word.take().map(Token::Word));
                let double = chars.next_if(|next| *next == c && matches!(c, '|' | '&')).is_some();
                out.push(Token::Op(match (c, double) {
                    ('(', _) => "(",
                    (')', _) => ")",
                    ('|', false) => "|",
                    ('|', true) => "||",
                    ('&', false) => "&",
                    ('&', true) => "&&",
                    _ => ";",
                }));
            }
            // A descriptor's number before the sign belongs to it, and one may stand behind `>&`.
            '>' | '<' if word.as_ref().is_none_or(|w| matches!(w.as_str(), "1" | "2")) => {
                let number = word.take();
                chars.next_if(|next| *next == c);
                if chars.next_if_eq(&'&').is_some() {
                    while chars.next_if(char::is_ascii_alphanumeric).is_some() {}
                    continue;
                }
                while chars.next_if(|c| c.is_ascii_whitespace() && *c != '\n').is_some() {}
                let mut target = String::new();
                while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace() && !";|&)".contains(*c)) {
                    target.push(c);
                }
                // What is read, and what is said about errors, changes nothing.
                if c == '>' && target != "/dev/null" && number.as_deref() != Some("2") {
                    out.extend([">".to_string(), target].map(Token::Word));
                }
            }
            c if c.is_ascii_whitespace() => out.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word.map(Token::Word));
    Ok(out)
}

/// What stands for `$…`, the sign being taken: `$((15*1024))` is calculated, `$PPID` and `${PPID}` are kept as they are (a
/// file's name may have them), and so are `$?` and what a command would print. Nothing is executed.
fn expansion(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    if chars.next_if_eq(&'(').is_none() {
        if let Some(special) = chars.next_if(|c| "$?#@*!".contains(*c)) {
            return Some(format!("${special}"));
        }
        let braces = chars.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        let closed = !braces || chars.next_if_eq(&'}').is_some();
        return (closed && !name.is_empty()).then(|| format!("${name}"));
    }
    if chars.next_if_eq(&'(').is_none() {
        let (mut text, mut depth) = ("$(".to_string(), 1);
        while depth > 0 {
            let c = chars.next()?;
            depth += i32::from(c == '(') - i32::from(c == ')');
            text.push(c);
        }
        return Some(text);
    }
    let mut product = 1i64;
    loop {
        let mut factor = String::new();
        while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == ' ') {
            factor.push(c);
        }
        product = product.checked_mul(factor.trim().parse().ok()?)?;
        match chars.next()? {
            '*' => {}
            ')' => return chars.next_if_eq(&')').map(|_| product.to_string()),
            _ => return None,
        }
    }
}
