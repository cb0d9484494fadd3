//! How does TCP behave on a network that can be repeated? Hosts and links in virtual time.
//!
//! A [`World`] has hosts, each a stack with its services, and a [`Link`] in each direction between them; `sockets.rs`
//! adds calls that let it go on until they are done. `invariants.rs` watches that hosts keep TCP's promises. The same
//! links lie around a real device in an [`Impaired`]. Nothing here reads a clock, and all chance comes from one seed.

mod host;
mod impaired;
mod incident;
mod invariants;
pub mod link;
mod reference;
mod rng;
mod sockets;
mod world;

pub use host::{Host, host_config};
pub use impaired::Impaired;
pub use incident::Incident;
pub use link::{Link, LinkConfig};
pub use reference::{Reference, ReferenceState};
pub use rng::Rng;
pub use sockets::{Listener, SimError, Socket};
pub use world::{HostId, NodeId, ReferenceId, World};
