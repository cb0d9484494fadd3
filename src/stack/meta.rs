//! What does a device say of a packet beside its bytes?

use smoltcp::phy::PacketMeta;
use std::num::NonZeroU16;

/// Set in [`PacketMeta::id`] by a device that vouches for the packet's TCP checksum.
const VOUCHED: u32 = 1;

/// The metadata of a packet: a super-segment with `gso_size` payload bytes per wire segment, if there is a size; `vouched` if
/// its TCP checksum, complete or not, need not be verified.
pub fn meta(gso_size: Option<NonZeroU16>, vouched: bool) -> PacketMeta {
    let mut meta = PacketMeta::default();
    meta.segmentation_offload_size = gso_size;
    meta.id = if vouched { VOUCHED } else { 0 };
    meta
}

/// Whether the device vouches for the TCP checksum of the packet.
pub(super) fn is_vouched(meta: &PacketMeta) -> bool {
    meta.id & VOUCHED != 0
}
