//! What values has Python, and how do they behave? As far as scripts need it.

use std::cmp::Ordering;
use std::fmt;

/// A value. Lists are copied where Python would share them.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `None`
    None,
    /// `True` and `False`
    Bool(bool),
    /// A whole number; Python's have no end, these have 127 bits.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dictionary, in the order of its making.
    Dict(Vec<(Value, Value)>),
    /// What `import` makes.
    Module(String),
    /// What `def` makes: which one.
    Function(usize),
}

/// What is wrong with an operation, in Python's words.
pub type Raised = String;

impl Value {
    /// Its type's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::List(_) => "list",
            Value::Dict(_) => "dict",
            Value::Module(_) => "module",
            Value::Function(_) => "function",
        }
    }

    /// Whether it counts as true.
    pub fn truth(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(n) => *n != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Dict(pairs) => !pairs.is_empty(),
            Value::Module(_) | Value::Function(_) => true,
        }
    }

    /// A whole number; truth is one.
    pub fn whole(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Bool(b) => Some((*b).into()),
            _ => None,
        }
    }

    /// Any number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Float(n) => Some(*n),
            other => other.whole().map(|n| n as f64),
        }
    }

    /// `==`
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Text(a), Value::Text(b)) => a == b,
            (a, b) => match (a.whole(), b.whole()) {
                (Some(a), Some(b)) => a == b,
                _ => match (a.number(), b.number()) {
                    (Some(a), Some(b)) => a == b,
                    _ => a == b,
                },
            },
        }
    }

    /// `<`, `>` and their like.
    pub fn order(&self, other: &Value) -> Result<Ordering, Raised> {
        let wrong = || format!("'{}' and '{}' cannot be ordered", self.kind(), other.kind());
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
            (Value::List(a), Value::List(b)) => {
                for (a, b) in a.iter().zip(b) {
                    if !a.same(b) {
                        return a.order(b);
                    }
                }
                Ok(a.len().cmp(&b.len()))
            }
            (a, b) => match (a.whole(), b.whole()) {
                (Some(a), Some(b)) => Ok(a.cmp(&b)),
                // What is no number is not less and not more than anything.
                _ => a
                    .number()
                    .ok_or_else(wrong)?
                    .partial_cmp(&b.number().ok_or_else(wrong)?)
                    .ok_or_else(wrong),
            },
        }
    }

    /// `in`
    pub fn holds(&self, item: &Value) -> Result<bool, Raised> {
        match (self, item) {
            (Value::Text(all), Value::Text(part)) => Ok(all.contains(part.as_str())),
            (Value::List(list), _) => Ok(list.iter().any(|v| v.same(item))),
            (Value::Dict(pairs), _) => Ok(pairs.iter().any(|(k, _)| k.same(item))),
            _ => Err(format!("a value of type '{}' cannot be searched", self.kind())),
        }
    }

    /// `self[index]`
    pub fn at(&self, index: &Value) -> Result<Value, Raised> {
        let place = |len: usize| -> Result<usize, Raised> {
            let n = index.whole().ok_or("an index is a whole number")?;
            let n = if n < 0 { n + len as i128 } else { n };
            usize::try_from(n).ok().filter(|n| *n < len).ok_or_else(|| "index out of range".to_string())
        };
        match self {
            Value::List(list) => Ok(list[place(list.len())?].clone()),
            Value::Text(text) => {
                let chars: Vec<char> = text.chars().collect();
                Ok(Value::Text(chars[place(chars.len())?].to_string()))
            }
            Value::Dict(pairs) => {
                let found = pairs.iter().find(|(k, _)| k.same(index));
                found.map(|(_, v)| v.clone()).ok_or_else(|| format!("there is no key {index}"))
            }
            other => Err(format!("a value of type '{}' has no items", other.kind())),
        }
    }

    /// `self[start:stop:step]`
    pub fn slice(self, [start, stop, step]: [Option<i128>; 3]) -> Result<Value, Raised> {
        let text = matches!(self, Value::Text(_));
        if !text && !matches!(self, Value::List(_)) {
            return Err(format!("a value of type '{}' cannot be cut", self.kind()));
        }
        let items = self.items()?;
        let (len, step) = (items.len() as i128, step.unwrap_or(1));
        if step == 0 {
            return Err("the step of a slice is 0".to_string());
        }
        let place =
            |n: i128, low: i128, high: i128| (if n < 0 { n.saturating_add(len) } else { n }).clamp(low, high);
        let (first, last) = match step > 0 {
            true => (start.map_or(0, |n| place(n, 0, len)), stop.map_or(len, |n| place(n, 0, len))),
            false => {
                (start.map_or(len - 1, |n| place(n, -1, len - 1)), stop.map_or(-1, |n| place(n, -1, len - 1)))
            }
        };
        let mut out = Vec::new();
        let mut at = first;
        while if step > 0 { at < last } else { at > last } {
            out.push(items[at as usize].clone());
            at = at.saturating_add(step);
        }
        Ok(match text {
            true => Value::Text(out.iter().map(Value::to_string).collect()),
            false => Value::List(out),
        })
    }

    /// What a loop goes over.
    pub fn items(self) -> Result<Vec<Value>, Raised> {
        match self {
            Value::List(list) => Ok(list),
            Value::Text(text) => Ok(text.chars().map(|c| Value::Text(c.to_string())).collect()),
            Value::Dict(pairs) => Ok(pairs.into_iter().map(|(k, _)| k).collect()),
            other => Err(format!("a value of type '{}' has no items", other.kind())),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Within a list texts stand in quotes.
        struct Inside<'a>(&'a Value);
        impl fmt::Display for Inside<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    Value::Text(text) => write!(f, "'{text}'"),
                    other => other.fmt(f),
                }
            }
        }
        match self {
            Value::None => f.write_str("None"),
            Value::Bool(true) => f.write_str("True"),
            Value::Bool(false) => f.write_str("False"),
            Value::Int(n) => n.fmt(f),
            Value::Float(n) if n.is_finite() && n.fract() == 0.0 && n.abs() < 1e16 => write!(f, "{n:.1}"),
            Value::Float(n) => n.fmt(f),
            Value::Text(text) => f.write_str(text),
            Value::List(list) => {
                f.write_str("[")?;
                for (n, item) in list.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    Inside(item).fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Dict(pairs) => {
                f.write_str("{")?;
                for (n, (key, value)) in pairs.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {}", Inside(key), Inside(value))?;
                }
                f.write_str("}")
            }
            Value::Module(name) => write!(f, "<module '{name}'>"),
            Value::Function(_) => f.write_str("<function>"),
        }
    }
}

