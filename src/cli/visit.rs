//! What does `run` do without a COMMAND? Three requests of its own through the kernel's sockets.

use super::failure::Failure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A larger answer than any of the three pages.
const LARGEST: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request brought.
pub struct Visit {
    /// `GET /bytes/100000`.
    pub request: String,
    /// The status line.
    pub status: String,
    /// Bytes of the body.
    pub bytes: usize,
}

/// Fetches `/` and `/bytes/100000` and posts to `/echo`.
pub fn visit(server: SocketAddr) -> Result<Vec<Visit>, Failure> {
    let hello = "hello, glass";
    let visits = [("GET", "/", ""), ("GET", "/bytes/100000", ""), ("POST", "/echo", hello)]
        .into_iter()
        .map(|(method, path, body)| one(server, method, path, body))
        .collect::<Result<Vec<_>, _>>()?;
    for (visit, expected) in visits.iter().zip([None, Some(100_000), Some(hello.len())]) {
        if expected.is_some_and(|n| n != visit.bytes) {
            return Err(Failure::failed(format_args!("{} brought {} bytes", visit.request, visit.bytes)));
        }
    }
    Ok(visits)
}

fn one(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<Visit, Failure> {
    let request = format!("{method} {path}");
    let failed = |e: std::io::Error| Failure::failed(format_args!("{request} from http://{server}: {e}"));
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{request} HTTP/1.1\r\nHost: {server}\r\n{length}Connection: close\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    (&stream).take(LARGEST).read_to_end(&mut answer).map_err(failed)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n");
    let Some(end) = end else {
        return Err(Failure::failed(format_args!("{request} from http://{server}: the answer has no head")));
    };
    let status = String::from_utf8_lossy(&answer[..end]).lines().next().unwrap_or_default().to_owned();
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(Failure::failed(format_args!("{request} from http://{server}: {status}")));
    }
    Ok(Visit { request, status, bytes: answer.len() - end - 4 })
}
