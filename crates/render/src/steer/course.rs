//! What was done about a text before its check, and what is left to do.

use crate::haproxy::sessions::Server;

/// What was done about a text before its check, and what is left to do.
#[derive(Debug)]
pub enum Course {
    /// The file already has it.
    Settled,
    /// It says the same as the file, which is in use: whatever runs, there is nothing to tell.
    Same,
    /// The worker runs it; the file is to be written.
    Steered {
        /// The worker.
        pid: u32,
        /// How many orders that took.
        orders: usize,
        /// How many servers are out of use and wait for their last connections.
        leaving: usize,
        /// What ran before.
        before: String,
    },
    /// It takes a reload.
    Reload {
        /// Why.
        why: String,
        /// The servers that were taken out ahead of it, and how each was before.
        ahead: Vec<(Server, &'static str)>,
    },
}

impl Course {
    /// A reload, for this reason.
    pub fn reload(why: impl Into<String>) -> Self {
        Course::Reload { why: why.into(), ahead: vec![] }
    }

    /// Whether HAProxy was told anything.
    #[must_use]
    pub fn told(&self) -> bool {
        match self {
            Course::Settled | Course::Same => false,
            Course::Steered { orders, .. } => *orders > 0,
            Course::Reload { ahead, .. } => !ahead.is_empty(),
        }
    }

    /// Why it takes a reload.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Course::Reload { why, .. } => Some(why),
            _ => None,
        }
    }
}
