//! Do curl, nginx, wrk and slowhttptest agree with our HTTP on where messages end and connections go on?

use super::*;
use serde_json::Value;

#[test]
fn curl_and_our_server_agree_on_framing() {
    let Some(place) = place("curl_and_our_server_agree_on_framing", &["curl"]) else { return };
    let big = "x".repeat(10_000);
    let long = "x".repeat(20_000);
    // Status, bytes and new connections of each of curl's transfers.
    for (what, arguments, expected) in [
        ("chunks", "http://10.77.0.2/chunked/3000 http://10.77.0.2/bytes/1", "200 3000 1|200 1 0|".into()),
        (
            "no chunk but the last",
            "http://10.77.0.2/chunked/0 http://10.77.0.2/bytes/1",
            "200 0 1|200 1 0|".into(),
        ),
        ("HEAD", "-I http://10.77.0.2/bytes/9 http://10.77.0.2/chunked/9", "200 0 1|200 0 0|".into()),
        ("204", "http://10.77.0.2/status/204 http://10.77.0.2/bytes/1", "204 0 1|200 1 0|".into()),
        ("205", "http://10.77.0.2/status/205 http://10.77.0.2/bytes/1", "205 0 1|200 1 0|".into()),
        (
            "304",
            "-H 'If-None-Match: \"bytes-9\"' http://10.77.0.2/bytes/9 http://10.77.0.2/bytes/1",
            "304 0 1|200 1 0|".into(),
        ),
        ("1xx", "http://10.77.0.2/status/103 http://10.77.0.2/bytes/1", "200 43 1|200 1 0|".into()),
        (
            "100-continue",
            "-H 'Expect: 100-continue' -d hello http://10.77.0.2/echo http://10.77.0.2/echo",
            "200 5 1|200 5 0|".into(),
        ),
        (
            "100-continue in chunks",
            "-H 'Expect: 100-continue' -H 'Transfer-Encoding: chunked' -d hello http://10.77.0.2/echo http://10.77.0.2/echo",
            "200 5 1|200 5 0|".into(),
        ),
        (
            "until the end, to HTTP/1.0",
            "-0 http://10.77.0.2/chunked/3000 http://10.77.0.2/bytes/1",
            "200 3000 1|200 1 1|".into(),
        ),
        (
            "HTTP/1.0 kept",
            "-0 -H 'Connection: keep-alive' http://10.77.0.2/bytes/9 http://10.77.0.2/bytes/1",
            "200 9 1|200 1 0|".into(),
        ),
        (
            "said to be the last",
            "http://10.77.0.2/close http://10.77.0.2/bytes/1",
            "200 41 1|200 1 1|".into(),
        ),
        (
            "a range",
            "-r 10-19 http://10.77.0.2/bytes/100 http://10.77.0.2/bytes/100",
            "206 10 1|206 10 0|".into(),
        ),
        (
            "a large head",
            &*format!("-H 'X: {big}' http://10.77.0.2/bytes/9 http://10.77.0.2/bytes/1"),
            "200 9 1|200 1 0|".into(),
        ),
        ("too large a head", &*format!("-H 'X: {long}' http://10.77.0.2/bytes/9"), "431".to_owned()),
    ] {
        let transfers = arguments.matches("http://").count();
        let out = place.run(&["-q"], &format!(
            "curl -sS -w '%{{stderr}}%{{http_code}} %{{size_download}} %{{num_connects}}|' {} {arguments} 2>&1 >/dev/null",
            "-o /dev/null ".repeat(transfers)
        ));
        assert!(if expected == "431" { out.starts_with("431") } else { out == expected }, "{what}: {out}");
    }
}

const NGINX: &str = "daemon off; worker_processes 1; pid DIR/pid; error_log DIR/log;
events {}
http { access_log off; gzip_types *; gzip_min_length 1; gzip_comp_level 1;
server { listen 8000; root DIR; if_modified_since before;
  location = /204 { return 204; }
  location = /head { add_header X-Big HEAD; try_files /page =404; }
  location = /chunked { gzip on; add_trailer X-Trailer done; try_files /page =404; }
  location = /until-close { gzip on; chunked_transfer_encoding off; try_files /page =404; }
  location = /last { keepalive_timeout 0; try_files /page =404; } } }";

