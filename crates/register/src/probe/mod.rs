//! Looks at the instance: the door to whatever has a role.

pub mod any;
pub mod codes;
pub mod exec;
pub mod file;
pub mod fixed;
pub mod http;
pub mod link;
pub mod pattern;
pub mod push;
pub mod redis;
pub mod remedy;
pub mod said;
mod slow;
pub mod stream;
pub mod tcp;

use crate::{quality::Replication, role::Life};
use consul::Role;
use std::{future::Future, time::Duration};

/// What a look that succeeded saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the instance says it is.
    pub role: Role,
    /// In its own word, such as `slave` or `leader`.
    pub word: String,
    /// In which epoch it became that, where it knows.
    pub epoch: Option<u64>,
    /// Which life of it says so.
    pub life: Life,
    /// What it says of its replication.
    pub replication: Replication,
}

/// A way to learn an instance's role.
pub trait Probe: Send {
    /// Looks once, within the probe's own time limit.
    fn look(&mut self) -> impl Future<Output = Result<Look, ProbeError>> + Send;

    /// Ends when the instance itself gives a reason to look again at once; may never end.
    fn disturbed(&mut self) -> impl Future<Output = ()> + Send;
}

/// Why a look failed. Its text is shown in Consul as the check's output.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProbeError {
    /// No connection.
    #[error("cannot connect to Redis at {address}: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// The reason, with what to do where that is known.
        why: String,
    },
    /// No answer in time.
    #[error(
        "Redis at {address} did not answer within {limit:?}: it is stopped, overloaded or runs a slow command"
    )]
    Silent {
        /// Who was asked.
        address: String,
        /// The time limit.
        limit: Duration,
    },
    /// An answer that is an error.
    #[error("Redis at {address} refused: {why}")]
    Refused {
        /// Who was asked.
        address: String,
        /// Redis' error, with what to do.
        why: String,
    },
    /// The port is a Sentinel's.
    #[error(
        "a Sentinel answers at {address}, not a Redis data node: point the probe's address at Redis \
         (6379 by default) and name Sentinel in the block sentinel {{ addresses = [\"{address}\"] }}"
    )]
    Sentinel {
        /// Who was asked.
        address: String,
    },
    /// An answer that is no role.
    #[error("{address} answered ROLE with {found}: is it Redis?")]
    Strange {
        /// Who was asked.
        address: String,
        /// What came, shortened.
        found: String,
    },
    /// Another system than Redis, in the words of its probe.
    #[error("{0}")]
    Other(String),
}
