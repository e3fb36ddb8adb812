//! Brings a rendered text into use: compare, stage, check, swap, run the command. What HAProxy has to be told, `steer` tells. HAProxy keeps
//! serving whatever happens on the way, and the file on the disk is always one that it has accepted.

use crate::{
    again::Pause,
    command::{AfterWrite, CommandError},
    files::{Destination, FileError, Folder, Laid, Staged, StagedFiles},
    haproxy::check::{CheckError, check},
};
use daemon::clock::unix_millis;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// A file, and what is done about it besides telling an HAProxy.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file, or the folder of several.
    pub destination: Destination,
    /// The folder, where the text is several files.
    pub folder: Option<Folder>,
    /// The programs of the HAProxies that read it: each checks a text before it is put in place.
    pub checks: BTreeSet<PathBuf>,
    /// A command to run after each change.
    pub command: Option<AfterWrite>,
}

/// What came of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The file already had it and it is in use: nothing was written, nothing reloaded.
    Unchanged,
    /// Written; there is nobody to tell, or the command did its work.
    Written,
    /// Written, and HAProxy was told at run time: it goes on with what it has.
    Steered,
    /// Written, and HAProxy runs it.
    Reloaded,
    /// Written; it takes a reload, and somebody else is to make it.
    Held,
    /// Written; HAProxy does not run, and will read it when it starts.
    NotRunning,
}

/// Why a text is not in use.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The file could not be read, written or put in place.
    #[error(transparent)]
    File(#[from] FileError),
    /// HAProxy finds it unsound, or could not be asked; the file was not touched.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// HAProxy would take it, and serve nobody.
    #[error("the configuration is not used: {0}")]
    Refused(String),
    /// HAProxy could not be told, or did not say how it ended. The new file stays: HAProxy may well run it.
    #[error("HAProxy could not be reloaded: {0}")]
    Unreachable(String),
    /// HAProxy tried and failed; the old worker serves.
    #[error("HAProxy's reload failed, its old worker still serves{back}: {why}")]
    Reload {
        /// What went wrong.
        why: String,
        /// What became of the file.
        back: String,
    },
    /// The command failed; the file stays.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The cause may pass at any time, and a try disturbs nobody.
const SOON: Pause = Pause { first: Duration::from_secs(2), longest: Duration::from_secs(30) };
/// A reload that fails disturbs clients: a port that is held keeps 2.6 from accepting for a second (measured).
const LATER: Pause = Pause { first: Duration::from_secs(15), longest: Duration::from_secs(300) };

impl Trouble {
    /// How long to wait before the same text is tried again; `None` for never.
    #[must_use]
    pub fn again(&self) -> Option<Pause> {
        match self {
            Trouble::File(_) | Trouble::Check(_) | Trouble::Refused(_) | Trouble::Unreachable(_) => {
                Some(SOON)
            }
            Trouble::Reload { .. } => Some(LATER),
            // It had its turn; nobody knows what it would do twice.
            Trouble::Command(_) => None,
        }
    }

    /// Whether the text did get into its place, whatever its reader said to it.
    #[must_use]
    pub fn is_of_the_reader(&self) -> bool {
        !matches!(self, Trouble::File(_) | Trouble::Check(_) | Trouble::Refused(_))
    }

    /// The word for it in status and metrics.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        if matches!(self, Trouble::Check(_) | Trouble::Refused(_)) { "refused" } else { "failed" }
    }
}

/// When each step was done, in milliseconds of Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Marks {
    /// Consul's answer that led to it came.
    pub heard: Option<f64>,
    /// The template was filled.
    pub rendered: Option<f64>,
    /// HAProxy ran it, by orders; or, ahead of a reload, servers that it takes out had no more traffic and sessions.
    pub steered: Option<f64>,
    /// The text lay beside the file.
    pub staged: Option<f64>,
    /// HAProxy found it sound.
    pub checked: Option<f64>,
    /// It was put in place.
    pub renamed: Option<f64>,
    /// It was in use.
    pub applied: Option<f64>,
    /// Sessions that old workers held to departed servers were cut.
    pub cut: Option<f64>,
}

