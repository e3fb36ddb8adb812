//! Reads what HAProxy's master says of its processes (`show proc`).

/// The master and its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// How often a reload was tried since the master started.
    pub reloads: u32,
    /// How many of the last tries failed in a row.
    pub failed: u32,
    /// HAProxy's version.
    pub version: String,
    /// The worker that takes new connections; unknown right after a failed reload on some versions.
    pub worker: Option<u32>,
    /// Workers that a reload left behind, alive as long as their last connection; the youngest first.
    pub old_workers: Vec<u32>,
}

/// Reads the table; `None` when it is none.
#[must_use]
pub fn processes(text: &str) -> Option<Processes> {
    let mut found = Processes::default();
    let (mut master, mut old) = (false, false);
    let mut left: Vec<(u32, u32)> = vec![];
    for line in text.lines() {
        match line.trim() {
            "# old workers" => old = true,
            "# workers" | "# programs" => old = false,
            _ => {}
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "master", reloads, rest @ ..] => {
                master = true;
                found.reloads = reloads.parse().ok()?;
                // Without a failure, some versions leave `[failed: 0]` out.
                if let ["[failed:", failed, ..] = rest {
                    found.failed = failed.trim_end_matches(']').parse().ok()?;
                }
                found.version = rest.last().map(|version| (*version).to_owned()).unwrap_or_default();
            }
            [pid, "worker", reloads, ..] => {
                let (pid, reloads): (u32, u32) = (pid.parse().ok()?, reloads.parse().ok()?);
                match (old, reloads) {
                    (false, _) if found.worker.is_none() => found.worker = Some(pid),
                    _ => left.push((reloads, pid)),
                }
            }
            _ => {}
        }
    }
    left.sort_by_key(|(reloads, _)| *reloads);
    found.old_workers = left.into_iter().map(|(_, pid)| pid).collect();
    // After a failed reload 3.x lists the worker that still serves among the old ones.
    if found.worker.is_none() && found.failed > 0 && !found.old_workers.is_empty() {
        found.worker = Some(found.old_workers.remove(0));
    }
    master.then_some(found)
}

impl Processes {
    /// Whether a reload was tried since `before`, and failed.
    #[must_use]
    pub fn failed_after(&self, before: &Processes) -> bool {
        self.reloads > before.reloads && self.failed > 0
    }

    /// Whether another worker than `before` serves: by a reload, or by a new start, whose count begins anew.
    #[must_use]
    pub fn replaced(&self, before: &Processes) -> bool {
        match (before.worker, self.worker) {
            (Some(before), Some(now)) => before != now,
            (None, Some(_)) => self.reloads != before.reloads,
            (_, None) => false,
        }
    }
}

/// A field of `show info`.
#[must_use]
pub fn info<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER_A_RELOAD: &str = "\
#<PID>          <type>          <reloads>       <uptime>        <version>
13535           master          1 [failed: 0]   0d00h00m01s     2.6.12-1+deb12u4
# workers
13552           worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
13538           worker          1               0d00h00m01s     2.6.12-1+deb12u4
# programs

";

    #[test]
    fn old_workers_are_told_from_the_new_one() {
        let found = processes(AFTER_A_RELOAD).unwrap();
        let version = "2.6.12-1+deb12u4".to_owned();
        let expected =
            Processes { reloads: 1, failed: 0, version, worker: Some(13552), old_workers: vec![13538] };
        assert_eq!(found, expected);
    }

    #[test]
    fn after_a_failed_reload_the_worker_that_serves_is_found() {
        let text = AFTER_A_RELOAD.replace("[failed: 0]", "[failed: 2]").replace(
            "# workers\n13552           worker          0               0d00h00m00s     2.6.12-1+deb12u4\n",
            "# workers\n",
        );
        let found = processes(&text).unwrap();
        assert_eq!((found.failed, found.worker, found.old_workers), (2, Some(13538), vec![]));
    }

    #[test]
    fn a_new_worker_and_a_failure_are_told_from_what_was() {
        let at = |reloads, failed, worker| Processes { reloads, failed, worker, ..Processes::default() };
        let before = at(3, 0, Some(7));
        for (now, failed, replaced) in [
            (before.clone(), false, false),
            (at(4, 0, None), false, false),
            (at(4, 0, Some(8)), false, true),
            (at(4, 1, Some(7)), true, false),
            (at(0, 0, Some(8)), false, true),
            (at(3, 0, Some(8)), false, true),
        ] {
            assert_eq!((now.failed_after(&before), now.replaced(&before)), (failed, replaced), "{now:?}");
        }
        assert!(at(4, 0, Some(7)).replaced(&at(3, 1, None)) && !at(3, 0, Some(7)).replaced(&at(3, 0, None)));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in ["", "Unknown command", "# workers\n12 worker 0 x y\n", "x master many y\n"] {
            assert_eq!(processes(text), None, "{text}");
        }
        assert_eq!(info("Pid: 12\nUptime: 0d\n", "Pid"), Some("12"));
        assert_eq!(info("Pid: 12\n", "Pi"), None);
    }
}
