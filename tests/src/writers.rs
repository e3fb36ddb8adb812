//! Two writers at once: a connection that is kept and fresh ones see different outages.

use tokio::time::Instant;

use crate::{Outcome, PATIENCE, Trouble, Writer, until, when};

/// The two writers at work, until they are dropped.
#[derive(Debug)]
pub struct Writers {
    /// Over one connection.
    pub kept: Writer,
    /// Over a fresh one for each write.
    pub fresh: Writer,
}

impl Writers {
    /// Starts to write to 127.0.0.1:`port`.
    pub fn start(port: u16) -> Writers {
        Writers { kept: Writer::start(port), fresh: Writer::fresh(port) }
    }

    /// When `server` first acknowledged a write, at `since` or later.
    pub fn first_ack(&self, server: u16, since: Instant) -> Option<Instant> {
        [&self.kept, &self.fresh].into_iter().filter_map(|writer| writer.first_ack(server, since)).min()
    }

    /// When `server` last acknowledged a write, at `since` or later.
    pub fn last_ack(&self, server: u16, since: Instant) -> Option<Instant> {
        [&self.kept, &self.fresh].into_iter().filter_map(|writer| writer.last_ack(server, since)).max()
    }

    /// Waits for the first write that `server` acknowledges to both, and tells when the later one was.
    pub async fn reach(&self, server: u16, since: Instant) -> Outcome<Instant> {
        until(format!("writes at 127.0.0.1:{server}"), PATIENCE, async || {
            let firsts = [&self.kept, &self.fresh].map(|writer| writer.first_ack(server, since));
            match firsts {
                [Some(kept), Some(fresh)] => Ok(kept.max(fresh)),
                _ => Err(Trouble::new(format!("{:?}", self.kept.tally(since, Instant::now())))),
            }
        })
        .await
    }

    /// Since then, nobody but `server` acknowledged a write, and it still does.
    pub async fn only(&self, server: u16, since: Instant) -> Outcome {
        self.reach(server, Instant::now()).await?;
        for writer in [&self.kept, &self.fresh] {
            let by = writer.tally(since, Instant::now()).by_server;
            when(by.keys().eq([&server]), || format!("acknowledged by others than {server}: {by:?}"))?;
        }
        Ok(())
    }

    /// Between the two moments, no acknowledged write was lost.
    pub async fn lost_nothing(&self, from: Instant, survivor: u16) -> Outcome {
        for writer in [&self.kept, &self.fresh] {
            let lost = writer.lost(from, Instant::now(), survivor).await?;
            when(lost.is_empty(), || format!("acknowledged and lost: {lost:?}"))?;
        }
        Ok(())
    }
}
