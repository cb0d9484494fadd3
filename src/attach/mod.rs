//! How does somebody look into a stack that runs? Through a Unix socket in a directory of its user's.
//!
//! [`Door::open`] makes the socket (`place` says where) and answers there in threads of its own; a [`Visitor`] asks. Questions
//! and answers are lines of JSON (`docs/schema/attach-1.json`): which sockets there are, chosen ([`Select`]), sorted
//! ([`SortKey`]) and counted by the side that has them, and a capture from now on, which follows its line as pcapng.
//!
//! The stack is asked for a few sockets at a time and has its turn in between. Nobody who asks slowly or reads slowly holds it
//! up: what a capture's reader does not take in time is left out and counted. While nobody is there, it costs nothing.

mod ask;
mod door;
mod live;
mod place;
mod select;
mod told;
mod visit;

pub use ask::{Ask, MOST_SORTED, SortKey, Sorted};
pub use door::{About, CAPTURES, Door, VISITORS};
pub use place::{Claim, Place, claim, claim_in, listed, places, running};
pub use select::{Select, SelectError};
pub use visit::{Sockets, Visitor};
