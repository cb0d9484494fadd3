//! How is a socket told? As an object of JSON.

use crate::stack::{Role, Standing};
use crate::tcp::{Snapshot, State};
use crate::time::Duration;
use crate::trace;
use serde_json::{Value, json};

/// A socket; with `tcp_info` also all that Linux tells.
pub(super) fn socket(standing: &Standing, tcp_info: bool) -> Value {
    let mut object = json!({
        "schema": "tcpglass.socket/1",
        "number": standing.number,
        "local": standing.local.to_string(),
        "remote": standing.remote.map(|remote| remote.to_string()),
    });
    let mut add = |more: Value| {
        if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
            object.extend(more);
        }
    };
    match &standing.role {
        Role::Listener { waiting, backlog, half_open } => {
            add(json!({ "state": "LISTEN", "recv_q": waiting, "send_q": backlog, "half_open": half_open }));
        }
        Role::HalfOpen(snapshot) => {
            add(
                json!({ "state": State::SynReceived.name(), "recv_q": 0, "send_q": 0, "rto_us": micros(snapshot.rto) }),
            );
        }
        Role::TimeWait { left } => {
            add(
                json!({ "state": State::TimeWait.name(), "recv_q": 0, "send_q": 0, "left_us": micros(*left) }),
            );
        }
        Role::Connection(doing) => {
            let Snapshot { state, cwnd, ssthresh, flight, srtt, rto, rwnd, unsent, limit, .. } =
                doing.snapshot;
            add(json!({
                "state": state.name(),
                "recv_q": doing.unread,
                "send_q": doing.unacked,
                "limit": limit.word(),
                "congestion": doing.congestion,
                "cwnd": cwnd,
                "ssthresh": (ssthresh != u32::MAX).then_some(ssthresh),
                "flight": flight,
                "rwnd": rwnd,
                "unsent": unsent,
                "srtt_us": srtt.map(micros),
                "rto_us": micros(rto),
                "again": doing.info.total_retrans,
                "bytes_sent": doing.info.bytes_sent,
                "bytes_received": doing.info.bytes_received,
                "age_us": micros(doing.ledger.total()),
                "ledger_us": trace::ledger(&doing.ledger),
            }));
            if tcp_info {
                add(json!({ "tcp_info": trace::tcp_info(&doing.info) }));
            }
        }
    }
    object
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
