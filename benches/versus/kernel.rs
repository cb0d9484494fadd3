//! How do Linux' TCP, and nginx on it, do the same over a veth pair?

use super::{Run, Work, ours};
use rustix::net::sockopt::set_tcp_congestion;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Runs `ip` with these words.
pub fn ip(args: &str) -> io::Result<()> {
    let status = Command::new("ip").args(args.split(' ')).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip {args}: {status}"))) }
}

/// This side of the wire, before there is another one.
pub fn prepare() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/tcp_notsent_lowat", ours::UNSENT.to_string())?;
    ip("link add v0 type veth peer name v1")?;
    ip("addr add 10.77.0.2/24 dev v0")?;
    ip("link set v0 up")
}

/// What the kernel's bulk transfers send by, the first that it has: what paces itself measures its own pace, not what receives.
const CONTROLS: [&str; 2] = ["cubic", "reno"];

/// Lets `socket` send by the first of [`CONTROLS`] that there is, and says which.
///
/// # Errors
/// The kernel has none of them.
pub fn control(socket: impl AsFd) -> io::Result<&'static str> {
    let set = |control: &&str| set_tcp_congestion(&socket, control).is_ok();
    CONTROLS.into_iter().find(set).ok_or_else(|| io::Error::other("the kernel has neither CUBIC nor Reno"))
}

/// What the kernel's bulk transfers send by.
pub fn congestion() -> &'static str {
    TcpListener::bind("127.0.0.1:0").and_then(control).unwrap_or("what it has")
}

/// Moves the other end to the network of process `pid`, once that has one of its own.
pub fn join(pid: u32) -> io::Result<()> {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    let (own, pid) = (network("self")?, pid.to_string());
    for _ in 0..500 {
        if network(&pid)? != own {
            ip(&format!("link set v1 netns {pid}"))?;
            let inside = "ip addr add 10.77.0.1/24 dev v1; ip link set lo up; ip link set v1 up";
            Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-c", inside]).status()?;
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Sockets with a thread each.
pub fn bulk(run: &Run, addr: SocketAddr) -> io::Result<()> {
    let (listener, sends) = (TcpListener::bind(addr)?, matches!(run.work, Work::Out(_)));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = control(&stream);
                let mut buffer = vec![7; 256 << 10];
                while let Ok(1..) = if sends { stream.write(&buffer) } else { stream.read(&mut buffer) } {}
            });
        }
    });
    Ok(())
}

/// nginx with one worker, which answers from memory.
pub struct Nginx {
    child: Child,
    place: PathBuf,
}

impl Nginx {
    /// Starts it on `addr`.
    pub fn start(addr: SocketAddr) -> io::Result<Nginx> {
        let place = std::env::temp_dir().join(format!("versus-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
        let at = place.display();
        let body = "x".repeat(200);
        let text = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error crit;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {at}/b; proxy_temp_path {at}/p; \
             fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             server {{ listen {addr} backlog=4096; location / {{ return 200 \"{body}\"; }} }} }}\n"
        );
        let conf = place.join("conf");
        fs::write(&conf, text)?;
        let child = Command::new("nginx").arg("-c").arg(&conf).stderr(Stdio::null()).spawn()?;
        Ok(Nginx { child, place })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.place);
    }
}
