//! The admin pages: `/healthz`, `/readyz`, `/metrics` and `/status` over HTTP/1.1, what takes [`orders`], and for people
//! the `front` page at `/`, which is kept `live` by `/events`.
//!
//! They can neither stall nor burden the program: one request a connection, a time limit on each, and a limit on
//! how many there are at once.

mod ask;
mod front;
mod live;
mod orders;

pub use ask::{AskError, Caller};
pub use orders::{Order, Orders, Reply, Taker};

use crate::{metrics::Format, ready::Ready, shutdown::Leaving};
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes},
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Kubelet, Prometheus and a few people need a handful.
const MOST_CONNECTIONS: usize = 64;
/// From accepted to answered; a page is made in milliseconds.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// What requests under way are given when the program leaves.
const LEAVING_LIMIT: Duration = Duration::from_millis(500);
/// Before accepting again when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";

/// Why the admin pages cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Another process listens there.
    #[error("admin address {0} is in use by another process; choose another one for admin.address")]
    InUse(SocketAddr),
    /// The system says no for another reason.
    #[error("admin address {address} cannot be listened on")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// For `/readyz`.
    pub ready: Ready,
    /// For `/metrics`: OpenMetrics text, as [`crate::metrics::text`] makes it.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// For `/status`.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// For `/`: the status as HTML; see [`crate::html`].
    pub view: fn(&serde_json::Value) -> String,
    /// For POST and PUT.
    pub orders: Orders,
}

impl fmt::Debug for Pages {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pages")
            .field("ready", &self.ready)
            .field("orders", &self.orders)
            .finish_non_exhaustive()
    }
}

/// A listening socket; nothing is answered before [`Bound::serve`].
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Listens on an address; port 0 takes a free one.
pub async fn bind(address: SocketAddr) -> Result<Bound, AdminError> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    listen.await.map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse(address),
        _ => AdminError::Listen { address, source },
    })
}

impl Bound {
    /// The address with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is time to leave; then requests under way are ended within half a second.
    pub async fn serve(self, pages: Pages, mut leaving: Leaving) {
        let mut connections = JoinSet::new();
        let site = Arc::new(Site {
            live: Arc::new(live::Live::new(pages.clone())),
            pages,
            leaving: leaving.clone(),
        });
        loop {
            tokio::select! {
                () = leaving.signaled() => break,
                accepted = self.listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, peer)) => drop(connections.spawn(converse(stream, peer.ip(), Arc::clone(&site)))),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection to the admin pages");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        let all_gone = async { while connections.join_next().await.is_some() {} };
        let _those_left_are_aborted = timeout(LEAVING_LIMIT, all_gone).await;
    }
}

/// What every request needs.
struct Site {
    pages: Pages,
    live: Arc<live::Live>,
    leaving: Leaving,
}

/// A page, or a stream of events.
type Answer = Response<Either<Full<Bytes>, live::Events>>;

/// One request and its answer. A peer that is slow, gone or talks nonsense is of no interest.
async fn converse(stream: TcpStream, peer: IpAddr, site: Arc<Site>) {
    let streams = AtomicBool::new(false);
    let answer = service_fn(async |request| {
        let answer = respond(request, peer, &site).await;
        streams.store(matches!(answer.body(), Either::Right(_)), Ordering::Relaxed);
        Ok::<_, Infallible>(answer)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_LIMIT)
            .serve_connection(TokioIo::new(stream), answer)
    );
    if timeout(REQUEST_LIMIT, &mut connection).await.is_err() && streams.load(Ordering::Relaxed) {
        let _ = timeout(live::LIFE, connection).await;
    }
}

async fn respond<B>(request: Request<B>, peer: IpAddr, site: &Site) -> Answer
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let path = request.uri().path();
    let answer = match (request.method(), site.pages.orders.taker(path)) {
        (&Method::POST | &Method::PUT, Some(taker)) => site.pages.orders.give(request, peer, taker).await,
        (_, Some(_)) => not_so("POST, PUT"),
        (&Method::GET, None) if path == "/events" => return events(site),
        (&Method::GET | &Method::HEAD, None) => show(path, request.headers(), site),
        _ => not_so("GET, HEAD"),
    };
    answer.map(Either::Left)
}

