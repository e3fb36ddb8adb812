//! Whether the loops turn: each service must be looked at again within the time that looking may take.

use std::time::Duration;
use tokio::time::Instant;

/// Room for a machine that is very busy; less than any limit that makes sense for a watchdog.
const SLACK: Duration = Duration::from_secs(5);

/// What was seen of each service's loop.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Vec<(u64, Instant)>);

impl Pulse {
    /// Whether each loop moved on lately; of each, its count of looks, and how long one may take, the pause before it
    /// included. A service that waits for its address does not look yet, and is told as `None`.
    pub fn beats(&mut self, loops: impl IntoIterator<Item = (Option<u64>, Duration)>, now: Instant) -> bool {
        let mut all = true;
        for (position, (looks, pace)) in loops.into_iter().enumerate() {
            let looks = looks.unwrap_or_default();
            match self.0.get_mut(position) {
                None => self.0.push((looks, now)),
                Some(seen) if seen.0 != looks || looks == 0 => *seen = (looks, now),
                Some((_, since)) => all &= now - *since <= pace * 2 + SLACK,
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_noticed() {
        let (pace, start) = (Duration::from_millis(350), Instant::now());
        let mut pulse = Pulse::default();
        for (second, one, other, alive) in [
            (0, None, Some(7), true),
            (20, None, Some(90), true),
            (21, Some(1), Some(91), true),
            (25, Some(9), Some(91), true),
            (30, Some(30), Some(91), false),
            (31, Some(35), Some(92), true),
            (60, Some(35), Some(200), false),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(pulse.beats([(one, pace), (other, pace)], now), alive, "{second}");
        }
    }
}
