//! Everything from outside: the program, real peers, the shape of the code.
mod alloc;
mod captures;
mod cli;
mod http;
mod judge;
mod memory;
mod net;
mod packetdrill;
mod peers;
mod ranks;
mod regressions;
mod script;
mod sim;
mod spec;
mod stack;
mod trace;
mod tun;
