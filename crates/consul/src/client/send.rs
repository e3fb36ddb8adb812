//! Requests: token and time-out go along, replies are read whole, and what went wrong is said.

use super::Client;
use crate::{
    ClientError,
    error::{deepest, remedy},
    wire,
};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
};
use std::time::Duration;
use tokio::time::Instant;

/// Consul ends a connection that it does not take within this time.
const AT_ONCE: Duration = Duration::from_millis(500);

impl Client {
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.connection.http().request(method, url)
    }

    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        asked: &str,
        limit: Duration,
    ) -> Result<Reply, ClientError> {
        self.send_within(request, asked, limit, usize::MAX).await
    }

    pub(super) async fn send_within(
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

    pub(super) async fn send_as(
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
        let began = Instant::now();
        let response = request.send().await.map_err(|e| self.unreachable(&e, limit, began))?;
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
                Err(error) if error.is_timeout() => return Err(self.silent(limit)),
                Err(error) => {
                    let why = format!("its body was cut off ({})", deepest(&error));
                    return Err(self.not_consul(asked, why));
                }
            }
        }
    }

    /// Namespace and partition go along only when they are set: others than Enterprise refuse them.
    pub(super) fn url(&self, path: &[&str], params: &[(&str, &str)]) -> Url {
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

    fn unreachable(&self, error: &reqwest::Error, after: Duration, began: Instant) -> ClientError {
        if error.is_timeout() && !error.is_connect() {
            return self.silent(after);
        }
        let at_once = !error.is_connect() && began.elapsed() < AT_ONCE;
        ClientError::Unreachable {
            address: self.settings.address.clone(),
            why: remedy(deepest(error)),
            at_once,
        }
    }

    fn silent(&self, after: Duration) -> ClientError {
        ClientError::Silent { address: self.settings.address.clone(), after }
    }

    pub(super) fn not_consul(&self, asked: &str, why: String) -> ClientError {
        ClientError::NotConsul { asked: asked.into(), address: self.settings.address.clone(), why }
    }
}

/// A reply as it came.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn text(&self) -> String {
        wire::excerpt(&self.body, 200)
    }

    pub(super) fn refused(&self, asked: &str) -> ClientError {
        ClientError::Refused { status: self.status.as_u16(), asked: asked.into(), said: self.text() }
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
