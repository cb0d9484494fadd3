//! What are header fields? The lines of a head, as they were written and in their order.

use super::chunked::is_token;
use crate::time::Duration;
use std::fmt;

/// What most heads have room in: so many lines, with so many bytes.
const ROWS: usize = 8;
const TEXT: usize = 256;

/// Header or trailer fields (RFC 9110 §5): names compare without case, order and spelling are kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// All names and values, one after the other.
    text: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    name: u32,
    value: u32,
    end: u32,
}

/// Why a field cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldError {
    /// The name is empty or contains something else than token characters (RFC 9110 §5.6.2).
    Name,
    /// The value contains CR, LF, NUL or another control character (RFC 9110 §5.5).
    Value,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FieldError::Name => "a field name is made of letters, digits and !#$%&'*+-.^_`|~",
            FieldError::Value => "a field value cannot contain control characters",
        })
    }
}

impl std::error::Error for FieldError {}

/// The parameters of a `Keep-Alive` field (RFC 2068 §19.7.1).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KeepAlive {
    /// How long the sender keeps an idle connection.
    pub timeout: Option<Duration>,
    /// Requests that the sender will still answer on it.
    pub max: Option<u32>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Appends a field; spaces around the value are dropped.
    ///
    /// # Errors
    /// What of it cannot be sent.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        // Looking at all of them without stopping takes less than asking after each whether to stop.
        if name.is_empty() || !name.bytes().fold(true, |good, b| good & is_token(b)) {
            return Err(FieldError::Name);
        }
        let value = value.trim_ascii();
        if !value.iter().fold(true, |good, &b| good & ((b == b'\t') | ((b >= b' ') & (b != 0x7f)))) {
            return Err(FieldError::Value);
        }
        self.append(name.as_bytes(), value);
        Ok(())
    }

    /// These fields and one more, whose parts the caller knows to be valid. An invalid one is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Fields {
        let pushed = self.push(name, value.as_ref());
        debug_assert!(pushed.is_ok(), "{name} is not a field");
        self
    }

    /// A field that a parser has checked.
    pub(super) fn append(&mut self, name: &[u8], value: &[u8]) {
        if self.rows.capacity() == 0 {
            self.reserve(ROWS, TEXT);
        }
        let at = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        // Heads are at most 1 MiB (`http.max_head`), so the offsets fit.
        self.rows.push(Row { name: at as u32, value: (at + name.len()) as u32, end: self.text.len() as u32 });
    }

    /// Makes room for so many lines with so many bytes of names and values.
    fn reserve(&mut self, rows: usize, text: usize) {
        self.rows.reserve(rows);
        self.text.reserve(text);
    }

    /// Takes all away; the memory stays.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// How many lines.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // Only token characters are ever appended.
        self.lines().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// The same as bytes.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|row| {
            let (name, value, end) = (row.name as usize, row.value as usize, row.end as usize);
            (&self.text[name..value], &self.text[value..end])
        })
    }

    /// All values of a name, in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// The first value of a name as text; `None` also if it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether the name occurs.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The elements of a comma-separated list over all lines of that name (RFC 9110 §5.6.1); empty ones are skipped.
    /// Only for lists whose elements contain no quoted commas.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|e| !e.is_empty())
    }

    /// Whether the list of that name has this element, without regard to case.
    pub fn list_has(&self, name: &str, element: &str) -> bool {
        self.list(name).any(|e| e.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// What `Keep-Alive` promises. If `Connection` does not name it, it may be that of another hop (RFC 9110 §7.6.1) or of a
    /// server that leaves that out; who heeds it all the same only leaves early.
    pub fn keep_alive(&self) -> KeepAlive {
        let mut promise = KeepAlive::default();
        for parameter in self.list("Keep-Alive") {
            let Some((name, value)) = std::str::from_utf8(parameter).ok().and_then(|p| p.split_once('='))
            else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "timeout" => promise.timeout = value.parse().ok().map(Duration::from_secs),
                "max" => promise.max = value.parse().ok(),
                _ => {}
            }
        }
        promise
    }

    /// Writes `Name: value` lines, all but those of these names.
    pub(super) fn write_to(&self, out: &mut Vec<u8>, except: &[&str]) {
        for (name, value) in self.lines() {
            if !except.iter().any(|e| name.eq_ignore_ascii_case(e.as_bytes())) {
                for part in [name, b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(n, v)| (n, String::from_utf8_lossy(v)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_keep_their_spelling_and_order() {
        let fields = Fields::new().with("X-B", "1").with("content-TYPE", "text/plain").with("x-b", "2");
        assert_eq!(fields.text("Content-Type"), Some("text/plain"));
        assert_eq!(fields.all("X-b").collect::<Vec<_>>(), [b"1", b"2"]);
        let mut out = Vec::new();
        fields.write_to(&mut out, &[]);
        assert_eq!(out, b"X-B: 1\r\ncontent-TYPE: text/plain\r\nx-b: 2\r\n");
    }

    #[test]
    fn a_field_cannot_smuggle_a_second_one_rfc_9110_5_5() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("X", "a\r\nEvil: b"),
            ("X", "a\nb"),
            ("X", "a\0"),
            ("X:", "a"),
            ("", "a"),
            ("X Y", "a"),
            ("X\r\nY", "a"),
        ] {
            assert!(fields.push(name, value.as_bytes()).is_err(), "{name:?} {value:?}");
        }
        assert!(fields.is_empty());
    }

    #[test]
    fn empty_elements_of_a_list_are_none_rfc_9110_5_6_1() {
        let fields = Fields::new()
            .with("Connection", ", close,, \t,x ,")
            .with("Connection", "")
            .with("Connection", ",y");
        assert_eq!(fields.list("connection").collect::<Vec<_>>(), [&b"close"[..], b"x", b"y"]);
        assert!(fields.list_has("Connection", "X") && !fields.list_has("Connection", ""));
    }

    #[test]
    fn keep_alive_counts_whether_or_not_connection_names_it() {
        let alone = Fields::new().with("Keep-Alive", "timeout=5, max=100");
        let promise = KeepAlive { timeout: Some(Duration::from_secs(5)), max: Some(100) };
        assert_eq!(alone.keep_alive(), promise);
        assert_eq!(alone.with("Connection", "Keep-Alive").keep_alive(), promise);
        for odd in ["timeout", "timeout=", "timeout=-1", "timeout=99999999999999999999999", "=,=,max=x"] {
            let fields = Fields::new().with("Connection", "keep-alive").with("Keep-Alive", odd);
            assert_eq!(fields.keep_alive(), KeepAlive::default(), "{odd}");
        }
    }
}
