//! The front page's news: a stream of server-sent events, one whenever what is shown has changed, and a sign of life in
//! between.
//!
//! Each listener looks by itself and takes the newest: one that reads slowly misses what was in between, and holds
//! nothing but the page that is on its way. Streams are few, and none lives for ever; browsers come back by themselves.

use super::{Pages, front::moment};
use crate::shutdown::Leaving;
use hyper::body::{Body, Bytes, Frame};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

/// Out of the connections that there may be at once: Kubelet and Prometheus need some too.
pub(super) const MOST_LISTENERS: usize = 16;
/// People do not see more, and a page is made at most this often.
const PACE: Duration = Duration::from_millis(500);
/// The page says that it is cut off when it heard nothing for three times as long.
const BEAT: Duration = Duration::from_secs(5);
/// Then the stream ends; also what a listener that is gone without a word can cost.
pub(super) const LIFE: Duration = Duration::from_secs(300);

/// What all listeners share: the page as it was made last.
#[derive(Debug)]
pub(super) struct Live {
    pages: Pages,
    last: Mutex<Option<(Instant, Bytes)>>,
    places: Arc<Semaphore>,
}

impl Live {
    pub(super) fn new(pages: Pages) -> Live {
        Live { pages, last: Mutex::default(), places: Arc::new(Semaphore::new(MOST_LISTENERS)) }
    }

    /// Makes the page anew.
    pub(super) fn content(&self) -> String {
        (self.pages.view)(&(self.pages.status)())
    }

    /// A stream of its own for one more listener; `None` when there are enough.
    pub(super) fn listen(self: &Arc<Live>, leaving: Leaving) -> Option<Events> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (live, begun) = (Arc::clone(self), Instant::now());
        let listener =
            Listener { live, leaving, ticks, begun, told: begun, shown: Bytes::new(), _place: place };
        Some(Events(Some(Box::pin(listener.next()))))
    }

    /// The page as it is, or was a moment ago.
    fn fresh(&self) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((made, page)) if made.elapsed() < PACE / 2 => page.clone(),
            _ => {
                let page = Bytes::from(self.content());
                *last = Some((Instant::now(), page.clone()));
                page
            }
        }
    }
}

/// One who listens.
struct Listener {
    live: Arc<Live>,
    leaving: Leaving,
    ticks: Interval,
    begun: Instant,
    /// When it was told something last.
    told: Instant,
    /// What it was shown last.
    shown: Bytes,
    _place: OwnedSemaphorePermit,
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Listener)>> + Send>>;

impl Listener {
    /// The next event; none when this is the end.
    async fn next(mut self) -> Option<(Bytes, Listener)> {
        while self.begun.elapsed() < LIFE {
            tokio::select! {
                () = self.leaving.signaled() => return None,
                _ = self.ticks.tick() => {}
            }
            let page = self.live.fresh();
            let said = if page != self.shown {
                event("page", &String::from_utf8_lossy(&page))
            } else if self.told.elapsed() >= BEAT {
                event("beat", ".")
            } else {
                continue;
            };
            (self.shown, self.told) = (page, Instant::now());
            return Some((said, self));
        }
        None
    }
}

/// An event; its id tells when it was sent.
fn event(kind: &str, data: &str) -> Bytes {
    let mut event = format!("id: {}\nevent: {kind}\n", moment());
    for line in data.lines() {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event.into()
}

/// The body of an answer that goes on.
pub(super) struct Events(Option<Next>);

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let came = ready!(next.as_mut().poll(context));
        let (event, listener) = came.unzip();
        self.0 = listener.map(|listener| Box::pin(listener.next()) as Next);
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::Orders,
        ready::Ready,
        shutdown::{Shutdown, channel},
    };
    use http_body_util::BodyExt;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio::time::{advance, timeout};

    /// What is shown, how often it was made, and who shows it.
    struct Scene {
        value: Arc<AtomicUsize>,
        made: Arc<AtomicUsize>,
        live: Arc<Live>,
        leaving: Leaving,
        shutdown: Shutdown,
    }

    fn scene() -> Scene {
        let (value, made) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (shown, count) = (Arc::clone(&value), Arc::clone(&made));
        let pages = Pages {
            ready: Ready::default(),
            metrics: Arc::new(String::new),
            status: Arc::new(move || {
                count.fetch_add(1, SeqCst);
                shown.load(SeqCst).into()
            }),
            view: |status| format!("<p>\n{status}</p>"),
            orders: Orders::default(),
        };
        let (shutdown, leaving) = channel();
        Scene { value, made, live: Arc::new(Live::new(pages)), leaving, shutdown }
    }

    /// The next event without its id.
    async fn next(events: &mut Events) -> String {
        let Some(Ok(frame)) = events.frame().await else { return "the end".into() };
        let text = String::from_utf8(frame.into_data().unwrap().into()).unwrap();
        let (id, rest) = text.split_once('\n').unwrap();
        assert!(id.starts_with("id: 20"), "{id}");
        rest.to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_of_changes_soon_and_of_many_at_once() {
        let scene = scene();
        let mut events = scene.live.listen(scene.leaving.clone()).unwrap();
        assert_eq!(next(&mut events).await, "event: page\ndata: <p>\ndata: 0</p>\n\n", "at once");
        let begun = Instant::now();
        assert_eq!(next(&mut events).await, "event: beat\ndata: .\n\n");
        assert_eq!(begun.elapsed(), BEAT);
        for value in 1..=1000 {
            scene.value.store(value, SeqCst);
        }
        let changed = Instant::now();
        assert_eq!(next(&mut events).await, "event: page\ndata: <p>\ndata: 1000</p>\n\n");
        assert!(changed.elapsed() <= PACE);
        assert!(timeout(BEAT - PACE, next(&mut events)).await.is_err(), "nothing changed");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_misses_what_was_in_between() {
        let scene = scene();
        let mut events = scene.live.listen(scene.leaving.clone()).unwrap();
        next(&mut events).await;
        let made = scene.made.load(SeqCst);
        for value in 1..=100 {
            scene.value.store(value, SeqCst);
            advance(PACE).await;
        }
        assert_eq!(scene.made.load(SeqCst), made, "nothing is made for who does not read");
        assert_eq!(next(&mut events).await, "event: page\ndata: <p>\ndata: 100</p>\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_share_what_is_made() {
        let scene = scene();
        let mut all: Vec<Events> =
            (0..MOST_LISTENERS).map(|_| scene.live.listen(scene.leaving.clone()).unwrap()).collect();
        for events in &mut all {
            next(events).await;
        }
        assert_eq!(scene.made.load(SeqCst), 1);
        assert!(scene.live.listen(scene.leaving.clone()).is_none(), "one too many");
        all.pop();
        assert!(scene.live.listen(scene.leaving.clone()).is_some(), "the place of one that went");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_program_and_after_a_while() {
        let scene = scene();
        let begun = Instant::now();
        let mut events = scene.live.listen(scene.leaving.clone()).unwrap();
        while next(&mut events).await != "the end" {}
        assert!(begun.elapsed() >= LIFE && begun.elapsed() <= LIFE + BEAT, "{:?}", begun.elapsed());
        let mut events = scene.live.listen(scene.leaving.clone()).unwrap();
        next(&mut events).await;
        scene.shutdown.tell();
        let told = Instant::now();
        assert_eq!(next(&mut events).await, "the end");
        assert_eq!(told.elapsed(), Duration::ZERO);
    }
}
