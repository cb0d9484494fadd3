//! What does a head say that no strict reader takes? Whoever only listens wants to know what was asked all the same.

use super::chunked::is_token;

/// The same head with nothing in it that is refused: what is odd in the target is escaped, blanks behind a field's name are
/// dropped, and so are fields that make no sense.
pub(super) fn mended(head: &[u8]) -> Vec<u8> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut out = first(lines.next().unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    for line in lines {
        let mut parts = line.splitn(2, |b| *b == b':');
        let name = parts.next().unwrap_or_default().trim_ascii_end();
        let Some(value) = parts.next() else { continue };
        let odd = |b: &u8| b.is_ascii_control() && *b != b'\t';
        if !name.is_empty() && name.iter().copied().all(is_token) && !value.iter().any(odd) {
            out.extend_from_slice(name);
            out.push(b':');
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// A request line's target lies between its first blank and its last; a status line stays as it is.
fn first(line: &[u8]) -> Vec<u8> {
    let blank = |b: &u8| *b == b' ';
    let (Some(from), Some(to)) = (line.iter().position(blank), line.iter().rposition(blank)) else {
        return line.to_vec();
    };
    if line.starts_with(b"HTTP/") || from >= to || !line[to + 1..].starts_with(b"HTTP/") {
        return line.to_vec();
    }
    let mut out = line[..=from].to_vec();
    for &byte in &line[from + 1..to] {
        match byte.is_ascii_graphic() {
            true => out.push(byte),
            false => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out.extend_from_slice(&line[to..]);
    out
}

#[cfg(test)]
mod tests {
    use super::mended;

    #[test]
    fn what_is_odd_is_escaped_or_left_out() {
        let said = "GET /a b\x1b\u{e9} HTTP/1.1\r\nHost: x\r\nFoo : 1\r\nX@Z: 1\r\nA b: 1\r\nno colon\r\nB: \x1b\r\n: 1\r\n\r\n";
        let expected = "GET /a%20b%1B%C3%A9 HTTP/1.1\r\nHost: x\r\nFoo: 1\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&mended(said.as_bytes())), expected);
        assert_eq!(mended(b"HTTP/1.1 200 All right\nA: 1\n\n"), b"HTTP/1.1 200 All right\r\nA: 1\r\n\r\n");
        for odd in ["", "\n", "GET", "GET ", " HTTP/1.1"] {
            mended(odd.as_bytes());
        }
    }
}
