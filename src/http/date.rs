//! When? HTTP's dates (RFC 9110 §5.6.7), made from and read into seconds of the caller's clock.

use crate::time::{Duration, Instant};
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second that has an HTTP date: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Whole seconds since the origin of the caller's clock: the Unix epoch on a TUN device, the start of the run in
/// virtual time, which therefore plays in 1970.
pub fn seconds(now: Instant) -> u64 {
    now.as_nanos() / 1_000_000_000
}

/// Appends [`imf_fixdate`] to `out`. What a server says with each answer is made once a second and thread.
pub(super) fn push_imf_fixdate(out: &mut Vec<u8>, seconds: u64) {
    thread_local!(static LATEST: RefCell<(u64, String)> = RefCell::new((0, imf_fixdate(0))));
    LATEST.with_borrow_mut(|latest| {
        if latest.0 != seconds {
            *latest = (seconds, imf_fixdate(seconds));
        }
        out.extend_from_slice(latest.1.as_bytes());
    });
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` for seconds since the Unix epoch (RFC 9110 §5.6.7: only IMF-fixdate is sent).
pub fn imf_fixdate(seconds: u64) -> String {
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    httpdate::fmt_http_date(at)
}

/// Seconds since the Unix epoch from any of the three forms; `None` for anything else, and for dates before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_read_and_one_is_written_rfc_9110_5_6_7() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text), Some(784_111_777), "{text}");
        }
        assert_eq!(imf_fixdate(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in ["", "yesterday", "Sun, 06 Nov 1994 08:49:37", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn virtual_time_plays_in_1970_and_the_end_of_time_has_a_date() {
        assert_eq!(imf_fixdate(seconds(Instant::from_millis(1_999))), "Thu, 01 Jan 1970 00:00:01 GMT");
        assert!(imf_fixdate(seconds(Instant::FAR)).ends_with("GMT"));
        assert!(imf_fixdate(u64::MAX).contains("9999"));
    }

    #[test]
    fn a_date_that_is_remembered_is_that_of_its_second() {
        for second in [0, 784_111_777, 784_111_777, 1, 0] {
            let mut out = b"Date: ".to_vec();
            push_imf_fixdate(&mut out, second);
            assert_eq!(out, format!("Date: {}", imf_fixdate(second)).into_bytes());
        }
    }
}
