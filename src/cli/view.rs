//! What do the keys of `tcpglass top` do?

use tcpglass::attach::{Select, SortKey};

/// A key, as far as it means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// What a key asks for beyond the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Only to be shown.
    Show,
    /// The stack is to be asked.
    Ask,
    /// Looks are to come more often, or less often.
    Faster,
    Slower,
    Quit,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub sort: SortKey,
    pub reverse: bool,
    pub skip: usize,
    pub select: Option<Select>,
    pub paused: bool,
    pub help: bool,
    /// What is being typed.
    pub typed: Option<String>,
    pub told: String,
}

/// The longest filter that can be typed.
const LONGEST: usize = 500;

impl View {
    /// Takes one key, with the screen showing `rows` of `matched` sockets.
    pub fn take(&mut self, key: Key, rows: usize, matched: usize) -> Then {
        self.told.clear();
        if self.typed.is_some() {
            return self.edit(key);
        }
        let last = matched.saturating_sub(rows.max(1));
        let skip = match key {
            Key::Up => self.skip.saturating_sub(1),
            Key::Down => (self.skip + 1).min(last),
            Key::PageUp => self.skip.saturating_sub(rows.max(1)),
            Key::PageDown => (self.skip + rows.max(1)).min(last),
            Key::Home => 0,
            Key::End => last,
            _ => return self.command(key),
        };
        // What is sorted is limited.
        self.skip = skip.min(tcpglass::attach::MOST_SORTED.saturating_sub(rows));
        Then::Ask
    }

    fn command(&mut self, key: Key) -> Then {
        match key {
            Key::Char('q') | Key::Escape => return Then::Quit,
            Key::Char('p' | ' ') => self.paused = !self.paused,
            Key::Char('s') => self.sort_by(1),
            Key::Char('S') => self.sort_by(SortKey::ALL.len() - 1),
            Key::Char('r') => self.reverse = !self.reverse,
            Key::Char('f' | '/') => {
                self.typed = Some(self.select.as_ref().map(ToString::to_string).unwrap_or_default());
                return Then::Show;
            }
            Key::Char('h' | '?') => {
                self.help = !self.help;
                return Then::Show;
            }
            Key::Char('+') => return Then::Faster,
            Key::Char('-') => return Then::Slower,
            _ => {
                self.told = "h tells what the keys do".into();
                return Then::Show;
            }
        }
        Then::Ask
    }

    fn sort_by(&mut self, further: usize) {
        let at = SortKey::ALL.iter().position(|key| *key == self.sort).unwrap_or(0);
        self.sort = SortKey::ALL[(at + further) % SortKey::ALL.len()];
        self.skip = 0;
    }

    fn edit(&mut self, key: Key) -> Then {
        let typed = self.typed.get_or_insert_default();
        match key {
            Key::Char(c) if typed.len() < LONGEST => typed.push(c),
            Key::Backspace => drop(typed.pop()),
            Key::Escape => self.typed = None,
            Key::Enter if typed.trim().is_empty() => (self.select, self.typed, self.skip) = (None, None, 0),
            Key::Enter => match typed.parse() {
                Ok(select) => (self.select, self.typed, self.skip) = (Some(select), None, 0),
                Err(error) => {
                    // What was typed is kept for the next try.
                    self.told = format!("{error}");
                    self.typed = None;
                    return Then::Show;
                }
            },
            _ => return Then::Show,
        }
        if key == Key::Enter { Then::Ask } else { Then::Show }
    }
}

/// The keys of what a terminal sent in one go.
pub fn keys(bytes: &[u8]) -> Vec<Key> {
    let text = String::from_utf8_lossy(bytes);
    let mut keys = Vec::new();
    let mut rest = &*text;
    while let Some(c) = rest.chars().next() {
        let (key, len) = match c {
            '\x1b' => sequence(rest),
            '\r' | '\n' => (Some(Key::Enter), 1),
            '\x08' | '\x7f' => (Some(Key::Backspace), 1),
            c if c.is_control() => (None, c.len_utf8()),
            c => (Some(Key::Char(c)), c.len_utf8()),
        };
        keys.extend(key);
        rest = &rest[len..];
    }
    keys
}

