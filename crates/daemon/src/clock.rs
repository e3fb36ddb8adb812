//! The one wall clock, which is shown to people and other machines and decides nothing; and moments that also tell the
//! sleep of the whole machine.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A moment by two clocks of the machine: `CLOCK_MONOTONIC`, which `Instant` is too, stands still while it is suspended,
/// `CLOCK_BOOTTIME` does not; neither follows when somebody sets the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock that a test may have stopped, which the other two know nothing of.
    awake: Instant,
    monotonic: Duration,
    boot: Duration,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self { awake: Instant::now(), monotonic: read(ClockId::Monotonic), boot: read(ClockId::Boottime) }
    }

    /// How long ago it was, sleep included.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.awake.elapsed() + self.slept()
    }

    /// How long the machine slept since.
    #[must_use]
    pub fn slept(&self) -> Duration {
        // In this order here, and in the other one in `now`: a program that is stopped in between did not sleep.
        let by_boot = read(ClockId::Boottime).saturating_sub(self.boot);
        by_boot.saturating_sub(read(ClockId::Monotonic).saturating_sub(self.monotonic))
    }
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap_or_default()
}

/// Milliseconds since 1970, with a fraction down to the microsecond.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn unix_millis() -> f64 {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    micros as f64 / 1000.0
}

/// Such milliseconds as RFC 3339 in UTC: `2026-11-23T09:08:07.123Z`.
pub fn rfc3339(unix_millis: f64) -> String {
    let millis = unix_millis.max(0.0) as u64;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day since 1970-01-01, after Howard Hinnant's `civil_from_days`: years begin in
/// March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_tells_sleep_from_waking() {
        let here = Moment::now();
        let hour = Duration::from_secs(3600);
        // What a suspended machine looks like afterwards: an hour by one clock, nothing by the other.
        let suspended = Moment { boot: here.boot.saturating_sub(hour), ..here };
        let near = |shown: Duration, real: Duration| shown.abs_diff(real) < Duration::from_secs(10);
        assert!(near(here.slept(), Duration::ZERO) && near(here.age(), Duration::ZERO));
        if here.boot > hour {
            assert!(near(suspended.slept(), hour) && near(suspended.age(), hour), "{suspended:?}");
        }
        let stopped = Duration::from_secs(30);
        let frozen = Moment {
            awake: here.awake.checked_sub(stopped).unwrap_or(here.awake),
            monotonic: here.monotonic.saturating_sub(stopped),
            boot: here.boot.saturating_sub(stopped),
        };
        assert!(near(frozen.slept(), Duration::ZERO), "a program that was stopped did not sleep");
    }

    #[test]
    fn shows_moments_as_rfc_3339() {
        for (millis, shown) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999.0, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000.0, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000.5, "2024-03-01T00:00:00.000Z"),
            (1_790_000_000_123.0, "2026-09-21T14:13:20.123Z"),
            (4_107_542_400_000.0, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(millis), shown);
        }
        assert!(unix_millis() > 1_700_000_000_000.0);
    }
}
