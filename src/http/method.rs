//! What may be done with a method? Its properties (RFC 9110 §9.2).

use super::Method;

/// Whether it asks for nothing but an answer (RFC 9110 §9.2.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Whether sending it twice has the effect of sending it once, so that it may be retried (RFC 9110 §9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    is_safe(method) || matches!(*method, Method::PUT | Method::DELETE)
}

/// Whether it is one of the methods of RFC 9110 §9.3 or RFC 5789; others are answered 501 rather than 405
/// (RFC 9110 §9.1).
pub fn is_known(method: &Method) -> bool {
    is_idempotent(method) || matches!(*method, Method::POST | Method::CONNECT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_properties_of_rfc_9110_9_2() {
        let extension = Method::from_bytes(b"BREW").unwrap();
        for (method, safe, idempotent, known) in [
            (Method::GET, true, true, true),
            (Method::HEAD, true, true, true),
            (Method::OPTIONS, true, true, true),
            (Method::TRACE, true, true, true),
            (Method::PUT, false, true, true),
            (Method::DELETE, false, true, true),
            (Method::POST, false, false, true),
            (Method::PATCH, false, false, true),
            (Method::CONNECT, false, false, true),
            (extension, false, false, false),
        ] {
            assert_eq!(is_safe(&method), safe, "{method}");
            assert_eq!(is_idempotent(&method), idempotent, "{method}");
            assert_eq!(is_known(&method), known, "{method}");
        }
    }
}
