//! How does a table grow without ever holding twice what it needs? Page by page; what is in it never moves.

use std::ops::{Index, IndexMut};

/// Values in a page of a [`Paged`].
const PAGE: usize = 128;

/// A vector of small values, by number. It grows and shrinks by a page at a time.
pub(crate) struct Paged<T> {
    pages: Vec<Box<[T; PAGE]>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Paged<T> {
        Paged { pages: Vec::new(), len: 0 }
    }
}

impl<T: Copy> Paged<T> {
    /// Bytes that it takes.
    pub fn memory(&self) -> usize {
        self.pages.len() * size_of::<[T; PAGE]>() + self.pages.capacity() * size_of::<Box<[T; PAGE]>>()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, value: T) {
        if self.len == self.pages.len() * PAGE {
            self.pages.push(Box::new([value; PAGE]));
        }
        let at = self.len;
        self[at] = value;
        self.len += 1;
    }

    /// Takes the last one. One empty page stays, so that a length that goes up and down does not allocate each time.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let value = self[last];
        self.len = last;
        if self.pages.len() > last.div_ceil(PAGE) + 1 {
            self.pages.pop();
        }
        Some(value)
    }

    /// Makes it at least `len` long.
    pub fn extend_to(&mut self, len: usize, value: T) {
        while self.len < len {
            self.push(value);
        }
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        (at < self.len).then(|| &self[at])
    }
}

impl<T> Index<usize> for Paged<T> {
    type Output = T;
    fn index(&self, at: usize) -> &T {
        &self.pages[at / PAGE][at % PAGE]
    }
}

impl<T> IndexMut<usize> for Paged<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pages[at / PAGE][at % PAGE]
    }
}

/// No place.
const NONE: u32 = u32::MAX;

/// Values that come and go, each at a number of its own as long as it is there. The memory of a page without values is
/// given back.
pub(crate) struct Places<T> {
    pages: Vec<Page<T>>,
    /// The first page with a free place, which leads to the next.
    open: u32,
    len: usize,
}

struct Page<T> {
    /// None at all as long as no value was put into one.
    places: Box<[Place<T>]>,
    free: u32,
    used: u32,
    next_open: u32,
}

enum Place<T> {
    Taken(T),
    /// And the next free one of the page.
    Free(u32),
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places { pages: Vec::new(), open: NONE, len: 0 }
    }
}

impl<T> Places<T> {
    /// Values in a page: a few kilobytes, so that neither the last page nor the list of pages weighs much.
    const PAGE: usize = {
        let fit = 4096 / size_of::<Place<T>>();
        if fit < 16 { 16 } else { 1 << fit.ilog2() }
    };

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes, as if no page were empty.
    pub fn memory(&self) -> usize {
        self.pages.len() * Self::PAGE * size_of::<Place<T>>() + self.pages.capacity() * size_of::<Page<T>>()
    }

    /// One above the highest place there ever was.
    pub fn end(&self) -> u32 {
        (self.pages.len() * Self::PAGE) as u32
    }

    fn split(at: u32) -> (usize, usize) {
        (at as usize / Self::PAGE, at as usize % Self::PAGE)
    }

    /// Puts `value` somewhere, and says where.
    pub fn insert(&mut self, value: T) -> u32 {
        if self.open == NONE {
            self.open = self.pages.len() as u32;
            self.pages.push(Page { places: Box::default(), free: 0, used: 0, next_open: NONE });
        }
        let number = self.open;
        let page = &mut self.pages[number as usize];
        if page.places.is_empty() {
            page.places = (1..=Self::PAGE as u32).map(Place::Free).collect();
            page.free = 0;
        }
        let at = page.free;
        if let Place::Free(next) = page.places[at as usize] {
            page.free = next;
        }
        page.places[at as usize] = Place::Taken(value);
        page.used += 1;
        if page.used as usize == Self::PAGE {
            self.open = std::mem::replace(&mut page.next_open, NONE);
        }
        self.len += 1;
        number * Self::PAGE as u32 + at
    }

