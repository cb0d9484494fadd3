//! Do curl before our proxy and nginx behind it get what they would get from each other? And what hangs at a dumb one?

use super::*;
use crate::schema;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

const NGINX: &str = "daemon off; worker_processes 1; pid DIR/pid; error_log DIR/log; events {}
http {
  log_format asked '$request|$http_host|$http_connection|$http_keep_alive|$http_proxy_connection|$http_proxy_authorization|$http_te|$http_upgrade|$http_x_private|$http_x_public|$http_via';
  access_log DIR/access asked; client_body_temp_path DIR/temp; client_max_body_size 0;
  gzip_types *; gzip_min_length 1; gzip_comp_level 1; gzip_proxied any;
  server { listen 8000; listen [::]:8000; root DIR/files;
    location = /204 { return 204; }
    location = /301 { return 301 /page; }
    location = /chunked { gzip on; try_files /page =404; }
    location = /until-close { gzip on; chunked_transfer_encoding off; try_files /page =404; }
    location = /last { keepalive_timeout 0; try_files /page =404; }
    location /put/ { dav_methods PUT; alias DIR/files/; } } }";

/// Runs `script` where `glass` is our proxy's address, `http://10.78.0.1:8000` an nginx behind it and `:8001` a server
/// that answers with the files `*.raw`. `$proxy` is the proxy's process.
fn between(place: &Place, options: &str, script: &str) -> String {
    let dir = place.0.display().to_string();
    // Where nginx' worker writes it may be somebody else.
    for shared in ["files", "temp"] {
        fs::create_dir_all(place.0.join(shared)).unwrap();
        fs::set_permissions(place.0.join(shared), fs::Permissions::from_mode(0o777)).unwrap();
    }
    fs::write(place.0.join("nginx.conf"), NGINX.replace("DIR", &dir)).unwrap();
    fs::write(place.0.join("files/page"), [b'p'; 5000]).unwrap();
    fs::write(place.0.join("upstream.py"), include_str!("upstream.py")).unwrap();
    fs::write(place.0.join("index.raw"), "HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let tcpglass = env!("CARGO_BIN_EXE_tcpglass");
    place.run(&["-q"], &format!(
        "{tcpglass} proxy -q --name glass1 --addr 10.78.0.2/24 --addr fd78::2/64 --peer 10.78.0.1 --peer fd78::1 {options} & proxy=$!
         nginx -c {dir}/nginx.conf 2>/dev/null & nginx=$!
         python3 upstream.py 8001 & python=$!
         trap 'kill $proxy $nginx $python' EXIT
         ready() {{ for _ in $(seq 100); do curl -s -o /dev/null -m 5 $1 && return; sleep 0.1; done; echo not ready: $1; exit 1; }}
         ready http://10.78.0.2:3128/; ready http://10.78.0.1:8000/204; ready http://10.78.0.1:8001/index
         : >access; : >asked
         {script}"
    ))
}

const TOOLS: [&str; 3] = ["curl", "nginx", "python3"];
/// The proxy, for curl.
const THROUGH: &str = "-x http://10.78.0.2:3128";
/// What curl says of each transfer: status, bytes, new connections.
const CURL: &str = "curl -sS -m 20 -w '%{stderr}%{http_code} %{size_download} %{num_connects}|'";

/// That of several transfers, whose bodies nobody wants.
fn curl(arguments: &str) -> String {
    let outputs =
        "-o /dev/null ".repeat(arguments.matches("http://1").count() + arguments.matches("http://[").count());
    format!("{CURL} {outputs} {arguments} 2>&1; echo;")
}

#[test]
fn curl_and_nginx_agree_through_the_smart_proxy_as_without_it() {
    let Some(place) = place("curl_and_nginx_agree_through_the_smart_proxy_as_without_it", &TOOLS) else {
        return;
    };
    let (v4, v6) = ("http://10.78.0.1:8000", "http://[fd78::1]:8000");
    let big = 30_000_000;
    fs::write(place.0.join("big"), vec![b'x'; big]).unwrap();
    let cases = [
        format!("{v4}/page {v4}/page {v4}/204"),
        format!("{v6}/page {v6}/page"),
        format!("-I {v4}/page {v4}/page {v4}/chunked"),
        format!("-r 10-19 {v4}/page {v4}/page"),
        format!("-z 'Fri, 01 Jan 2100 00:00:00 GMT' {v4}/page {v4}/204"),
        format!("-H 'Accept-Encoding: gzip' {v4}/chunked {v4}/page"),
        format!("{v4}/301 {v4}/nothing {v4}/page"),
        format!("-d hello {v4}/page"),
        format!("-X OPTIONS {v4}/page"),
        format!("-H 'Expect: 100-continue' -T big {v4}/put/sized"),
        format!("-H 'Transfer-Encoding: chunked' -T big {v4}/put/chunked"),
        format!("{v4}/sized"),
        format!("-X FROB {v4}/page"),
        format!("-H 'Connection: close' {v4}/page {v4}/page"),
    ];
    let direct: String = cases.iter().map(|case| curl(case)).collect();
    let proxied: String = cases.iter().map(|case| curl(&format!("{THROUGH} {case}"))).collect();
    let script =
        format!("({direct}) >direct; ({proxied}) >proxied; cmp files/sized big; cmp files/chunked big");
    assert_eq!(between(&place, "", &script), "");
    let [direct, proxied] = ["direct", "proxied"].map(|file| String::from_utf8(place.read(file)).unwrap());
    // What was put there the first time is there the second.
    let direct = direct.replace("201 0 1|", "204 0 1|");
    for ((direct, proxied), case) in direct.lines().zip(proxied.lines()).zip(&cases) {
        assert_eq!(proxied, direct, "{case}");
    }
    assert_eq!((direct.lines().count(), proxied.lines().count()), (cases.len(), cases.len()));
    assert!(
        proxied.contains(&format!("200 {big} 1|")) && proxied.starts_with("200 5000 1|200 5000 0|204 0 0|\n")
    );

    let gzipped = proxied.lines().nth(5).unwrap().split(' ').nth(1).unwrap();

    // What ends one hop's connection does not end the other's: chunks where nginx closes, and the other way round.
    let cases = [
        (format!("{v4}/last {v4}/last"), "200 5000 1|200 5000 0|"),
        (
            format!("-H 'Accept-Encoding: gzip' {v4}/until-close {v4}/204"),
            &format!("200 {gzipped} 1|204 0 0|"),
        ),
        // RFC 9112 §9.3: a 1.0 client's connection is not kept, whatever it says.
        (format!("-0 {v4}/page {v4}/page"), "200 5000 1|200 5000 1|"),
        (format!("-0 -H 'Connection: keep-alive' {v4}/page {v4}/page"), "200 5000 1|200 5000 1|"),
        (format!("-0 -H 'Accept-Encoding: gzip' {v4}/chunked"), &format!("200 {gzipped} 1|")),
    ];
    let script: String = cases.iter().map(|(case, _)| curl(&format!("{THROUGH} {case}"))).collect();
    let out = between(&place, "", &script);
    for ((case, expected), line) in cases.iter().zip(out.lines()) {
        assert_eq!(line, *expected, "{case}");
    }
    let asked = String::from_utf8(place.read("access")).unwrap();
    assert_eq!(
        asked.matches(" HTTP/1.1|").count(),
        9,
        "each hop speaks its own version (RFC 9112 §2.3): {asked}"
    );
    assert_eq!(asked.matches("|1.0 10.78.0.2:3128\n").count(), 5, "{asked}");
}

#[test]
fn what_curl_says_to_the_proxy_alone_does_not_reach_nginx_rfc_9110_7_6_1() {
    let Some(place) = place("what_curl_says_to_the_proxy_alone_does_not_reach_nginx", &TOOLS) else { return };
    let fields = "-H 'Connection: keep-alive, X-Private, TE' -H 'Keep-Alive: timeout=9' -H 'X-Private: secret' -H 'X-Public: told'
        -H 'TE: trailers, deflate' -H 'Upgrade: websocket' -H 'Host: elsewhere' -U user:password"
        .replace('\n', " ");
    let script = curl(&format!("{THROUGH} {fields} 'http://10.78.0.1:8000/page?x=%41' "));
    assert_eq!(between(&place, "", &script), "200 5000 1|\n");
    let asked = String::from_utf8(place.read("access")).unwrap();
    assert_eq!(
        asked,
        "GET /page?x=%41 HTTP/1.1|10.78.0.1:8000|TE|-|-|-|trailers|-|-|told|1.1 10.78.0.2:3128\n"
    );
    let script = curl(&format!("{THROUGH} {fields} http://10.78.0.1:8000/page"));
    assert_eq!(
        between(&place, "--dumb --set http.keepalive=off", &format!("{script} kill $nginx")),
        "200 5000 1|\n"
    );
    let asked = String::from_utf8(place.read("access")).unwrap();
    for passed in ["keep-alive, X-Private, TE", "timeout=9", "secret", "websocket", "Basic "] {
        assert!(asked.contains(passed), "a dumb one passes on what it does not know: {asked}");
    }
}

#[test]
fn at_a_dumb_proxy_curl_hangs_on_keep_alive_and_at_a_smart_one_it_does_not_rfc_9112_c_2_2() {
    const TEST: &str = "at_a_dumb_proxy_curl_hangs_on_keep_alive_and_at_a_smart_one_it_does_not";
    let Some(place) = place(TEST, &TOOLS) else { return };
    // nginx keeps its end for 75 s; curl is not as patient.
    let twice = |fields| {
        let page = "http://10.78.0.1:8000/page";
        curl(&format!("-0 -m 3 {THROUGH} {fields} {page} {page}"))
    };
    let script = twice("-H 'Connection: close'") + &twice("-H 'Connection: keep-alive'");
    let out = between(&place, "--dumb", &script);
    let [closed, kept, told] = out.lines().collect::<Vec<_>>()[..] else { panic!("{out}") };
    assert_eq!(closed, "200 5000 1|200 5000 1|");
    assert!(kept.starts_with("200 5000 1|curl: (28) Operation timed out") && told == "000 0 0|", "{out}");
    let asked = String::from_utf8(place.read("access")).unwrap();
    assert_eq!(
        asked.lines().count(),
        3,
        "the second request on the kept connection was never looked at: {asked}"
    );
    assert_eq!(between(&place, "", &script), "200 5000 1|200 5000 1|\n200 5000 1|200 5000 1|\n");
    // Bodies go up as they come, however they are framed.
    fs::write(place.0.join("big"), vec![b'x'; 3_000_000]).unwrap();
    let put = |fields: &str| {
        curl(&format!("{THROUGH} -H 'Connection: close' {fields} -T big http://10.78.0.1:8000/put/big"))
            + "cmp big files/big; rm -f files/big;"
    };
    let script = put("")
        + &put("-H 'Transfer-Encoding: chunked'")
        + &put("-H 'Expect:' -H 'Transfer-Encoding: chunked'");
    assert_eq!(between(&place, "--dumb", &script), "201 0 1|\n201 0 1|\n201 0 1|\n");
}

#[test]
fn odd_answers_come_through_the_proxy_as_rfc_9112_6_and_9_say() {
    let Some(place) = place("odd_answers_come_through_the_proxy_as_rfc_9112_6_and_9_say", &TOOLS) else {
        return;
    };
    let url = "http://10.78.0.1:8001";
    let answers = [
        ("old", "HTTP/1.0 200 OK\r\n\r\nuntil the endCLOSE"),
        ("kept", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept"),
        ("race", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nraceCLOSE"),
        (
            "trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 42\r\nHost: evil\r\n\r\n",
        ),
        (
            "interim",
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            "both",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("folded", "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nX-Spaced : c\r\nContent-Length: 2\r\n\r\nok"),
        ("lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabcCLOSE"),
        ("coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcCLOSE"),
        ("short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcCLOSE"),
        ("half", "HTTP/1.1 200 OKCLOSE"),
        ("nothing", "CLOSE"),
        ("ssh", "SSH-2.0-x\r\nCLOSE"),
        (
            "unasked",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        ),
        ("reset", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (name, bytes) in answers {
        fs::write(place.0.join(format!("{name}.raw")), bytes).unwrap();
    }
    let get = |path: &str| format!("curl -sS -m 20 -i {THROUGH} {url}/{path} 2>&1; echo; echo ====;");
    let paths = [
        "old", "trailers", "interim", "both", "folded", "lengths", "coding", "short", "half", "nothing",
        "ssh",
    ];
    let script: String = paths.iter().map(|path| get(path)).collect();
    let out = between(&place, "", &script);
    let told: Vec<&str> = out.split("====\n").collect();
    for (told, (path, has, has_not)) in told.iter().zip([
        ("old", "Transfer-Encoding: chunked\r\nConnection: keep-alive", "Content-Length"),
        ("trailers", "Trailer: X-Sum\r\n", "evil"),
        ("interim", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nVia: 1.1 10.78.0.2:3128\r\n\r\nHTTP/1.1 102 Processing", "100"),
        ("both", "Transfer-Encoding: chunked", "Content-Length"),
        ("folded", "X-Folded: a   b\r\nX-Spaced: c\r\n", " : "),
        ("lengths", "HTTP/1.1 502 Bad Gateway", "abc"),
        ("coding", "HTTP/1.1 502 Bad Gateway", "abc"),
        ("short", "transfer closed with", "502"),
        ("half", "HTTP/1.1 502 Bad Gateway", "200"),
        ("nothing", "HTTP/1.1 502 Bad Gateway", "200"),
        ("ssh", "HTTP/1.1 502 Bad Gateway", "SSH-2.0"),
    ]) {
        let told = told.replace("502 Bad Gateway: the server's answer cannot be understood", "").replace("Recv failure: Connection reset by peer", "transfer closed with");
        assert!(told.contains(has) && !told.contains(has_not), "{path}: {told}");
    }
    // Trailers go on behind the chunks, and are asked for where the client asked.
    let raw = format!(
        "printf 'GET {url}/trailers HTTP/1.1\\r\\nHost: a\\r\\nTE: trailers\\r\\nConnection: TE, close\\r\\n\\r\\n' | curl -sS -m 20 telnet://10.78.0.2:3128"
    );
    let out = between(&place, "", &raw);
    assert!(out.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n"), "{out}");
    let asked = String::from_utf8(place.read("asked")).unwrap();
    assert!(asked.contains("TE: trailers\r\nConnection: TE\n"), "{asked}");
    // What came before an early end comes through, whatever the reader's speed; without a length a RST says that it is not all.
    let cut = |framing: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes(), body, b"CLOSE"].concat()
    };
    fs::write(place.0.join("cut.raw"), cut("Content-Length: 9000000", &vec![b'x'; 1_000_000])).unwrap();
    let chunk = [b"f4240\r\n", &vec![b'x'; 1_000_000][..], b"\r\n"].concat();
    fs::write(place.0.join("chunks.raw"), cut("Transfer-Encoding: chunked", &chunk)).unwrap();
    let told = |options: &str, file: &str| {
        format!(
            "curl -s -m 20 {options} -o /dev/null {THROUGH} -w '%{{size_download}} %{{exitcode}}\\n' {url}/{file};"
        )
    };
    let script: String = [("", "cut"), ("--limit-rate 1M", "cut"), ("", "chunks"), ("-0", "chunks")]
        .map(|(o, f)| told(o, f))
        .concat();
    assert_eq!(between(&place, "", &(script + "true")), "1000000 18\n1000000 18\n1000000 18\n1000000 56\n");
    // A kept connection that the server has closed, and bytes that nobody asked for, cost the next request nothing.
    let script =
        curl(&format!("{THROUGH} {url}/kept {url}/race {url}/kept {url}/unasked {url}/kept {url}/reset"));
    assert_eq!(between(&place, "", &script), "200 4 1|200 4 0|200 4 0|200 2 0|200 4 0|205 0 0|\n");
    let asked = String::from_utf8(place.read("asked")).unwrap();
    let conns: Vec<char> =
        asked.lines().filter(|l| l.contains("] GET ")).map(|l| l.chars().nth(1).unwrap()).collect();
    assert!(conns.windows(2).enumerate().all(|(n, pair)| (pair[0] == pair[1]) == (n % 2 == 0)), "{asked}");
}

#[test]
fn a_dead_and_a_deaf_server_are_told_by_the_proxy_rfc_9110_15_6() {
    let Some(place) = place("a_dead_and_a_deaf_server_are_told_by_the_proxy", &TOOLS) else { return };
    let script: String =
        ["http://10.78.0.1:8009/", "http://nowhere.invalid:8000/", "http://10.78.0.1:8001/deaf"]
            .map(|url| curl(&format!("{THROUGH} {url}").replace("http://nowhere", "http://1nowhere")))
            .concat();
    let out = between(&place, "--set http.body_timeout=1s", &script);
    assert_eq!(out.replace(char::is_numeric, "").lines().count(), 3, "{out}");
    let statuses: Vec<&str> = out.lines().map(|line| &line[..3]).collect();
    assert_eq!((statuses[0], statuses[2]), ("502", "504"), "{out}");
    assert!(["502", "504"].contains(&statuses[1]), "{out}");
}

#[test]
fn a_tunnel_goes_to_the_ports_that_are_allowed_rfc_9110_9_3_6() {
    let Some(place) = place("a_tunnel_goes_to_the_ports_that_are_allowed", &TOOLS) else { return };
    let big = 20_000_000;
    fs::write(place.0.join("big"), vec![b'x'; big]).unwrap();
    let tunnel = |arguments: &str| curl(&format!("-p {THROUGH} {arguments}"));
    let (v4, v6) = ("http://10.78.0.1:8000", "http://[fd78::1]:8000");
    let script = tunnel(&format!("{v4}/page {v4}/204"))
        + &tunnel(&format!("{v6}/page"))
        + &tunnel(&format!("-T big {v4}/put/up"))
        + &tunnel(&format!("{v4}/up"))
        + &tunnel("http://10.78.0.1:8009/")
        + "cmp big files/up";
    let out = between(&place, "--tunnels 443,8000-8009", &script);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines[..4],
        ["200 5000 1|204 0 0|", "200 5000 1|", "201 0 1|", &format!("200 {big} 1|")],
        "{out}"
    );
    assert!(lines[4].contains("CONNECT tunnel failed, response 502"), "{out}");
    let asked = String::from_utf8(place.read("access")).unwrap();
    assert!(!asked.contains("10.78.0.2"), "nobody adds a Via in a tunnel: {asked}");
    for (options, status) in [("", "403"), ("--tunnels none", "403"), ("--upstream 10.78.0.1:8000", "501")] {
        let out = between(&place, options, &tunnel(&format!("{v4}/page")));
        assert!(out.contains(&format!("CONNECT tunnel failed, response {status}")), "{options}: {out}");
    }
}

#[test]
fn our_client_asks_a_proxy_for_all_that_it_gets_rfc_9112_3_2_2() {
    let Some(place) = place("our_client_asks_a_proxy_for_all_that_it_gets", &TOOLS) else { return };
    let ours = |command: &str| {
        let tcpglass = env!("CARGO_BIN_EXE_tcpglass");
        format!("{tcpglass} {command} --name glass2 --addr 10.79.0.2/24 --peer 10.79.0.1")
    };
    let (proxy, url) = ("-x http://10.78.0.2:3128", "http://10.78.0.1:8000");
    let script = [
        "echo 1 > /proc/sys/net/ipv4/ip_forward".to_owned(),
        // Where the environment says that there is one, nobody is asked.
        format!("export http_proxy=http://10.78.0.1:8009; {} {proxy} {url}/page -o page", ours("get")),
        "cmp page files/page".to_owned(),
        format!("{} --json {proxy} {url}/page {url}/204 http://10.78.0.1:8009/ {url}/page", ours("get")),
        format!("{} --json {proxy} --pipeline 4 -c 2 -n 200 {url}/page", ours("load")),
        format!("set +e; {} -x http://10.78.0.2:3129 {url}/page 2>&1; echo $?", ours("get")),
    ];
    let out = between(&place, "", &format!("set -e; {}", script.join("\n")));
    let lines: Vec<&str> = out.lines().collect();
    let got: Value = serde_json::from_str(lines[0]).unwrap();
    schema::holds("get-2", &got);
    let told: Vec<_> = (got["exchanges"].as_array().unwrap().iter())
        .map(|e| {
            (e["status"].as_u64().unwrap(), e["connection"].as_u64().unwrap(), e["remote"].as_str().unwrap())
        })
        .collect();
    let remote = "10.78.0.2:3128";
    assert_eq!(told, [(200, 1, remote), (204, 1, remote), (502, 1, remote), (200, 1, remote)], "{out}");
    for exchange in got["exchanges"].as_array().unwrap() {
        let parts = exchange["ledger_us"].as_object().unwrap().values().map(|us| us.as_u64().unwrap());
        assert_eq!(parts.sum::<u64>(), exchange["total_us"].as_u64().unwrap());
    }
    let loaded: Value = serde_json::from_str(lines[1]).unwrap();
    schema::holds("load-2", &loaded);
    assert_eq!((&loaded["answered"], &loaded["bytes"]), (&200.into(), &1_000_000.into()), "{out}");
    assert!(lines[2].contains("/page through http://10.78.0.2:3129: cannot connect"), "{out}");
    assert_eq!(lines[3], "3", "refused: {out}");
    let asked = String::from_utf8(place.read("access")).unwrap();
    let line = "GET /page HTTP/1.1|10.78.0.1:8000|-|-|-|-|-|-|-|-|1.1 10.78.0.2:3128";
    assert_eq!(asked.lines().filter(|asked| *asked == line).count(), 203, "{asked}");
}

#[test]
fn a_slow_side_of_the_proxy_slows_the_other_and_fills_no_memory() {
    let Some(place) = place("a_slow_side_of_the_proxy_slows_the_other_and_fills_no_memory", &TOOLS) else {
        return;
    };
    fs::create_dir_all(place.0.join("files")).unwrap();
    for file in ["files/huge", "huge"] {
        fs::File::create(place.0.join(file)).unwrap().set_len(1 << 30).unwrap();
    }
    let slow = "-m 2 -o /dev/null --limit-rate 100K";
    let script = format!(
        "rss() {{ grep VmRSS /proc/$proxy/status | tr -dc 0-9; echo; }}
         curl -s -o /dev/null {THROUGH} http://10.78.0.1:8000/page; rss
         for n in 1 2 3 4; do
           curl -s {slow} {THROUGH} http://10.78.0.1:8000/huge & a=$!
           curl -s {slow} -p {THROUGH} http://10.78.0.1:8000/huge & b=$!
           curl -s -m 2 -o /dev/null -T huge {THROUGH} http://10.78.0.1:8001/deaf & c=$!
           sleep 1; rss; wait $a $b $c || true
         done"
    );
    // Six connections at a time, each with two buffers of the stack.
    let small = "--tunnels any --set tcp.recv_buffer=256KiB --set tcp.send_buffer=256KiB";
    let out = between(&place, small, &script);
    let kib: Vec<u64> = out.lines().map(|line| line.parse().unwrap()).collect();
    let grown = kib.iter().max().unwrap() - kib[0];
    assert!(kib.len() == 5 && grown < 30 << 10, "KiB at the beginning, and under load: {kib:?}");
}

#[test]
fn slowhttptest_does_not_hold_the_smart_proxy() {
    const TEST: &str = "slowhttptest_does_not_hold_the_smart_proxy";
    let Some(place) = place(TEST, &["curl", "nginx", "python3", "slowhttptest"]) else { return };
    fs::create_dir_all(place.0.join("files/bytes")).unwrap();
    fs::write(place.0.join("files/bytes/10"), "0123456789").unwrap();
    fs::write(place.0.join("files/bytes/1000000"), vec![b'x'; 1_000_000]).unwrap();
    for attack in super::http::SLOW {
        let script = attack.script("http://10.78.0.2:3128", "http://10.78.0.2:3128/bytes/10");
        let out = between(&place, "--upstream 10.78.0.1:8000 --set http.max_connections=25", &script);
        assert_eq!(out, super::http::ATTACKED, "{attack:?}");
    }
}

#[test]
fn what_a_proxy_says_of_itself_is_as_its_schema_says() {
    let Some(place) = place("what_a_proxy_says_of_itself_is_as_its_schema_says", &TOOLS) else { return };
    let script = "curl -sS -m 20 -o /dev/null -x http://10.78.0.2:3128 http://10.78.0.1:8000/page
         curl -sS -m 20 -o /dev/null -p -x http://10.78.0.2:3128 http://10.78.0.1:8000/page
         kill $proxy; wait $proxy; cat told";
    let told: Value = serde_json::from_str(&between(&place, "--tunnels any --json >told", script)).unwrap();
    schema::holds("proxy-1", &told);
    // The first asked whether the proxy was there.
    assert_eq!(
        (&told["clients"], &told["requests"], &told["tunnels"]),
        (&3.into(), &2.into(), &1.into()),
        "{told}"
    );
}
