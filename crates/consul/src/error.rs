//! Why Consul did not do as asked, in the words of somebody who has to mend it.

use std::time::Duration;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke.
    #[error("Consul at {address} cannot be reached: {why}")]
    Unreachable {
        /// Consul's address.
        address: String,
        /// The whole chain of causes.
        why: String,
        /// Whether the connection was taken, and ended right away.
        at_once: bool,
    },
    /// No answer in time.
    #[error("Consul at {address} gave no answer within {after:?}")]
    Silent {
        /// Consul's address.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Consul (or something before it) said no.
    #[error("Consul answered {status} to {asked}: {said}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Method and path.
        asked: String,
        /// The beginning of the body.
        said: String,
    },
    /// The token may not see all of it (Consul 1.12 and later say so; before, the answer is just shorter).
    #[error(
        "Consul left out of the answer to {asked} what the token may not read; it needs service:read on the service \
         and node:read on its nodes"
    )]
    Filtered {
        /// Method and path.
        asked: String,
    },
    /// The answer is not one that Consul gives.
    #[error(
        "the answer to {asked} is not Consul's: {why}; is {address} a Consul agent, and is a proxy before it?"
    )]
    NotConsul {
        /// Method and path.
        asked: String,
        /// Consul's address.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// More than is taken of it.
    #[error("the answer to {asked} is larger than {most} bytes")]
    TooLarge {
        /// Method and path.
        asked: String,
        /// What is taken.
        most: usize,
    },
    /// The lease of an entry on an external node is not ours.
    #[error("the lease of the entry is lost")]
    LeaseLost,
    /// There is no token yet, since the login does not work.
    #[error("not logged in to Consul: {0}")]
    NotLoggedIn(String),
    /// Something of ours is missing, such as the token file.
    #[error("{0}")]
    Setup(String),
}

impl ClientError {
    /// The right that the token lacks, such as `service:write on redis`, when Consul refused for that reason.
    #[must_use]
    pub fn denied(&self) -> Option<String> {
        let ClientError::Refused { status: 403 | 500, said, .. } = self else { return None };
        if said.contains("ACL not found") {
            return Some(
                "a token that Consul knows (the one in use was deleted, expired or mistyped)".into(),
            );
        }
        let (_, right) = said.split_once("Permission denied")?;
        // 1.8 says `: Missing service:write on redis`; 1.11 and later
        // `: token with AccessorID '…' lacks permission 'service:write' on "redis"`.
        let right = match (right.split_once("Missing "), right.split_once("lacks permission ")) {
            (Some((_, right)), _) | (None, Some((_, right))) => right.replace(['\'', '"'], ""),
            (None, None) => String::new(),
        };
        Some(if right.is_empty() { "a right that Consul does not name".into() } else { right.trim().into() })
    }

    /// Whether a heartbeat was refused since the agent does not know the check: the registration is lost.
    #[must_use]
    pub fn unknown_check(&self) -> bool {
        match self {
            ClientError::Refused { status: 500, said, .. } => said.contains("does not have associated TTL"),
            ClientError::Refused { status: 404, said, .. } => said.contains("nknown check"),
            ClientError::LeaseLost => true,
            _ => false,
        }
    }

    /// Whether Consul may have turned the connection away, since there are too many from this address: 1.8 ends them, later
    /// ones say 429.
    #[must_use]
    pub fn turned_away(&self) -> bool {
        match self {
            ClientError::Unreachable { at_once, .. } => *at_once,
            ClientError::Refused { status: 429, said, .. } => said.contains("concurrent connections"),
            _ => false,
        }
    }

    /// Whether somebody answered, though it was no.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        !self.turned_away()
            && matches!(
                self,
                ClientError::Refused { .. } | ClientError::Filtered { .. } | ClientError::TooLarge { .. }
            )
    }

    /// Whether the same call may work later without anybody's help.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            ClientError::Refused { status, .. } => *status == 429 || *status >= 500,
            ClientError::Setup(_) => false,
            _ => true,
        }
    }
}

/// An error's deepest cause: what is above it repeats the address, which is said already.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Why there is no connection, with what to do about it where that is known.
pub(crate) fn remedy(why: String) -> String {
    let advice = [
        ("InvalidContentType", "it does not speak TLS on this port: write http://, or its HTTPS port"),
        (
            "UnknownIssuer",
            "its certificate is signed by an authority that is not trusted: set ssl { ca_cert }",
        ),
        ("NotValidForName", "its certificate is for another name: set ssl { server_name }"),
        ("not valid for name", "its certificate is for another name: set ssl { server_name }"),
        ("CertificateRequired", "it wants a client certificate: set ssl { cert, key }"),
        ("before message completed", "is this Consul's HTTP port (8500 by default)?"),
        ("invalid HTTP version", "is this Consul's HTTP port (8500 by default)?"),
    ];
    let known = advice.iter().find(|(part, _)| why.contains(part));
    known.map_or(why.clone(), |(_, advice)| format!("{advice} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_with_a_remedy() {
        for (why, remedied) in [
            ("received corrupt message of type InvalidContentType", "write http://"),
            ("invalid peer certificate: UnknownIssuer", "set ssl { ca_cert }"),
            (
                "certificate not valid for name \"a\"; certificate is only valid for b",
                "set ssl { server_name }",
            ),
            ("connection closed before message completed", "8500"),
        ] {
            let found = remedy(why.into());
            assert!(found.contains(remedied) && found.ends_with(&format!("({why})")), "{found}");
        }
        assert_eq!(remedy("Connection refused".into()), "Connection refused");
    }

    #[test]
    fn a_refusal_is_read_in_each_versions_words() {
        let refused =
            |status, said: &str| ClientError::Refused { status, asked: "PUT x".into(), said: said.into() };
        for (status, said, denied) in [
            (403, "Permission denied: Missing service:write on redis", Some("service:write on redis")),
            (
                403,
                "Permission denied: token with AccessorID 'a-b' lacks permission 'service:write' on \"redis\"",
                Some("service:write on redis"),
            ),
            (403, "Permission denied", Some("a right that Consul does not name")),
            (500, "No cluster leader", None),
            (403, "<html>forbidden</html>", None),
        ] {
            assert_eq!(refused(status, said).denied().as_deref(), denied, "{said}");
        }
        let limit = "Your IP is issuing too many concurrent connections, please rate limit your calls\n";
        assert!(refused(429, limit).turned_away() && !refused(429, limit).is_answer());
        assert!(!refused(429, "too many requests").turned_away());
        assert!(refused(403, "ACL not found").denied().is_some());
        assert!(refused(500, "CheckID \"x\" does not have associated TTL").unknown_check());
        assert!(refused(404, "Unknown check ID \"x\"").unknown_check());
        assert!(!refused(500, "No cluster leader").unknown_check());
    }
}
