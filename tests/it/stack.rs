//! Do two stacks, back to back, behave as hosts do?

mod connections;
mod host;
mod hostile;
mod lan;
mod segments;
