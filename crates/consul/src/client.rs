//! The HTTP door to one Consul agent: each call with its own time-out, each error in plain English.

use crate::{
    AgentSelf, ClientError, ConsulSettings, Held, HeldService, Instance, Query, Registration, Right, Status,
    access::Access,
    backoff::Backoff,
    connection::Connection,
    error::{deepest, remedy},
    external,
    hints::Hints,
    login::{self, Granted},
    registration::span,
    seats::{Claim, Seats},
    settings::Login,
    wire,
};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Speaks to one agent. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Arc<ConsulSettings>,
    connection: Arc<Connection>,
    access: Arc<Access>,
    /// How old an answer may be that a server gives without asking the leader; zero for not at all.
    max_stale: Duration,
    /// How long the last value is kept when Consul seems to have lost its data; zero to believe everything.
    quarantine: Duration,
    /// Whether the agent's cache may answer.
    cached: bool,
    seats: Seats,
    hints: Hints,
}

/// How many questions are held open at once within so many connections; the others are asked in turn.
#[must_use]
pub fn held_at_once(connections: usize) -> usize {
    crate::seats::held(connections)
}

/// A good answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `X-Consul-Index`: what the next question waits on; 1 for a question that Consul cannot hold open.
    pub index: u64,
    /// The value, shaped by [`wire::read`].
    pub value: Value,
}

/// When the keys of a folder were written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// `X-Consul-Index`.
    pub index: u64,
    /// Each key's index.
    pub keys: BTreeMap<String, u64>,
    /// How long the answer was, in bytes.
    pub size: usize,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Leader,
    AnyServer,
    Cache,
}

/// An agent answers a local call at once; a server that is frozen behind it held one for 25 s (measured).
const LOCAL: Duration = Duration::from_secs(5);
/// A heartbeat that takes longer than this is sent again rather than waited for.
const BEAT: Duration = Duration::from_secs(2);
/// What a loaded server may take beyond the wait it was asked for.
const MARGIN: Duration = Duration::from_secs(2);

impl Client {
    /// Prepares the connections; nothing is sent yet. Reads the TLS files.
    pub fn new(settings: &ConsulSettings) -> Result<Client, ClientError> {
        let settings = Arc::new(settings.clone());
        let connection = Arc::new(Connection::new(Arc::clone(&settings))?);
        let access = Arc::new(Access::new(&settings)?);
        let seats = Seats::new(settings.max_connections);
        Ok(Client {
            settings,
            connection,
            access,
            max_stale: Duration::ZERO,
            quarantine: Duration::ZERO,
            cached: false,
            seats,
            hints: Hints::default(),
        })
    }

    /// The same Consul by connections of its own, so that nothing queues behind another's calls. The token is shared.
    pub fn separate(&self) -> Result<Client, ClientError> {
        Ok(self.over(Arc::new(Connection::new(Arc::clone(&self.settings))?)))
    }

    pub(crate) fn over(&self, connection: Arc<Connection>) -> Client {
        Client { connection, ..self.clone() }
    }

    pub(crate) fn shared_settings(&self) -> Arc<ConsulSettings> {
        Arc::clone(&self.settings)
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Counts the tokens in use. A registration belongs to the token that made it, so write it again under a new one.
    #[must_use]
    pub fn tokens(&self) -> watch::Receiver<u64> {
        self.access.version()
    }

    /// Says that what `holder` holds in Consul was written under this token and is seen there. The token of an older
    /// login is given back when all holders said so of a newer one.
    pub fn holds(&self, holder: &str, token: u64) {
        self.access.hold(holder, token);
    }

    /// The same, but any server may answer as long as it heard from the leader within this time.
    #[must_use]
    pub fn allow_stale(self, max_stale: Duration) -> Client {
        Client { max_stale, ..self }
    }

    /// The same, but the agent's cache may answer, as far as `max_stale` allows.
    #[must_use]
    pub fn allow_cached(self, cached: bool) -> Client {
        Client { cached, ..self }
    }

    /// The same, but Consul may hold a question open for this time.
    #[must_use]
    pub fn wait_for(self, block_query_wait: Duration) -> Client {
        let settings = ConsulSettings { block_query_wait, ..(*self.settings).clone() };
        Client { settings: Arc::new(settings), ..self }
    }

    /// The same, but a watch does not believe at once that all is gone ([`crate::doubt`]).
    #[must_use]
    pub fn doubt_for(self, quarantine: Duration) -> Client {
        Client { quarantine, ..self }
    }

    /// Who may keep a question open.
    pub(crate) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// The folders that are watched.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// A claim to keep one question open: what is held open is bounded by `max_connections`.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.seats.claim()
    }

    pub(crate) fn quarantine(&self) -> Duration {
        self.quarantine
    }

    /// How this Consul is reached.
    #[must_use]
    pub fn settings(&self) -> &ConsulSettings {
        &self.settings
    }

