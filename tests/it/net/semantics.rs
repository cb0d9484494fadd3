//! The same calls on the kernel's sockets and on ours: is each result of the same kind?

use super::{Pair, SERVER};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// What a call returned, without the words.
fn said<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(e) => format!("{:?}", e.kind()),
    }
}

const SOON: Option<Duration> = Some(Duration::from_millis(20));

/// The calls, for any types that are named and behave as those of std. `settled` waits until a stream has heard what
/// its peer did; with the kernel's loopback it has when the peer's call returns.
macro_rules! calls {
    ($net:expr, $free:expr, $foreign:expr) => {{
        let net = $net;
        let mut rows: Vec<(&'static str, String)> = Vec::new();
        let mut row = |what: &'static str, said: String| rows.push((what, said));

        row("connecting to a port where nobody listens", said(net.connect_to($free).map(drop)));
        row("binding a foreign address", said(net.bind_to($foreign).map(drop)));
        let listener = net.listen();
        let addr = listener.local_addr().unwrap();
        row("binding an address twice", said(net.bind_to(addr).map(drop)));
        listener.set_nonblocking(true).unwrap();
        row("accepting from nobody without blocking", said(listener.accept().map(drop)));
        listener.set_nonblocking(false).unwrap();
        let pair = || {
            let client = net.connect_to(addr).unwrap();
            (client, listener.accept().unwrap().0)
        };

        let (mut a, mut b) = pair();
        row("a read timeout of zero", said(a.set_read_timeout(Some(Duration::ZERO))));
        row("a write timeout of zero", said(a.set_write_timeout(Some(Duration::ZERO))));
        row("the read timeout at first", said(a.read_timeout()));
        a.set_read_timeout(SOON).unwrap();
        row("the read timeout after it was set", said(a.read_timeout()));
        row("the read timeout of a clone", said(a.try_clone().unwrap().read_timeout()));
        row("reading until the time is over", said(a.read(&mut [0; 8])));
        row("peeking until the time is over", said(a.peek(&mut [0; 8])));
        a.set_nonblocking(true).unwrap();
        row("reading nothing without blocking", said(a.read(&mut [0; 8])));
        a.set_nonblocking(false).unwrap();
        a.set_read_timeout(None).unwrap();
        row("writing nothing", said(a.write(&[])));
        row("nodelay at first", said(a.nodelay()));
        a.set_nodelay(true).unwrap();
        row("nodelay after it was set", said(a.nodelay()));
        row("writing", said(b.write(b"hello")));
        row("peeking", said(a.peek(&mut [0; 2])));
        row("peeking again", said(a.peek(&mut [0; 8])));
        row("reading a part", said(a.read(&mut [0; 3])));
        row("reading the rest", said(a.read(&mut [0; 8])));
        row("no error is pending", said(a.take_error()));

        row("closing the writing side", said(a.shutdown(Shutdown::Write)));
        row("closing it again", said(a.shutdown(Shutdown::Write)));
        row("writing after that", said(a.write(b"x")));
        row("reading the peer's end", said(b.read(&mut [0; 8])));
        row("reading the peer's end again", said(b.read(&mut [0; 8])));
        row("writing to a peer that has closed its side", said(b.write(b"more")));
        row("reading with an own closed side", said(a.read(&mut [0; 8])));
        row("the peer's address", said(b.peer_addr().map(drop)));
        drop(b);
        row("reading the end after both sides closed", said(a.read(&mut [0; 8])));
        net.settled(&a);
        row("closing what both sides have closed", said(a.shutdown(Shutdown::Both)));
        row("the peer's address after the end", said(a.peer_addr().map(drop)));

        let (mut a, b) = pair();
        row("closing the reading side", said(a.shutdown(Shutdown::Read)));
        row("reading after that", said(a.read(&mut [0; 8])));
        row("writing after that", said(a.write(b"x")));
        drop((a, b));

        let (mut a, mut b) = pair();
        b.write_all(b"bytes before the reset").unwrap();
        row("bytes before a reset are there", said(a.peek(&mut [0; 32])));
        net.reset(b);
        net.settled(&a);
        row("reading bytes that came before the reset", said(a.read(&mut [0; 32])));
        row("reading then", said(a.read(&mut [0; 8])));
        row("reading again", said(a.read(&mut [0; 8])));
        row("writing after a reset that was read", said(a.write(b"x")));
        row("closing after a reset", said(a.shutdown(Shutdown::Both)));

        let (mut a, b) = pair();
        net.reset(b);
        net.settled(&a);
        row("writing first after a reset", said(a.write(b"x")));
        row("writing again", said(a.write(b"x")));
        row("reading after writing failed", said(a.read(&mut [0; 8])));

        let (mut a, b) = pair();
        net.reset(b);
        net.settled(&a);
        row("asking for the error", said(a.take_error().map(|e| e.map(|e| e.kind()))));
        row("asking again", said(a.take_error().map(|e| e.map(|e| e.kind()))));
        row("reading after the error was taken", said(a.read(&mut [0; 8])));
        row("writing after the error was taken", said(a.write(b"x")));

        let (mut a, b) = pair();
        b.shutdown(Shutdown::Write).unwrap();
        row("reading the end before a reset", said(a.read(&mut [0; 8])));
        net.reset(b);
        net.settled(&a);
        row("reading after end and reset", said(a.read(&mut [0; 8])));
        row("writing after end and reset", said(a.write(b"x")));

        let (a, mut b) = pair();
        b.write_all(b"unread").unwrap();
        a.peek(&mut [0; 8]).unwrap();
        drop(a);
        net.settled(&b);
        row("reading from a peer that left bytes unread", said(b.read(&mut [0; 8])));

        let (a, mut b) = pair();
        let c = a.try_clone().unwrap();
        drop(a);
        b.set_read_timeout(SOON).unwrap();
        row("a clone keeps the connection open", said(b.read(&mut [0; 8])));
        drop(c);
        b.set_read_timeout(None).unwrap();
        row("the last clone closes it", said(b.read(&mut [0; 8])));

        let (mut a, mut b) = pair();
        a.set_write_timeout(SOON).unwrap();
        let mut fill = || loop {
            if let Err(e) = a.write(&[0; 100_000]) {
                break said(Err::<(), _>(e));
            }
        };
        row("writing to a peer that does not read until the time is over", fill());
        b.set_nonblocking(true).unwrap();
        let mut fill = || loop {
            if let Err(e) = b.write(&[0; 100_000]) {
                break said(Err::<(), _>(e));
            }
        };
        row("writing to one without blocking", fill());
        // Last, because std connects before it looks at the time.
        row("a connect timeout of zero", said(net.connect_timeout(addr, Duration::ZERO).map(drop)));

        rows
    }};
}

struct Kernel;

impl Kernel {
    fn bind_to(&self, addr: SocketAddr) -> io::Result<std::net::TcpListener> {
        std::net::TcpListener::bind(addr)
    }
    fn listen(&self) -> std::net::TcpListener {
        self.bind_to(([127, 0, 0, 1], 0).into()).unwrap()
    }
    fn connect_to(&self, addr: SocketAddr) -> io::Result<std::net::TcpStream> {
        std::net::TcpStream::connect(addr)
    }
    fn connect_timeout(&self, addr: SocketAddr, timeout: Duration) -> io::Result<std::net::TcpStream> {
        std::net::TcpStream::connect_timeout(&addr, timeout)
    }
    fn reset(&self, stream: std::net::TcpStream) {
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }
    fn settled(&self, _: &std::net::TcpStream) {}
}

impl Pair {
    fn bind_to(&self, addr: SocketAddr) -> io::Result<super::TcpListener> {
        super::TcpListener::bind(&self.server.handle(), addr)
    }
    fn connect_to(&self, addr: SocketAddr) -> io::Result<super::TcpStream> {
        super::TcpStream::connect(&self.client.handle(), addr)
    }
    fn connect_timeout(&self, addr: SocketAddr, timeout: Duration) -> io::Result<super::TcpStream> {
        super::TcpStream::connect_timeout(&self.client.handle(), &addr, timeout)
    }
    fn reset(&self, stream: super::TcpStream) {
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }
    fn settled(&self, stream: &super::TcpStream) {
        let _ = stream.wait_closed(None);
    }
}

#[test]
fn every_call_ends_as_it_does_with_the_kernel() {
    // A port that was free a moment ago.
    let free = Kernel.listen().local_addr().unwrap();
    let foreign = "192.0.2.1:80".parse().unwrap();
    let kernel = calls!(Kernel, free, foreign);
    let ours = calls!(Pair::new(), "10.77.0.2:81".parse().unwrap(), foreign);
    let table: Vec<String> = kernel
        .iter()
        .zip(&ours)
        .filter(|(kernel, ours)| kernel.1 != ours.1)
        .map(|(kernel, ours)| format!("{}: the kernel says {}, we say {}", kernel.0, kernel.1, ours.1))
        .collect();
    assert!(table.is_empty(), "\n{}", table.join("\n"));
    assert_eq!(kernel.len(), ours.len());
}

#[test]
fn what_a_kernel_on_loopback_cannot_show() {
    let pair = Pair::new();
    let silent = "10.77.0.99:80".parse().unwrap();
    let result = pair.connect_timeout(silent, Duration::from_millis(20));
    assert_eq!(said(result.map(drop)), "TimedOut");
    for (what, addr, kind) in [
        ("a multicast address", "224.0.0.1:80", "NetworkUnreachable"),
        ("no address", "no address", "InvalidInput"),
    ] {
        let result = super::TcpStream::connect(&pair.client.handle(), addr);
        assert_eq!(said(result.map(drop)), kind, "{what}");
    }
    let (mut a, mut b) = pair.connected();
    for (what, result) in [
        ("reading into no buffer, for which the kernel waits", a.read(&mut [])),
        ("writing nothing", a.write(&[])),
    ] {
        assert_eq!(said(result), "0", "{what}");
    }
    a.abort().unwrap();
    for (what, result) in [
        ("reading", a.read(&mut [0; 8]).map(drop)),
        ("reading again", a.read(&mut [0; 8]).map(drop)),
        ("writing", a.write(b"x").map(drop)),
        ("closing", a.shutdown(Shutdown::Both)),
        ("waiting for acknowledgments", a.write(b"x").map(drop)),
    ] {
        assert_eq!(said(result), "ConnectionAborted", "{what} after an own abort");
    }
    assert_eq!(said(b.read(&mut [0; 8])), "ConnectionReset");
    assert_eq!(b.close_reason(), Some(tcpglass::tcp::CloseReason::Reset));
    assert_eq!(said(pair.connect_to(SERVER.parse().unwrap()).map(drop)), "ConnectionRefused");
}
