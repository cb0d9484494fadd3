//! What does a shell reckon? Whole numbers with the operators of C that such scripts use.

/// The operators from the loosest to the tightest; the longer ones of a level first.
const LEVELS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];
/// Brackets beyond this are nothing that anybody writes.
const MAX_DEPTH: u32 = 32;

/// The value of `text`; None if it is not known or has none.
pub fn value(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let value = level(&mut rest, 0, 0)?;
    rest.trim().is_empty().then_some(value)
}

fn level(rest: &mut &str, n: usize, depth: u32) -> Option<i64> {
    let Some(operators) = LEVELS.get(n) else { return operand(rest, depth) };
    let mut left = level(rest, n + 1, depth)?;
    loop {
        *rest = rest.trim_start();
        let Some(operator) = operators.iter().find(|operator| rest.starts_with(**operator)) else {
            return Some(left);
        };
        *rest = &rest[operator.len()..];
        let right = level(rest, n + 1, depth)?;
        left = match *operator {
            "||" => i64::from(left != 0 || right != 0),
            "&&" => i64::from(left != 0 && right != 0),
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "+" => left.checked_add(right)?,
            "-" => left.checked_sub(right)?,
            "*" => left.checked_mul(right)?,
            "/" => left.checked_div(right)?,
            _ => left.checked_rem(right)?,
        };
    }
}

fn operand(rest: &mut &str, depth: u32) -> Option<i64> {
    *rest = rest.trim_start();
    if depth > MAX_DEPTH {
        return None;
    }
    if let Some(inner) = rest.strip_prefix('(') {
        *rest = inner;
        let value = level(rest, 0, depth + 1)?;
        *rest = rest.trim_start().strip_prefix(')')?;
        return Some(value);
    }
    if let Some(inner) = rest.strip_prefix('-') {
        *rest = inner;
        return operand(rest, depth + 1)?.checked_neg();
    }
    if let Some(inner) = rest.strip_prefix('!') {
        *rest = inner;
        return Some(i64::from(operand(rest, depth + 1)? == 0));
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (digits, tail) = rest.split_at(end);
    *rest = tail;
    match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8).ok(),
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn operators_bind_as_in_c() {
        for (text, wanted) in [
            ("15*1024*1024", Some(15 << 20)),
            (" 2 + 3 * 4 - 1 ", Some(13)),
            ("(2+3)*4 % 7", Some(6)),
            ("1 << 3", None),
            ("3 >= 3 && !(2 == 1)", Some(1)),
            ("-4 / 2", Some(-2)),
            ("0x10 + 010", Some(24)),
            ("1 / 0", None),
            ("9223372036854775807 + 1", None),
            ("", None),
            ("$X + 1", None),
        ] {
            assert_eq!(value(text), wanted, "{text}");
        }
        assert_eq!(value(&"(".repeat(100_000)), None);
    }
}
