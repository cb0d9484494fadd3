//! How are the stacks of others, which are programs of their own, built and started?

use super::{Run, Subject, Work, cell, kernel};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where Debian's golang-gvisor-gvisor-dev puts it.
const GVISOR: &str = "/usr/share/gocode/src/gvisor.dev/gvisor/pkg/tcpip";
const DEVICE: &str = "glass0";

fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("others")
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/others").join(name)
}

/// What is lacking, if anything is.
pub fn missing(subject: Subject) -> Option<&'static str> {
    match subject {
        Subject::Gvisor if !cell::is_installed("go") || !Path::new(GVISOR).is_dir() => {
            Some("needs Go and golang-gvisor-gvisor-dev")
        }
        Subject::Ipstack if !cell::is_installed("cargo") => Some("needs cargo"),
        Subject::Gvisor | Subject::Ipstack if !cell::is_installed("ip") => Some("needs ip"),
        _ => None,
    }
}

/// Builds what a subject needs, if it is a program.
pub fn build(subject: Subject) -> io::Result<()> {
    let place = place();
    fs::create_dir_all(&place)?;
    let mut command = match subject {
        Subject::Gvisor => {
            let mut go = Command::new("go");
            go.args(["build", "-o"]).arg(place.join("gvisor")).arg(source("gvisor.go"));
            go.envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "")]);
            go.env("GOCACHE", place.join("go"));
            go
        }
        Subject::Ipstack => {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]);
            cargo.arg(source("ipstack/Cargo.toml")).arg("--target-dir").arg(place.join("ipstack"));
            cargo
        }
        _ => return Ok(()),
    };
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// The program, which ends with this.
pub struct Other(Child);

impl Other {
    /// Makes the device and starts the program on it.
    pub fn start(run: &Run, addr: SocketAddr) -> io::Result<Other> {
        kernel::ip(&format!("tuntap add dev {DEVICE} mode tun"))?;
        kernel::ip(&format!("addr add 10.77.0.1/24 dev {DEVICE}"))?;
        kernel::ip(&format!("link set {DEVICE} up"))?;
        let work = match run.work {
            Work::In(_) | Work::Beside(_) => "in",
            Work::Out(_) => "out",
            Work::Kept(_) | Work::Fresh(_) => "http",
        };
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let mut command = match run.subject {
            Subject::Gvisor => {
                let mut program = Command::new(place().join("gvisor"));
                program.args([DEVICE, &ip, &port, work]);
                program
            }
            _ => {
                let mut program = Command::new(place().join("ipstack/release/ipstack"));
                program.args([DEVICE, work]);
                program
            }
        };
        // Both tell of each connection that ends.
        Ok(Other(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
