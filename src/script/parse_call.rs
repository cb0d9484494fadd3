//! How is a system call written? Its arguments, its result and its errno.

use super::Trouble;
use super::ast::*;
use super::lexer::Token;
use super::parser::Parser;

/// Nesting beyond this is no call that exists, and would only exhaust the machine's own stack.
const MAX_DEPTH: u32 = 16;

impl Parser {
    pub(super) fn call(&mut self) -> Result<Call, Trouble> {
        let mut end = None;
        if self.peek() == Some(&Token::Ellipsis) {
            self.next();
            end = Some(self.micros()?);
        }
        let Some(Token::Word(name)) = self.peek().cloned() else { return self.wanted("a system call") };
        self.next();
        self.expect('(')?;
        let args = self.expressions(')', 1)?;
        self.expect('=')?;
        let result = self.expression(0)?;
        let mut errno = None;
        if let Some(Token::Word(word)) = self.peek() {
            errno = Some(word.clone());
            self.next();
        }
        if self.accept('(') {
            self.note()?;
        }
        Ok(Call { end, name, args, result, errno })
    }

    /// The words between parentheses that explain an errno.
    fn note(&mut self) -> Result<(), Trouble> {
        loop {
            match self.peek() {
                None => return self.wanted("`)`"),
                Some(Token::Char(')')) => {
                    self.next();
                    return Ok(());
                }
                Some(Token::Command(_) | Token::Code(_) | Token::Option(..)) => return self.wanted("`)`"),
                Some(_) => self.next(),
            };
        }
    }

    /// Expressions with commas between them, up to `close`, which is taken.
    fn expressions(&mut self, close: char, depth: u32) -> Result<Vec<Expr>, Trouble> {
        let mut list = Vec::new();
        if self.accept(close) {
            return Ok(list);
        }
        loop {
            list.push(self.expression(depth)?);
            if self.accept(close) {
                return Ok(list);
            }
            self.expect(',')?;
        }
    }

    fn expression(&mut self, depth: u32) -> Result<Expr, Trouble> {
        if depth > MAX_DEPTH {
            return Err(Trouble::syntax(self.line(), "the expression is nested too deeply"));
        }
        let mut value = self.operand(depth)?;
        // The chain is kept to the left and its length bounded, so that dropping it stays shallow.
        let mut links = 0;
        while self.accept('|') {
            links += 1;
            if links > 64 {
                return Err(Trouble::syntax(self.line(), "too many alternatives are joined by `|`"));
            }
            value = Expr::Or(Box::new(value), Box::new(self.operand(depth)?));
        }
        Ok(value)
    }

    fn operand(&mut self, depth: u32) -> Result<Expr, Trouble> {
        match self.peek().cloned() {
            Some(Token::Ellipsis) => {
                self.next();
                Ok(Expr::Ellipsis)
            }
            Some(Token::Char('*')) => {
                self.next();
                Ok(Expr::Ellipsis)
            }
            Some(Token::Int(n) | Token::Hex(n)) => {
                self.next();
                Ok(Expr::Int(n))
            }
            Some(Token::Str(_)) => {
                let mut text = Vec::new();
                while let Some(Token::Str(part)) = self.peek() {
                    let Some(part) = unescape(part) else {
                        return Err(Trouble::syntax(self.line(), "an escape in the string is not known"));
                    };
                    text.extend(part);
                    self.next();
                }
                if self.peek() == Some(&Token::Ellipsis) {
                    self.next();
                }
                Ok(Expr::Str(text))
            }
            Some(Token::Char('[')) => {
                self.next();
                Ok(Expr::List(self.expressions(']', depth + 1)?))
            }
            Some(Token::Char('{')) => {
                self.next();
                Ok(Expr::Braces(self.expressions('}', depth + 1)?))
            }
            Some(Token::Word(name)) => {
                self.next();
                self.named(name, depth)
            }
            _ => self.wanted("an argument"),
        }
    }

    /// `name`, `name(arg)`, `name = value` or `name(arg) = value`.
    fn named(&mut self, name: String, depth: u32) -> Result<Expr, Trouble> {
        // In a result `WORD (` is an errno with its note, never an application.
        let mut arg = None;
        if depth > 0 && self.accept('(') {
            arg = Some(Box::new(self.expression(depth + 1)?));
            self.expect(')')?;
        }
        if self.accept('=') {
            return Ok(Expr::Field { name, arg, value: Box::new(self.expression(depth + 1)?) });
        }
        Ok(match arg {
            Some(arg) => Expr::Apply(name, arg),
            None => Expr::Word(name),
        })
    }
}

/// The bytes of a string with C's escapes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'f' => 12,
                b'v' => 11,
                b'0' => 0,
                b'x' => {
                    let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                    (digit(bytes.next())? << 4 | digit(bytes.next())?) as u8
                }
                same @ (b'\\' | b'"') => same,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(out)
}
