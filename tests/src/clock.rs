//! The harness's clocks: instants for durations, and their place on the wall clock that `/status` speaks.

use std::{sync::OnceLock, time::UNIX_EPOCH};

use tokio::time::Instant;

/// Unix milliseconds (with fraction) of an instant, on the scale of the `*_ms` fields of `/status`.
pub fn unix_ms(at: Instant) -> f64 {
    static ANCHOR: OnceLock<(Instant, f64)> = OnceLock::new();
    let (anchor, ms) = *ANCHOR.get_or_init(|| (Instant::now(), wall_ms()));
    match at.checked_duration_since(anchor) {
        Some(after) => ms + after.as_secs_f64() * 1e3,
        None => ms - (anchor - at).as_secs_f64() * 1e3,
    }
}

#[expect(clippy::disallowed_methods, reason = "the harness runs programs; it is a door")]
fn wall_ms() -> f64 {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    now.as_secs_f64() * 1e3
}
