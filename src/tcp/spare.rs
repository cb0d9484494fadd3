//! How is nothing kept for what rarely is? A value that takes memory only once it is changed.

use std::ops::{Deref, DerefMut};

/// What an untouched value looks like.
pub(super) trait Untouched: Sized + 'static {
    /// Read in place of each that nobody has changed.
    const UNTOUCHED: &'static Self;

    /// The same, to be changed.
    fn untouched() -> Self;
}

/// A value that is somewhere else from its first change on, and not at all before.
#[derive(Debug)]
pub(super) struct Spare<T>(Option<Box<T>>);

impl<T> Default for Spare<T> {
    fn default() -> Spare<T> {
        Spare(None)
    }
}

impl<T: Untouched> Spare<T> {
    /// As if nobody had touched it; its memory is given back.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

impl<T: Untouched> Deref for Spare<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::UNTOUCHED)
    }
}

impl<T: Untouched> DerefMut for Spare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(|| Box::new(T::untouched()))
    }
}
