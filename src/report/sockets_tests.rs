use super::*;
use serde_json::json;

fn connection() -> Value {
    json!({
        "schema": "tcpglass.socket/1", "number": 3, "local": "10.77.0.2:80", "remote": "10.77.0.1:40000",
        "state": "ESTABLISHED", "recv_q": 0, "send_q": 1448, "limit": "rwnd", "congestion": "cubic",
        "ledger_us": { "server": 1_500_000, "link": 40_250, "app": 12 },
        "tcp_info": {
            "options": 7, "snd_wscale": 7, "rcv_wscale": 8, "rto": 204_000, "rtt": 3_250, "rttvar": 1_000, "ato": 40_000,
            "snd_mss": 1448, "rcv_mss": 536, "advmss": 1448, "pmtu": 1500, "snd_cwnd": 10, "snd_ssthresh": 20,
            "bytes_sent": 5000, "segs_out": 7, "segs_in": 6, "pacing_rate": 1000, "max_pacing_rate": u64::MAX,
            "delivery_rate": 250, "delivered": 4, "delivery_rate_app_limited": 1, "busy_time": 8_000, "rwnd_limited": 2_001,
            "unacked": 1, "total_retrans": 2, "retrans": 1, "reordering": 3, "min_rtt": 3_000, "snd_wnd": 65_535,
        },
    })
}

#[test]
fn a_connection_looks_as_in_ss() {
    let form = SocketForm { header: true, info: true, oneline: false };
    let mut list = SocketList::new(form, Style::PLAIN);
    assert_eq!(list.add(&connection()), "");
    list.add(&json!({ "local": "[fd77::2]:80", "remote": null, "state": "LISTEN", "recv_q": 1, "send_q": 128, "half_open": 2 }));
    list.add(&json!({ "local": "10.77.0.2:80", "remote": "10.77.0.1:5", "state": "TIME-WAIT", "left_us": 59_900_000 }));
    let text = list.finish();
    let expected = "\
State     Recv-Q Send-Q Local Address:Port Peer Address:Port
ESTAB          0   1448 10.77.0.2:80       10.77.0.1:40000
\t ts sack cubic wscale:7,8 rto:204 rtt:3.25/1 ato:40 mss:1448 pmtu:1500 rcvmss:536 advmss:1448 cwnd:10 ssthresh:20 \
bytes_sent:5000 segs_out:7 segs_in:6 send 35643076bps pacing_rate 8000bps delivery_rate 2000bps delivered:4 app_limited \
busy:8ms rwnd_limited:2ms(25.0%) unacked:1 retrans:1/2 minrtt:3 snd_wnd:65535 limit:rwnd \
ledger:(server:1.5s,link:40.2ms,app:12µs)
LISTEN         1    128 [fd77::2]:80       *:*
\t half_open:2
TIME-WAIT      0      0 10.77.0.2:80       10.77.0.1:5
\t timer:(timewait,59.9s,0)
";
    assert_eq!(text, expected);
}

#[test]
fn lines_are_as_long_as_is_asked_for() {
    for (form, lines, first) in [
        (SocketForm { header: false, info: false, oneline: false }, 1, "ESTAB 0 1448"),
        (SocketForm { header: false, info: true, oneline: true }, 1, "ESTAB 0 1448"),
        (SocketForm { header: true, info: false, oneline: true }, 2, "State Recv-Q Send-Q"),
    ] {
        let mut list = SocketList::new(form, Style::PLAIN);
        list.add(&connection());
        let text = list.finish();
        assert_eq!(text.lines().count(), lines, "{text}");
        let words = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert_eq!(words, first);
    }
}

#[test]
fn a_long_list_comes_before_its_end() {
    let mut list = SocketList::new(SocketForm { header: true, info: false, oneline: false }, Style::PLAIN);
    let early: String = (0..600).map(|_| list.add(&connection())).collect();
    assert_eq!(early.lines().count(), 601);
    assert_eq!(list.finish(), "");
}
