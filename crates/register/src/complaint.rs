//! Which failures of looks are worth a line in the log: the first, its end, and now and then another reason. A reason that
//! is another one at each look (a time stands in it, or noise) does not fill the disk.

use std::time::Duration;
use tokio::time::Instant;

/// Between two lines about one trouble.
const PAUSE: Duration = Duration::from_secs(10);

/// The last failure that was told, and when.
#[derive(Clone, Debug, Default)]
pub struct Complaint(Option<(Instant, String)>);

/// What to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Looks begin to fail.
    Fails,
    /// They fail for another reason.
    Differs,
    /// They succeed again.
    Over,
}

impl Complaint {
    /// What there is to tell after a look, which failed for this reason or did not.
    pub fn after(&mut self, failure: Option<&str>, now: Instant) -> Option<News> {
        let Some(failure) = failure else { return self.0.take().map(|_| News::Over) };
        let news = match &self.0 {
            None => News::Fails,
            Some((at, told)) if told != failure && now - *at >= PAUSE => News::Differs,
            Some(_) => return None,
        };
        self.0 = Some((now, failure.to_owned()));
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_at_its_beginning_at_its_end_and_now_and_then() {
        let (start, mut complaint) = (Instant::now(), Complaint::default());
        for (second, failure, news) in [
            (0, None, None),
            (1, Some("refused"), Some(News::Fails)),
            (2, Some("refused"), None),
            (3, Some("wrong password"), None),
            (10, Some("wrong password"), None),
            (11, Some("wrong password"), Some(News::Differs)),
            (30, Some("wrong password"), None),
            (31, Some("late by 1 s"), Some(News::Differs)),
            (32, Some("late by 2 s"), None),
            (33, None, Some(News::Over)),
            (34, None, None),
            (35, Some("late by 1 s"), Some(News::Fails)),
        ] {
            let found = complaint.after(failure, start + Duration::from_secs(second));
            assert_eq!(found, news, "{second}: {failure:?}");
        }
    }
}
