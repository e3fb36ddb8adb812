//! How much memory a process holds.

use std::fs;

use crate::{Outcome, Trouble};

/// `VmRSS` of a process, in MB of a million bytes.
pub fn resident_mb(pid: u32) -> Outcome<f64> {
    megabytes(pid, "VmRSS:")
}

/// `RssAnon` of a process, in MB: what it keeps, without the pages of its program, which grow with each way through it that
/// is taken for the first time, as when a machine is busy.
pub fn kept_mb(pid: u32) -> Outcome<f64> {
    megabytes(pid, "RssAnon:")
}

fn megabytes(pid: u32, key: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    let kib = kib.ok_or_else(|| Trouble::new(format!("process {pid} shows no memory; has it ended?")))?;
    Ok(kib * 1024.0 / 1e6)
}