/// A key that is more than one character, `ESC [ A`; one that is not known is nothing. Escape alone is a key, too.
fn sequence(text: &str) -> (Option<Key>, usize) {
    let body = &text[1..];
    if !body.starts_with(['[', 'O']) {
        return (Some(Key::Escape), 1);
    }
    // Parameters, then one letter or tilde.
    let Some(end) = body[1..].find(|c: char| c.is_ascii_alphabetic() || c == '~') else {
        return (None, text.len());
    };
    let key = match &body[1..=end + 1] {
        "A" => Some(Key::Up),
        "B" => Some(Key::Down),
        "H" | "1~" | "7~" => Some(Key::Home),
        "F" | "4~" | "8~" => Some(Key::End),
        "5~" => Some(Key::PageUp),
        "6~" => Some(Key::PageDown),
        _ => None,
    };
    (key, end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(view: &mut View, typed: &str) -> Then {
        let mut then = Then::Show;
        for key in keys(typed.as_bytes()) {
            then = view.take(key, 10, 35);
        }
        then
    }

    #[test]
    fn bytes_of_a_terminal_become_keys() {
        for (bytes, expected) in [
            ("q", vec![Key::Char('q')]),
            ("\x1b", vec![Key::Escape]),
            ("\x1b[A\x1bOB", vec![Key::Up, Key::Down]),
            ("\x1b[5~\x1b[6~x", vec![Key::PageUp, Key::PageDown, Key::Char('x')]),
            ("\x1b[1~\x1b[H\x1b[F", vec![Key::Home, Key::Home, Key::End]),
            ("\x1b[1;5C\r", vec![Key::Enter]),
            ("\x1b[99", vec![]),
            ("é\x7f\x01", vec![Key::Char('é'), Key::Backspace]),
        ] {
            assert_eq!(keys(bytes.as_bytes()), expected, "{bytes:?}");
        }
        keys(&[0xff, 0x1b, b'[', 0xff]);
    }

    #[test]
    fn keys_change_the_view() {
        let mut view = View::default();
        assert_eq!((press(&mut view, "p"), view.paused), (Then::Ask, true));
        assert_eq!((press(&mut view, " "), view.paused), (Then::Ask, false));
        assert_eq!((press(&mut view, "ss"), view.sort), (Then::Ask, SortKey::Cwnd));
        assert_eq!((press(&mut view, "S"), view.sort), (Then::Ask, SortKey::State));
        assert_eq!((press(&mut view, "SS"), view.sort), (Then::Ask, SortKey::Age), "round the corner");
        assert!(press(&mut view, "r") == Then::Ask && view.reverse);
        assert!(press(&mut view, "h") == Then::Show && view.help);
        assert!(press(&mut view, "x") == Then::Show && !view.told.is_empty());
        assert_eq!([press(&mut view, "+"), press(&mut view, "-")], [Then::Faster, Then::Slower]);
        assert_eq!([press(&mut view, "q"), press(&mut view, "\x1b")], [Then::Quit, Then::Quit]);
    }

    #[test]
    fn the_list_moves_and_stops_at_its_ends() {
        let mut view = View::default();
        for (typed, skip) in [
            ("\x1b[A", 0),
            ("\x1b[B\x1b[B", 2),
            ("\x1b[6~", 12),
            ("\x1b[6~\x1b[6~\x1b[6~", 25),
            ("\x1b[B", 25),
            ("\x1b[5~", 15),
            ("\x1b[H", 0),
            ("\x1b[F", 25),
            ("s", 0),
        ] {
            assert_eq!((press(&mut view, typed), view.skip), (Then::Ask, skip), "{typed:?}");
        }
    }

    #[test]
    fn a_filter_is_typed_mended_taken_and_given_up() {
        let mut view = View::default();
        assert_eq!(press(&mut view, "fdport = :8x"), Then::Show);
        assert_eq!(press(&mut view, "\x7f0\r"), Then::Ask);
        assert_eq!(view.select.as_ref().unwrap().to_string(), "dport = :80");
        assert_eq!(press(&mut view, "f and q\x1b"), Then::Show, "q is a letter here");
        assert_eq!(view.select.as_ref().unwrap().to_string(), "dport = :80");
        assert_eq!(press(&mut view, "f nonsense\r"), Then::Show);
        assert!(view.told.contains("nonsense") && view.select.is_some(), "{}", view.told);
        press(&mut view, "f");
        assert_eq!(view.typed.as_deref(), Some("dport = :80"), "what there is can be changed");
        assert_eq!(press(&mut view, &"\x7f".repeat(20)), Then::Show);
        assert_eq!((press(&mut view, "\r"), view.select.is_none()), (Then::Ask, true));
        press(&mut view, "f");
        press(&mut view, &"x".repeat(10_000));
        assert_eq!(view.typed.unwrap().len(), LONGEST);
    }
}
