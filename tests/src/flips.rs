//! Role flips in a row, without Sentinel: each demotes the one and promotes the other. Nobody but the two says who is
//! master, so until the old one's registrar has looked both claims may stand in Consul, and `render` believes neither.

use crate::{Adverts, Outcome, Part, Stack, kept_mb};

impl Stack {
    /// Lets the first two servers change roles that often, and waits each time until Consul shows the new master
    /// alone. `each` hears how many are done.
    pub async fn flip(&self, times: usize, mut each: impl FnMut(usize) -> Outcome) -> Outcome {
        let adverts = Adverts::watch(self)?;
        for done in 1..=times {
            self.demote_and_promote(done).await?;
            adverts.shows(self.redis[done % 2].port()).await?;
            each(done)?;
        }
        Ok(())
    }

    /// The same as fast as Redis follows, so that nobody else can.
    pub async fn flip_in_a_burst(&self, times: usize) -> Outcome {
        for done in 1..=times {
            self.demote_and_promote(done).await?;
        }
        Ok(())
    }

    /// The odd ones make the second server the master. At no moment are there two.
    async fn demote_and_promote(&self, number: usize) -> Outcome {
        let [old, new] = [&self.redis[(number + 1) % 2], &self.redis[number % 2]];
        old.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(new.port())).await?;
        new.ask::<()>(redis::cmd("REPLICAOF").arg("NO").arg("ONE")).await
    }

    /// The memory that our programs keep, in MB, by name.
    pub fn memory(&self) -> Outcome<Vec<(String, f64)>> {
        let parts = self.registers.iter().chain([&self.render]).map(|program| &program.part);
        parts.map(|part: &Part| Ok((part.name().to_string(), kept_mb(part.pid())?))).collect()
    }
}
