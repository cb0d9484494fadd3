//! How does the original packetdrill drive this stack? As a shared object with its table of C functions.
//!
//! `packetdrill --so_filename=./libtcpglass.so script.pkt` loads the library and calls `packetdrill_interface_init`
//! (`table`, `ffi`, `memory`). No device and no root are used: the program hands packets and system calls over, asks for the packets that
//! the stack sends and for the time (`machine`, `host`). The calls go through the same socket layer as those of our own runner
//! ([`crate::script`]).
//!
//! Assertions about TCP_INFO are answered, too (`asserts`).
//!
//! What a script's `sysctl` commands change in the kernel is taken over (`sysctls`).
//!
//! `--so_flags=TEXT` says under which conditions (`flags`): `profile=linux,set=tcp.nagle=on,clock=real`.

mod asserts;
mod ffi;
mod flags;
mod host;
mod machine;
mod memory;
mod sysctls;
mod table;
