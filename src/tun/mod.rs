//! How do packets get from this host's kernel to the stack and back? A TUN device, and private namespaces to put it in.

mod device;
mod doctor;
mod error;
mod ifconfig;
mod line;
mod namespace;
mod status;
mod sys;
mod vnet;

pub use device::{Tun, TunOptions, TunRx, TunTx};
pub use doctor::{Check, doctor};
pub use error::{TunError, TunErrorKind};
pub use line::Offload;
pub use namespace::{Entered, enter_private_namespace};
pub use status::Status;
pub use sys::started_without_stdout;
