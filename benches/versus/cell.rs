//! What happens in one run? A network of its own, the subject as server in this process, the load in another one.

use super::kernel::{self, Nginx};
use super::others::Other;
use super::{Outcome, Run, Subject, Work, ceiling, cpu, ours, stock};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tcpglass::tun::{Offload, Tun, TunOptions, enter_private_namespace};

const ADDR: &str = "10.77.0.2:80";

/// What wrk says at its end, microseconds.
const PERCENTILES: &str = "done = function(summary, latency, requests)\n\
    for name, p in pairs({p50 = 50, p99 = 99, p999 = 99.9}) do io.write(name, ' ', latency:percentile(p), '\\n') end\nend\n";

/// Whether a program can be found.
pub fn is_installed(tool: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|place| place.join(tool).is_file())
}

/// Makes one run in this process and prints what came out of it: rate, CPU, latencies, fairness.
pub fn main(run: Run) -> io::Result<()> {
    enter_private_namespace(&[])?;
    let addr: SocketAddr = ADDR.parse().map_err(io::Error::other)?;
    let mut pid = "self".to_owned();
    let (mut nginx, mut other) = (None, None);
    match run.subject {
        Subject::Linux => {
            kernel::prepare()?;
            if run.work.is_bulk() {
                kernel::bulk(&run, addr)?;
            } else {
                let server = Nginx::start(addr)?;
                pid = server.pid().to_string();
                nginx = Some(server);
            }
        }
        Subject::Gvisor | Subject::Ipstack => {
            let server = Other::start(&run, addr)?;
            pid = server.pid().to_string();
            other = Some(server);
        }
        _ => {
            let offload = if run.offload { Offload::On } else { Offload::Off };
            let tun = Tun::open(&TunOptions { offload, ..TunOptions::default() })?;
            match run.subject {
                Subject::Stock => drop(thread::spawn(move || stock::run(&run, tun, addr))),
                Subject::Ceiling => drop(thread::spawn(move || ceiling::run(&run, tun, addr))),
                _ => ours::start(&run, tun, addr)?,
            }
        }
    }
    let outcome = if run.work.is_bulk() { bulk(&run, &pid) } else { requests(&run, &pid) };
    drop((nginx, other));
    let Outcome { rate, cpu, latency: [p50, p99, p999], jain } = outcome?;
    println!("{rate} {cpu} {p50} {p99} {p999} {jain}");
    // The subject's threads end with the process.
    std::process::exit(0)
}

/// The load in a network that the subject can be reached from.
fn spawn(run: &Run, program: &str, args: &[String]) -> io::Result<Child> {
    if run.subject != Subject::Linux {
        return Command::new(program).args(args).stdout(Stdio::piped()).spawn();
    }
    let wait = "until ip -o addr show dev v1 2>/dev/null | grep -q 10.77; do sleep 0.01; done; sleep 0.05; exec \"$@\"";
    let child = Command::new("unshare")
        .args(["-n", "sh", "-c", wait, "sh", program])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()?;
    kernel::join(child.id())?;
    Ok(child)
}

fn bulk(run: &Run, pid: &str) -> io::Result<Outcome> {
    let (how, connections, idle) = match run.work {
        Work::In(n) => ("send", n, 0),
        Work::Beside(idle) => ("send", 1, idle),
        Work::Out(n) | Work::Kept(n) | Work::Fresh(n) => ("receive", n, 0),
    };
    let exe = std::env::current_exe()?.display().to_string();
    let mut args: Vec<String> = ["peer", how, ADDR].map(str::to_owned).into();
    args.extend([connections.to_string(), run.seconds.to_string(), idle.to_string()]);
    let mut child = spawn(run, &exe, &args)?;
    let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
    let mut line = || lines.next().unwrap_or_else(|| Err(io::Error::other("the peer said nothing")));
    line()?;
    let before = cpu::of(pid);
    let said = line()?;
    let used = cpu::since(pid, before)? as f64 / 1e9;
    let _ = child.kill();
    let _ = child.wait();
    let numbers: Vec<f64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [bytes, seconds, each @ ..] = numbers.as_slice() else { return Err(io::Error::other(said)) };
    let (sum, squares): (f64, f64) = (each.iter().sum(), each.iter().map(|x| x * x).sum());
    let jain = if squares > 0.0 { sum * sum / (each.len() as f64 * squares) } else { 0.0 };
    let cpu = used / (bytes / 1e9);
    Ok(Outcome { rate: bytes / seconds, cpu, latency: [0.0; 3], jain })
}

fn requests(run: &Run, pid: &str) -> io::Result<Outcome> {
    let (connections, fresh) = match run.work {
        Work::Fresh(n) => (n, true),
        Work::Kept(n) | Work::In(n) | Work::Out(n) | Work::Beside(n) => (n, false),
    };
    wait_for_server(run)?;
    let script = std::env::temp_dir().join(format!("versus-{}.lua", std::process::id()));
    std::fs::write(&script, PERCENTILES)?;
    let mut args: Vec<String> = vec!["-t1".into(), "-s".into(), script.display().to_string()];
    args.push(format!("-c{connections}"));
    args.push(format!("-d{}s", run.seconds.ceil()));
    if fresh {
        args.extend(["-H".to_owned(), "Connection: close".to_owned()]);
    }
    args.push(format!("http://{ADDR}/bytes/200"));
    let before = cpu::of(pid);
    let child = spawn(run, "wrk", &args)?;
    let output = child.wait_with_output()?;
    let _ = std::fs::remove_file(&script);
    let used = cpu::since(pid, before)? as f64 / 1e3;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word_behind = |name: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.split_whitespace().next().map(str::to_owned))
    };
    let rate: f64 = word_behind("Requests/sec:").and_then(|w| w.parse().ok()).unwrap_or(0.0);
    let requests: f64 = (text.lines().find(|line| line.contains(" requests in ")))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    if requests == 0.0 {
        return Err(io::Error::other(format!("wrk got no answer: {text}")));
    }
    let latency =
        ["p50 ", "p99 ", "p999 "].map(|name| word_behind(name).and_then(|w| w.parse().ok()).unwrap_or(0.0));
    Ok(Outcome { rate, cpu: used / requests, latency, jain: 1.0 })
}

/// Until somebody listens. Linux' is there already, and its client is elsewhere.
fn wait_for_server(run: &Run) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    if run.subject != Subject::Linux {
        while let Err(e) = std::net::TcpStream::connect(ADDR) {
            if Instant::now() > end {
                return Err(e);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    thread::sleep(Duration::from_millis(50));
    Ok(())
}
