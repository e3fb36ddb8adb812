//! When a text that could not be brought into use is tried again: after a pause that doubles, or never.

use std::time::Duration;
use tokio::time::Instant;

/// Pauses between tries: the first, and the bound of those that double from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// A text that is not in use, and when its turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    text: String,
    failures: u32,
    due: Option<Instant>,
    /// Why it is not in use.
    pub error: String,
}

impl Again {
    /// Takes in a failure of `text`; `before` is what is known of the last text that failed.
    #[must_use]
    pub fn after(
        before: Option<Again>,
        text: &str,
        error: String,
        pause: Option<Pause>,
        now: Instant,
    ) -> Again {
        let failures = before.filter(|before| before.text == text).map_or(0, |before| before.failures);
        let due = pause.map(|Pause { first, longest }| {
            now + first.saturating_mul(2u32.saturating_pow(failures)).min(longest)
        });
        Again { text: text.to_owned(), failures: failures.saturating_add(1), due, error }
    }

    /// Whether `text` is the one that failed.
    #[must_use]
    pub fn is_about(&self, text: &str) -> bool {
        self.text == text
    }

    /// Whether `text` is the one that failed, and its turn has not come.
    #[must_use]
    pub fn forbids(&self, text: &str, now: Instant) -> bool {
        self.is_about(text) && self.due.is_none_or(|due| now < due)
    }

    /// When its turn is; `None` for never.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Pause = Pause { first: Duration::from_secs(15), longest: Duration::from_secs(60) };

    #[test]
    fn the_same_text_waits_longer_each_time_and_another_begins_anew() {
        let start = Instant::now();
        let mut again = None;
        for (text, pause, seconds) in [
            ("a", Some(PAUSE), Some(15)),
            ("a", Some(PAUSE), Some(30)),
            ("a", Some(PAUSE), Some(60)),
            ("a", Some(PAUSE), Some(60)),
            ("b", Some(PAUSE), Some(15)),
            ("a", Some(PAUSE), Some(15)),
            ("a", None, None),
        ] {
            let next = Again::after(again, text, "why".into(), pause, start);
            assert_eq!(next.due(), seconds.map(|s| start + Duration::from_secs(s)), "{text}");
            again = Some(next);
        }
    }

    #[test]
    fn only_the_text_that_failed_waits_for_its_turn() {
        let start = Instant::now();
        let again = Again::after(None, "a", String::new(), Some(PAUSE), start);
        for (text, seconds, forbidden) in [("a", 14, true), ("a", 15, false), ("b", 0, false)] {
            assert_eq!(
                again.forbids(text, start + Duration::from_secs(seconds)),
                forbidden,
                "{text} {seconds}"
            );
        }
        let never = Again::after(None, "a", String::new(), None, start);
        assert!(never.forbids("a", start + Duration::from_secs(9_999)) && !never.forbids("b", start));
    }
}
