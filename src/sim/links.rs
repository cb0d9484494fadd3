//! Which link leads from one node to another? It is made when it is first used.

use super::link::{Link, LinkConfig};
use crate::time::Instant;
use std::ops::{Index, IndexMut};

/// From one node to another, by number.
pub(super) type Path = (u16, u16);

/// No link.
const NONE: u32 = u32::MAX;

/// All links of a world, each by a number of its own.
pub(super) struct Links {
    /// What a new one is like.
    config: LinkConfig,
    seed: u64,
    all: Vec<LinkSlot>,
    /// Numbers, by where a link begins, then by where it ends.
    numbers: Vec<Vec<u32>>,
}

/// A link and its place in the world.
pub(super) struct LinkSlot {
    pub link: Link,
    pub path: Path,
    /// When the agenda has it.
    pub arranged: Option<Instant>,
}

impl Links {
    pub fn new(config: LinkConfig, seed: u64) -> Links {
        Links { config, seed, all: Vec::new(), numbers: Vec::new() }
    }

    /// The number of the link from one node to another.
    pub fn number(&mut self, path: Path) -> u32 {
        let (row, column) = (usize::from(path.0), usize::from(path.1));
        match self.numbers.get(row).and_then(|ends| ends.get(column)) {
            Some(&number) if number != NONE => number,
            _ => self.make(path),
        }
    }

    fn make(&mut self, path: Path) -> u32 {
        let (row, column) = (usize::from(path.0), usize::from(path.1));
        if self.numbers.len() <= row {
            self.numbers.resize_with(row + 1, Vec::new);
        }
        let ends = &mut self.numbers[row];
        if ends.len() <= column {
            ends.resize(column + 1, NONE);
        }
        ends[column] = self.all.len() as u32;
        let salt = u64::from(path.0) << 16 | u64::from(path.1);
        let link = Link::new(&self.config, self.seed, salt);
        self.all.push(LinkSlot { link, path, arranged: None });
        ends[column]
    }

    /// The link from one node to another.
    pub fn on(&mut self, path: Path) -> &mut Link {
        let number = self.number(path);
        &mut self[number].link
    }
}

impl Index<u32> for Links {
    type Output = LinkSlot;
    fn index(&self, number: u32) -> &LinkSlot {
        &self.all[number as usize]
    }
}

impl IndexMut<u32> for Links {
    fn index_mut(&mut self, number: u32) -> &mut LinkSlot {
        &mut self.all[number as usize]
    }
}
