//! Does a conversation that is held again go as it went?
