//! What a process uses: processor time, and how often it woke up.

use std::{fs, path::Path, time::Duration};

use crate::{Outcome, Trouble};

/// What all threads of a process used since they began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time on a processor.
    pub busy: Duration,
    /// How often it went to sleep by itself, so also how often it woke up.
    pub naps: u64,
}

/// Reads it, to the nanosecond: the ticks of `/proc/PID/stat` are too coarse for a process that does next to nothing.
pub fn usage(pid: u32) -> Outcome<Usage> {
    let mut all = Usage::default();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the list and the look.
        if let Ok(one) = of_thread(&thread?.path()) {
            all.busy += one.busy;
            all.naps += one.naps;
        }
    }
    Ok(all)
}

fn of_thread(folder: &Path) -> Outcome<Usage> {
    let busy = fs::read_to_string(folder.join("schedstat"))?;
    let busy = busy.split(' ').next().and_then(|nanos| nanos.parse().ok());
    let status = fs::read_to_string(folder.join("status"))?;
    let naps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    match (busy, naps.and_then(|naps| naps.trim().parse().ok())) {
        (Some(nanos), Some(naps)) => Ok(Usage { busy: Duration::from_nanos(nanos), naps }),
        _ => Err(Trouble::new(format!("{} does not tell what it used", folder.display()))),
    }
}
