//! How does a program use the stack as if it were the kernel's? A thread that runs it, and handles shaped like `std::net`.
//!
//! A [`Runtime`] owns the stack and its device; [`TcpStream`] and [`TcpListener`] reach it through a [`Handle`]. Bytes
//! go through two bounded queues per connection, so that threads share no lock but that of their own connection.
//! ```no_run
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use tcpglass::net::{Runtime, TcpStream, pipe};
//! # fn page(config: tcpglass::stack::Config) -> std::io::Result<()> {
//! let (here, there) = pipe(1500)?;
//! let runtime = Runtime::builder(config).start(here)?;
//! let mut stream = TcpStream::connect(&runtime.handle(), "10.77.0.3:80")?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//! let mut page = String::new();
//! stream.read_to_string(&mut page)?;
//! runtime.shutdown(Duration::from_secs(1))?.finish()
//! # }
//! ```

pub(crate) mod clock;
mod core;
mod driver;
mod handle;
mod listener;
mod path;
mod pipe;
mod queue;
mod runtime;
mod socket;
mod stream;

pub use core::OWNER;
pub use handle::Handle;
pub use listener::{Incoming, TcpListener};
pub use path::Path;
pub use pipe::{PipeDevice, PipeRx, PipeTx, pipe};
pub use runtime::{Builder, DROP_GRACE, Runtime};
pub use stream::TcpStream;