fn not_so(methods: &'static str) -> Response<Full<Bytes>> {
    let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {methods}\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

fn events(site: &Site) -> Answer {
    let Some(events) = site.live.listen(site.leaving.clone()) else {
        let why = format!("at most {} listen at once\n", live::MOST_LISTENERS);
        return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, why).map(Either::Left);
    };
    let mut answer = Response::new(Either::Right(events));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn show(path: &str, headers: &HeaderMap, site: &Site) -> Response<Full<Bytes>> {
    let pages = &site.pages;
    match path {
        "/" => {
            let content = front::page(&front::moment(), &site.live.content());
            let mut shown = page(StatusCode::OK, front::HTML, content);
            front::headers(shown.headers_mut());
            shown
        }
        "/healthz" => page(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => match pages.ready.awaited() {
            awaited if awaited.is_empty() => page(StatusCode::OK, TEXT, "ok\n".into()),
            awaited => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, awaited.join("\n") + "\n"),
        },
        "/metrics" => {
            let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let format = Format::accepted(accept);
            page(StatusCode::OK, format.content_type(), format.of((pages.metrics)()))
        }
        "/status" => page(StatusCode::OK, "application/json", format!("{:#}\n", (pages.status)())),
        _ => page(StatusCode::NOT_FOUND, TEXT, "pages: / /healthz /readyz /metrics /status\n".into()),
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::{Shutdown, channel};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    const LONG: Duration = Duration::from_secs(60);

    async fn start(ready: &Ready) -> (SocketAddr, Shutdown) {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = bound.address();
        let (shutdown, leaving) = channel();
        let echo: Taker = Arc::new(|order| match order.text.as_str() {
            "" => Reply::Wrong("say what".into()),
            _ => Reply::Taken(format!("{:?} {:?}", order.about, order.text)),
        });
        let pages = Pages {
            ready: ready.clone(),
            metrics: Arc::new(|| "# EOF\n".into()),
            status: Arc::new(|| serde_json::json!({"program": "test"})),
            view: |status| format!("<h1>{}</h1>", status["program"]),
            orders: Orders { takers: [("echo", echo)].into(), token_file: None },
        };
        tokio::spawn(bound.serve(pages, leaving));
        (address, shutdown)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let (request, body) = request.split_once('|').unwrap_or((request, ""));
        let length = body.len();
        exchange(address, &format!("{request} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}"))
            .await
    }

    async fn exchange(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn shows_its_pages() {
        let ready = Ready::default();
        let awaited = [ready.await_for("consul"), ready.await_for("redis")];
        let (address, _shutdown) = start(&ready).await;
        for (request, status, header, body) in [
            ("GET /healthz", "200", "content-type: text/plain", "ok\n"),
            ("GET /healthz?verbose", "200", "content-length: 3", "ok\n"),
            ("HEAD /healthz", "200", "content-length: 3", ""),
            ("GET /readyz", "503", "content-type: text/plain", "consul\nredis\n"),
            ("GET /metrics", "200", "content-type: text/plain; version=0.0.4", ""),
            ("GET /status", "200", "content-type: application/json", "{\n  \"program\": \"test\"\n}\n"),
            ("HEAD /", "200", "content-security-policy: default-src 'none'; style-src 'sha256-", ""),
            ("GET /x", "404", "connection: close", "pages: / /healthz /readyz /metrics /status\n"),
            ("POST /events", "405", "allow: GET, HEAD", "only GET, HEAD\n"),
            ("POST /status", "405", "allow: GET, HEAD", "only GET, HEAD\n"),
            ("GET /echo", "405", "allow: POST, PUT", "only POST, PUT\n"),
            ("POST /echo", "400", "content-type: text/plain", "say what\n"),
            ("POST /echo?x|hello", "200", "content-type: text/plain", "\"\" \"hello\"\n"),
            ("PUT /echo/a/b|hello", "200", "content-type: text/plain", "\"a/b\" \"hello\"\n"),
        ] {
            let answer = ask(address, request).await;
            let (head, found) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert!(head.contains(header), "{request}: {head}");
            assert_eq!(found, body, "{request}");
        }
        let openmetrics = "GET /metrics HTTP/1.1\r\nhost: x\r\naccept: application/openmetrics-text\r\n\r\n";
        let openmetrics = exchange(address, openmetrics).await;
        assert!(openmetrics.contains("content-type: application/openmetrics-text"), "{openmetrics}");
        assert!(openmetrics.ends_with("\r\n\r\n# EOF\n"), "{openmetrics}");
        let front = ask(address, "GET /").await;
        assert!(front.contains("content-type: text/html; charset=utf-8\r\n"), "{front}");
        assert!(front.contains("\n<h1>\"test\"</h1>\n"), "{front}");
        let caller = Caller::new(SocketAddr::from(([0, 0, 0, 0], address.port())), None);
        assert_eq!(caller.order("/echo", "hi").await.unwrap(), "\"\" \"hi\"\n");
        let refused = caller.order("/echo", "").await.unwrap_err().to_string();
        assert_eq!(refused, format!("{address} answered 400: say what"));
        assert!(caller.get("/status").await.unwrap().contains("test"));
        let long = format!("PUT /echo|{}", "x".repeat(20_000));
        assert!(ask(address, &long).await.starts_with("HTTP/1.1 413 "));
        drop(awaited);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let error = bind(bound.address()).await.unwrap_err();
        assert!(matches!(error, AdminError::InUse(address) if address == bound.address()));
        assert!(error.to_string().contains(&bound.address().to_string()));
    }

    /// A listener whose first event came.
    async fn listener(address: SocketAddr) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let (mut seen, mut some) = (vec![], [0; 4096]);
        while !seen.ends_with(b"</h1>\n\n\r\n") {
            let read = stream.read(&mut some).await.unwrap();
            seen.extend(&some[..read]);
            if read == 0 {
                let text = String::from_utf8_lossy(&seen);
                assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
                return None;
            }
        }
        let text = String::from_utf8_lossy(&seen);
        assert!(text.contains("content-type: text/event-stream\r\n"), "{text}");
        assert!(text.contains("\nevent: page\ndata: <h1>"), "{text}");
        Some(stream)
    }

    #[tokio::test]
    async fn listeners_are_few_and_hold_nothing_when_they_go_or_it_leaves() {
        let (address, shutdown) = start(&Ready::default()).await;
        let mut listeners = vec![];
        for _ in 0..live::MOST_LISTENERS {
            listeners.push(listener(address).await.expect("a place"));
        }
        assert!(listener(address).await.is_none(), "one too many");
        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200 "), "others are answered");
        // Long before its next sign of life: that it is gone is seen at once. A busy machine may take longer, now and then.
        let mut took = vec![];
        while took.last().is_none_or(|took| *took > Duration::from_secs(3)) {
            assert!(took.len() < 10, "the place of one that went: {took:?}");
            drop(listeners.pop());
            let gone = Instant::now();
            while listeners.len() < live::MOST_LISTENERS {
                sleep(Duration::from_millis(10)).await;
                listeners.extend(listener(address).await);
            }
            took.push(gone.elapsed());
        }
        assert!(shutdown.drain(LONG).await);
        for mut listener in listeners {
            let mut rest = String::new();
            timeout(LONG, listener.read_to_string(&mut rest)).await.unwrap().unwrap();
            assert!(rest.ends_with("0\r\n\r\n"), "a stream ends in good order: {rest:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_peers_do_not_hold_it_when_it_leaves() {
        let (address, shutdown) = start(&Ready::default()).await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(shutdown.drain(LEAVING_LIMIT * 4).await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
