//! How does a plain program speak HTTP? A server and a client that share nothing with those of this crate.

use super::kernel::{linux_connect, linux_listen, pause};
use crate::http::Config;
use crate::time::{Duration, Instant};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server on Linux' sockets with a thread for each connection; it ends when it is dropped.
pub(super) struct Server(TcpListener);

impl Server {
    /// Listens, and keeps connections as these settings say; without announcing it, only the first one is ended early.
    pub fn start(at: SocketAddr, http: &Config, announces: bool) -> io::Result<Server> {
        let listener = linux_listen(at)?;
        let (accepting, mut http) = (listener.try_clone()?, http.clone());
        thread::Builder::new().name("plain-server".into()).spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let this = http.clone();
                if !announces {
                    http.keepalive_max = 0;
                }
                // A client that is gone has nothing to be told.
                let serve = move || drop(serve(&stream, &this, announces));
                if thread::Builder::new().name("plain-connection".into()).spawn(serve).is_err() {
                    return;
                }
            }
        })?;
        Ok(Server(listener))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Who waits for a connection wakes up and finds none.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

fn serve(stream: &TcpStream, http: &Config, announces: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    if answer(&mut reader, http, announces, pause)? {
        // What the client has sent ahead must not turn into a RST.
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut reader, &mut io::sink())?;
    }
    Ok(())
}

/// Answers the requests of one connection, in virtual or in real time. True if the server ends it; whether that is said
/// beforehand, `announces` says.
pub(super) fn answer<S: Read + Write>(
    stream: &mut BufReader<S>,
    http: &Config,
    announces: bool,
    wait: impl Fn(Duration),
) -> io::Result<bool> {
    let mut answers = Vec::new();
    for served in 1.. {
        // What can be answered at once is answered together.
        if stream.buffer().is_empty() {
            stream.get_mut().write_all(&answers)?;
            answers.clear();
        }
        let Some(head) = head(stream)? else { return Ok(false) };
        let mut body = vec![0; head.length];
        stream.read_exact(&mut body)?;
        let path = head.first.split(' ').nth(1).unwrap_or_default();
        if let Some(n) = path.strip_prefix("/bytes/").and_then(|n| n.parse().ok()) {
            body = vec![b'x'; n];
        } else if let Some(ms) = path.strip_prefix("/delay/").and_then(|ms| ms.parse().ok()) {
            stream.get_mut().write_all(&answers)?;
            answers.clear();
            wait(Duration::from_millis(ms));
        }
        let last = !http.keepalive || head.close || served == http.keepalive_max;
        let kept = match http.keepalive_max.saturating_sub(served) {
            left @ 1.. if announces => format!("keep-alive\r\nKeep-Alive: timeout=120, max={left}"),
            _ => "keep-alive".into(),
        };
        let connection = if last && announces { "close" } else { &kept };
        let length = body.len();
        answers.extend(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n")
                .into_bytes(),
        );
        answers.extend_from_slice(&body);
        if last {
            stream.get_mut().write_all(&answers)?;
            return Ok(true);
        }
    }
    Ok(true)
}

/// The beginning of a message.
struct Head {
    first: String,
    length: usize,
    close: bool,
}

/// `None` if nothing more comes.
fn head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head { first: line.trim_end().to_owned(), length: 0, close: false };
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => head.length = value.trim().parse().unwrap_or(0),
            Some(("connection", value)) => head.close |= value.contains("close"),
            Some(_) => {}
            None => return Ok(Some(head)),
        }
    }
}

/// Sends requests (`GET /bytes/100`) through Linux' sockets, at most `depth` ahead of their answers once the connection is known to be kept, and
/// sends again what a connection leaves unanswered. Returns when each was answered, and over how many connections.
pub(super) fn fetch(
    server: SocketAddr,
    requests: &[String],
    keep: bool,
    depth: usize,
    now: impl Fn() -> Instant,
) -> io::Result<Vec<Instant>> {
    let mut answered = Vec::new();
    while answered.len() < requests.len() {
        let stream = linux_connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut reader, mut writer) = (BufReader::new(&stream), &stream);
        let (mut sent, mut kept, before) = (answered.len(), false, answered.len());
        while answered.len() < requests.len() {
            let ahead = if kept { depth } else { 1 };
            let mut batch = String::new();
            // Ahead of their answers, but not before all of the last batch are there.
            while sent < requests.len()
                && sent < answered.len() + ahead
                && (sent == answered.len() || !batch.is_empty())
            {
                let connection = if keep { "keep-alive" } else { "close" };
                batch +=
                    &format!("{} HTTP/1.1\r\nHost: lab\r\nConnection: {connection}\r\n\r\n", requests[sent]);
                sent += 1;
            }
            writer.write_all(batch.as_bytes())?;
            let Some(head) = head(&mut reader)? else { break };
            reader.read_exact(&mut vec![0; head.length])?;
            answered.push(now());
            kept = !head.close;
            if head.close {
                break;
            }
        }
        if answered.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answered)
}
