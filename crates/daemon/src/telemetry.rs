//! The log: one line an event on standard error, with UTC time.

use tracing::Level;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The crates that are this product. Of others only warnings are of interest to its users.
const OURS: [&str; 6] = ["rolecall", "register", "render", "consul", "daemon", "config"];

/// Begins to log at `level`, as plain text or as JSON. Only the first call counts.
pub fn init(level: Level, json: bool) {
    // A log that cannot be written must not end the program: internal errors would go to the same stderr.
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let others = LevelFilter::from_level(level.min(Level::WARN));
    let wanted = Targets::new().with_default(others).with_targets(OURS.map(|name| (name, level)));
    let _first_call_counts = tracing_subscriber::registry().with(lines.with_filter(wanted)).try_init();
}
