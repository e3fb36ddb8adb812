//! From an HTTP answer to a role: by its status, or by what its JSON says.

use crate::probe::{
    codes::Codes,
    said::{Said, number, shorten},
};
use consul::Role;
use serde_json::Value;

/// By what an answer shows the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// By its status.
    Status(Codes),
    /// By a word in its JSON, found by this pointer.
    Word(String),
    /// By two values in its JSON, which are the same on the one that takes writes.
    Same(String, String),
}

/// How to read the answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What shows the role.
    pub sign: Sign,
    /// Pointer to the epoch.
    pub epoch: Option<String>,
}

impl Reading {
    /// The role that an answer shows; `None` when it shows none, so that the next request may.
    pub fn read(&self, status: u16, body: &str) -> Result<Option<Said>, String> {
        let role = match &self.sign {
            Sign::Status(codes) => codes.role(status).map(plain),
            _ if !(200..300).contains(&status) => None,
            Sign::Word(pointer) => {
                let value = json(body)?;
                let word = at(&value, pointer)?;
                let word = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
                Some(Said::word(&word, None).map_err(|why| format!("{pointer}: {why}"))?)
            }
            Sign::Same(one, other) => {
                let value = json(body)?;
                let same = at(&value, one)? == at(&value, other)?;
                Some(plain(if same { Role::Master } else { Role::Replica }))
            }
        };
        match (role, &self.epoch) {
            // Only a primary needs one: a replica may not know it.
            (Some(said), Some(pointer)) if said.role == Role::Master => {
                let value = json(body)?;
                let epoch = number(Some(at(&value, pointer)?)).map_err(|why| format!("{pointer}: {why}"))?;
                let missing =
                    || format!("{pointer} is null, and a primary without its epoch is not believed");
                Ok(Some(Said { epoch: Some(epoch.ok_or_else(missing)?), ..said }))
            }
            (role, _) => Ok(role),
        }
    }
}

fn plain(role: Role) -> Said {
    Said { role, word: role.to_string(), epoch: None }
}

fn json(body: &str) -> Result<Value, String> {
    serde_json::from_str(body).map_err(|why| format!("{:?} is no JSON: {why}", shorten(body)))
}

fn at<'a>(value: &'a Value, pointer: &str) -> Result<&'a Value, String> {
    value
        .pointer(pointer)
        .ok_or_else(|| format!("there is nothing at {pointer} in {:?}", shorten(&value.to_string())))
}

