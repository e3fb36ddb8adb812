//! When a Redis became master, by its own log. It stamps its lines itself, so no watcher has to ask it hundreds of times a
//! second, taking the cores from what is measured, and none has to wait for a core to see it.

/// How one promotion went. Sentinel orders it in one transaction, in which the server becomes master, writes its
/// configuration to the disk and closes its connections; it answers nobody meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promotion {
    /// It was made a master; Unix milliseconds.
    pub ordered: f64,
    /// Its configuration was written: `ROLE` may say master from now on. Stamps are cut to milliseconds, so this is some
    /// 1 ms early, never late.
    pub answers: f64,
}

/// Stamps are local times, and all time zones differ by quarters of an hour.
const QUARTER: f64 = 15.0 * 60e3;

impl Promotion {
    /// The last one in this log, which came less than a quarter of an hour after `since` (Unix milliseconds).
    pub fn read(log: &str, since: f64) -> Option<Promotion> {
        let stamp = |line: &str| {
            let clock = line.split(' ').find(|word| word.matches(':').count() == 2 && word.contains('.'))?;
            let seconds =
                clock.split(':').try_fold(0.0, |all, part| Some(all * 60.0 + part.parse::<f64>().ok()?))?;
            Some(since + (seconds * 1e3 - since).rem_euclid(QUARTER))
        };
        let mut last = log.lines().rev().collect::<Vec<_>>();
        let ordered = last.iter().position(|line| line.contains("MASTER MODE enabled"))?;
        last.truncate(ordered + 1);
        let written = last.iter().rev().find(|line| line.contains("CONFIG REWRITE executed with success"))?;
        Some(Promotion { ordered: stamp(last.last()?)?, answers: stamp(written)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_when_it_became_master() {
        let log = "\
            7:S 26 Nov 2026 05:29:59.800 * MASTER MODE enabled (user request from 'id=1 addr=127.0.0.1:5')\n\
            7:S 26 Nov 2026 05:29:59.900 # CONFIG REWRITE executed with success.\n\
            7:S 26 Nov 2026 05:30:00.000 # CONFIG REWRITE executed with success.\n\
            7:M 26 Nov 2026 05:30:20.431 # Connection with master lost.\n\
            7:M 26 Nov 2026 05:30:20.434 * MASTER MODE enabled (user request from 'id=5 addr=127.0.0.1:47456')\n";
        let written = "7:M 26 Nov 2026 05:30:20.441 # CONFIG REWRITE executed with success.\n";
        // 2026-11-26 00:00:20 UTC, in a zone that is 5 h 30 min ahead.
        let since = 1_795_651_220_000.0;
        let seen = |log: &str| Promotion::read(log, since).map(|p| (p.ordered - since, p.answers - since));
        let rounded = |log: &str| seen(log).map(|(one, other)| (one.round(), other.round()));
        assert_eq!(rounded(&format!("{log}{written}{written}")), Some((434.0, 441.0)));
        assert_eq!(rounded(log), None, "it writes yet");
        assert_eq!(rounded(written), None, "a replica writes its configuration too");
    }
}
