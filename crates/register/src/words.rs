//! What a service calls its roles: in tags, in the log, on the status page. Meta.role is the same for all services.

use crate::role::Standing;
use consul::Role;

/// The words of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Tag of an instance that takes writes.
    pub primary: String,
    /// Tag of one that follows it.
    pub replica: String,
}

impl Words {
    /// As Redis' users know them.
    #[must_use]
    pub fn of_redis() -> Words {
        Words { primary: "master".into(), replica: "replica".into() }
    }

    /// The tag of a role.
    #[must_use]
    pub fn tag(&self, role: Role) -> &str {
        match role {
            Role::Master => &self.primary,
            Role::Replica => &self.replica,
        }
    }

    /// What an instance is, in the service's words; `None` before anything is known.
    #[must_use]
    pub fn name(&self, standing: Standing) -> Option<&str> {
        standing.role().map_or_else(|| standing.word(), |role| Some(self.tag(role)))
    }
}

impl Default for Words {
    fn default() -> Words {
        Words { primary: Role::Master.word().into(), replica: Role::Replica.word().into() }
    }
}