/// A JSON pointer.
pub fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!("expected a JSON pointer such as \"/leader/epoch\", found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::codes::tests::codes;

    /// A member in its third term, and one that follows another (etcd 3.5, gateway `/v3`).
    const ETCD_LEADER: &str = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437","revision":"1","raft_term":"3"},"version":"3.5.9","dbSize":"20480","leader":"10276657743932975437","raftIndex":"9","raftTerm":"3","raftAppliedIndex":"9","dbSizeInUse":"16384"}"#;
    const ETCD_FOLLOWER: &str = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"9372538179322589801","revision":"1","raft_term":"3"},"version":"3.5.9","dbSize":"20480","leader":"10276657743932975437","raftIndex":"9","raftTerm":"3","raftAppliedIndex":"9","dbSizeInUse":"16384"}"#;
    /// A member that just joined knows no leader.
    const ETCD_LOST: &str = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"9372538179322589801","raft_term":"2"},"version":"3.5.9","raftIndex":"9","raftTerm":"2","errors":["etcdserver: no leader"]}"#;
    /// Patroni 3 (master) and 4 (primary).
    const PATRONI_PRIMARY: &str = r#"{"state":"running","postmaster_start_time":"2024-08-28 19:39:26.352526+00:00","role":"primary","server_version":160004,"xlog":{"location":67395656},"timeline":4,"replication":[{"usename":"replicator","application_name":"patroni2","client_addr":"10.89.0.6","state":"streaming","sync_state":"async","sync_priority":0}],"dcs_last_seen":1692356718,"database_system_identifier":"7268616322854375442","patroni":{"version":"4.0.0","scope":"demo","name":"patroni1"}}"#;
    const PATRONI_REPLICA: &str = r#"{"state":"running","role":"replica","server_version":160004,"xlog":{"received_location":67419744,"replayed_location":67419744,"replayed_timestamp":null,"paused":false},"timeline":4,"dcs_last_seen":1692356928,"patroni":{"version":"4.0.0","scope":"demo","name":"patroni2"}}"#;
    const PATRONI_STANDBY: &str = r#"{"state":"running","role":"standby_leader","timeline":4}"#;

    fn reading(sign: Sign, epoch: Option<&str>) -> Reading {
        Reading { sign, epoch: epoch.map(str::to_owned) }
    }

    fn status(primary: &[&str], replica: &[&str]) -> Sign {
        Sign::Status(codes(primary, replica))
    }

    #[test]
    fn answers_of_real_systems() {
        let patroni = reading(status(&["200"], &[]), Some("/timeline"));
        let patroni_word = reading(Sign::Word("/role".into()), Some("/timeline"));
        let vault = reading(status(&["200"], &["429", "472-473"]), None);
        let etcd = reading(Sign::Same("/leader".into(), "/header/member_id".into()), Some("/raftTerm"));
        let galera = reading(status(&["200"], &[]), None);
        let (primary, replica) = (|epoch| Ok(Some((Role::Master, epoch))), Ok(Some((Role::Replica, None))));
        let synced = "Percona XtraDB Cluster Node is synced.\r\n";
        for (what, reading, code, body, read) in [
            ("patroni /primary", &patroni, 200, PATRONI_PRIMARY, primary(Some(4))),
            ("patroni /primary on a replica", &patroni, 503, PATRONI_REPLICA, Ok(None)),
            ("patroni's own word", &patroni_word, 200, PATRONI_PRIMARY, primary(Some(4))),
            ("patroni's own word", &patroni_word, 200, PATRONI_REPLICA, replica),
            (
                "a word of its own",
                &patroni_word,
                200,
                PATRONI_STANDBY,
                Err("/role: \"standby_leader\" is no role"),
            ),
            (
                "vault active",
                &vault,
                200,
                r#"{"initialized":true,"sealed":false,"standby":false}"#,
                primary(None),
            ),
            ("vault standby", &vault, 429, r#"{"initialized":true,"sealed":false,"standby":true}"#, replica),
            ("vault performance standby", &vault, 473, "{}", replica),
            ("vault sealed", &vault, 503, r#"{"initialized":true,"sealed":true}"#, Ok(None)),
            ("vault not initialized", &vault, 501, r#"{"initialized":false}"#, Ok(None)),
            ("etcd leader", &etcd, 200, ETCD_LEADER, primary(Some(3))),
            ("etcd follower", &etcd, 200, ETCD_FOLLOWER, replica),
            ("etcd without a leader", &etcd, 200, ETCD_LOST, Err("there is nothing at /leader in ")),
            ("etcd fails", &etcd, 503, "", Ok(None)),
            ("galera synced", &galera, 200, synced, primary(None)),
            ("galera donor", &galera, 503, "Percona XtraDB Cluster Node is not synced.\r\n", Ok(None)),
            ("no epoch", &patroni, 200, "{}", Err("there is nothing at /timeline")),
            ("no epoch", &patroni, 200, r#"{"timeline":null}"#, Err("is null")),
            ("no epoch", &patroni, 200, r#"{"timeline":"four"}"#, Err("is no epoch")),
            ("HTML", &etcd, 200, "<html>", Err("is no JSON")),
        ] {
            let seen = reading.read(code, body).map(|said| said.map(|said| (said.role, said.epoch)));
            match (&seen, &read) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{what}: {why}"),
                (seen, read) => assert_eq!(seen.as_ref().ok(), read.as_ref().ok(), "{what}: {seen:?}"),
            }
        }
    }

    #[test]
    fn a_pointer_begins_with_a_slash() {
        assert!(pointer("role").is_err() && pointer("/role").is_ok());
    }
}
