//! What has Python itself? Functions, the methods of its values, and what of its modules is harmless.

use super::eval::{MOST_ITEMS, Stop};
use super::format;
use super::value::{self, Value};
use std::cmp::Ordering;

/// Functions of Python itself that are there.
pub const BUILTINS: &[&str] = &[
    "abs",
    "min",
    "max",
    "int",
    "float",
    "round",
    "bool",
    "str",
    "repr",
    "len",
    "sum",
    "range",
    "list",
    "tuple",
    "sorted",
    "print",
    "pow",
    "divmod",
    "any",
    "all",
    "hex",
    "enumerate",
    "zip",
    "exit",
    "isinstance",
    "Exception",
    "AssertionError",
    "ValueError",
    "dict",
];

/// Modules that can be imported; what of them is there shows in a call.
pub const MODULES: &[&str] = &["sys", "time", "socket", "math", "os", "re", "struct", "traceback"];

pub(super) fn builtin(name: &str, args: &[Value], named: &[(String, Value)]) -> Result<Value, Stop> {
    let wrong = || format!("{name}() does not take these arguments");
    let many = |args: &[Value]| match args {
        [one @ (Value::List(_) | Value::Text(_) | Value::Dict(_))] => one.clone().items(),
        many => Ok(many.to_vec()),
    };
    Ok(match (name, args) {
        ("print", _) => Value::None,
        ("abs", [Value::Float(n)]) => Value::Float(n.abs()),
        ("abs", [n]) => Value::Int(n.whole().and_then(i128::checked_abs).ok_or_else(wrong)?),
        ("min" | "max", args) => {
            let mut items = many(args)?.into_iter();
            let mut best = items.next().ok_or_else(wrong)?;
            for item in items {
                let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
                if item.order(&best)? == wanted {
                    best = item;
                }
            }
            best
        }
        ("sum", [list]) => {
            let mut sum = Value::Int(0);
            for item in list.clone().items()? {
                sum = value::binary("+", &sum, &item)?;
            }
            sum
        }
        ("int", [Value::Float(n)]) if n.is_finite() && n.abs() < 1e30 => Value::Int(n.trunc() as i128),
        ("int", [Value::Text(text)]) => Value::Int(text.trim().parse().map_err(|_| wrong())?),
        ("int", [Value::Text(text), base]) => {
            let digits = text.trim().trim_start_matches("0x");
            let base = base.whole().and_then(|n| u32::try_from(n).ok()).filter(|n| (2..=36).contains(n));
            Value::Int(i128::from_str_radix(digits, base.ok_or_else(wrong)?).map_err(|_| wrong())?)
        }
        ("int", [n]) => Value::Int(n.whole().ok_or_else(wrong)?),
        ("float", [Value::Text(text)]) => Value::Float(text.trim().parse().map_err(|_| wrong())?),
        ("float", [n]) => Value::Float(n.number().ok_or_else(wrong)?),
        ("round", [Value::Float(n)]) if n.is_finite() && n.abs() < 1e30 => {
            Value::Int(n.round_ties_even() as i128)
        }
        ("round", [n]) => Value::Int(n.whole().ok_or_else(wrong)?),
        ("round", [n, digits]) => {
            let digits = digits.whole().and_then(|n| usize::try_from(n).ok()).filter(|n| *n < 30);
            let text = format!("{:.*}", digits.ok_or_else(wrong)?, n.number().ok_or_else(wrong)?);
            Value::Float(text.parse().map_err(|_| wrong())?)
        }
        ("bool", [value]) => Value::Bool(value.truth()),
        ("str" | "repr", [value]) => Value::Text(value.to_string()),
        ("hex", [n]) => Value::Text(format!("{:#x}", n.whole().ok_or_else(wrong)?)),
        ("len", [Value::Text(text)]) => Value::Int(text.chars().count() as i128),
        ("len", [list]) => Value::Int(list.clone().items()?.len() as i128),
        ("range", args) => {
            let n: Vec<i128> = args.iter().map(|a| a.whole().ok_or_else(wrong)).collect::<Result<_, _>>()?;
            let (from, to, step) = match n.as_slice() {
                [to] => (0, *to, 1),
                [from, to] => (*from, *to, 1),
                [from, to, step] if *step != 0 => (*from, *to, *step),
                _ => return Err(wrong().into()),
            };
            let (mut out, mut at) = (Vec::new(), from);
            while if step > 0 { at < to } else { at > to } {
                if out.len() as i128 >= MOST_ITEMS {
                    return Err(value::too_long().into());
                }
                out.push(Value::Int(at));
                at = at.checked_add(step).ok_or_else(wrong)?;
            }
            Value::List(out)
        }
        ("list" | "tuple", []) => Value::List(Vec::new()),
        ("list" | "tuple", [list]) => Value::List(list.clone().items()?),
        ("dict", []) => Value::Dict(named.iter().map(|(n, v)| (Value::Text(n.clone()), v.clone())).collect()),
        ("sorted", [list]) => {
            let mut list = list.clone().items()?;
            let mut wrong = None;
            list.sort_by(|a, b| {
                a.order(b).unwrap_or_else(|what| {
                    wrong = Some(what);
                    Ordering::Equal
                })
            });
            match wrong {
                Some(what) => return Err(what.into()),
                None => Value::List(list),
            }
        }
        ("any", [list]) => Value::Bool(list.clone().items()?.iter().any(Value::truth)),
        ("all", [list]) => Value::Bool(list.clone().items()?.iter().all(Value::truth)),
        ("pow", [a, b]) => value::binary("**", a, b)?,
        ("divmod", [a, b]) => Value::List(vec![value::binary("//", a, b)?, value::binary("%", a, b)?]),
        ("enumerate", [list]) => {
            let pair = |(n, item)| Value::List(vec![Value::Int(n as i128), item]);
            Value::List(list.clone().items()?.into_iter().enumerate().map(pair).collect())
        }
        ("zip", [a, b]) => {
            let (a, b) = (a.clone().items()?, b.clone().items()?);
            Value::List(a.into_iter().zip(b).map(|(a, b)| Value::List(vec![a, b])).collect())
        }
        ("isinstance", _) => Value::Bool(true),
        ("Exception" | "AssertionError" | "ValueError", args) => {
            Value::Text(args.first().map_or_else(String::new, Value::to_string))
        }
        ("exit", args) => return leave(args),
        _ => return Err(wrong().into()),
    })
}

