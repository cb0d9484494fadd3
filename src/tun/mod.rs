//! How do packets get from this host's kernel to the stack and back? A TUN device, and private namespaces to put it in.

mod device;
mod doctor;
mod error;
mod ifconfig;
mod namespace;
mod sys;

pub use device::{Status, Tun, TunOptions, TunRx, TunTx};
pub use doctor::{Check, doctor};
pub use error::{TunError, TunErrorKind};
pub use namespace::{Entered, enter_private_namespace};
