//! What does a shell make of a command's text? Lists, pipes, conditions, loops and functions of words.

mod arithmetic;
mod lexer;
mod run;
mod word;

pub use run::{Programs, Shell, Status};
pub use word::Word;

use super::Trouble;
use lexer::Token;

/// A command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A program and its arguments; a redirection is the word `>` and the file's name.
    Simple(Vec<Word>),
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
    /// `(a)`
    Sub(Box<Node>),
    /// `((1 + 1))`
    Sum(String),
    /// `if a; then b; elif c; then d; else e; fi`: the last one's condition is none.
    If(Vec<(Option<Node>, Node)>),
    /// `case WORD in PATTERN|PATTERN) a;; esac`
    Case(Word, Vec<(Vec<Word>, Node)>),
    /// `for NAME in WORDS; do a; done`
    For(String, Vec<Word>, Box<Node>),
    /// `while a; do b; done`, or `until` if that is how it shall end.
    While(Box<Node>, Box<Node>, bool),
    /// `name() { a; }`
    Function(String, Box<Node>),
}

/// Nesting beyond this is no command that anybody writes.
const MAX_DEPTH: u32 = 16;

/// Reads a command of line `line`.
pub fn parse(text: &str, line: u32) -> Result<Node, Trouble> {
    let mut parser = Parser { tokens: lexer::tokens(text, line)?, at: 0, text, line };
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
            Some(Token::Word(word)) => word.to_string(),
            Some(Token::Op(op)) => (*op).to_string(),
            Some(Token::Sum(_)) => "((".to_string(),
            None => "the end".to_string(),
        };
        Trouble::unsupported(self.line, format!("`{found}` in the command `{}`", self.text.trim()))
    }

    fn accept(&mut self, op: &'static str) -> bool {
        let found = self.tokens.get(self.at) == Some(&Token::Op(op));
        self.at += usize::from(found);
        found
    }

    /// The next token if it is a word without quotes and variables.
    fn plain(&self) -> Option<&str> {
        match self.tokens.get(self.at)? {
            Token::Word(word) => word.plain(),
            _ => None,
        }
    }

    fn word(&mut self) -> Option<Word> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else { return None };
        self.at += 1;
        Some(word.clone())
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = self.plain() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), Trouble> {
        if self.keyword(word) { Ok(()) } else { Err(self.unsupported()) }
    }

    /// Commands up to one of these words, which is not taken, or up to a closing bracket or `;;`.
    fn list(&mut self, ends: &[&str], depth: u32) -> Result<Node, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the command is nested too deeply"));
        }
        let mut list = Vec::new();
        loop {
            while self.accept(";") || self.accept("&") {}
            match self.tokens.get(self.at) {
                None | Some(Token::Op(")" | ";;")) => return Ok(Node::List(list)),
                Some(_) if self.plain().is_some_and(|word| ends.contains(&word)) => {
                    return Ok(Node::List(list));
                }
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
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the command is nested too deeply"));
        }
        if self.keyword("!") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if let Some(Token::Sum(text)) = self.tokens.get(self.at) {
            let sum = Node::Sum(text.clone());
            self.at += 1;
            return Ok(sum);
        }
        if self.accept("(") {
            let list = self.list(&[], depth + 1)?;
            return if self.accept(")") { Ok(Node::Sub(Box::new(list))) } else { Err(self.unsupported()) };
        }
        if self.keyword("[[") {
            let test = self.either(depth + 1)?;
            self.expect("]]")?;
            return Ok(test);
        }
        match self.plain() {
            Some("{") => self.braces(depth),
            Some("if") => self.condition(depth),
            Some("case") => self.case(depth),
            Some("for") => self.repeated(depth),
            Some("while" | "until") => self.looped(depth),
            Some("function") => {
                self.at += 1;
                let name = self.plain().ok_or_else(|| self.unsupported())?.to_string();
                self.at += 1;
                if self.accept("(") && !self.accept(")") {
                    return Err(self.unsupported());
                }
                self.function(name, depth)
            }
            Some(name) if self.tokens.get(self.at + 1) == Some(&Token::Op("(")) => {
                let name = name.to_string();
                self.at += 2;
                if self.accept(")") { self.function(name, depth) } else { Err(self.unsupported()) }
            }
            _ => {
                let mut words = Vec::new();
                while let Some(word) = self.word() {
                    words.push(word);
                }
                if words.is_empty() { Err(self.unsupported()) } else { Ok(Node::Simple(words)) }
            }
        }
    }

    fn braces(&mut self, depth: u32) -> Result<Node, Trouble> {
        self.expect("{")?;
        let list = self.list(&["}"], depth + 1)?;
        self.expect("}")?;
        Ok(list)
    }

    fn function(&mut self, name: String, depth: u32) -> Result<Node, Trouble> {
        while self.accept(";") {}
        Ok(Node::Function(name, Box::new(self.braces(depth)?)))
    }

    fn condition(&mut self, depth: u32) -> Result<Node, Trouble> {
        self.expect("if")?;
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

    fn case(&mut self, depth: u32) -> Result<Node, Trouble> {
        self.expect("case")?;
        let word = self.word().ok_or_else(|| self.unsupported())?;
        self.expect("in")?;
        let mut arms = Vec::new();
        loop {
            while self.accept(";") || self.accept(";;") {}
            if self.keyword("esac") {
                return Ok(Node::Case(word, arms));
            }
            self.accept("(");
            let mut patterns = vec![self.word().ok_or_else(|| self.unsupported())?];
            while self.accept("|") {
                patterns.push(self.word().ok_or_else(|| self.unsupported())?);
            }
            if !self.accept(")") {
                return Err(self.unsupported());
            }
            arms.push((patterns, self.list(&["esac"], depth + 1)?));
        }
    }

    fn repeated(&mut self, depth: u32) -> Result<Node, Trouble> {
        self.expect("for")?;
        let name = self.plain().ok_or_else(|| self.unsupported())?.to_string();
        self.at += 1;
        self.expect("in")?;
        let mut values = Vec::new();
        while let Some(word) = self.word() {
            values.push(word);
        }
        Ok(Node::For(name, values, Box::new(self.body(depth)?)))
    }

    fn looped(&mut self, depth: u32) -> Result<Node, Trouble> {
        let end = self.keyword("until");
        if !end {
            self.expect("while")?;
        }
        let condition = self.list(&["do"], depth + 1)?;
        Ok(Node::While(Box::new(condition), Box::new(self.body(depth)?), end))
    }

    fn body(&mut self, depth: u32) -> Result<Node, Trouble> {
        while self.accept(";") {}
        self.expect("do")?;
        let body = self.list(&["done"], depth + 1)?;
        self.expect("done")?;
        Ok(body)
    }

    /// Inside of `[[ … ]]`: `a || b`.
    fn either(&mut self, depth: u32) -> Result<Node, Trouble> {
        let mut left = self.both(depth)?;
        while self.accept("||") {
            left = Node::Or(Box::new(left), Box::new(self.both(depth)?));
        }
        Ok(left)
    }

    fn both(&mut self, depth: u32) -> Result<Node, Trouble> {
        let mut left = self.primary(depth)?;
        while self.accept("&&") {
            left = Node::And(Box::new(left), Box::new(self.primary(depth)?));
        }
        Ok(left)
    }

    fn primary(&mut self, depth: u32) -> Result<Node, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line, "the command is nested too deeply"));
        }
        if self.keyword("!") {
            return Ok(Node::Not(Box::new(self.primary(depth + 1)?)));
        }
        if self.accept("(") {
            let inner = self.either(depth + 1)?;
            return if self.accept(")") { Ok(inner) } else { Err(self.unsupported()) };
        }
        let mut words = vec![Word::from("[[")];
        while self.plain() != Some("]]")
            && let Some(word) = self.word()
        {
            words.push(word);
        }
        if words.len() == 1 { Err(self.unsupported()) } else { Ok(Node::Simple(words)) }
    }
}
