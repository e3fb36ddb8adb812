//! Brings a rendered text into use: compare, stage, check, swap, reload or run the command. HAProxy keeps
//! serving whatever happens on the way, and the file on the disk is always one that it has accepted.

use crate::{
    again::Pause,
    command::{AfterWrite, CommandError},
    files::{Destination, FileError, Staged},
    haproxy::{
        check::{CheckError, check},
        master::{Master, Reload},
    },
};
use daemon::clock::unix_millis;
use std::{path::PathBuf, time::Duration};

/// A file and who reads it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The file.
    pub destination: Destination,
    /// Who is told of a change.
    pub reader: Reader,
}

/// Who is told of a changed file.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Nobody.
    Nobody,
    /// A command.
    Command(AfterWrite),
    /// HAProxy: each text is checked by its program first.
    Haproxy {
        /// Its master process.
        master: Master,
        /// Its program.
        binary: PathBuf,
        /// Whether it may be reloaded at all.
        reloads: bool,
    },
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
}

/// When a file came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// At some time before, by a try that did not end well.
    Before,
    /// Just now.
    Now,
}

impl Target {
    /// Compares, stages and checks `text`. May be dropped at any moment: nothing was touched, nothing is left.
    pub async fn prepare(&self, text: &str, marks: &mut Marks) -> Result<Prepared, Trouble> {
        let present = self.destination.read()?;
        if present.as_deref() == Some(text.as_bytes()) {
            if self.destination.repair()? {
                let file = self.destination.path().display();
                tracing::warn!(%file, "mode or owner were changed by somebody, and are put right");
            }
            let pending = self.destination.is_pending();
            return Ok(if pending { Prepared::Unfinished } else { Prepared::Unchanged });
        }
        let staged = self.destination.stage(text.as_bytes())?;
        marks.staged = Some(unix_millis());
        if let Reader::Haproxy { binary, .. } = &self.reader {
            check(binary, staged.path(), self.destination.path()).await?;
            marks.checked = Some(unix_millis());
        }
        Ok(Prepared::Staged(staged))
    }

    /// Puts what was prepared in its place. What is left is for its reader to do; nothing when the file had it and
    /// it was in use.
    pub fn place(prepared: Prepared, marks: &mut Marks) -> Result<Option<Placed>, Trouble> {
        Ok(match prepared {
            Prepared::Unchanged => None,
            Prepared::Unfinished => Some(Placed::Before),
            Prepared::Staged(staged) => {
                staged.swap()?;
                marks.renamed = Some(unix_millis());
                Some(Placed::Now)
            }
        })
    }

    /// Has the reader take in what was placed.
    pub async fn bring(&self, placed: Placed, marks: &mut Marks) -> Result<Done, Trouble> {
        match placed {
            Placed::Before => self.finish(marks).await,
            Placed::Now => self.tell(marks).await,
        }
    }

    /// Goes on where an earlier run was interrupted, or HAProxy was not there to be told: it may have read the file
    /// since.
    async fn finish(&self, marks: &mut Marks) -> Result<Done, Trouble> {
        if let Reader::Haproxy { master, .. } = &self.reader
            && self.destination.is_read_by(master.started().await)
        {
            self.destination.settle()?;
            return Ok(Done::Unchanged);
        }
        self.tell(marks).await
    }

    async fn tell(&self, marks: &mut Marks) -> Result<Done, Trouble> {
        let done = match &self.reader {
            Reader::Nobody => Done::Written,
            Reader::Command(command) => {
                let ran = command.run().await;
                self.destination.settle()?;
                ran.map(|()| Done::Written)?
            }
            Reader::Haproxy { reloads: false, master, .. } if master.look().await.is_ok() => {
                return Ok(Done::Held);
            }
            Reader::Haproxy { master, .. } => match master.reload().await {
                Reload::Done => Done::Reloaded,
                Reload::NotRunning => return Ok(Done::NotRunning),
                Reload::Unreachable(why) => return Err(Trouble::Unreachable(why)),
                Reload::Failed(why) => return Err(Trouble::Reload { why, back: self.back() }),
            },
        };
        marks.applied = Some(unix_millis());
        self.destination.settle()?;
        Ok(done)
    }

    /// Puts the previous file back, and says so.
    fn back(&self) -> String {
        match self.destination.put_back() {
            Ok(true) => ", the previous file is back in place".into(),
            Ok(false) => String::new(),
            Err(error) => format!(" ({error})"),
        }
    }
}
