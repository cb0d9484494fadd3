//! How is a stack asked that runs? The other end of its socket.

use super::ask::Ask;
use crate::time::Duration;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// How long an answer may take. The stack is asked in between its turns, so this is long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line of an answer, bytes.
const LONGEST: u64 = 1 << 20;

/// Somebody who asks a stack that runs.
#[derive(Debug)]
pub struct Visitor {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    about: Value,
}

impl Visitor {
    /// Connects to the socket of a stack, which says who it is.
    ///
    /// # Errors
    /// Nobody listens there, or answers in time; it has too many visitors; it speaks another version.
    pub fn connect(path: &Path) -> io::Result<Visitor> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut visitor =
            Visitor { path: path.to_owned(), stream: BufReader::new(stream), about: Value::Null };
        visitor.about = visitor.line()?;
        match visitor.about["schema"].as_str() {
            Some("tcpglass.stack/1") => Ok(visitor),
            other => {
                Err(invalid(format!("it speaks {}, not tcpglass.stack/1", other.unwrap_or("something"))))
            }
        }
    }

    /// A new connection to the same stack.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); another process is there now.
    pub fn again(&self) -> io::Result<Visitor> {
        let again = Visitor::connect(&self.path)?;
        if again.about["since_us"] != self.about["since_us"] {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has ended"));
        }
        Ok(again)
    }

    /// What it said of itself: schema `tcpglass.stack/1`.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Asks for sockets; they come one by one.
    ///
    /// # Errors
    /// The question cannot be sent.
    pub fn sockets(&mut self, ask: &Ask) -> io::Result<Sockets<'_>> {
        self.stream.get_mut().write_all(ask.line().as_bytes())?;
        Ok(Sockets { visitor: self, totals: None })
    }

    /// Asks for a capture, and is then what its bytes come from. [`leave`](Self::leave) has it completed.
    ///
    /// # Errors
    /// It is refused.
    pub fn capture(&mut self, snaplen: u32) -> io::Result<()> {
        self.stream.get_mut().write_all(Ask::Capture { snaplen }.line().as_bytes())?;
        self.line()?;
        // There may be nothing to capture for a long time.
        self.stream.get_ref().set_read_timeout(None)
    }

    /// A handle that ends the capture from elsewhere: what is under way still comes, then the end.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn leave(&self) -> io::Result<impl FnOnce() + Send + use<>> {
        let stream = self.stream.get_ref().try_clone()?;
        Ok(move || {
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        self.stream.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "it does not answer"),
            _ => e,
        })?;
        if line.last() != Some(&b'\n') {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has ended"));
        }
        let value: Value = serde_json::from_slice(&line).map_err(|e| invalid(e.to_string()))?;
        match (value["schema"].as_str(), value["error"].as_str()) {
            (Some("tcpglass.refusal/1"), Some(why)) => Err(io::Error::other(why)),
            _ => Ok(value),
        }
    }
}

/// The bytes of a capture.
impl Read for Visitor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

/// Sockets as they come: schema `tcpglass.socket/1`.
#[derive(Debug)]
pub struct Sockets<'a> {
    visitor: &'a mut Visitor,
    totals: Option<Value>,
}

impl Sockets<'_> {
    /// What is told of all of them, once the last one has come: schema `tcpglass.sockets/1`.
    pub fn totals(self) -> Value {
        self.totals.unwrap_or_default()
    }
}

impl Iterator for Sockets<'_> {
    type Item = io::Result<Value>;

    fn next(&mut self) -> Option<io::Result<Value>> {
        if self.totals.is_some() {
            return None;
        }
        match self.visitor.line() {
            Ok(value) if value["schema"] == "tcpglass.sockets/1" => {
                self.totals = Some(value);
                None
            }
            Ok(value) => Some(Ok(value)),
            Err(e) => {
                self.totals = Some(Value::Null);
                Some(Err(e))
            }
        }
    }
}
