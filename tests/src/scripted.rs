//! A server that answers as it is told, byte by byte: for answers that a real Consul gives only by accident.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::Outcome;

/// What the server answers to every request.
#[derive(Debug, Clone)]
pub enum Scene {
    /// A whole answer with this index; a request that already waits on the index is held open for as long as it asks.
    Good {
        /// `X-Consul-Index`.
        index: u64,
        /// JSON.
        body: String,
    },
    /// A whole answer by path below `/v1/`, for a client that asks once.
    Answers(BTreeMap<String, String>),
    /// A whole answer with this index by path below `/v1/`; requests that already wait on the index are held open.
    Changing {
        /// `X-Consul-Index`.
        index: u64,
        /// JSON by path.
        bodies: BTreeMap<String, String>,
    },
    /// These bytes, after which the connection is closed.
    Raw(String),
    /// Nothing: the connection stays open.
    Silence,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct Scripted {
    scene: Arc<watch::Sender<Scene>>,
    address: String,
    heard: Arc<Mutex<String>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Listens on a free port of loopback.
    pub async fn start(first: Scene) -> Outcome<Scripted> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let scene = Arc::new(watch::channel(first).0);
        let playing = Arc::clone(&scene);
        let heard = Arc::new(Mutex::new(String::new()));
        let hearing = Arc::clone(&heard);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes away in the middle is part of the play.
                tokio::spawn(answer(stream, playing.subscribe(), Arc::clone(&hearing)));
            }
        });
        Ok(Scripted { scene, address, heard, serving })
    }

    /// From now on, this; requests that are held open get it too.
    pub fn play(&self, scene: Scene) {
        self.scene.send_replace(scene);
    }

    /// All requests so far, as they came.
    pub fn asked(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    mut scenes: watch::Receiver<Scene>,
    heard: Arc<Mutex<String>>,
) -> Outcome {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&request);
    let line = request.lines().next().unwrap_or_default();
    let path = line.split(['?', ' ']).nth(1).unwrap_or_default().trim_start_matches("/v1/");
    let mut over = false;
    loop {
        let scene = scenes.borrow_and_update().clone();
        let text = match scene {
            Scene::Good { index, .. } | Scene::Changing { index, .. }
                if !over && line.contains(&format!("index={index} ")) =>
            {
                None
            }
            Scene::Good { index, body } => Some(whole(index, &body)),
            Scene::Answers(bodies) => bodies.get(path).map(|body| whole(1, body)),
            Scene::Changing { index, bodies } => bodies.get(path).map(|body| whole(index, body)),
            Scene::Raw(text) => Some(text),
            Scene::Silence => None,
        };
        if let Some(text) = text {
            stream.write_all(text.as_bytes()).await?;
            return Ok(stream.shutdown().await?);
        }
        match timeout(asked_wait(line), scenes.changed()).await {
            Ok(changed) => changed?,
            Err(_) => over = true,
        }
    }
}

/// How long a request may be held open: `wait=10s` or `wait=250ms`, for ever where it does not say.
fn asked_wait(line: &str) -> Duration {
    let said = line.split(['?', '&', ' ']).find_map(|part| part.strip_prefix("wait="));
    let millis = said.and_then(|said| match said.strip_suffix("ms") {
        Some(millis) => millis.parse().ok(),
        None => said.strip_suffix('s')?.parse::<u64>().ok().map(|seconds| seconds * 1000),
    });
    millis.map_or(Duration::MAX, Duration::from_millis)
}

fn whole(index: u64, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nX-Consul-Index: {index}\r\nX-Consul-KnownLeader: true\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