    /// Takes the value at `at`.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, at: u32) -> T {
        let (number, place) = Self::split(at);
        let page = &mut self.pages[number];
        let Place::Taken(value) = std::mem::replace(&mut page.places[place], Place::Free(page.free)) else {
            panic!("nothing at {at}")
        };
        page.free = place as u32;
        page.used -= 1;
        self.len -= 1;
        let (was_full, is_empty) = (page.used as usize == Self::PAGE - 1, page.used == 0);
        if was_full {
            // The page that was the first until now is needed later: it keeps no memory for nothing.
            let before = std::mem::replace(&mut self.open, number as u32);
            self.pages[number].next_open = before;
            self.give_back(before);
        } else if is_empty && self.open != number as u32 {
            self.give_back(number as u32);
        }
        value
    }

    fn give_back(&mut self, number: u32) {
        if let Some(page) = self.pages.get_mut(number as usize)
            && page.used == 0
        {
            page.places = Box::default();
        }
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        let (number, place) = Self::split(at);
        match self.pages.get(number)?.places.get(place)? {
            Place::Taken(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.end()).filter_map(|at| Some((at, self.get(at)?)))
    }
}

impl<T> Index<u32> for Places<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        match self.get(at) {
            Some(value) => value,
            None => panic!("nothing at {at}"),
        }
    }
}

impl<T> IndexMut<u32> for Places<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        let (number, place) = Self::split(at);
        match &mut self.pages[number].places[place] {
            Place::Taken(value) => value,
            Place::Free(_) => panic!("nothing at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_paged_vector_is_a_vector(pushes in prop::collection::vec(prop::option::weighted(0.7, any::<u32>()), 0..3000)) {
            let (mut paged, mut plain) = (Paged::default(), Vec::new());
            for push in pushes {
                match push {
                    Some(value) => {
                        paged.push(value);
                        plain.push(value);
                    }
                    None => prop_assert_eq!(paged.pop(), plain.pop()),
                }
                prop_assert_eq!(paged.len(), plain.len());
            }
            prop_assert!((0..plain.len() + 300).all(|at| paged.get(at) == plain.get(at)));
            while paged.pop().is_some() {}
            prop_assert!(paged.pages.len() <= 1);
        }

        #[test]
        fn each_value_stays_at_its_place_until_it_is_taken(
            steps in prop::collection::vec((any::<u16>(), prop::bool::weighted(0.6)), 0..3000)
        ) {
            let mut places: Places<[u64; 4]> = Places::default();
            let mut model: BTreeMap<u32, [u64; 4]> = BTreeMap::new();
            for (n, put) in steps {
                if put {
                    let value = [u64::from(n); 4];
                    let at = places.insert(value);
                    prop_assert_eq!(model.insert(at, value), None);
                } else if let Some(&at) = model.keys().nth(usize::from(n) % model.len().max(1)) {
                    prop_assert_eq!(Some(places.remove(at)), model.remove(&at));
                    prop_assert!(places.get(at).is_none());
                }
                prop_assert_eq!(places.len(), model.len());
            }
            prop_assert!(places.iter().map(|(at, value)| (at, *value)).eq(model.clone()));
            for at in model.into_keys() {
                places.remove(at);
            }
            prop_assert!(places.pages.iter().filter(|page| !page.places.is_empty()).count() <= 1);
        }
    }

    #[test]
    fn what_comes_and_goes_in_turn_leaves_its_pages_behind_it() {
        let mut places: Places<[u64; 4]> = Places::default();
        let mut waiting: std::collections::VecDeque<u32> = (0..1000).map(|_| places.insert([0; 4])).collect();
        for _ in 0..100_000 {
            places.remove(waiting.pop_front().unwrap());
            waiting.push_back(places.insert([1; 4]));
        }
        assert!(places.pages.len() <= 1000 / Places::<[u64; 4]>::PAGE + 2);
        for at in waiting {
            places.remove(at);
        }
        assert!(places.pages.iter().filter(|page| !page.places.is_empty()).count() <= 1);
    }
}
