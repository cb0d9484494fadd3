//! Four ways in which HTTP clients fail on real networks, each as a test that needs no network, no root and no time.
//!
//! `world` is a network in virtual time; the client under test is any code in blocking style that reads and writes a
//! [`TcpStream`]. Copy the one that you need into your tests and put your client in the place of this one.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use tcpglass::ledger::{Part, Parts};
use tcpglass::sim::{HostId, Net, TcpStream, World, host_config};
use tcpglass::tcp::Config;
use tcpglass::time::Duration;
use tcpglass::trace::{Direction, Tracer};

const MS: Duration = Duration::from_millis(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client and a server, 20 ms apart.
fn network(client: Config, server: Config) -> (World, HostId, HostId) {
    let mut world = World::new(7, "rtt=20ms".parse().expect("a link"));
    let mut add =
        |name, last, tcp| world.add_host(name, host_config([10, 0, 0, last].into(), tcp), Tracer::default());
    let hosts = (add("client", 1, client), add("server", 2, server));
    (world, hosts.0, hosts.1)
}

/// One request and its response: the client under test.
fn ask(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    stream.write_all(REQUEST)?;
    let mut response = vec![0; RESPONSE.len()];
    stream.read_exact(&mut response)?;
    Ok(response)
}

/// The server under test, or one for the client: each connection has a task of its own, which answers requests until
/// none comes for 5 s.
fn serve(net: &Net) -> io::Result<()> {
    for stream in net.listen(80)?.incoming() {
        let mut stream = stream?;
        net.spawn(move |_| -> io::Result<()> {
            stream.set_read_timeout(Some(5000 * MS))?;
            while stream.read_exact(&mut [0; REQUEST.len()]).is_ok() {
                stream.write_all(RESPONSE)?;
            }
            Ok(())
        });
    }
    Ok(())
}

/// The server closes an idle connection at the moment at which the client sends its next request on it: that request
/// was never looked at, and has to be sent again on a new connection.
pub fn keep_alive_race() -> Result<(), Box<dyn Error>> {
    let (mut world, client, server) = network(Config::linux(), Config::linux());
    world.spawn(server, serve);
    let task = world.spawn(client, |net: &Net| -> io::Result<ErrorKind> {
        let mut stream = net.connect("server:80")?;
        assert_eq!(ask(&mut stream)?, RESPONSE);
        net.sleep(4985 * MS); // the request arrives 5 ms after the server has closed
        let error = ask(&mut stream).expect_err("the server is gone");
        assert_eq!(ask(&mut net.connect("server:80")?)?, RESPONSE);
        Ok(error.kind())
    });
    let capture = world.record(server);
    assert_eq!(world.join(task)??, ErrorKind::UnexpectedEof);
    assert_eq!(capture.sent("rst"), 1, "{capture}");
    Ok(())
}

/// The server refuses a large upload with a 413 and closes without having read it all, which resets the connection. In
/// a host that discards what came before a RST the 413 is lost; in another, such as Linux, a client that reads before it
/// gives up still finds it.
pub fn rst_eats_413() -> Result<(), Box<dyn Error>> {
    for (keep_data_on_reset, expected) in [(true, "HTTP/1.1 413 Too Large\r\n\r\n"), (false, "")] {
        let (mut world, client, server) =
            network(Config { keep_data_on_reset, ..Config::linux() }, Config::linux());
        world.spawn(server, |net: &Net| -> io::Result<()> {
            let (mut stream, _) = net.listen(80)?.accept()?;
            stream.read_exact(&mut [0; 1000])?;
            stream.write_all(b"HTTP/1.1 413 Too Large\r\n\r\n")
        });
        let capture = world.record(server);
        let task = world.spawn(client, |net: &Net| -> io::Result<(Vec<u8>, ErrorKind)> {
            let (mut stream, mut response) = (net.connect("server:80")?, Vec::new());
            stream.write_all(&[b'x'; 10_000])?;
            net.sleep(100 * MS);
            let error = stream.read_to_end(&mut response).expect_err("no regular end");
            Ok((response, error.kind()))
        });
        assert_eq!(world.join(task)??, (expected.into(), ErrorKind::ConnectionReset));
        assert!(capture.sent("data") == 1 && capture.sent("rst") > 0, "the 413 was sent: {capture}");
    }
    Ok(())
}

/// Each request has a connection of its own, and each leaves its port in TIME-WAIT: when the ports are used up, no
/// connection can be made for a minute.
pub fn port_exhaustion() -> Result<(), Box<dyn Error>> {
    let few = Config { ports_first: 50_000, ports_last: 50_009, ..Config::linux() };
    let (mut world, client, server) = network(few, Config::linux());
    world.spawn(server, serve);
    let task = world.spawn(client, |net: &Net| {
        let done = (0..).map_while(|_| ask(&mut net.connect("server:80").ok()?).ok()).count();
        let error = net.connect("server:80").map(|_| ()).expect_err("no port is left");
        net.sleep(60_000 * MS);
        (done, error.kind(), net.connect("server:80").is_ok())
    });
    assert_eq!(world.join(task)?, (10, ErrorKind::AddrNotAvailable, true));
    assert_eq!(world.counts(client).of("syn", Direction::Out), 11, "without a port nothing is sent");
    Ok(())
}

/// A request that is written in two pieces takes 80 ms instead of 20: the second piece waits for the acknowledgment of
/// the first, which the server delays. Writing it at once helps; so does switching Nagle's algorithm off.
pub fn forty_ms_stall() -> Result<(), Box<dyn Error>> {
    let (mut world, client, server) = network(Config::linux(), Config { quickack: 0, ..Config::linux() });
    world.spawn(server, serve);
    let task = world.spawn(client, |net: &Net| -> io::Result<([Duration; 2], Parts)> {
        let mut stream = net.connect("server:80")?;
        ask(&mut stream)?;
        let (start, before) = (net.now(), stream.ledger());
        stream.write_all(&REQUEST[..10])?;
        stream.write_all(&REQUEST[10..])?;
        stream.read_exact(&mut [0; RESPONSE.len()])?;
        let (pieces, start, ledger) = (net.now().since(start), net.now(), stream.ledger() - before);
        ask(&mut stream)?;
        Ok(([pieces, net.now().since(start)], ledger))
    });
    let (took, ledger) = world.join(task)??;
    assert_eq!(
        (took, ledger.of(Part::Nagle) + ledger.of(Part::PeerAckDelay)),
        ([80 * MS, 20 * MS], 60 * MS),
        "{ledger:?}"
    );
    Ok(())
}

#[allow(dead_code)] // where this file is a part of a test, that has its own
fn main() -> Result<(), Box<dyn Error>> {
    keep_alive_race()?;
    rst_eats_413()?;
    port_exhaustion()?;
    forty_ms_stall()?;
    println!("four failures, each as expected");
    Ok(())
}
