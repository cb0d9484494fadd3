//! What does a connection have to know of all the others? How much memory and patience is left, and whether challenges are.

/// How short memory is for all connections together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Pressure {
    /// There is enough.
    #[default]
    Calm,
    /// It gets short: no window grows, nothing new is kept beyond a gap.
    Short,
    /// There is none left: what is not the next byte for an empty buffer is dropped, and nobody writes more than
    /// what fits into the memory already held.
    Spent,
}

/// The state of the whole stack, as far as it concerns a connection; its owner says so before it calls into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// How short memory is.
    pub pressure: Pressure,
    /// No larger window than this is offered for now: packets wait in this host already, bytes.
    pub share: u32,
    /// Whether another challenge ACK may be sent in this second (RFC 5961 §7).
    pub challenges: bool,
    /// Whether somebody else holds the last packet that came, a sniffer for example: nothing is put beside its data then, which
    /// makes more memory of it.
    pub watched: bool,
}

impl Default for Surroundings {
    fn default() -> Surroundings {
        Surroundings { pressure: Pressure::Calm, share: u32::MAX, challenges: true, watched: false }
    }
}
