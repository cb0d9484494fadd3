//! How far has a text been read, and on which line is that?

/// A place in a text.
pub struct Cursor<'a> {
    /// What is left.
    pub rest: &'a str,
    /// The line of its first character.
    pub line: u32,
}

impl<'a> Cursor<'a> {
    /// Takes `n` bytes, counting lines.
    pub fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(n);
        self.line += taken.bytes().filter(|&b| b == b'\n').count() as u32;
        self.rest = rest;
        taken
    }

    /// How many bytes of the rest satisfy `ok`, from its beginning.
    pub fn run(&self, ok: impl Fn(u8) -> bool) -> usize {
        self.rest.bytes().position(|b| !ok(b)).unwrap_or(self.rest.len())
    }
}
