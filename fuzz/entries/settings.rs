//! Is any text either settings, which are written as they are read, or refused with a reason on one line?

use tcpglass::settings::{Settings, table};

pub fn run(text: &str) {
    let mut settings = Settings::default();
    if let Err(error) = settings.apply_config(text) {
        let error = error.to_string();
        assert!(!error.is_empty() && !error.contains('\n'), "{error:?}");
    }
    for line in text.lines() {
        let _ = settings.set(line);
        let _ = settings.set_link(line);
    }
    let mut again = Settings::default();
    for row in table() {
        let value = row.get(&settings);
        again.set_value(row.name(), &value).unwrap_or_else(|e| panic!("{} shows {value:?}: {e}", row.name()));
        assert_eq!(row.get(&again), value, "{}", row.name());
    }
}
