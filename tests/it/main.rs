//! Everything from outside: the program, real peers, the shape of the code.
mod alloc;
mod cli;
mod http;
mod net;
mod ranks;
mod regressions;
mod script;
mod sim;
mod stack;
mod trace;
mod tun;
