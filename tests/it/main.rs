//! Everything from outside: the program, real peers, the shape of the code.
mod http;
mod net;
mod regressions;
mod script;
mod sim;
mod stack;
mod trace;
mod tun;