/// `-a`, `~a`, `not a`, `+a`
pub fn unary(op: &str, a: &Value) -> Result<Value, Raised> {
    let wrong = || format!("bad operand type for unary {op}: '{}'", a.kind());
    match (op, a) {
        ("not", a) => Ok(Value::Bool(!a.truth())),
        ("-", Value::Float(n)) => Ok(Value::Float(-n)),
        ("+", Value::Float(n)) => Ok(Value::Float(*n)),
        (op, a) => {
            let n = a.whole().ok_or_else(wrong)?;
            match op {
                "-" => n.checked_neg().map(Value::Int).ok_or_else(too_large),
                "~" => Ok(Value::Int(!n)),
                _ => Ok(Value::Int(n)),
            }
        }
    }
}

fn too_large() -> Raised {
    beyond("a number of more than 127 bits")
}

/// How what is raised begins where Python would go on.
pub const BEYOND: &str = "Python with ";

/// What is raised where Python would go on, and this does not.
pub fn beyond(what: &str) -> Raised {
    format!("{BEYOND}{what}")
}

/// More than a list or a text may have.
pub fn too_long() -> Raised {
    beyond("a list or a text of more than 65536 items")
}

/// The most that multiplying a text or a list may make.
const MOST_ITEMS: usize = 1 << 16;

/// What a set keeps: each of several that are the same once. Sets are lists here.
pub fn distinct(items: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for item in items {
        if !out.iter().any(|old| old.same(&item)) {
            out.push(item);
        }
    }
    out
}

