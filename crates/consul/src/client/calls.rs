//! What is told to the agent, and asked of it, besides questions that are followed.

use super::{Client, LOCAL, MARGIN, send::header};
use crate::{
    AgentSelf, ClientError, Held, HeldService, Instance, Query, Registration, Right, Status, external,
    login::{self, Granted},
    registration::span,
    settings::Login,
    wire,
};
use reqwest::{Method, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;

/// A heartbeat that takes longer than this is sent again rather than waited for.
const BEAT: Duration = Duration::from_secs(2);

impl Client {
    /// Asks the agent to hold a service.
    pub async fn register(&self, registration: &Registration) -> Result<(), ClientError> {
        let path = ["agent", "service", "register"];
        self.put(&path, Some(registration.body()), LOCAL).await
    }

    /// Tells a TTL check how the instance is. `output` is for people: Consul passes its changes on late.
    pub async fn beat(&self, check: &str, status: Status, output: &str) -> Result<(), ClientError> {
        let body = json!({"Status": status.word(), "Output": output});
        self.put(&["agent", "check", "update", check], Some(body), BEAT).await
    }

    /// Asks the agent to forget a service; one that it does not know is forgotten already.
    pub async fn deregister(&self, id: &str) -> Result<(), ClientError> {
        match self.put(&["agent", "service", "deregister", id], None, LOCAL).await {
            // Consul with ACLs says 500, a recent one 404, 1.8 without ACLs 200.
            Err(ClientError::Refused { said, .. }) if said.contains("nknown service") => Ok(()),
            other => other,
        }
    }

    /// What the agent holds under `id`; with the hash of a former answer, waits until that changes.
    pub async fn held(&self, id: &str, hash: Option<&str>) -> Result<Held, ClientError> {
        let mut url = self.url(&["agent", "service", id], &[]);
        let wait = self.settings.block_query_wait;
        if let Some(hash) = hash {
            url.query_pairs_mut().append_pair("hash", hash).append_pair("wait", &span(wait));
        }
        let deadline = if hash.is_some() { wait + wait / 16 + MARGIN } else { LOCAL };
        let asked = format!("GET agent/service/{id}");
        let reply = self.send(self.request(Method::GET, url), &asked, deadline).await?;
        match reply.status {
            StatusCode::OK => {
                let value = wire::parse(&reply.body).map_err(|e| self.not_consul(&asked, e.to_string()))?;
                let hash = header(&reply.headers, "x-consul-contenthash").unwrap_or_default().to_owned();
                Ok(Held::Present { service: HeldService::read(&value), hash })
            }
            StatusCode::NOT_FOUND if reply.text().contains("nknown service") => Ok(Held::Absent),
            _ => Err(reply.refused(&asked)),
        }
    }

    /// All rows of a service in the catalog, whatever their health: what others see.
    pub async fn instances(&self, service: &str) -> Result<Vec<Instance>, ClientError> {
        Ok(wire::instances(&self.ask(&Query::health(service, false), 0).await?.value))
    }

    /// Asks for a token. It is used only once it is taken into use.
    pub(crate) async fn log_in(&self, login: &Login) -> Result<Granted, ClientError> {
        let (asked, file) = ("POST acl/login", &login.bearer_token_file);
        let unreadable = |e| ClientError::Setup(format!("login.bearer_token_file {}: {e}", file.display()));
        let bearer = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
        let request = self.request(Method::POST, self.url(&["acl", "login"], &[]));
        let request = request.body(login::request(login, &bearer).to_string());
        let reply = self.send_as(None, request, asked, (LOCAL, usize::MAX)).await?;
        if !reply.status.is_success() {
            return Err(reply.refused(asked));
        }
        login::granted(&reply.body).map_err(|why| self.not_consul(asked, why))
    }

    /// Gives a token of a login back.
    pub(crate) async fn log_out(&self, token: HeaderValue) -> Result<(), ClientError> {
        let asked = "POST acl/logout";
        let request = self.request(Method::POST, self.url(&["acl", "logout"], &[]));
        let reply = self.send_as(Some(token), request, asked, (LOCAL, usize::MAX)).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.refused(asked)) }
    }

    /// Whose answers these are.
    pub async fn myself(&self) -> Result<AgentSelf, ClientError> {
        let asked = "GET agent/self";
        let request = self.request(Method::GET, self.url(&["agent", "self"], &[]));
        let reply = self.send(request, asked, LOCAL).await?;
        if reply.status != StatusCode::OK {
            return Err(reply.refused(asked));
        }
        AgentSelf::read(&reply.body).map_err(|why| self.not_consul(asked, why))
    }

    /// Which of these rights the token has, in their order; all, where Consul does not ask for any.
    pub async fn may(&self, rights: &[Right]) -> Result<Vec<bool>, ClientError> {
        let asked = "POST internal/acl/authorize";
        let request = self.request(Method::POST, self.url(&["internal", "acl", "authorize"], &[]));
        let reply = self.send(request.body(Right::body(rights).to_string()), asked, LOCAL).await?;
        match reply.status {
            StatusCode::UNAUTHORIZED if reply.text().contains("disabled") => Ok(vec![true; rights.len()]),
            StatusCode::OK => {
                let body = wire::parse(&reply.body).map_err(|e| self.not_consul(asked, e.to_string()))?;
                let shape = || self.not_consul(asked, "it does not answer each question".into());
                Right::allowed(rights, &body).ok_or_else(shape)
            }
            _ => Err(reply.refused(asked)),
        }
    }

    /// Any call; null for an empty answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &[&str],
        params: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, ClientError> {
        let asked = format!("{method} {}", path.join("/"));
        let mut request = self.request(method, self.url(path, params));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = self.send(request, &asked, LOCAL).await?;
        if !reply.status.is_success() {
            return Err(reply.refused(&asked));
        }
        external::answer(&reply.body).map_err(|e| self.not_consul(&asked, e.to_string()))
    }

    /// Writes a key if it was last written at `index` (0: if it does not exist); false when somebody else did meanwhile.
    pub async fn compare_and_set(&self, key: &str, value: &str, index: u64) -> Result<bool, ClientError> {
        self.set_key(key, value.to_owned().into_bytes(), &[("cas", &index.to_string())]).await
    }

    /// Writes a key under these conditions; false when they do not hold.
    pub(crate) async fn set_key(
        &self,
        key: &str,
        value: Vec<u8>,
        conditions: &[(&str, &str)],
    ) -> Result<bool, ClientError> {
        let path: Vec<&str> = std::iter::once("kv").chain(key.split('/')).collect();
        let asked = format!("PUT kv/{key}");
        let request = self.request(Method::PUT, self.url(&path, conditions)).body(value);
        let reply = self.send(request, &asked, LOCAL).await?;
        if reply.status.is_success() { Ok(reply.text().trim() == "true") } else { Err(reply.refused(&asked)) }
    }

    /// Takes the row of a service's instance off the catalog if it was last written at `index`; false when it was not.
    pub async fn take_row(
        &self,
        node: &str,
        (service, id): (&str, &str),
        index: u64,
    ) -> Result<bool, ClientError> {
        // Rights are held against the service's name, so the step says it.
        let row = json!({"ID": id, "Service": service, "ModifyIndex": index});
        let step = json!({"Service": {"Verb": "delete-cas", "Node": node, "Service": row}});
        match self.call(Method::PUT, &["txn"], &[], Some(json!([step]))).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { status: 409, said, .. }) if !said.contains("ermission") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, path: &[&str], body: Option<Value>, limit: Duration) -> Result<(), ClientError> {
        let asked = format!("PUT {}", path.join("/"));
        let mut request = self.request(Method::PUT, self.url(path, &[]));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = self.send(request, &asked, limit).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.refused(&asked)) }
    }
}
