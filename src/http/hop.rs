//! Which fields are for one hop only? What an intermediary takes out of a message, and what it adds (RFC 9110 §7.6).

use super::fields::Fields;
use super::head::Version;

/// Fields that end at the next hop whether or not `Connection` names them (RFC 9110 §7.6.1, §10.1.4, §11.7; RFC 9112
/// §6.1, §C.2.2 for `Proxy-Connection`).
const HOP: [&str; 10] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Authentication-Info",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// The fields of a message as an intermediary passes them on: without those of the hop that it came over, those that
/// `Connection` names included (RFC 9110 §7.6.1), with an `Upgrade` its option (§7.8), and without `also`; with a `Via` of its own (§7.6.3), in which
/// `received_by` is how it is called. All others go on as they are and in their order, known or not (RFC 9110 §5.1,
/// §5.3, §11.6.2).
pub fn forward(fields: &Fields, version: Version, received_by: &str, also: &[&str]) -> Fields {
    let mut out = Fields::new();
    for (name, value) in fields.iter() {
        let ends_here = HOP.iter().chain(also).any(|hop| hop.eq_ignore_ascii_case(name))
            || fields.list_has("Connection", name);
        if !ends_here {
            out.append(name.as_bytes(), value);
        }
    }
    let version = if version == Version::Http10 { "1.0" } else { "1.1" };
    out.with("Via", format!("{version} {received_by}"))
}

/// Passes on which protocols are offered, or was switched to (RFC 9110 §7.8).
pub fn with_upgrade(mut fields: Fields, of: &Fields) -> Fields {
    for protocols in of.all("Upgrade") {
        fields.append(b"Upgrade", protocols);
    }
    fields
}

/// Fields that would change how a message is framed, routed or taken, and that nobody expects behind it (RFC 9110
/// §6.5.1).
const NO_TRAILERS: [&str; 17] = [
    "Content-Length",
    "Content-Encoding",
    "Content-Type",
    "Content-Range",
    "Host",
    "Cache-Control",
    "Expect",
    "Max-Forwards",
    "Pragma",
    "Range",
    "Authorization",
    "Set-Cookie",
    "Location",
    "Retry-After",
    "Vary",
    "Date",
    "Via",
];

/// The trailer section of a message as an intermediary passes it on: without what ends at this hop, which `head`'s
/// `Connection` may name, too (RFC 9110 §7.6.1), and without what has no place there.
pub fn forward_trailers(trailers: &Fields, head: &Fields) -> Fields {
    let mut out = Fields::new();
    for (name, value) in trailers.iter() {
        let known = HOP.iter().chain(&NO_TRAILERS).any(|n| n.eq_ignore_ascii_case(name));
        if !known && !head.list_has("Connection", name) {
            out.append(name.as_bytes(), value);
        }
    }
    out
}

/// Whether an intermediary called `received_by` has passed the message on before.
pub fn has_passed(fields: &Fields, received_by: &str) -> bool {
    fields.list("Via").any(|via| {
        via.split(|b| b.is_ascii_whitespace()).nth(1).is_some_and(|by| by == received_by.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_hop_goes_no_further_rfc_9110_7_6_1() {
        let fields = Fields::new()
            .with("Host", "a")
            .with("Connection", "close, X-Private")
            .with("connection", "Keep-Alive")
            .with("Keep-Alive", "timeout=5")
            .with("Proxy-Connection", "keep-alive")
            .with("x-private", "1")
            .with("TE", "trailers")
            .with("Upgrade", "websocket")
            .with("Transfer-Encoding", "chunked")
            .with("Via", "1.0 fred")
            .with("X-Public", "2");
        let out = forward(&fields, Version::Http11, "glass:8080", &["Host"]);
        let names: Vec<&str> = out.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Via", "X-Public", "Via"]);
        assert_eq!(out.all("Via").collect::<Vec<_>>(), [&b"1.0 fred"[..], b"1.1 glass:8080"]);
        let trailers = Fields::new().with("X-Sum", "1").with("X-Private", "2").with("Content-Length", "3");
        let trailers = forward_trailers(&trailers.with("transfer-encoding", "chunked"), &fields);
        assert_eq!(trailers, Fields::new().with("X-Sum", "1"));
        assert!(has_passed(&out, "glass:8080") && has_passed(&out, "fred") && !has_passed(&out, "glass"));
    }
}
