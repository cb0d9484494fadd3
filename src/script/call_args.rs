//! What are a call's arguments? Expressions to numbers, lengths and addresses.

use super::Trouble;
use super::ast::{Call, Expr};
use super::symbols;
use std::net::{IpAddr, SocketAddr};

/// The arguments of one call.
pub struct Args<'a> {
    pub call: &'a Call,
    pub line: u32,
}

impl<'a> Args<'a> {
    /// Complains unless there are `n` arguments.
    pub fn count(&self, n: usize) -> Result<(), Trouble> {
        let found = self.call.args.len();
        if found == n {
            return Ok(());
        }
        Err(Trouble::syntax(self.line, format!("{} takes {n} arguments, not {found}", self.call.name)))
    }

    /// The argument itself.
    pub fn expr(&self, n: usize) -> Result<&'a Expr, Trouble> {
        self.call.args.get(n).ok_or_else(|| {
            Trouble::syntax(self.line, format!("{} lacks its argument {}", self.call.name, n + 1))
        })
    }

    /// An argument as written, for messages.
    pub fn name(&self, n: usize) -> String {
        self.call.args.get(n).map_or_else(String::new, text)
    }

    /// An argument that is a number.
    pub fn int(&self, n: usize) -> Result<i64, Trouble> {
        number(self.expr(n)?, self.line)
    }

    /// An argument that is a number of bytes.
    pub fn len(&self, n: usize) -> Result<usize, Trouble> {
        let value = self.int(n)?;
        // Linux cuts a read or write to this (MAX_RW_COUNT).
        usize::try_from(value).map(|len| len.min(0x7fff_f000)).map_err(|_| {
            Trouble::unsupported(self.line, format!("{} with a negative length", self.call.name))
        })
    }

    /// An argument that is `[value]` or `...`.
    pub fn boxed(&self, n: usize) -> Result<Option<&'a Expr>, Trouble> {
        match self.expr(n)? {
            Expr::Ellipsis => Ok(None),
            Expr::List(list) if list.len() == 1 => Ok(Some(&list[0])),
            other @ (Expr::Braces(_) | Expr::Str(_)) => Ok(Some(other)),
            _ => Err(Trouble::syntax(
                self.line,
                format!("argument {} of {} is neither [value] nor `...`", n + 1, self.call.name),
            )),
        }
    }

    /// Whether an argument that is a buffer is NULL, or `...`.
    pub fn is_null(&self, n: usize) -> Result<bool, Trouble> {
        match self.expr(n)? {
            Expr::Ellipsis | Expr::Str(_) => Ok(false),
            expr if number(expr, self.line) == Ok(0) => Ok(true),
            _ => Err(Trouble::syntax(
                self.line,
                format!("argument {} of {} is neither `...` nor NULL", n + 1, self.call.name),
            )),
        }
    }

    /// Whether an address is AF_UNSPEC alone: nobody.
    pub fn is_nobody(&self, n: usize) -> Result<bool, Trouble> {
        Ok(matches!(self.expr(n)?, expr @ (Expr::Word(_) | Expr::Int(_)) if number(expr, self.line)? == 0))
    }

    /// An address: `...` is the default, else a `sockaddr`.
    pub fn address(&self, n: usize, default: SocketAddr) -> Result<SocketAddr, Trouble> {
        let fields = match self.expr(n)? {
            Expr::Ellipsis => return Ok(default),
            Expr::Braces(fields) => fields,
            _ => return Err(Trouble::syntax(self.line, "an address is `...` or {sa_family = …}")),
        };
        let bad = || Trouble::syntax(self.line, "the address cannot be read");
        let (mut port, mut ip) = (None, None);
        for field in fields {
            let Expr::Field { name, value, .. } = field else { return Err(bad()) };
            match (name.as_str(), value.as_ref()) {
                ("sa_family", Expr::Word(_)) => {}
                ("sin_port" | "sin6_port", Expr::Apply(f, arg)) if f == "htons" => {
                    port = u16::try_from(number(arg, self.line)?).ok();
                }
                ("sin_addr" | "sin6_addr", Expr::Apply(f, arg)) if f == "inet_addr" || f == "inet6_addr" => {
                    if let Expr::Str(text) = arg.as_ref() {
                        ip = String::from_utf8_lossy(text).parse::<IpAddr>().ok();
                    }
                }
                _ => return Err(bad()),
            }
        }
        let ip = match ip.ok_or_else(bad)? {
            // The stack speaks IPv4 whatever family the socket has.
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            v4 => v4,
        };
        Ok(SocketAddr::new(ip, port.ok_or_else(bad)?))
    }

    /// The sum of the lengths in `[{..., 1000}, {..., 500}]`.
    pub fn iovec(&self, list: &Expr) -> Result<usize, Trouble> {
        let bad = || Trouble::syntax(self.line, "a vector is written [{..., LENGTH}, …]");
        let Expr::List(parts) = list else { return Err(bad()) };
        let mut total = 0usize;
        for part in parts {
            let Expr::Braces(pair) = part else { return Err(bad()) };
            let [_, len] = pair.as_slice() else { return Err(bad()) };
            let len = usize::try_from(number(len, self.line)?).map_err(|_| bad())?;
            total = total.saturating_add(len).min(0x7fff_f000);
        }
        Ok(total)
    }
}

/// The value of a number, a constant or several joined by `|`.
pub fn number(expr: &Expr, line: u32) -> Result<i64, Trouble> {
    match expr {
        Expr::Int(n) => Ok(*n),
        Expr::Word(name) => symbols::value(name)
            .ok_or_else(|| Trouble::unsupported(line, format!("the symbolic constant {name}"))),
        Expr::Or(a, b) => Ok(number(a, line)? | number(b, line)?),
        _ => Err(Trouble::syntax(line, "a number was expected as an argument")),
    }
}

/// A named number among fields.
pub fn field(fields: &[Expr], wanted: &str, line: u32) -> Result<Option<i64>, Trouble> {
    for f in fields {
        if let Expr::Field { name, value, .. } = f
            && name == wanted
        {
            return number(value, line).map(Some);
        }
    }
    Ok(None)
}

/// An expression as the script wrote it, more or less.
pub fn text(expr: &Expr) -> String {
    let join = |list: &[Expr]| list.iter().map(text).collect::<Vec<_>>().join(", ");
    match expr {
        Expr::Ellipsis => "...".to_string(),
        Expr::Int(n) => n.to_string(),
        Expr::Word(word) => word.clone(),
        Expr::Str(s) => format!("\"{}\"", s.escape_ascii()),
        Expr::Or(a, b) => format!("{}|{}", text(a), text(b)),
        Expr::List(list) => format!("[{}]", join(list)),
        Expr::Braces(list) => format!("{{{}}}", join(list)),
        Expr::Apply(name, arg) => format!("{name}({})", text(arg)),
        Expr::Field { name, arg: None, value } => format!("{name}={}", text(value)),
        Expr::Field { name, arg: Some(arg), value } => format!("{name}({})={}", text(arg), text(value)),
    }
}
