//! Everything from outside: the program, real peers, the shape of the code.
mod trace;
