//! Durations as Go writes them, which is how Consul and its tools write them: `1.5s`, `200ms`, `1m30s`, `0s`.

use std::time::Duration;

/// Nanoseconds by unit; `µ` has two code points in the wild, as in Go.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration; the error says what is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("expected a duration such as \"10s\" or \"1m30s\", found {text:?}");
    let too_long = || format!("the duration {text:?} is too long");
    if text.starts_with('-') {
        return Err(format!("the duration {text:?} is negative"));
    }
    let (mut rest, mut nanos) = (text, 0u128);
    while !rest.is_empty() || nanos == 0 && text.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let found =
                if unit.is_empty() { "has no unit".into() } else { format!("has the unknown unit {unit:?}") };
            return Err(format!("the duration {text:?} {found}; units are ns, us, ms, s, m and h"));
        };
        let part = scaled(whole, fraction, *size).ok_or_else(too_long)?;
        nanos = nanos.checked_add(part).ok_or_else(too_long)?;
        rest = after;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| too_long())
}

/// The shortest Go form that reads back as the same duration.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let unit = ["h", "m", "s", "ms", "us", "ns"].into_iter().find_map(|unit| {
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        (nanos > 0 && nanos.is_multiple_of(*size)).then(|| format!("{}{unit}", nanos / size))
    });
    unit.unwrap_or_else(|| "0s".into())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` times `size`; digits of the fraction below a nanosecond are dropped.
fn scaled(whole: &str, fraction: &str, size: u128) -> Option<u128> {
    let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    let fraction = &fraction[..fraction.len().min(15)];
    let parts = number(fraction)?.checked_mul(size)? / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    number(whole)?.checked_mul(size)?.checked_add(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000_000_000),
            ("200ms", 200_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h0m0.25s", 3_600_250_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("7ns", 7),
            ("0.3333333333333333333333h", 1_199_999_999_999),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses_and_says_why() {
        for (text, why) in [
            ("", "expected a duration such as \"10s\" or \"1m30s\", found \"\""),
            ("soon", "expected a duration such as \"10s\" or \"1m30s\", found \"soon\""),
            ("10", "the duration \"10\" has no unit; units are ns, us, ms, s, m and h"),
            ("1 s", "the duration \"1 s\" has the unknown unit \" s\"; units are ns, us, ms, s, m and h"),
            ("1d", "the duration \"1d\" has the unknown unit \"d\"; units are ns, us, ms, s, m and h"),
            (".s", "expected a duration such as \"10s\" or \"1m30s\", found \".s\""),
            ("-1s", "the duration \"-1s\" is negative"),
            ("9999999999h", "the duration \"9999999999h\" is too long"),
            (
                "99999999999999999999999999999999999999999s",
                "the duration \"99999999999999999999999999999999999999999s\" is too long",
            ),
        ] {
            assert_eq!(parse_duration(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["0s", "10s", "90s", "200ms", "1500ms", "2m", "1h", "3us", "7ns"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }
}