    /// Pauses between tries, as configured.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.settings.retry.backoff, self.settings.retry.max_backoff)
    }

    /// Asks a question; with an index, Consul holds it open until the answer changes or the wait runs out.
    pub async fn ask(&self, query: &Query, index: u64) -> Result<Answer, ClientError> {
        let reply = self.ask_within(query, index, usize::MAX).await?;
        self.answer(query, &format!("GET {query}"), reply)
    }

    /// Asks when the keys of a folder were written; an answer of more than `most` bytes is not read.
    pub(crate) async fn written(
        &self,
        folder: &Query,
        index: u64,
        most: usize,
    ) -> Result<Written, ClientError> {
        let (asked, reply) = (format!("GET {folder}"), self.ask_within(folder, index, most).await?);
        let index = self.index(folder, &asked, &reply)?;
        let keys = match reply.status {
            StatusCode::OK => {
                wire::written(&reply.body).map_err(|e| self.not_consul(&asked, e.to_string()))?
            }
            StatusCode::NOT_FOUND => BTreeMap::new(),
            _ => return Err(reply.refused(&asked)),
        };
        Ok(Written { index, keys, size: reply.body.len() })
    }

    /// Asks whoever may answer, and the leader where that was too old.
    async fn ask_within(&self, query: &Query, index: u64, most: usize) -> Result<Reply, ClientError> {
        if !self.max_stale.is_zero() && *query != Query::Datacenters {
            let from = if self.may_be_cached(query) { From::Cache } else { From::AnyServer };
            let reply = self.ask_once(query, (index, most), from).await?;
            if age(&reply.headers) <= self.max_stale {
                return Ok(reply);
            }
        }
        self.ask_once(query, (index, most), From::Leader).await
    }

    /// Whether the agent's cache is asked.
    pub(crate) fn may_be_cached(&self, query: &Query) -> bool {
        self.cached && !self.max_stale.is_zero() && query.is_cacheable()
    }

    /// The same, but no cache is asked.
    pub(crate) fn fresh(self) -> Client {
        Client { cached: false, ..self }
    }

    /// Asks once, for no more than so many bytes.
    async fn ask_once(
        &self,
        query: &Query,
        (index, most): (u64, usize),
        from: From,
    ) -> Result<Reply, ClientError> {
        let mut url = match query {
            Query::Node { name: None, scope } => {
                let own = Query::Node { name: Some(self.myself().await?.name), scope: scope.clone() };
                self.url(&own.path(), &query.params())
            }
            _ => self.url(&query.path(), &query.params()),
        };
        let wait = self.settings.block_query_wait;
        match from {
            From::Leader => {}
            From::AnyServer => _ = url.query_pairs_mut().append_pair("stale", ""),
            From::Cache => _ = url.query_pairs_mut().append_pair("cached", ""),
        }
        if *query != Query::Datacenters {
            url.query_pairs_mut().append_pair("wait", &span(wait));
        }
        if query.blocks() && index > 0 {
            url.query_pairs_mut().append_pair("index", &index.to_string());
        }
        // Consul adds up to a sixteenth to the wait, so that clients do not come back in step.
        let deadline = if index > 0 { wait + wait / 16 + MARGIN } else { LOCAL };
        let asked = format!("GET {query}");
        let mut request = self.request(Method::GET, url);
        if from == From::Cache {
            request = request.header("cache-control", format!("max-age={}", self.max_stale.as_secs()));
        }
        self.send_within(request, &asked, deadline, most).await
    }

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

    /// The index of an answer that is one.
    fn index(&self, query: &Query, asked: &str, reply: &Reply) -> Result<u64, ClientError> {
        let index = header(&reply.headers, "x-consul-index").and_then(|index| index.parse().ok());
        let index = match (index, query.blocks()) {
            (Some(index), _) => index,
            (None, false) => 1,
            (None, true) if reply.status.is_success() => {
                return Err(self.not_consul(asked, "it carries no X-Consul-Index".into()));
            }
            (None, true) => return Err(reply.refused(asked)),
        };
        if reply.status.is_success() && knows_no_leader(query, &reply.headers) {
            return Err(self.not_consul(asked, "it comes from a server that knows no leader".into()));
        }
        Ok(index)
    }

    fn answer(&self, query: &Query, asked: &str, reply: Reply) -> Result<Answer, ClientError> {
        let index = self.index(query, asked, &reply)?;
        let value = match (reply.status, query) {
            // Lists of everything are cut to the token's rights by design; a named thing is asked for whole.
            (StatusCode::OK, Query::Health { .. } | Query::Node { .. })
                if header(&reply.headers, "x-consul-results-filtered-by-acls") == Some("true") =>
            {
                return Err(ClientError::Filtered { asked: asked.into() });
            }
            (StatusCode::OK, _) => {
                wire::read(query, &reply.body).map_err(|e| self.not_consul(asked, e.to_string()))?
            }
            (StatusCode::NOT_FOUND, Query::Key { .. } | Query::Tree { .. }) => wire::nothing(query),
            _ => return Err(reply.refused(asked)),
        };
        Ok(Answer { index, value })
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.connection.http().request(method, url)
    }

    async fn send(
        &self,
        request: RequestBuilder,
        asked: &str,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        self.send_within(request, asked, limit, usize::MAX).await
    }

    async fn send_within(
        &self,
        request: RequestBuilder,
        asked: &str,
        limit: Duration,
        most: usize,
    ) -> Result<Reply, ClientError> {
        let token = self.access.token(&self.settings, limit).await?;
        let reply = self.send_as(token, request, asked, (limit, most)).await?;
        if reply.status == StatusCode::FORBIDDEN && reply.text().contains("ACL not found") {
            self.access.refused();
        }
        Ok(reply)
    }

    async fn send_as(
        &self,
        token: Option<HeaderValue>,
        request: RequestBuilder,
        asked: &str,
        (limit, most): (Duration, usize),
    ) -> Result<Reply, ClientError> {
        let mut request = request.timeout(limit);
        if let Some(token) = token {
            request = request.header("x-consul-token", token);
        }
        if let Some((user, password)) = &self.settings.auth {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e, limit))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response, asked, (limit, most)).await?;
        Ok(Reply { status, headers, body })
    }

    async fn body(
        &self,
        mut response: Response,
        asked: &str,
        (limit, most): (Duration, usize),
    ) -> Result<Vec<u8>, ClientError> {
        let mut body = vec![];
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(more)) if body.len() + more.len() > most => {
                    return Err(ClientError::TooLarge { asked: asked.into(), most });
                }
                Ok(Some(more)) => body.extend_from_slice(&more),
                Err(error) if error.is_timeout() => return Err(self.unreachable(&error, limit)),
                Err(error) => {
                    let why = format!("its body was cut off ({})", deepest(&error));
                    return Err(self.not_consul(asked, why));
                }
            }
        }
    }

    /// Namespace and partition go along only when they are set: others than Enterprise refuse them.
    fn url(&self, path: &[&str], params: &[(&str, &str)]) -> Url {
        let mut url = self.connection.base();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let scope = [("ns", &self.settings.namespace), ("partition", &self.settings.partition)];
        let scope = scope.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let scope = scope.filter(|(key, _)| params.iter().all(|(given, _)| given != key));
        for (key, value) in params.iter().copied().chain(scope) {
            url.query_pairs_mut().append_pair(key, value);
        }
        url
    }

    fn unreachable(&self, error: &reqwest::Error, after: Duration) -> ClientError {
        let address = self.settings.address.clone();
        if error.is_timeout() && !error.is_connect() {
            return ClientError::Silent { address, after };
        }
        ClientError::Unreachable { address, why: remedy(deepest(error)) }
    }

    fn not_consul(&self, asked: &str, why: String) -> ClientError {
        ClientError::NotConsul { asked: asked.into(), address: self.settings.address.clone(), why }
    }
}

