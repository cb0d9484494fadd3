//! Do the handles of `net` behave as those of `std::net`, and does nobody hang when the stack goes away?

mod semantics;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tcpglass::net::{OWNER, Runtime, TcpListener, TcpStream, pipe};
use tcpglass::service::Service;
use tcpglass::sim::LinkConfig;
use tcpglass::stack::{Config, Owner, Ready, Stack};
use tcpglass::stream::{ByteStream, StreamError};
use tcpglass::tcp::{self, Blocked};
use tcpglass::time::Instant;
use tcpglass::trace::Direction;

/// A stack whose addresses end in `host`.
pub fn config(host: u8) -> Config {
    Config {
        tcp: tcp::Config::linux(),
        addrs: vec![
            (IpAddr::from([10, 77, 0, host]), 24),
            (IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, host.into()]), 64),
        ],
        gateways: vec![],
        mtu: 1500,
        seed: host.into(),
        dns: vec![],
    }
}

pub const SERVER: &str = "10.77.0.2:80";

/// Two stacks and the cable between them.
pub struct Pair {
    pub server: Runtime,
    pub client: Runtime,
}

impl Pair {
    pub fn new() -> Pair {
        Pair::with(config(2), config(3), LinkConfig::default())
    }

    fn with(server: Config, client: Config, link: LinkConfig) -> Pair {
        let (a, b) = pipe(1500).unwrap();
        Pair {
            server: Runtime::builder(server).start(a).unwrap(),
            client: Runtime::builder(client).link(link).start(b).unwrap(),
        }
    }

    pub fn listen(&self) -> TcpListener {
        TcpListener::bind(&self.server.handle(), SERVER).unwrap()
    }

    pub fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(&self.client.handle(), SERVER)
    }

    /// Both ends of a connection: the client's, the server's.
    pub fn connected(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen();
        let client = self.connect().unwrap();
        (client, listener.accept().unwrap().0)
    }
}

/// Bytes that show when one is lost, doubled or moved.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ ((i >> 8) * 31) ^ ((i >> 16) * 7)) as u8).collect()
}

#[test]
fn every_byte_is_echoed_over_both_families_and_over_a_bad_link() {
    let bad = LinkConfig {
        rtt: Duration::from_millis(4),
        loss: 20_000_000,
        reorder: 20_000_000,
        duplicate: 10_000_000,
        corrupt: 10_000_000,
        ..LinkConfig::default()
    };
    for (server, link, len) in [
        (SERVER, LinkConfig::default(), 3_000_000),
        ("[fd77::2]:80", LinkConfig::default(), 3_000_000),
        (SERVER, bad, 100_000),
    ] {
        let pair = Pair::with(config(2), config(3), link);
        let listener = TcpListener::bind(&pair.server.handle(), server).unwrap();
        let stream = TcpStream::connect(&pair.client.handle(), server).unwrap();
        let (echo, peer) = listener.accept().unwrap();
        assert_eq!(peer, stream.local_addr().unwrap());
        assert_eq!(stream.peer_addr().unwrap(), server.parse().unwrap());
        assert_eq!(echo.local_addr().unwrap(), server.parse().unwrap());
        let sent = pattern(len);
        thread::scope(|scope| {
            scope.spawn(|| {
                io::copy(&mut &echo, &mut &echo).unwrap();
                echo.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(|| {
                for chunk in sent.chunks(12_345) {
                    (&stream).write_all(chunk).unwrap();
                }
                stream.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            (&stream).read_to_end(&mut back).unwrap();
            assert!(back == sent, "{server}: {} bytes came back", back.len());
        });
        stream.wait_acked(None).unwrap();
    }
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let pair = Pair::new();
    let (mut client, mut server) = pair.connected();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    text.clear();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
    client.wait_closed(None).unwrap();
}

#[test]
fn a_hundred_threads_have_a_connection_each() {
    let pair = Pair::new();
    let listener = pair.listen();
    thread::scope(|scope| {
        scope.spawn(|| {
            for stream in listener.incoming().take(100) {
                let stream = stream.unwrap();
                scope.spawn(move || {
                    io::copy(&mut &stream, &mut &stream).unwrap();
                });
            }
        });
        for n in 0..100usize {
            let pair = &pair;
            scope.spawn(move || {
                let mut stream = pair.connect().unwrap();
                let sent = pattern(1000 + n * 100);
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).unwrap();
                assert!(back == sent);
            });
        }
    });
    let open = pair.server.handle().call(|stack, _| stack.time_waits() + stack.open_connections()).unwrap();
    assert!(open <= 100, "{open}");
}

#[test]
fn what_was_written_arrives_although_the_stream_is_dropped_at_once() {
    let pair = Pair::new();
    let (mut client, mut server) = pair.connected();
    let sent = pattern(500_000);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).unwrap();
            drop(client);
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).unwrap();
        assert!(got == sent);
    });
}

