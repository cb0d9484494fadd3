//! How does what a capture says look as JSON?

use super::output;
use serde_json::json;
use tcpglass::explain::{Connection, Exchange, Finding, Summary};

/// What is said of the capture as a whole, without its connections.
pub fn whole(summary: &Summary) -> serde_json::Value {
    let words: serde_json::Map<_, _> = (summary.words.iter())
        .map(|(word, n)| (word.clone(), json!({ "sent": n.sent, "received": n.received })))
        .collect();
    json!({
        "schema": "tcpglass.explain/2",
        "format": summary.format,
        "packets": summary.packets,
        "bytes": summary.bytes,
        "not_tcp": summary.not_tcp,
        "undecoded": summary.undecoded,
        "reassembled": summary.reassembled,
        "connections_seen": summary.seen,
        "events": summary.events,
        "dropped": summary.dropped,
        "beyond_limit": summary.beyond,
        "given_up": summary.given_up,
        "cut_headers": summary.cut_headers,
        "cut_payloads": summary.cut_payloads,
        "doubled": summary.doubled,
        "two_places": summary.elsewhere,
        "sorted": summary.disorder.sorted,
        "out_of_order": summary.disorder.beyond,
        "out_of_order_us": summary.disorder.worst.as_micros() as u64,
        "lasted_us": summary.lasted.as_micros() as u64,
        "findings": summary.findings.iter().map(finding).collect::<Vec<_>>(),
        "why": words,
        "damage": summary.damage,
    })
}

/// What is said of a connection.
pub fn connection(c: &Connection) -> serde_json::Value {
    let side = |s: &tcpglass::explain::Side| json!({ "packets": s.packets, "bytes": s.bytes, "again": s.again, "damaged": s.damaged, "wild": s.wild });
    json!({
        "client": c.client.to_string(),
        "server": c.server.to_string(),
        "start_us": c.start.as_micros() as u64,
        "end_us": c.end.as_micros() as u64,
        "handshake_us": c.handshake.map(|h| h.as_micros() as u64),
        "up": side(&c.up),
        "down": side(&c.down),
        "longest_pause_us": c.pause.0.as_micros() as u64,
        "longest_pause_at_us": c.pause.1.as_micros() as u64,
        "ending": c.ending.word(),
        "number": c.number,
        "round_trip_us": c.round_trip.map(|t| t.as_micros() as u64),
        "round_trip_median_us": c.round_trip_median().map(|t| t.as_micros() as u64),
        "missing": c.missing.map(|end| ["client", "server"][usize::from(end)]),
        "ends": { "client": end(&c.ends[0]), "server": end(&c.ends[1]) },
        "ledger_us": output::ledger_from(c.start, &c.parts),
        "exchanges": c.exchanges.iter().map(exchange).collect::<Vec<_>>(),
        "more_exchanges": c.more_exchanges,
    })
}

fn end(e: &tcpglass::explain::End) -> serde_json::Value {
    let r = &e.repeats;
    json!({
        "mss": e.mss,
        "window_scale": e.window_scale,
        "least_window_scale": e.least_window_scale,
        "sack": e.sack,
        "timestamps": e.timestamps,
        "ecn": e.ecn,
        "accurate_ecn": e.accurate_ecn,
        "largest": e.largest,
        "peak_flight": e.peak_flight,
        "repeats": {
            "syn": r.syn,
            "rto": r.rto,
            "probe": r.probe,
            "fast": r.fast,
            "sack": r.sack,
            "late": r.late,
            "copy": r.copy,
            "mtu": r.mtu,
        },
        "dsacks": e.dsacks,
        "not_captured": e.not_captured,
        "zero_windows": e.zero_windows,
        "zero_window_us": e.zero_window_time.as_micros() as u64,
        "path_us": e.path.map(|t| t.as_micros() as u64),
        "path_median_us": e.path_median.map(|t| t.as_micros() as u64),
        "limits_us": output::ledger(&e.limits),
    })
}

fn exchange(e: &Exchange) -> serde_json::Value {
    let us = |t: tcpglass::time::Duration| t.as_micros() as u64;
    json!({
        "method": e.method,
        "target": e.target,
        "host": e.host,
        "status": e.status,
        "start_us": us(e.start),
        "request_end_us": e.request_end.map(us),
        "first_byte_us": e.first_byte.map(us),
        "end_us": us(e.end),
        "bytes": e.bytes,
        "first_frame": e.frames.0,
        "last_frame": e.frames.1,
        "progress": e.progress.word(),
        "reused": e.reused,
        "tls": e.tls,
        "ledger_us": output::ledger_from(e.start, &e.parts),
    })
}

fn finding(f: &Finding) -> serde_json::Value {
    json!({
        "what": f.what.word(),
        "times": f.times,
        "cost_us": f.cost.as_micros() as u64,
        "worst_us": f.worst.as_micros() as u64,
        "confidence": f.confidence.word(),
        "frames": f.frames,
        "connections": f.connections,
        "perhaps_lost": f.perhaps_lost,
        "mtu": f.mtu,
        "remedy": f.what.remedy(),
        "knobs": f.what.knobs(),
    })
}
