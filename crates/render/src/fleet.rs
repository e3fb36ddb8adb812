//! The HAProxies that read one file, and what each of them is doing. One alone is a fleet too.

use crate::{
    again::Again,
    follow::{Follower, Landed, Wish},
    status::State,
};
use std::{panic::resume_unwind, sync::Arc};
use tokio::{task::JoinSet, time::Instant};

/// The HAProxies of one file.
#[derive(Default)]
pub struct Fleet {
    /// Each in its place, unless it is under way.
    moored: Vec<Option<Follower>>,
    under_way: JoinSet<(usize, Follower, Landed)>,
}

impl Fleet {
    /// Of these, in the order of the configuration.
    #[must_use]
    pub fn new(followers: Vec<Follower>) -> Self {
        Fleet { moored: followers.into_iter().map(Some).collect(), under_way: JoinSet::new() }
    }

    /// Whether no HAProxy reads the file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moored.is_empty()
    }

    /// Whether all are under way: a text that came now would reach nobody.
    #[must_use]
    pub fn is_away(&self) -> bool {
        !self.is_empty() && self.free().next().is_none()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_home(&self) -> bool {
        self.moored.iter().all(Option::is_some)
    }

    /// Those that are not under way.
    pub fn free(&self) -> impl Iterator<Item = &Follower> {
        self.moored.iter().flatten()
    }

    /// When the first of them wants its text again.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.free().filter_map(|follower| follower.wake).min()
    }

    /// Takes in that these have been waited for long enough: what they want is done next.
    pub fn rouse(&mut self, now: Instant) -> Vec<usize> {
        let due = |follower: &&mut Follower| follower.wake.is_some_and(|wake| wake <= now);
        let moored = self.moored.iter_mut().enumerate();
        let roused = moored.filter_map(|(at, follower)| Some((at, follower.as_mut().filter(due)?)));
        roused.map(|(at, follower)| (at, follower.wake = None).0).collect()
    }

    /// Sends those of these that are free, and those that were given another text last, after one that is in its place
    /// already.
    pub fn resume(&mut self, roused: &[usize], text: &Arc<str>) {
        for position in 0..self.moored.len() {
            let wants = |follower: &mut Follower| roused.contains(&position) || follower.text != *text;
            if let Some(follower) = self.moored[position].take_if(wants) {
                self.launch(position, follower.follow(Wish::in_place(text)));
            }
        }
    }

    /// Whether this text failed in each of them, and its turn has come in none; it is waited for.
    pub fn forbids(&mut self, text: &str, now: Instant) -> bool {
        let failed =
            |follower: &Follower| follower.again.as_ref().is_some_and(|again| again.forbids(text, now));
        let forbids = !self.is_empty() && self.is_home() && self.free().all(failed);
        for follower in self.moored.iter_mut().flatten().filter(|_| forbids) {
            follower.wake = follower.again.as_ref().and_then(Again::due);
        }
        forbids
    }

    /// Sends all that are free after a text.
    pub fn follow(&mut self, wish: &Wish) {
        self.send(|_| true, |follower| follower.follow(wish.clone()));
    }

    /// Has all that are free, and run what they should, look whether they still do.
    pub fn look(&mut self) {
        self.send(|follower| follower.report.state() == State::Applied, Follower::look);
    }

    /// Has one that came back reload.
    pub fn mend(&mut self, position: usize, follower: Follower, drift: Vec<String>) {
        self.launch(position, follower.mend(drift));
    }

    /// The next one that ends what it does; for ever, when none does anything.
    pub async fn landed(&mut self) -> (usize, Follower, Landed) {
        match self.under_way.join_next().await {
            Some(Ok(landed)) => landed,
            Some(Err(error)) => resume_unwind(error.into_panic()),
            None => std::future::pending().await,
        }
    }

    /// Takes in one that came back.
    pub fn moor(&mut self, position: usize, follower: Follower) {
        self.moored[position] = Some(follower);
    }

    /// Whether another one than this runs the text, or may come to run it: it is under way with it.
    #[must_use]
    pub fn another_runs(&self, position: usize, text: &Arc<str>) -> bool {
        let runs = |follower: &Follower| {
            follower.text == *text && follower.again.is_none() && follower.report.state() == State::Applied
        };
        let others = self.moored.iter().enumerate().filter(|(at, _)| *at != position);
        others.into_iter().any(|(_, follower)| follower.as_ref().is_none_or(runs))
    }

    /// The end: what has some time left in those that are not under way has none any more.
    pub async fn leave(&mut self) {
        for follower in self.moored.iter_mut().flatten() {
            follower.helm.leave().await;
        }
    }

    fn send<F>(&mut self, which: impl Fn(&Follower) -> bool, errand: impl Fn(Follower) -> F)
    where
        F: Future<Output = (Follower, Landed)> + Send + 'static,
    {
        for position in 0..self.moored.len() {
            if let Some(follower) = self.moored[position].take_if(|follower| which(follower)) {
                self.launch(position, errand(follower));
            }
        }
    }

    fn launch(&mut self, position: usize, errand: impl Future<Output = (Follower, Landed)> + Send + 'static) {
        self.under_way.spawn(async move {
            let (follower, landed) = errand.await;
            (position, follower, landed)
        });
    }
}