#[test]
fn a_stream_dropped_with_unread_bytes_resets_the_connection() {
    let pair = Pair::new();
    let (mut client, server) = pair.connected();
    client.write_all(b"nobody reads this").unwrap();
    // Whether the bytes are in the handle's queue or in TCP's.
    assert_eq!(server.peek(&mut [0; 4]).unwrap(), 4);
    drop(server);
    let error = client.read(&mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn each_write_is_offered_to_tcp_on_its_own() {
    let pair = Pair::new();
    let (client, server) = pair.connected();
    client.set_nodelay(true).unwrap();
    assert!(client.nodelay().unwrap());
    // While the stack stands still, both writes come together.
    let (resume, paused) = mpsc::channel::<()>();
    let (entered, entry) = mpsc::channel();
    let handle = pair.client.handle();
    let pause = thread::spawn(move || {
        handle.call(move |_, _| {
            entered.send(()).unwrap();
            let _ = paused.recv();
        })
    });
    entry.recv().unwrap();
    (&client).write_all(b"one").unwrap();
    (&client).write_all(b"two").unwrap();
    drop(resume);
    pause.join().unwrap().unwrap();
    let mut both = [0; 6];
    (&server).read_exact(&mut both).unwrap();
    assert_eq!(&both, b"onetwo");
    let sent = |word| {
        let counts = pair.client.handle().call(|stack, _| stack.tracer().counts()).unwrap();
        let row = counts.rows.iter().find(|row| row.0 == word && row.1 == Direction::Out);
        row.map_or(0, |row| row.2)
    };
    assert_eq!(sent("data"), 2);
}

#[test]
fn wait_acked_returns_when_the_peer_has_everything() {
    let pair = Pair::new();
    let (client, server) = pair.connected();
    client.wait_acked(None).unwrap();
    (&client).write_all(&pattern(10_000)).unwrap();
    client.wait_acked(None).unwrap();
    let unacked = client.snapshot().unwrap();
    assert_eq!((unacked.flight, unacked.unsent), (0, 0));
    client.shutdown(Shutdown::Write).unwrap();
    client.wait_acked(None).unwrap();
    // The peer has the FIN, too.
    (&server).read_exact(&mut vec![0; 10_000]).unwrap();
    assert_eq!((&server).read(&mut [0]).unwrap(), 0);
    // Nothing acknowledges what a closed window keeps here.
    server.set_nonblocking(true).unwrap();
    while server.snapshot().unwrap().limit != Blocked::PeerWindow || (&server).write(&[0; 10_000]).is_ok() {
        let _ = (&server).write(&[0; 10_000]);
        thread::yield_now();
    }
    let error = server.wait_acked(Some(Duration::from_millis(10))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    client.abort().unwrap();
    let error = server.wait_acked(None).unwrap_err();
    // As with the kernel: a reset behind the peer's FIN.
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_stream_that_lingers_waits_for_the_last_acknowledgment() {
    let pair = Pair::new();
    let (mut client, server) = pair.connected();
    client.set_linger(Some(Duration::from_secs(30))).unwrap();
    client.write_all(b"last words").unwrap();
    drop(client);
    // All is there without waiting for it.
    server.set_nonblocking(true).unwrap();
    let unread = pair.server.handle().call(|stack, _| stack.open_connections()).unwrap();
    assert_eq!(unread, 1);
    let mut text = String::new();
    (&server).read_to_string(&mut text).unwrap();
    assert_eq!(text, "last words");
}

#[test]
fn shutting_down_with_open_handles_leaves_nobody_waiting() {
    let pair = Pair::new();
    let listener = pair.listen();
    let client = pair.connect().unwrap();
    let (server, _) = listener.accept().unwrap();
    let handle = pair.client.handle();
    let idle = TcpListener::bind(&handle, "10.77.0.3:9").unwrap();
    thread::scope(|scope| {
        // One thread in each call that can wait.
        let reader = scope.spawn(|| (&client).read(&mut [0; 4]));
        let writer = scope.spawn(|| (&client).write_all(&vec![0; 20_000_000]));
        let accepter = scope.spawn(|| idle.accept().map(drop));
        let connecter = scope.spawn(|| TcpStream::connect(&handle, "10.77.0.99:80").map(drop));
        // Not before the writer is stuck behind a closed window.
        while client.snapshot().unwrap().limit != Blocked::PeerWindow {
            thread::yield_now();
        }
        let acked = scope.spawn(|| client.wait_acked(None));
        pair.client.shutdown(Duration::ZERO).unwrap().finish().unwrap();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        let kind = writer.join().unwrap().unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe), "{kind}");
        assert_eq!(accepter.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
        let kind = connecter.join().unwrap().unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::NotConnected), "{kind}");
        assert_eq!(acked.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
    // And afterwards.
    let gone = [
        (&client).read(&mut [0]).map(drop),
        (&client).write(&[0]).map(drop),
        client.peer_addr().map(drop),
        client.shutdown(Shutdown::Both),
        client.set_nodelay(true),
        idle.accept().map(drop),
        TcpListener::bind(&handle, "10.77.0.3:10").map(drop),
        TcpStream::connect(&handle, SERVER).map(drop),
        handle.call(|_, _| ()),
    ];
    for (n, result) in gone.into_iter().enumerate() {
        let kind = result.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::NotConnected), "{n}: {kind}");
    }
    // The peer was told, rather than left in the dark.
    let mut rest = Vec::new();
    assert_eq!((&server).read_to_end(&mut rest).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_graceful_shutdown_sends_what_was_written_and_closes() {
    let pair = Pair::new();
    let (mut client, mut server) = pair.connected();
    let sent = pattern(300_000);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut got = Vec::new();
            server.read_to_end(&mut got).map(|_| (got, drop(server)))
        });
        client.write_all(&sent).unwrap();
        pair.client.shutdown(Duration::from_secs(60)).unwrap().finish().unwrap();
        assert!(reader.join().unwrap().unwrap().0 == sent);
    });
}

