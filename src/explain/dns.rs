//! Which names were looked up, and how long did each take?

use super::decode::Carried;
use super::finding::{Confidence, Findings, What};
use crate::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The port of name servers.
const PORT: u16 = 53;
/// Queries that wait for their answers; beyond them none is looked at.
const OPEN: usize = 1024;
/// What takes longer is a finding.
const SLOW: Duration = Duration::from_millis(50);
/// What is not answered by then never is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A query for a name, or its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dns<'a> {
    client: IpAddr,
    answer: bool,
    /// The name and the type, as they stand in the packet.
    question: &'a [u8],
}

/// A query that waits.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Duration,
    frame: u64,
    /// When it was asked the last time.
    last: (Duration, u64),
}

impl Asked {
    /// It never was answered: what was waited shows in who asks again.
    fn is_given_up(&self, findings: &mut Findings) {
        let cost = self.last.0.saturating_sub(self.at);
        findings.add(What::LostName, 0, (self.frame, self.last.1), cost, Confidence::Certain);
    }
}

/// Queries by who asked, and what.
#[derive(Default, Debug)]
pub(super) struct Lookups(BTreeMap<(IpAddr, Vec<u8>), Asked>);

/// A UDP packet from or to a name server (RFC 1035 §4.1).
pub(super) fn read(ip: Carried, bytes: &[u8]) -> Option<Dns<'_>> {
    let port = |n: usize| bytes.get(n..n + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let (from, to) = (port(0)?, port(2)?);
    let message = bytes.get(8..)?;
    let answer = message.get(2)? & 0x80 != 0;
    let questions = message.get(4..6)? != [0, 0];
    if (if answer { from } else { to }) != PORT || !questions {
        return None;
    }
    let text = &message[12.min(message.len())..];
    let mut end = 0;
    while *text.get(end)? != 0 {
        // No pointers in a question, and no name longer than 255 bytes.
        let label = usize::from(text[end]);
        if label > 63 || end > 255 {
            return None;
        }
        end += label + 1;
    }
    let question = text.get(..end + 3)?;
    Some(Dns { client: if answer { ip.destination } else { ip.source }, answer, question })
}

impl Lookups {
    /// Takes a query or an answer.
    pub fn add(&mut self, at: Duration, frame: u64, dns: &Dns<'_>, findings: &mut Findings) {
        // Names are the same in capital letters.
        let key = (dns.client, dns.question.to_ascii_lowercase());
        if !dns.answer {
            if self.0.len() >= OPEN {
                self.0.retain(|_, asked| {
                    let open = at.saturating_sub(asked.last.0) < PATIENCE;
                    if !open {
                        asked.is_given_up(findings);
                    }
                    open
                });
            }
            if let Some(asked) = self.0.get_mut(&key) {
                asked.last = (at, frame);
            } else if self.0.len() < OPEN {
                self.0.insert(key, Asked { at, frame, last: (at, frame) });
            }
        } else if let Some(asked) = self.0.remove(&key) {
            let took = at.saturating_sub(asked.at);
            if took >= SLOW && took < PATIENCE {
                findings.add(What::SlowName, 0, (asked.frame, frame), took, Confidence::Certain);
            }
        }
    }
    /// The capture ends.
    pub fn finish(self, findings: &mut Findings) {
        self.0.values().for_each(|asked| asked.is_given_up(findings));
    }
}
