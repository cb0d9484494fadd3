use super::*;
use proptest::prelude::*;

fn find(bytes: &[u8], lines: Lines) -> Result<Option<usize>, BadHead> {
    Scan::default().find(bytes, lines)
}

/// What a server makes of a whole request head.
fn request(text: &str) -> Result<RequestHead, u16> {
    let end = find(text.as_bytes(), Lines::Strict).map_err(|_| 400u16)?.expect("a whole head");
    parse_request(&text.as_bytes()[..end]).map_err(|r| r.status.as_u16())
}

#[test]
fn request_heads_are_read_strictly_rfc_9112_2_to_5() {
    for (what, text, expected) in [
        ("the simplest one", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("/")),
        ("1.0 without Host", "GET /x HTTP/1.0\r\n\r\n", Ok("/x")),
        ("a higher minor version is 1.1, RFC 9110 §2.5", "GET /x HTTP/1.7\r\nHost: a\r\n\r\n", Ok("/x")),
        ("spaces around a value", "GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", Ok("/")),
        ("an empty value", "GET / HTTP/1.1\r\nHost:\r\nX:\r\n\r\n", Ok("/")),
        ("§3.2.2 absolute-form", "GET http://b:80/p?q HTTP/1.1\r\nHost: a\r\n\r\n", Ok("/p?q")),
        ("§3.2.2 absolute-form without a path", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", Ok("/")),
        ("§3.2.2 absolute-form with IPv6", "GET http://[::1]:8080/x HTTP/1.1\r\nHost: a\r\n\r\n", Ok("/x")),
        ("§3.2.3 authority-form", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", Ok("a:443")),
        ("§3.2.4 asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok("*")),
        ("§2.2 LF without CR", "GET / HTTP/1.1\nHost: a\n\n", Err(400)),
        ("§2.2 LF without CR in one field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Err(400)),
        ("§2.2 CR within a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", Err(400)),
        ("§2.2 CR within the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§2.2 white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(400)),
        ("§3 two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3 a trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Err(400)),
        ("§3 no version", "GET /\r\nHost: a\r\n\r\n", Err(400)),
        ("§2.3 a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§2.3 another major version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(505)),
        ("§2.3 two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", Err(400)),
        ("RFC 9110 §9.1 a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2 a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2 letters beyond ASCII", "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2 neither form", "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.2 another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.2 user information", "GET http://u:p@h/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.2 a port beyond 65535", "GET http://h:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.2 no host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.3 CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2.4 an asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
        ("§3.2 no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", Err(400)),
        ("§3.2 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Err(400)),
        ("§3.2 two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Err(400)),
        ("§3.2 a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Err(400)),
        ("§3.2 Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(400)),
        ("§3.2 Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Err(400)),
        ("§3.2 Host with a port that is none", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", Err(400)),
        ("§3.2 a missing Host beside absolute-form", "GET http://b/ HTTP/1.1\r\n\r\n", Err(400)),
        ("§5.1 a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err(400)),
        ("§5.1 a name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", Err(400)),
        ("§5.1 no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", Err(400)),
        ("§5.2 a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", Err(400)),
        ("RFC 9110 §5.5 NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", Err(400)),
    ] {
        let parsed = request(text);
        let path = parsed.as_ref().map(RequestHead::path_and_query).map_err(|e| *e);
        assert_eq!(path, expected, "{what}");
    }
}

#[test]
fn absolute_form_goes_before_host_rfc_9112_3_2_2() {
    let head = request("GET http://b:81/p?q=1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.authority(), Some("b:81"));
    assert_eq!((head.path(), head.query()), ("/p", Some("q=1")));
    let head = request("GET /p HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.authority(), head.query()), (Some("a"), None));
    let head = request("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.query()), ("/", Some("q")));
}

#[test]
fn what_goes_to_the_next_hop_is_path_and_query_as_they_came_rfc_9112_3_2_1_and_3_2_4() {
    for (line, expected) in [
        ("GET http://a HTTP/1.1", "/"),
        ("GET http://a?q=%41 HTTP/1.1", "/?q=%41"),
        ("GET http://a/x//../y?z HTTP/1.1", "/x//../y?z"),
        ("GET /x HTTP/1.1", "/x"),
        ("OPTIONS http://a HTTP/1.1", "*"),
        ("OPTIONS http://a/ HTTP/1.1", "/"),
        ("OPTIONS http://a?q HTTP/1.1", "/?q"),
        ("OPTIONS * HTTP/1.1", "*"),
    ] {
        assert_eq!(request(&format!("{line}\r\nHost: a\r\n\r\n")).unwrap().origin_form(), expected, "{line}");
    }
}

#[test]
fn authorities_are_hosts_with_an_optional_port_rfc_3986_3_2() {
    for (text, valid) in [
        ("a", true),
        ("a.example:80", true),
        ("a:", true),
        ("10.0.0.1:65535", true),
        ("[fd77::2]", true),
        ("[fd77::2]:80", true),
        ("a%20b", true),
        ("", false),
        (":80", false),
        ("a:65536", false),
        ("a:+1", false),
        ("a%2", false),
        ("[fd77::2", false),
        ("[fd77::2]80", false),
        ("[10.0.0.1]", false),
        ("fd77::2", false),
        ("a b", false),
        ("u@a", false),
    ] {
        assert_eq!(is_authority(text), valid, "{text:?}");
    }
}

fn response(text: &str) -> Result<ResponseHead, BadHead> {
    let end = find(text.as_bytes(), Lines::Lenient)?.expect("a whole head");
    parse_response(&text.as_bytes()[..end])
}

#[test]
fn response_heads_are_read_leniently_where_that_is_harmless_rfc_9112_4() {
    for (what, text, expected) in [
        ("the usual", "HTTP/1.1 200 OK\r\n\r\n", Some((200, "OK"))),
        ("no reason", "HTTP/1.1 200 \r\n\r\n", Some((200, ""))),
        ("not even its space", "HTTP/1.1 200\r\n\r\n", Some((200, ""))),
        ("LF only, §2.2", "HTTP/1.1 404 Not Found\nX: y\n\n", Some((404, "Not Found"))),
        ("an unknown status", "HTTP/1.1 599 What\r\n\r\n", Some((599, "What"))),
        ("status 099", "HTTP/1.1 099 No\r\n\r\n", None),
        ("two digits", "HTTP/1.1 20 OK\r\n\r\n", None),
        ("four digits", "HTTP/1.1 2000 OK\r\n\r\n", None),
        ("another protocol", "SSH-2.0-x\r\n\r\n", None),
        ("another major version", "HTTP/2.0 200 OK\r\n\r\n", None),
        ("a space before the colon, §5.1", "HTTP/1.1 200 OK\r\nX \t: y\r\n\r\n", Some((200, "OK"))),
        ("a space within the name, §5.1", "HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", None),
        ("nothing but space before the colon, §5.1", "HTTP/1.1 200 OK\r\nX: y\r\n \r\n: z\r\n\r\n", None),
    ] {
        let head = response(text).ok();
        assert_eq!(head.as_ref().map(|h| (h.status.as_u16(), h.reason.as_str())), expected, "{what}");
    }
}

#[test]
fn a_folded_line_of_a_response_becomes_spaces_rfc_9112_5_2() {
    let head = response("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nY: d\r\n\r\n").unwrap();
    assert_eq!(head.fields.text("X"), Some("a   b  \tc"));
    assert_eq!(head.fields.text("Y"), Some("d"));
    let head = response("HTTP/1.1 200 OK\nX: a\n b\n\n").unwrap();
    assert_eq!(head.fields.text("X"), Some("a  b"));
    let head = response("HTTP/1.1 200 OK\r\nX : a\r\n b : c\r\nContent-Length\t: 5\r\n\r\n").unwrap();
    assert_eq!((head.fields.text("X"), head.fields.text("Content-Length")), (Some("a   b : c"), Some("5")));
}

proptest! {
    #[test]
    fn a_head_is_found_at_the_same_place_however_it_comes(
        bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..100),
        cut in 0usize..100,
        lenient in any::<bool>(),
    ) {
        let lines = if lenient { Lines::Lenient } else { Lines::Strict };
        let whole = find(&bytes, lines);
        let mut scan = Scan::default();
        let mut piecewise = Ok(None);
        for end in [cut.min(bytes.len()), bytes.len()] {
            piecewise = scan.find(&bytes[..end], lines);
            if piecewise != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(piecewise, whole);
    }

    #[test]
    fn arbitrary_heads_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut head = bytes;
        head.extend_from_slice(b"\r\n\r\n");
        // Whatever is accepted has a path that starts where it should.
        if let Ok(request) = parse_request(&head) {
            prop_assert!(!request.path_and_query().is_empty());
        }
        if let Ok(response) = parse_response(&head) {
            prop_assert!(response.status.as_u16() >= 100);
        }
    }
}
