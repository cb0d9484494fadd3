//! How does a program have the terminal for itself, and give it back whatever happens?

use super::failure::Failure;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, Once, PoisonError};

/// What the terminal was like, as long as it is not given back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Another screen, no cursor, no wrapped lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Where the terminal does not say.
const USUAL: (usize, usize) = (80, 24);

/// The terminal, until it is dropped. A panic gives it back before its message is printed.
pub struct Terminal(());

impl Terminal {
    /// Whether there is one.
    ///
    /// # Errors
    /// Standard input or output is none; `instead` says what can be done.
    pub fn is_there(command: &str, instead: &str) -> Result<(), Failure> {
        let (input, output) = (io::stdin().is_terminal(), io::stdout().is_terminal());
        if input && output {
            return Ok(());
        }
        let which = if output { "input" } else { "output" };
        Err(Failure::usage(format_args!(
            "tcpglass {command} needs a terminal, and its {which} is none: {instead}"
        )))
    }

    /// Takes it: keys come one by one and are not shown, but those that make signals still do.
    ///
    /// # Errors
    /// It cannot be set.
    pub fn take() -> Result<Terminal, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                usual(panic);
            }));
        });
        let terminal = Terminal(());
        terminal.enter().map_err(|e| Failure::failed(format_args!("cannot set the terminal: {e}")))?;
        Ok(terminal)
    }

    /// Takes it again after [`leave`](Self::leave).
    pub fn enter(&self) -> io::Result<()> {
        let before = tcgetattr(io::stdin())?;
        let mut ours = before.clone();
        ours.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN;
        ours.special_codes[SpecialCodeIndex::VMIN] = 1;
        ours.special_codes[SpecialCodeIndex::VTIME] = 0;
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(before);
        tcsetattr(io::stdin(), OptionalActions::Flush, &ours)?;
        self.show(ENTER)
    }

    /// Gives it back for a while.
    pub fn leave(&self) {
        give_back();
    }

    /// Columns and lines.
    pub fn size(&self) -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => USUAL,
        }
    }

    /// Puts these lines on the screen, and nothing else.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        self.show(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }

    fn show(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// As it was before; a second time is nothing.
fn give_back() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let mut out = io::stdout().lock();
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        const NAME: &str = "cli::terminal::tests::a_panic_gives_the_terminal_back_before_its_message";
        const INSIDE: &str = "TCPGLASS_TEST_PANIC";
        if std::env::var_os(INSIDE).is_some() {
            let terminal = Terminal::take().unwrap();
            terminal.draw(&["something".into()]).unwrap();
            panic!("for a test");
        }
        let program = std::env::current_exe().unwrap();
        let script = format!("stty -g; {} --exact {NAME} --nocapture; echo over; stty -g", program.display());
        let output = Command::new("script").args(["-qec", &script, "/dev/null"]).env(INSIDE, "1").output();
        let Ok(output) = output else {
            println!("skipped: a_panic_gives_the_terminal_back_before_its_message needs script");
            return;
        };
        let shown = String::from_utf8(output.stdout).unwrap();
        let left = shown.find(LEAVE).unwrap_or_else(|| panic!("{shown:?}"));
        assert!(shown.find(ENTER).unwrap() < left && left < shown.find("for a test").unwrap(), "{shown:?}");
        let (before, after) = (shown.lines().next().unwrap(), shown.lines().last().unwrap());
        assert!(before.matches(':').count() > 20 && before == after, "{shown:?}");
    }
}
