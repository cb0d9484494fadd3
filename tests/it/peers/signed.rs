//! Does Linux believe our signatures, and do we believe its? (RFC 2385)

use super::place;

/// Fetches a page with Linux' TCP_MD5SIG; arguments: host, key. Prints the size, or the error.
const CLIENT: &str = r#"
import socket, struct, sys
host, key = sys.argv[1], sys.argv[2].encode()
six = ":" in host
family = socket.AF_INET6 if six else socket.AF_INET
if six:
    to = struct.pack("HHI16sI", family, 0, 0, socket.inet_pton(family, host), 0)
else:
    to = struct.pack("HH4s", family, 0, socket.inet_aton(host))
s = socket.socket(family)
s.settimeout(1.5)
if key:
    try:
        s.setsockopt(6, 14, to.ljust(128, b"\0") + struct.pack("BBHi", 0, 0, len(key), 0) + key.ljust(80, b"\0"))
    except OSError as error:
        print("no keys:", error)
        sys.exit()
try:
    s.connect((host, 80))
except OSError as error:
    print("timed out" if isinstance(error, TimeoutError) else error)
    sys.exit()
s.sendall(b"GET /bytes/300000 HTTP/1.0\r\n\r\n")
got = b"".join(iter(lambda: s.recv(65536), b""))
print(len(got.split(b"\r\n\r\n", 1)[1]))
"#;

#[test]
fn linux_and_we_verify_each_others_signatures() {
    let Some(place) = place("linux_and_we_verify_each_others_signatures", &["python3"]) else { return };
    std::fs::write(place.0.join("client.py"), CLIENT).unwrap();
    let script = "for host in 10.77.0.2 fd77::2; do
        python3 client.py $host secret; python3 client.py $host Secret; python3 client.py $host ''
    done";
    let out = place.run(&["-q", "--set", "tcp.md5_key=text:secret"], script);
    if out.contains("no keys") {
        println!("skipped: linux_and_we_verify_each_others_signatures needs CONFIG_TCP_MD5SIG");
        return;
    }
    assert_eq!(out, "300000\ntimed out\ntimed out\n".repeat(2));
}