#[test]
fn a_panic_in_the_stacks_thread_wakes_everybody_and_is_reported() {
    let pair = Pair::new();
    let (client, _server) = pair.connected();
    let listener = TcpListener::bind(&pair.client.handle(), "10.77.0.3:9").unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&client).read(&mut [0; 4]));
        let accepter = scope.spawn(|| listener.accept().map(drop));
        let error = pair.client.handle().call(|_, _| panic!("of the test")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(accepter.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    });
    let error = pair.client.shutdown(Duration::from_secs(1)).map(drop).unwrap_err();
    assert!(error.to_string().contains("panicked: of the test"), "{error}");
}

/// Echoes; counts nothing, keeps nothing.
struct Echo {
    owner: Owner,
    port: u16,
    listening: bool,
    drained: mpsc::Sender<()>,
}

impl Service for Echo {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn poll(&mut self, now: Instant, stack: &mut Stack) {
        while let Some(ready) = stack.ready(self.owner) {
            let id = match ready {
                Ready::Accept(id) => match stack.accept(id, self.owner) {
                    Some(accepted) => accepted.id,
                    None => continue,
                },
                Ready::Conn(id, _) => id,
                Ready::Resolved(_) => continue,
            };
            let mut buf = [0; 4096];
            let mut stream = stack.stream(now, id);
            loop {
                match stream.read(&mut buf) {
                    Ok(0) | Err(StreamError::ConnectionReset) => {
                        stack.release(now, id);
                        break;
                    }
                    Ok(n) => assert_eq!(stream.write(&buf[..n]), Ok(n)),
                    Err(_) => break,
                }
            }
        }
        if !std::mem::replace(&mut self.listening, true) {
            stack.listen(([10, 77, 0, 2], self.port).into(), None, self.owner).unwrap();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        (!self.listening).then_some(Instant::ZERO)
    }

    fn drain(&mut self, _: Instant, _: &mut Stack) -> bool {
        let _ = self.drained.send(());
        true
    }
}

#[test]
fn services_run_in_the_stacks_thread_and_are_drained() {
    let (a, b) = pipe(1500).unwrap();
    let (drained, drains) = mpsc::channel();
    let echo = |owner, port| {
        Box::new(Echo { owner: Owner(owner), port, listening: false, drained: drained.clone() })
    };
    let server = Runtime::builder(config(2)).service(echo(1, 7)).service(echo(2, 8)).start(a).unwrap();
    let client = Runtime::builder(config(3)).start(b).unwrap();
    for port in [7, 8] {
        let address = SocketAddr::from(([10, 77, 0, 2], port));
        // The first turn may not be over.
        let mut stream = loop {
            match TcpStream::connect(&client.handle(), address) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        stream.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
    }
    server.shutdown(Duration::from_secs(60)).unwrap().finish().unwrap();
    assert!(drains.try_iter().count() >= 2);
}

#[test]
fn a_runtime_that_cannot_work_is_not_started() {
    let start = |config, owners: &[u16]| {
        let (drained, _) = mpsc::channel();
        let mut builder = Runtime::builder(config);
        for &owner in owners {
            builder = builder.service(Box::new(Echo {
                owner: Owner(owner),
                port: 7,
                listening: true,
                drained: drained.clone(),
            }));
        }
        builder.start(pipe(1500).unwrap().0).map(drop).map_err(|e| e.kind())
    };
    assert_eq!(start(config(2), &[1, 2]), Ok(()));
    assert_eq!(start(config(2), &[1, 1]), Err(ErrorKind::InvalidInput));
    assert_eq!(start(config(2), &[OWNER.0]), Err(ErrorKind::InvalidInput));
    assert_eq!(start(Config { mtu: 9000, ..config(2) }, &[]), Err(ErrorKind::InvalidInput));
}

#[test]
fn names_are_resolved_or_the_reason_is_told() {
    let pair = Pair::new();
    let handle = pair.client.handle();
    assert_eq!(handle.resolve("10.1.2.3").unwrap(), [IpAddr::from([10, 1, 2, 3])]);
    assert_eq!(handle.resolve("glass.example").unwrap_err().kind(), ErrorKind::NetworkUnreachable);
}

#[test]
fn a_handle_used_in_the_stacks_own_thread_is_an_error_rather_than_a_deadlock() {
    let pair = Pair::new();
    let handle = pair.client.handle();
    let inner = handle.clone();
    let error = handle.call(move |_, _| inner.call(|_, _| ()).unwrap_err().kind()).unwrap();
    assert_eq!(error, ErrorKind::Deadlock);
}
