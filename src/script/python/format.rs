//! How does Python write values into texts? `"%d" % n`, `"{:>5}".format(n)`, `f"{n:.2f}"`.

use super::value::{Raised, Value};

/// `text % values`
pub fn percent(text: &str, values: &Value) -> Result<String, Raised> {
    let list = match values {
        Value::List(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut list = list.into_iter();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // `%(name)s` takes from a dictionary.
        let mut named = None;
        if let Some(inside) = rest.strip_prefix('(') {
            let end = inside.find(')').ok_or("incomplete format")?;
            named = Some(values.at(&Value::Text(inside[..end].to_string()))?);
            rest = &inside[end + 1..];
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic() || c == '%').ok_or("incomplete format")?;
        let spec = rest[..end].trim_end_matches(['l', 'h']).to_string();
        let mut kind = rest.as_bytes()[end] as char;
        rest = &rest[end + 1..];
        // Lengths of C's types say nothing.
        while matches!(kind, 'l' | 'h') {
            kind = rest.chars().next().filter(char::is_ascii).ok_or("incomplete format")?;
            rest = &rest[1..];
        }
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named {
            Some(value) => value,
            None => list.next().ok_or("not enough arguments for format string")?,
        };
        // `-` means left there, and right is what is meant without.
        let (spec, kind) = match (spec.strip_prefix('-'), kind) {
            (Some(spec), kind) => (format!("<{spec}"), kind),
            (None, kind) => (format!(">{spec}"), kind),
        };
        let value = match (kind, value) {
            ('d' | 'i' | 'u', Value::Float(n)) => Value::Int(n as i128),
            (_, value) => value,
        };
        let kind = match kind {
            'i' | 'u' => 'd',
            'r' => 's',
            kind => kind,
        };
        let zero = spec.strip_prefix(">0").map(|spec| format!("0{spec}"));
        out.push_str(&value_as(&value, &format!("{}{kind}", zero.unwrap_or(spec)))?);
    }
    Ok(out + rest)
}

/// `text.format(values…, name=value…)`
pub fn braces(text: &str, values: &[Value], named: &[(String, Value)]) -> Result<String, Raised> {
    let (mut out, mut rest, mut next) = (String::new(), text, 0);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let end = rest.find('}').ok_or("a brace is not closed")?;
        let (name, spec) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        rest = &rest[end + 1..];
        let value = match name.parse::<usize>() {
            Ok(n) => values.get(n),
            Err(_) if name.is_empty() => {
                next += 1;
                values.get(next - 1)
            }
            Err(_) => named.iter().find(|(n, _)| n == name).map(|(_, v)| v),
        };
        out.push_str(&value_as(value.ok_or_else(|| format!("there is no value for {{{name}}}"))?, spec)?);
    }
    Ok(out + rest)
}

/// A value by a format like `>5`, `05d`, `.2f`, `x`, `,`.
pub fn value_as(value: &Value, spec: &str) -> Result<String, Raised> {
    let wrong = || format!("the format {spec:?} is not known");
    let mut rest = spec;
    let mut align = None;
    let mut fill = ' ';
    let mut chars = rest.chars();
    if let (Some(first), Some(second)) = (chars.next(), chars.next())
        && matches!(second, '<' | '>' | '^')
    {
        (fill, align, rest) = (first, Some(second), chars.as_str());
    } else if let Some(first) = rest.chars().next().filter(|c| matches!(c, '<' | '>' | '^')) {
        (align, rest) = (Some(first), &rest[1..]);
    }
    let plus = rest.starts_with('+');
    rest = rest.trim_start_matches(['+', ' ']);
    let prefix = rest.starts_with('#');
    rest = rest.trim_start_matches('#');
    if rest.starts_with('0') {
        (fill, align) = ('0', align.or(Some('>')));
    }
    let digits = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let width: usize = if digits == 0 { 0 } else { rest[..digits].parse().map_err(|_| wrong())? };
    rest = &rest[digits..];
    let commas = rest.starts_with(',');
    rest = rest.trim_start_matches(',');
    let mut precision = None;
    if let Some(after) = rest.strip_prefix('.') {
        let digits = after.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(after.len());
        precision = Some(after[..digits].parse::<usize>().ok().filter(|n| *n < 100).ok_or_else(wrong)?);
        rest = &after[digits..];
    }
    if width > 1000 {
        return Err(wrong());
    }
    let whole = || value.whole().ok_or_else(wrong);
    let number = || value.number().ok_or_else(wrong);
    let body = match rest {
        "d" => whole()?.to_string(),
        "x" if prefix => format!("{:#x}", whole()?),
        "x" => format!("{:x}", whole()?),
        "X" => format!("{:X}", whole()?),
        "o" => format!("{:o}", whole()?),
        "b" => format!("{:b}", whole()?),
        "f" | "F" => format!("{:.*}", precision.unwrap_or(6), number()?),
        "e" => format!("{:.*e}", precision.unwrap_or(6), number()?),
        "g" | "n" => Value::Float(number()?).to_string().trim_end_matches(".0").to_string(),
        "%" => format!("{:.*}%", precision.unwrap_or(6), number()? * 100.0),
        "" | "s" => match (value, precision) {
            (Value::Float(n), Some(digits)) => format!("{n:.digits$}"),
            (value, Some(most)) => value.to_string().chars().take(most).collect(),
            (value, None) => value.to_string(),
        },
        _ => return Err(wrong()),
    };
    let body = if commas { grouped(&body) } else { body };
    let body = if plus && !body.starts_with('-') { format!("+{body}") } else { body };
    let missing = width.saturating_sub(body.chars().count());
    let number = value.number().is_some() && !matches!(rest, "s");
    let pad = |n: usize| fill.to_string().repeat(n);
    Ok(match align.unwrap_or(if number { '>' } else { '<' }) {
        '<' => body + &pad(missing),
        '^' => pad(missing / 2) + &body + &pad(missing - missing / 2),
        _ if fill == '0' && body.starts_with(['-', '+']) => {
            format!("{}{}{}", &body[..1], pad(missing), &body[1..])
        }
        _ => pad(missing) + &body,
    })
}

/// Commas between thousands.
fn grouped(body: &str) -> String {
    let digits = body.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(body.len());
    let (whole, rest) = body.split_at(digits);
    let mut out = String::new();
    for (n, c) in whole.chars().enumerate() {
        let left = whole.len() - n;
        if n > 0 && left % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(c);
    }
    out + rest
}
