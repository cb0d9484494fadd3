//! Which part of it? Byte ranges (RFC 9110 §14), single and several.

use super::RequestHead;

/// Ranges in one request; a request for more gets the whole (RFC 9110 §14.2 advises against many small ones).
const MAX_RANGES: usize = 16;

/// Bytes `first..first + len` of a resource; `len` is at least 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// How many bytes.
    pub len: u64,
}

impl ByteRange {
    /// The value of Content-Range within `total` bytes (RFC 9110 §14.4).
    pub fn content_range(self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.first, self.first + (self.len - 1))
    }
}

/// What the Range field of a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Everything: there is no Range, or one that is to be ignored.
    Whole,
    /// 206 with one part as the body.
    One(ByteRange),
    /// 206 with `multipart/byteranges`, the parts as they were asked for.
    Several(Vec<ByteRange>),
    /// 416 with `Content-Range: bytes */total`.
    Unsatisfiable,
}

/// Reads Range for a resource of `total` bytes. Another unit, a malformed value, more than 16 ranges, or ranges that
/// together are larger than the resource (they overlap) are ignored, which RFC 9110 §14.2 allows.
pub fn asked(head: &RequestHead, total: u64) -> Asked {
    let mut values = head.fields.all("Range");
    let (Some(value), None) = (values.next(), values.next()) else { return Asked::Whole };
    let Some((unit, set)) = std::str::from_utf8(value).ok().and_then(|v| v.split_once('=')) else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let mut ranges = Vec::new();
    let mut specs = 0;
    for spec in set.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        specs += 1;
        match parse(spec, total) {
            _ if specs > MAX_RANGES => return Asked::Whole,
            None => return Asked::Whole,
            Some(None) => {}
            Some(Some(range)) => ranges.push(range),
        }
    }
    let together = ranges.iter().fold(0u64, |sum, r| sum.saturating_add(r.len));
    match ranges[..] {
        _ if specs == 0 => Asked::Whole,
        [] => Asked::Unsatisfiable,
        [one] => Asked::One(one),
        _ if together > total => Asked::Whole,
        _ => Asked::Several(ranges),
    }
}

/// `first-last`, `first-` or `-suffix`. The outer `None` is a syntax error, the inner one is unsatisfiable.
fn parse(spec: &str, total: u64) -> Option<Option<ByteRange>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?.min(total);
        return Some((suffix > 0).then(|| ByteRange { first: total - suffix, len: suffix }));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    if first >= total {
        return Some(None);
    }
    Some(Some(ByteRange { first, len: last.min(total - 1) - first + 1 }))
}

/// Decimal digits; what exceeds 64 bits is beyond any resource.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::head::parse_request;
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_14_1_2_says() {
        let one = |first, len| Asked::One(ByteRange { first, len });
        for (value, total, expected) in [
            ("bytes=0-0", 10, one(0, 1)),
            ("bytes=0-9", 10, one(0, 10)),
            ("bytes=5-", 10, one(5, 5)),
            ("bytes=5-99999999999999999999999", 10, one(5, 5)),
            ("bytes=-3", 10, one(7, 3)),
            ("bytes=-99", 10, one(0, 10)),
            ("BYTES=1-2", 10, one(1, 2)),
            ("bytes=10-", 10, Asked::Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Asked::Unsatisfiable),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=0-", 0, Asked::Unsatisfiable),
            ("bytes=-1", 0, Asked::Unsatisfiable),
            ("bytes=10-,0-1", 10, one(0, 2)),
            (
                "bytes=0-1, 4-5",
                10,
                Asked::Several(vec![ByteRange { first: 0, len: 2 }, ByteRange { first: 4, len: 2 }]),
            ),
            ("bytes=0-9,0-9", 10, Asked::Whole),
            ("bytes=5-4", 10, Asked::Whole),
            ("bytes=a-b", 10, Asked::Whole),
            ("bytes=+1-2", 10, Asked::Whole),
            ("bytes=", 10, Asked::Whole),
            ("bytes", 10, Asked::Whole),
            ("items=0-1", 10, Asked::Whole),
            (
                "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15,16-16",
                99,
                Asked::Whole,
            ),
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\nRange: {value}\r\n\r\n");
            assert_eq!(
                asked(&parse_request(text.as_bytes()).unwrap(), total),
                expected,
                "{value} of {total}"
            );
        }
        assert_eq!(ByteRange { first: 7, len: 3 }.content_range(10), "bytes 7-9/10");
    }
}
