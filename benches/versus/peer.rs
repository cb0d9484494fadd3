//! What does the kernel's side of a bulk transfer do? Sockets with a thread each, counted once all is warm.

use super::kernel;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Warming up: windows open, buffers are there.
const WARM: Duration = Duration::from_millis(400);
const BUFFER: usize = 256 << 10;

/// `peer send|receive ADDRESS CONNECTIONS SECONDS IDLE`: says `start` when it begins to count, and at the end how much it was and
/// how long it took; then each connection's bytes.
pub fn main(words: &[&str]) -> io::Result<()> {
    let [how, addr, connections, seconds, idle] = words else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let (connections, seconds, idle): (usize, f64, u64) =
        (connections.parse().unwrap_or(1), seconds.parse().unwrap_or(1.0), idle.parse().unwrap_or(0));
    let descriptors = Some(idle + 1024);
    if idle > 0 {
        setrlimit(Resource::Nofile, Rlimit { current: descriptors, maximum: descriptors })?;
    }
    // Open until the end.
    let _idle = (0..idle).map(|_| connect(addr)).collect::<io::Result<Vec<_>>>()?;
    let counters: Vec<Arc<AtomicU64>> = (0..connections).map(|_| Arc::default()).collect();
    for counter in &counters {
        let stream = connect(addr)?;
        kernel::control(&stream)?;
        let (counter, sends) = (counter.clone(), *how == "send");
        thread::Builder::new().stack_size(BUFFER * 2).spawn(move || work(stream, sends, &counter))?;
    }
    thread::sleep(WARM);
    let (before, started) = (count(&counters), Instant::now());
    println!("start");
    thread::sleep(Duration::from_secs_f64(seconds));
    let (after, took) = (count(&counters), started.elapsed());
    let each: Vec<u64> = std::iter::zip(&after, &before).map(|(a, b)| a - b).collect();
    let words: Vec<String> = each.iter().map(u64::to_string).collect();
    println!("{} {} {}", each.iter().sum::<u64>(), took.as_secs_f64(), words.join(" "));
    std::process::exit(0)
}

fn count(counters: &[Arc<AtomicU64>]) -> Vec<u64> {
    counters.iter().map(|counter| counter.load(Relaxed)).collect()
}

/// The server may not be there yet.
fn connect(addr: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..500 {
        match TcpStream::connect(addr) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(last)
}

fn work(mut stream: TcpStream, sends: bool, counter: &AtomicU64) {
    let mut buffer = vec![7; BUFFER];
    loop {
        let moved = if sends { stream.write(&buffer) } else { stream.read(&mut buffer) };
        match moved {
            Ok(n @ 1..) => counter.fetch_add(n as u64, Relaxed),
            _ => return,
        };
    }
}
