//! Does the client have it already? Conditional requests (RFC 9110 §13).

use super::{Method, RequestHead, date};

/// What a resource is at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    /// The entity tag with its quotes; a weak one starts with `W/`.
    pub etag: &'a str,
    /// When it was last modified, seconds since the Unix epoch.
    pub modified: Option<u64>,
}

/// What the conditions of a request ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client's copy is good.
    NotModified,
    /// 412: the client wants another state of the resource.
    Failed,
}

/// Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since in the order of RFC 9110 §13.2.2.
pub fn evaluate(head: &RequestHead, now: &Validators) -> Verdict {
    let is_condition = |name: &[u8]| name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"If-"));
    if !head.fields.lines().any(|(name, _)| is_condition(name)) {
        return Verdict::Proceed;
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let since = |name| head.fields.text(name).and_then(date::parse).zip(now.modified);
    if head.fields.has("If-Match") {
        if !any_tag(head, "If-Match", |tag| strong_match(tag, now.etag)) {
            return Verdict::Failed;
        }
    } else if since("If-Unmodified-Since").is_some_and(|(date, modified)| modified > date) {
        return Verdict::Failed;
    }
    if head.fields.has("If-None-Match") {
        // RFC 9110 §13.1.3: If-Modified-Since is ignored beside it.
        if any_tag(head, "If-None-Match", |tag| opaque(tag) == opaque(now.etag)) {
            return if reads { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if reads && since("If-Modified-Since").is_some_and(|(date, modified)| modified <= date) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range field is to be honoured in view of If-Range (RFC 9110 §13.1.5).
pub fn range_applies(head: &RequestHead, now: &Validators) -> bool {
    match head.fields.text("If-Range") {
        None => !head.fields.has("If-Range"),
        Some(tag) if tag.starts_with('"') || tag.starts_with("W/") => strong_match(tag, now.etag),
        Some(text) => date::parse(text).is_some_and(|date| now.modified == Some(date)),
    }
}

/// The tag without its weakness: what the weak comparison looks at (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn strong_match(a: &str, b: &str) -> bool {
    !a.starts_with("W/") && a == b
}

/// Whether the list contains `*` or a tag for which `matches` holds. Commas may stand within the quotes.
fn any_tag(head: &RequestHead, name: &str, matches: impl Fn(&str) -> bool) -> bool {
    for value in head.fields.all(name) {
        let Ok(mut rest) = std::str::from_utf8(value) else { continue };
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.starts_with('*') {
                return true;
            }
            let weak = if rest.starts_with("W/") { 2 } else { 0 };
            let Some(quoted) = rest[weak..].strip_prefix('"') else { break };
            let Some(end) = quoted.find('"') else { break };
            let (tag, after) = rest.split_at(weak + end + 2);
            if matches(tag) {
                return true;
            }
            rest = after;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::head::parse_request;
    use super::*;

    fn request(fields: &str) -> RequestHead {
        parse_request(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").as_bytes()).unwrap()
    }

    const MODIFIED: u64 = 784_111_777;

    #[test]
    fn conditions_are_evaluated_in_the_order_of_rfc_9110_13_2_2() {
        let now = Validators { etag: "\"a,b\"", modified: Some(MODIFIED) };
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (fields, verdict) in [
            ("X: y".to_string(), Verdict::Proceed),
            ("If-None-Match: \"a,b\"".into(), Verdict::NotModified),
            ("If-None-Match: \"x\", W/\"a,b\"".into(), Verdict::NotModified),
            ("If-None-Match: *".into(), Verdict::NotModified),
            ("If-None-Match: \"a\"".into(), Verdict::Proceed),
            ("If-None-Match: \"a\r\nIf-Modified-Since: x".into(), Verdict::Proceed),
            (format!("If-Modified-Since: {same}"), Verdict::NotModified),
            (format!("If-Modified-Since: {before}"), Verdict::Proceed),
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {same}"), Verdict::Proceed),
            ("If-Match: \"a,b\"".into(), Verdict::Proceed),
            ("If-Match: W/\"a,b\"".into(), Verdict::Failed),
            ("If-Match: *".into(), Verdict::Proceed),
            (format!("If-Unmodified-Since: {before}"), Verdict::Failed),
            (format!("If-Unmodified-Since: {same}"), Verdict::Proceed),
            ("If-Modified-Since: nonsense".into(), Verdict::Proceed),
        ] {
            assert_eq!(evaluate(&request(&fields), &now), verdict, "{fields}");
        }
    }

    #[test]
    fn if_range_needs_a_strong_match_rfc_9110_13_1_5() {
        let now = Validators { etag: "\"v1\"", modified: Some(MODIFIED) };
        for (fields, applies) in [
            ("X: y", true),
            ("If-Range: \"v1\"", true),
            ("If-Range: \"v2\"", false),
            ("If-Range: W/\"v1\"", false),
            ("If-Range: Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("If-Range: Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("If-Range: soon", false),
        ] {
            assert_eq!(range_applies(&request(fields), &now), applies, "{fields}");
        }
    }
}
