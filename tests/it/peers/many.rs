//! Are many connections as good as one? At once, and one after the other, from kernel sockets.

use super::inside;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    // Nothing may hang for ever: a test that waits in vain should say where.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, bytes: usize) {
    write!(stream, "GET /bytes/{bytes} HTTP/1.1\r\nHost: glass\r\nConnection: close\r\n\r\n").unwrap();
}

/// Reads to the end: the head and so many bytes.
fn answered(stream: &mut TcpStream, bytes: usize) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - head, bytes);
}

fn servers() -> [SocketAddr; 2] {
    ["10.77.0.2:80", "[fd77::2]:80"].map(|a| a.parse().unwrap())
}

#[test]
fn a_thousand_connections_at_once() {
    inside("peers::many::a_thousand_connections_at_once", &["-q"], || {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit { current: maximum.map_or(Some(4096), |m| Some(m.min(4096))), maximum },
        )
        .unwrap();
        let servers = servers();
        let mut streams: Vec<TcpStream> = (0..1000).map(|n| connect(servers[n % 2])).collect();
        for (n, stream) in streams.iter_mut().enumerate() {
            ask(stream, 1000 + n);
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            answered(stream, 1000 + n);
        }
    });
}

#[test]
fn ten_thousand_connections_one_after_the_other() {
    inside("peers::many::ten_thousand_connections_one_after_the_other", &["-q"], || {
        let servers = servers();
        for n in 0..10_000 {
            let mut stream = connect(servers[n % 2]);
            ask(&mut stream, n % 3000);
            answered(&mut stream, n % 3000);
        }
    });
}
