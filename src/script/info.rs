//! What does Linux' TCP_INFO say about a connection?

use super::sockets::Sockets;
use crate::stack::Stack;
use crate::time::Instant;

/// The field `name` of `struct tcp_info` of the connection behind a descriptor.
pub fn tcp_info(stack: &Stack, sockets: &Sockets, now: Instant, fd: i64, name: &str) -> Option<u64> {
    let info = stack.info(now, sockets.conn(fd)?.id)?;
    let name = name.strip_prefix("tcpi_")?;
    info.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
}
