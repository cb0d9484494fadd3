//! Is any text either a script or refused with a line and a reason?

use tcpglass::script::{self, Options};

pub fn run(source: &str) {
    // Its display, too: it shows the line that is wrong.
    let outcome = script::check(source, "fuzz.pkt", &Options::default());
    assert!(!outcome.to_string().is_empty());
}