/// A reply as it came.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        wire::excerpt(&self.body, 200)
    }

    fn refused(&self, asked: &str) -> ClientError {
        ClientError::Refused { status: self.status.as_u16(), asked: asked.into(), said: self.text() }
    }
}

/// How old an answer may be: an agent that lost its servers tells the age of what it has in its cache.
fn age(headers: &HeaderMap) -> Duration {
    let number = |name| header(headers, name).and_then(|number| number.parse().ok()).unwrap_or_default();
    Duration::from_millis(number("x-consul-lastcontact")).max(Duration::from_secs(number("age")))
}

/// Whether the servers answered without a leader. A refusal carries the same header whatever the leader is; so does
/// what the agent answers out of its own cache.
fn knows_no_leader(query: &Query, headers: &HeaderMap) -> bool {
    !query.is_agents() && header(headers, "x-consul-knownleader") == Some("false")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Consul 1.8.7 answers for the mesh's authorities, with a leader.
    #[test]
    fn what_the_agent_answers_itself_needs_no_leader() {
        for (told, asked, leaderless) in [
            ("false", Query::health("web", true), true),
            ("true", Query::health("web", true), false),
            ("false", Query::CaRoots, false),
            ("false", Query::CaLeaf("web".into()), false),
        ] {
            let headers = [("x-consul-knownleader".parse().unwrap(), HeaderValue::from_static(told))];
            let headers = headers.into_iter().collect::<HeaderMap>();
            assert_eq!(knows_no_leader(&asked, &headers), leaderless, "{asked} {told}");
        }
    }

    #[test]
    fn an_answer_is_as_old_as_its_oldest_part() {
        for (told, expected) in [
            (&[][..], 0),
            (&[("x-consul-lastcontact", "120")], 120),
            (&[("x-consul-lastcontact", "0"), ("x-cache", "HIT"), ("age", "7")], 7_000),
            (&[("x-consul-lastcontact", "9000"), ("age", "2")], 9_000),
            (&[("age", "soon")], 0),
        ] {
            let headers = told.iter().map(|(name, value)| {
                (name.parse::<reqwest::header::HeaderName>().unwrap(), HeaderValue::from_static(value))
            });
            assert_eq!(age(&headers.collect()), Duration::from_millis(expected), "{told:?}");
        }
    }
}
