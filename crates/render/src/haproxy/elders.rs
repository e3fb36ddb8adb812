//! The old processes of an HAProxy without a master. A line is kept open to the process that serves, so that it can still
//! be asked when another one has taken its place.

use super::{
    line::Line,
    processes::info,
    sessions,
    socket::Socket,
    sweep::{LIMIT, Since, Sweep, clear},
};
use std::io;

/// The lines, to the process that came last at the end.
#[derive(Default)]
pub(super) struct Elders {
    lines: Vec<Elder>,
}

/// One process, its line, and the servers that are gone for it.
struct Elder {
    pid: u32,
    line: Line,
    since: Since,
}

impl Elders {
    /// This process serves now: from now on there is a line to it. All others are old.
    pub async fn serves(&mut self, socket: &Socket, pid: u32) {
        if self.lines.last().is_some_and(|last| last.pid == pid) {
            return;
        }
        let Ok(mut line) = Line::open(socket, LIMIT).await else { return };
        let said = line.ask("show info", LIMIT).await.unwrap_or_default();
        if info(&said, "Pid") == Some(&pid.to_string()) {
            self.lines.push(Elder { pid, line, since: Since::new() });
        }
    }

    /// The old processes, the youngest first.
    pub fn old(&self, serving: u32) -> Vec<u32> {
        self.lines.iter().rev().map(|elder| elder.pid).filter(|pid| *pid != serving).collect()
    }

    /// Sweeps the old ones, and cuts everything of the oldest beyond `most`. A process without sessions is let go, so
    /// that it can end.
    pub async fn sweep(&mut self, serving: u32, sweep: &Sweep, most: Option<usize>) {
        let mut old = 0;
        // In its place all the while: whoever waits for this may stop waiting.
        for at in (0..self.lines.len()).rev() {
            let Elder { pid, line, since } = &mut self.lines[at];
            if *pid == serving {
                // Within the time that HAProxy leaves a line idle (`stats timeout`).
                if is_gone(&line.ask("show cli level", LIMIT).await) {
                    self.lines.remove(at);
                }
                continue;
            }
            sweep.sweep(line, since).await;
            if most.is_some_and(|most| old >= most) {
                clear(line, &sweep.cut).await;
            }
            let held = line.ask("show sess", LIMIT).await;
            if is_gone(&held) || held.is_ok_and(|list| sessions::all(&list).is_empty()) {
                self.lines.remove(at);
            } else {
                old += 1;
            }
        }
    }
}

/// Whether nobody is at the other end; one that is slow is there.
fn is_gone(answer: &io::Result<String>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::TimedOut)
}