/// What `get` says of these URLs of an nginx.
fn of_nginx(place: &Place, arguments: &str, paths: &[&str]) -> Vec<Value> {
    let dir = place.0.display().to_string();
    let config = NGINX.replace("DIR", &dir).replace("HEAD", &"y".repeat(3000));
    fs::write(place.0.join("nginx.conf"), config).unwrap();
    fs::write(place.0.join("page"), [b'p'; 5000]).unwrap();
    fs::write(place.0.join("empty"), []).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
    command.args(["get", "--json", "--with"]).arg(format!("exec nginx -c {dir}/nginx.conf 2>/dev/null"));
    command.args(paths.iter().map(|path| format!("http://10.77.0.1:8000/{path}"))).stdin(Stdio::null());
    let output = command.args(arguments.split(' ').filter(|a| !a.is_empty())).output().unwrap();
    let value: Value = serde_json::from_str(&succeeded(output, arguments)).unwrap();
    value["exchanges"].as_array().unwrap().clone()
}

#[test]
fn nginx_and_our_client_agree_on_framing() {
    let Some(place) = place("nginx_and_our_client_agree_on_framing", &["nginx"]) else { return };
    let paths = ["page", "204", "empty", "head", "chunked", "until-close", "page", "last", "page", "none"];
    let got = of_nginx(&place, "-H Accept-Encoding:gzip", &paths);
    let told: Vec<_> = got.iter().map(|e| (e["status"].as_u64().unwrap(), e["reused"] == true)).collect();
    let (new, kept) = ((200, false), (200, true));
    assert_eq!(told, [new, (204, true), kept, kept, kept, kept, new, kept, new, (404, true)]);
    assert!(got.iter().all(|e| e["error"].is_null() && e["retried"] == false));
    for (path, bytes) in [(0, 5000), (1, 0), (2, 0), (3, 5000), (6, 5000), (7, 5000)] {
        assert_eq!(got[path]["bytes"], bytes, "{}", paths[path]);
    }
    let heads = of_nginx(&place, "-X HEAD", &["page", "204", "chunked", "page"]);
    assert!(heads.iter().all(|e| e["bytes"] == 0 && e["error"].is_null() && e["connection"] == 1));
    // Pipelined: in order, on one connection, and the rest of what nginx closes on is fetched anew.
    let piped = of_nginx(&place, "--pipeline 8 --repeat 300", &["page", "204", "empty", "head"]);
    assert_eq!(piped.len(), 1200);
    assert!(piped.iter().all(|e| e["error"].is_null()));
    assert!(piped.iter().filter(|e| e["pipelined"] == true).count() > 900, "nginx closes after 1000");
    for exchange in &piped {
        let url = exchange["url"].as_str().unwrap();
        let bytes = if url.ends_with("page") || url.ends_with("head") { 5000 } else { 0 };
        assert_eq!(exchange["bytes"], bytes, "{url}");
    }
}

#[test]
fn load_gets_an_answer_to_every_request_from_nginx() {
    let Some(place) = place("load_gets_an_answer_to_every_request_from_nginx", &["nginx"]) else { return };
    of_nginx(&place, "", &["page"]);
    let with = format!("exec nginx -c {}/nginx.conf 2>/dev/null", place.0.display());
    for options in ["", "--pipeline 8", "--no-keepalive", "--rate 2000"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tcpglass"));
        command.args(["load", "--json", "-c", "8", "-n", "2000", "--with", &with]);
        command.args(options.split(' ').filter(|o| !o.is_empty())).arg("http://10.77.0.1:8000/page");
        let value: Value = serde_json::from_str(&succeeded(command.output().unwrap(), options)).unwrap();
        assert_eq!(
            (&value["schema"], &value["answered"]),
            (&"tcpglass.load/2".into(), &2000.into()),
            "{options}"
        );
        assert_eq!((&value["failed"], &value["bytes"]), (&0.into(), &10_000_000.into()), "{options}");
        assert_eq!(value["latency_us"]["count"], 2000);
    }
}

#[test]
fn wrk_that_pipelines_sees_no_error() {
    let Some(place) = place("wrk_that_pipelines_sees_no_error", &["wrk"]) else { return };
    let script = "init = function() local r = {} for i = 1, 16 do r[i] = wrk.format(nil, '/bytes/100') end
        all = table.concat(r) end\nrequest = function() return all end";
    fs::write(place.0.join("pipeline.lua"), script).unwrap();
    let out = place.run(&["-q"], "wrk -t 1 -c 16 -d 1 --timeout 30s -s pipeline.lua http://10.77.0.2/ 2>&1");
    assert!(out.contains("requests in") && !out.contains("Socket errors"), "{out}");
    assert!(!out.contains("Non-2xx") && !out.contains("\n  0 requests"), "{out}");
}

