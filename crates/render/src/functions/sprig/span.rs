//! Spans of time as texts, such as `2h10m5s`.

use gotemplate::Value;

/// Seconds, as Go writes a duration.
pub(super) fn written(seconds: i64) -> String {
    let (sign, n) = if seconds < 0 { ("-", seconds.unsigned_abs()) } else { ("", seconds as u64) };
    let (hours, minutes, seconds) = (n / 3600, n / 60 % 60, n % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// A duration by its largest unit.
pub(super) fn rounded(value: &Value) -> String {
    let seconds = match value {
        Value::Str(text) => spelled(text),
        Value::Int(_, nanos) => nanos.unsigned_abs() / 1_000_000_000,
        _ => 0,
    };
    let units = [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let found = units.iter().find(|(size, _)| seconds > *size);
    found.map_or_else(
        || if seconds == 1 { "1s".into() } else { "0s".into() },
        |(size, unit)| format!("{}{unit}", seconds / size),
    )
}

/// Seconds of a duration such as `2h10m5s`.
fn spelled(text: &str) -> u64 {
    let (mut sum, mut digits) = (0.0, String::new());
    let mut rest = text.trim_start_matches(['-', '+']).chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '0'..='9' | '.' => digits.push(c),
            _ => {
                let milli = c == 'm' && rest.peek() == Some(&'s');
                let size = match c {
                    'h' => 3600.0,
                    'm' if milli => 0.001,
                    'm' => 60.0,
                    's' => 1.0,
                    _ => 0.0,
                };
                if milli {
                    rest.next();
                }
                sum += digits.parse::<f64>().unwrap_or_default() * size;
                digits.clear();
            }
        }
    }
    sum as u64
}