impl Marks {
    /// With what an earlier turn of the same text did already.
    #[must_use]
    pub fn after(self, earlier: Marks) -> Marks {
        Marks {
            heard: earlier.heard.or(self.heard),
            rendered: earlier.rendered.or(self.rendered),
            steered: earlier.steered.or(self.steered),
            staged: earlier.staged.or(self.staged),
            checked: earlier.checked.or(self.checked),
            renamed: earlier.renamed.or(self.renamed),
            applied: earlier.applied.or(self.applied),
            cut: earlier.cut.or(self.cut),
        }
    }

    /// Milliseconds from Consul's answer to the renamed file, the check not counted: this program's own part.
    #[must_use]
    pub fn own_part(&self) -> Option<f64> {
        let (heard, staged, renamed) = (self.heard?, self.staged?, self.renamed?);
        let checking = self.checked.map_or(0.0, |checked| checked - staged);
        Some(renamed - heard - checking)
    }
}

/// What is left to do for a text.
#[derive(Debug)]
pub enum Prepared {
    /// The file has it, and it is in use.
    Unchanged,
    /// The file has it, and it is not certain that it is in use.
    Unfinished,
    /// It lies beside the file, and was checked.
    Staged(Staged),
    /// Several lie beside their places, or are to be removed.
    Several(Box<StagedFiles>),
}

/// How a file came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It was there, and in use.
    InUse,
    /// It was there, from a try that did not end well.
    Unfinished,
    /// Just now.
    Now,
}

impl Target {
    /// Removes what runs that were killed left beside the file. A folder sees to that itself.
    pub fn sweep(&self) {
        if self.folder.is_none() {
            self.destination.sweep();
        }
    }

    /// Compares, stages and checks `text`. May be dropped at any moment: nothing was touched, nothing is left.
    pub async fn prepare(&self, text: &str, marks: &mut Marks) -> Result<Prepared, Trouble> {
        if let Some(folder) = &self.folder {
            return Ok(match folder.lay(text)? {
                Laid::Unchanged => Prepared::Unchanged,
                Laid::Unfinished => Prepared::Unfinished,
                Laid::Staged(several) => {
                    marks.staged = Some(unix_millis());
                    Prepared::Several(several)
                }
            });
        }
        let present = self.destination.read()?;
        let bytes = octets::bytes(text);
        if present.as_deref() == Some(&*bytes) {
            if self.destination.repair()? {
                let file = self.destination.path().display();
                tracing::warn!(%file, "mode or owner were changed by somebody, and are put right");
            }
            let pending = self.destination.is_pending();
            return Ok(if pending { Prepared::Unfinished } else { Prepared::Unchanged });
        }
        let staged = self.destination.stage(&bytes)?;
        marks.staged = Some(unix_millis());
        for binary in &self.checks {
            check(binary, staged.path(), self.destination.path()).await?;
            marks.checked = Some(unix_millis());
        }
        Ok(Prepared::Staged(staged))
    }

    /// Puts what was prepared in its place. What is left is for its reader to do; nothing when the file had it and
    /// it was in use.
    pub fn place(prepared: Prepared, marks: &mut Marks) -> Result<Placed, Trouble> {
        Ok(match prepared {
            Prepared::Unchanged => Placed::InUse,
            Prepared::Unfinished => Placed::Unfinished,
            Prepared::Staged(staged) => {
                staged.swap()?;
                marks.renamed = Some(unix_millis());
                Placed::Now
            }
            Prepared::Several(several) => {
                several.swap()?;
                marks.renamed = Some(unix_millis());
                Placed::Now
            }
        })
    }

    /// Runs the command, if there is one, for a file without an HAProxy.
    pub async fn run(&self, placed: Placed, marks: &mut Marks) -> Result<Done, Trouble> {
        if placed == Placed::InUse {
            return Ok(Done::Unchanged);
        }
        let (ran, applied) = match &self.command {
            Some(command) => (command.run().await, Some(unix_millis())),
            None => (Ok(()), marks.renamed.or_else(|| Some(unix_millis()))),
        };
        match &self.folder {
            Some(folder) => folder.settle()?,
            None => self.destination.settle()?,
        }
        ran?;
        marks.applied = applied;
        Ok(Done::Written)
    }
}
