//! Do two stacks, back to back, behave as hosts do?

mod connections;
mod flood;
mod host;
mod hostile;
mod lan;
mod memory;
mod parcels;
mod segments;
mod signed;
mod turns;
