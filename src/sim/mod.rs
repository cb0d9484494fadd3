//! How does TCP behave on a network that can be repeated? Hosts and links in virtual time.
//!
//! A [`World`] has hosts, each a stack with its services, perhaps a [`NameServer`], and a [`Link`] in each direction between
//! them; `sockets.rs`
//! adds calls that let it go on until they are done. `invariants.rs` watches that hosts keep TCP's promises. The same
//! links lie around a real device in an [`Impaired`]. Nothing here reads a clock, and all chance comes from one seed.
//!
//! # For tests of one's own code
//! Code under test can be a [`Service`](crate::service::Service) on a [`ByteStream`](crate::stream::ByteStream), code
//! that calls the world itself ([`World::connect`], [`World::read_exact`]), or code in blocking style that reads and
//! writes a [`TcpStream`] in a task of its own ([`World::spawn`], [`World::join`]), which begins others as programs begin
//! threads ([`Net::spawn`]) and finds names ([`Net::lookup`]). [`rule`] makes the path as bad as the
//! test needs it, [`World::record`] and [`World::counts`] tell what went over it:
//!
//! ```
//! use std::io::{Read, Write};
//! use tcpglass::sim::{World, rule};
//!
//! let mut world = World::new(1, "rtt=20ms".parse()?);
//! let (client, server) = (world.add([10, 0, 0, 1]), world.add([10, 0, 0, 2]));
//! let packets = world.record(client);
//! world.add_rule(client, server, rule::drop_nth(1));
//!
//! world.spawn(server, |net| -> std::io::Result<()> {
//!     let (mut stream, _) = net.listen(7)?.accept()?;
//!     let mut word = [0; 5];
//!     stream.read_exact(&mut word)?;
//!     stream.write_all(&word)
//! });
//! let task = world.spawn(client, |net| -> std::io::Result<String> {
//!     let mut stream = net.connect(([10, 0, 0, 2], 7))?;
//!     stream.write_all(b"hello")?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! });
//! assert_eq!(world.join(task)??, "hello");
//! assert_eq!(packets.sent("data"), 1, "{packets}");
//! assert_eq!(packets.sent("tail-loss-probe"), 1, "{packets}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod hash;
mod host;
mod impaired;
mod incident;
mod invariants;
pub mod link;
mod links;
mod name_server;
mod node;
mod recording;
mod reference;
mod rng;
pub mod rule;
mod sockets;
mod task;
mod too_big;
mod travels;
mod world;

pub use host::{Host, host_config};
pub use impaired::Impaired;
pub use incident::Incident;
pub use link::{Link, LinkConfig};
pub use name_server::NameServer;
pub use node::{HostId, NameServerId, NodeId, ReferenceId};
pub use recording::{Recorded, Recording};
pub use reference::{Reference, ReferenceState};
pub use rng::Rng;
pub use rule::{Action, Passing, Rule};
pub use sockets::{Listener, SimError, Socket};
pub use task::{Incoming, Net, Remote, Task, TcpListener, TcpStream, ToRemote, Waiting};
pub use world::World;