/// Operators of two operands, without `and` and `or`.
pub fn binary(op: &str, a: &Value, b: &Value) -> Result<Value, Raised> {
    let wrong = || format!("unsupported operand types for {op}: '{}' and '{}'", a.kind(), b.kind());
    match (op, a, b) {
        ("+", Value::Text(a), Value::Text(b)) if a.len() + b.len() <= MOST_ITEMS => {
            return Ok(Value::Text(format!("{a}{b}")));
        }
        ("+", Value::List(a), Value::List(b)) if a.len() + b.len() <= MOST_ITEMS => {
            return Ok(Value::List([a.as_slice(), b.as_slice()].concat()));
        }
        ("*", Value::Text(text), n) if n.whole().is_some() => {
            let times = usize::try_from(n.whole().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
            let fits = times.checked_mul(text.len()).is_some_and(|n| n <= MOST_ITEMS);
            return if fits { Ok(Value::Text(text.repeat(times))) } else { Err(too_long()) };
        }
        ("*", Value::List(list), n) if n.whole().is_some() => {
            let times = usize::try_from(n.whole().unwrap_or(0).max(0)).unwrap_or(usize::MAX);
            let fits = times.checked_mul(list.len()).is_some_and(|n| n <= MOST_ITEMS);
            return if fits {
                Ok(Value::List(vec![list.as_slice(); times].concat()))
            } else {
                Err(too_long())
            };
        }
        ("&", Value::List(a), Value::List(_)) => {
            return Ok(Value::List(a.iter().filter(|item| b.holds(item) == Ok(true)).cloned().collect()));
        }
        ("-", Value::List(a), Value::List(_)) => {
            return Ok(Value::List(a.iter().filter(|item| b.holds(item) != Ok(true)).cloned().collect()));
        }
        ("|", Value::List(a), Value::List(b)) if a.len() + b.len() <= MOST_ITEMS => {
            return Ok(Value::List(distinct(a.iter().chain(b).cloned())));
        }
        ("%", Value::Text(text), _) => return super::format::percent(text, b).map(Value::Text),
        _ => {}
    }
    if let (Some(a), Some(b)) = (a.whole(), b.whole()) {
        return integers(op, a, b).unwrap_or_else(|| Err(wrong()));
    }
    let (a, b) = (a.number().ok_or_else(wrong)?, b.number().ok_or_else(wrong)?);
    if b == 0.0 && matches!(op, "/" | "//" | "%") {
        return Err("division by zero".to_string());
    }
    Ok(Value::Float(match op {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        "**" => a.powf(b),
        _ => return Err(wrong()),
    }))
}

fn integers(op: &str, a: i128, b: i128) -> Option<Result<Value, Raised>> {
    let checked = |n: Option<i128>| Some(n.map(Value::Int).ok_or_else(too_large));
    let shift = u32::try_from(b).ok().filter(|n| *n < 127);
    match op {
        "+" => checked(a.checked_add(b)),
        "-" => checked(a.checked_sub(b)),
        "*" => checked(a.checked_mul(b)),
        "/" | "//" | "%" if b == 0 => Some(Err("division by zero".to_string())),
        "/" => Some(Ok(Value::Float(a as f64 / b as f64))),
        // Rounded down, not towards zero.
        "//" => {
            checked(a.checked_div_euclid(b).and_then(|n| {
                if b < 0 && a.checked_rem_euclid(b)? != 0 { n.checked_sub(1) } else { Some(n) }
            }))
        }
        "%" => checked(a.checked_rem_euclid(b).map(|n| if b < 0 && n != 0 { n + b } else { n })),
        "**" if b < 0 => Some(Ok(Value::Float((a as f64).powf(b as f64)))),
        "**" => checked(u32::try_from(b).ok().and_then(|b| a.checked_pow(b))),
        "&" => Some(Ok(Value::Int(a & b))),
        "|" => Some(Ok(Value::Int(a | b))),
        "^" => Some(Ok(Value::Int(a ^ b))),
        "<<" => checked(shift.and_then(|n| a.checked_mul(1i128.checked_shl(n)?))),
        ">>" if b >= 127 => Some(Ok(Value::Int(if a < 0 { -1 } else { 0 }))),
        ">>" => checked(shift.map(|n| a >> n)),
        _ => None,
    }
}
