//! What is known of a request that was sent and not answered? Which answer ends HTTP, above all.

use super::super::fields::Fields;
use super::super::head::{ResponseHead, Version};
use super::super::{Method, StatusCode};
use super::{ClientError, OutRequest};

/// A request whose response is not complete; responses are matched with the oldest of these (RFC 9112 §9.2).
#[derive(Debug)]
pub(super) struct Unanswered {
    pub method: Method,
    /// The protocols that it offers to switch to.
    pub offers: Fields,
    pub interims: u32,
    pub last: bool,
    /// Where it begins in the bytes of the connection, and where it ends, if that is known.
    pub begin: u64,
    pub end: Option<u64>,
}

/// The protocols that a request offers to switch to. RFC 9110 §7.8: without its option Upgrade is for somebody else.
pub(super) fn offers(request: &OutRequest<'_>) -> Fields {
    let mut offers = Fields::new();
    if request.version == Version::Http11 && request.fields.list_has("Connection", "upgrade") {
        for protocols in request.fields.all("Upgrade") {
            offers.append(b"Upgrade", protocols);
        }
    }
    offers
}

impl Unanswered {
    /// Whether nothing may follow it before its answer, which may be in another protocol.
    pub fn may_end_http(&self) -> bool {
        self.method == Method::CONNECT || !self.offers.is_empty()
    }

    /// Whether HTTP ends with this head. RFC 9110 §7.8: a server switches to what was offered, when it has the whole request.
    pub fn is_switched_by(&self, head: &ResponseHead, is_sending: bool) -> Result<bool, ClientError> {
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.method == Method::CONNECT && head.status.is_success());
        }
        let offered = |protocol: &[u8]| self.offers.list("Upgrade").any(|o| o.eq_ignore_ascii_case(protocol));
        match () {
            () if self.offers.is_empty() => Err(ClientError::Malformed(
                "the server switches protocols without being asked (RFC 9110 §7.8)",
            )),
            () if is_sending => Err(ClientError::Malformed(
                "the server switches protocols before it has the request (RFC 9110 §7.8)",
            )),
            () if !head.fields.has("Upgrade") || !head.fields.list("Upgrade").all(offered) => {
                Err(ClientError::Malformed(
                    "the server switches to a protocol that was not offered (RFC 9110 §7.8)",
                ))
            }
            () => Ok(true),
        }
    }
}
