//! Everything from outside: the program, real peers, the shape of the code.
mod stack;
mod trace;
