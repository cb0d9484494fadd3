//! Is any file either a capture, up to its first damage, or refused with a reason?

pub fn run(data: &[u8]) {
    match tcpglass::explain::explain(data, tcpglass::explain::Options::default()) {
        // No packet takes less than its header in the file.
        Ok(summary) => assert!(summary.packets <= data.len() as u64 / 12),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