#[test]
fn slowhttptest_does_not_hold_the_server() {
    const TEST: &str = "slowhttptest_does_not_hold_the_server";
    let Some(place) = place(TEST, &["slowhttptest", "curl"]) else { return };
    for attack in SLOW {
        let script = attack.script("http://10.77.0.2", "http://10.77.0.2/bytes/1000");
        let out = place.run(&["-q", "--set", "http.max_connections=25"], &script);
        assert_eq!(out, ATTACKED, "{attack:?}");
    }
}

/// A mode of slowhttptest with its options, and the path that it asks for.
#[derive(Debug)]
pub struct Slow(&'static str, &'static str);

/// Heads and bodies that come byte by byte, answers that are read so, and ranges.
pub const SLOW: [Slow; 4] = [
    Slow("-H -i 1", "/bytes/10"),
    Slow("-B -i 1 -x 240", "/echo"),
    Slow("-X -w 10 -y 20 -n 1 -z 5", "/bytes/1000000"),
    Slow("-R", "/bytes/10"),
];

/// Everybody else is answered, and slowhttptest itself says so.
pub const ATTACKED: &str = "200 200 200 200 200 not once unavailable\n";

impl Slow {
    /// Four times as many attackers as there are connections; what curl gets at `page` meanwhile, and the verdict.
    pub fn script(&self, base: &str, page: &str) -> String {
        let Slow(mode, path) = self;
        format!(
            "slowhttptest {mode} -c 100 -r 200 -l 6 -p 5 -u {base}{path} >verdict 2>&1 & attack=$!
             sleep 1; for i in 1 2 3 4 5; do curl -sS -m 50 -o /dev/null -w '%{{http_code}} ' {page}; sleep 0.5; done
             wait $attack; grep -a available: verdict | grep -q YES || cat verdict
             grep -a available: verdict | grep -q NO || echo not once unavailable"
        )
    }
}

#[test]
fn files_whose_names_are_not_in_memory_are_opened_beside_the_stack() {
    let Some(place) = place("files_whose_names_are_not_in_memory_are_opened_beside_the_stack", &["curl"])
    else {
        return;
    };
    let paths = ["kernel/ostype", "kernel", "kernel/", "kernel/none", "bytes/10"];
    let urls: String = paths.iter().map(|path| format!(" -o /dev/null http://10.77.0.2/{path}")).collect();
    // Names below /proc/sys are asked for each time, so a helper has to.
    let script = format!("curl -sS -m 20 -w '%{{http_code}} %{{redirect_url}}|' {urls}");
    let out = place.run(&["-q", "--root", "/proc/sys"], &script);
    assert_eq!(out, "200 |301 http://10.77.0.2/kernel/|404 |404 |200 |");
}

#[test]
fn a_disk_that_does_not_answer_holds_up_who_asks_for_its_files_and_nobody_else() {
    const TEST: &str = "a_disk_that_does_not_answer_holds_up_who_asks_for_its_files_and_nobody_else";
    let Some(place) = place(TEST, &["curl", "python3", "unshare"]) else { return };
    if !rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/fuse").exists() {
        return println!("skipped: {TEST} needs root and /dev/fuse");
    }
    fs::write(place.0.join("slow_disk.py"), include_str!("slow_disk.py")).unwrap();
    fs::create_dir_all(place.0.join("root")).unwrap();
    let asks = "curl -sS -m 30 -o late http://10.77.0.2/file & asking=$!
        until test -e asked; do sleep 0.1; done
        curl -sS -m 30 http://10.77.0.2/bytes/10; curl -sS -m 30 http://10.77.0.2/bytes/20
        test -s late && echo too early; touch go; wait $asking; cat late";
    let script = format!(
        "python3 slow_disk.py root 2>/dev/null & disk=$!
         until mountpoint -q root; do kill -0 $disk || exit 1; sleep 0.1; done
         {} run -q --root root -- sh -c '{asks}'; code=$?
         umount root; kill $disk; exit $code",
        env!("CARGO_BIN_EXE_tcpglass")
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).current_dir(&place.0).stdin(Stdio::null());
    let out = succeeded(command.output().unwrap(), &script);
    assert_eq!(out, ["0000000000", "0000000000000000 The", "late"].concat());
}
