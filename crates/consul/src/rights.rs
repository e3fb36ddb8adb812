//! What a token may do: asked of Consul itself, which nothing has to be tried for.

use serde_json::{Value, json};
use std::fmt;

/// Write or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To see.
    Read,
    /// To change.
    Write,
}

/// One right, such as `service:write` on `redis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    resource: &'static str,
    access: Access,
    segment: String,
}

impl Right {
    /// To do this with services of that name.
    #[must_use]
    pub fn service(access: Access, name: &str) -> Right {
        Right { resource: "service", access, segment: name.into() }
    }

    /// To do this with the node of that name.
    #[must_use]
    pub fn node(access: Access, name: &str) -> Right {
        Right { resource: "node", access, segment: name.into() }
    }

    /// To read of the agent of that name who it is.
    #[must_use]
    pub fn agent(name: &str) -> Right {
        Right { resource: "agent", access: Access::Read, segment: name.into() }
    }

    /// To do this with the keys below a prefix.
    #[must_use]
    pub fn keys(access: Access, prefix: &str) -> Right {
        Right { resource: "key", access, segment: prefix.into() }
    }

    /// To keep sessions on the node of that name; on any, without a name.
    #[must_use]
    pub fn session(node: &str) -> Right {
        Right { resource: "session", access: Access::Write, segment: node.into() }
    }

    /// The rule that gives it, to be pasted into a policy.
    #[must_use]
    pub fn rule(&self) -> String {
        let (resource, segment, access) = (self.resource, &self.segment, self.access.word());
        match (resource, self.access) {
            // Rows stand on any node.
            ("node", Access::Read) => "node_prefix \"\" { policy = \"read\" }".into(),
            ("session", _) if segment.is_empty() => "session_prefix \"\" { policy = \"write\" }".into(),
            ("key", _) => format!("key_prefix \"{segment}\" {{ policy = \"{access}\" }}"),
            _ => format!("{resource} \"{segment}\" {{ policy = \"{access}\" }}"),
        }
    }

    pub(crate) fn body(rights: &[Right]) -> Value {
        let body = |right: &Right| json!({"Resource": right.resource, "Access": right.access.word(), "Segment": right.segment});
        rights.iter().map(body).collect()
    }

    /// The answers, in the order of the questions.
    pub(crate) fn allowed(rights: &[Right], body: &Value) -> Option<Vec<bool>> {
        let rows = body.as_array()?;
        let answer = |right: &Right| {
            let ours = |row: &&Value| {
                row["Resource"] == right.resource
                    && row["Access"] == right.access.word()
                    // Left out where it is empty.
                    && row["Segment"].as_str().unwrap_or_default() == right.segment
            };
            rows.iter().find(ours)?["Allow"].as_bool()
        };
        rights.iter().map(answer).collect()
    }
}

impl Access {
    fn word(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
        }
    }
}

/// `service:write on redis`, as Consul names it.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} on {:?}", self.resource, self.access.word(), self.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_its_question() {
        let rights = [Right::service(Access::Write, "redis"), Right::node(Access::Read, "n1")];
        let body = json!([
            {"Resource": "node", "Segment": "n1", "Access": "read", "Allow": true},
            {"Resource": "service", "Segment": "redis", "Access": "write", "Allow": false},
        ]);
        assert_eq!(Right::allowed(&rights, &body), Some(vec![false, true]));
        assert_eq!(Right::allowed(&rights, &json!([])), None);
        assert_eq!(rights[0].to_string(), "service:write on \"redis\"");
        assert_eq!(rights[0].rule(), "service \"redis\" { policy = \"write\" }");
        assert_eq!(rights[1].rule(), "node_prefix \"\" { policy = \"read\" }");
    }
}