/// `exit(n)` at its end is what the whole program is judged by.
fn leave(args: &[Value]) -> Result<Value, Stop> {
    match args.first().map(|code| code.whole()) {
        // What comes behind it is not looked at, which cannot make it fail.
        None | Some(Some(0)) => Ok(Value::None),
        _ => Err("the program ends with an error of its own".into()),
    }
}

/// A function of a module that changes nothing, or only reckons.
/// Whether something of a module is there.
pub fn has(module: &str, name: &str) -> bool {
    match module {
        "math" => matches!(name, "floor" | "ceil" | "sqrt" | "fabs" | "log" | "log2" | "pi" | "inf"),
        "sys" => matches!(name, "stdout" | "stderr" | "exit" | "maxsize"),
        _ => false,
    }
}

pub(super) fn of_module(module: &str, name: &str, args: &[Value]) -> Result<Value, Stop> {
    let number = || args.first().and_then(Value::number).ok_or("a number was expected");
    Ok(match (module, name) {
        ("math", "floor") => Value::Int(number()?.floor() as i128),
        ("math", "ceil") => Value::Int(number()?.ceil() as i128),
        ("math", "sqrt") => Value::Float(number()?.sqrt()),
        ("math", "fabs") => Value::Float(number()?.abs()),
        ("math", "log") => Value::Float(number()?.ln()),
        ("math", "log2") => Value::Float(number()?.log2()),
        ("sys.stdout" | "sys.stderr", "write" | "flush") => Value::None,
        ("sys", "exit") => return leave(args),
        _ => return Err(format!("{module}.{name} is not there").into()),
    })
}

/// A method of a value.
pub(super) fn method(
    value: &Value,
    name: &str,
    args: &[Value],
    named: &[(String, Value)],
) -> Result<Value, Stop> {
    let Value::Text(text) = value else {
        return match (value, name, args) {
            (Value::Dict(pairs), "get", [key]) => {
                Ok(pairs.iter().find(|(k, _)| k.same(key)).map_or(Value::None, |(_, v)| v.clone()))
            }
            (Value::Dict(pairs), "keys", []) => {
                Ok(Value::List(pairs.iter().map(|(k, _)| k.clone()).collect()))
            }
            (Value::Dict(pairs), "values", []) => {
                Ok(Value::List(pairs.iter().map(|(_, v)| v.clone()).collect()))
            }
            (Value::Dict(pairs), "items", []) => {
                let pair = |(k, v): &(Value, Value)| Value::List(vec![k.clone(), v.clone()]);
                Ok(Value::List(pairs.iter().map(pair).collect()))
            }
            (Value::List(list), "count", [item]) => {
                Ok(Value::Int(list.iter().filter(|v| v.same(item)).count() as i128))
            }
            _ => Err(format!("'{}' has no method {name}", value.kind()).into()),
        };
    };
    let text_of = |n: usize| match args.get(n) {
        Some(Value::Text(text)) => Ok(text.as_str()),
        _ => Err(format!("{name}() takes texts")),
    };
    Ok(match name {
        "format" => Value::Text(format::braces(text, args, named)?),
        "upper" => Value::Text(text.to_uppercase()),
        "lower" => Value::Text(text.to_lowercase()),
        "strip" => Value::Text(text.trim().to_string()),
        "startswith" => Value::Bool(text.starts_with(text_of(0)?)),
        "endswith" => Value::Bool(text.ends_with(text_of(0)?)),
        "join" => {
            let items = args.first().cloned().unwrap_or(Value::None).items()?;
            let texts: Vec<String> = items.iter().map(Value::to_string).collect();
            Value::Text(texts.join(text))
        }
        "split" if args.is_empty() => {
            Value::List(text.split_whitespace().map(|t| Value::Text(t.to_string())).collect())
        }
        "split" if !text_of(0)?.is_empty() => {
            Value::List(text.split(text_of(0)?).map(|t| Value::Text(t.to_string())).collect())
        }
        "replace" if !text_of(0)?.is_empty() && text.len() < 4096 => {
            Value::Text(text.replace(text_of(0)?, text_of(1)?))
        }
        _ => return Err(format!("'str' has no method {name}").into()),
    })
}
