//! A Consul on loopback that says what was recorded, or what a function says, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::{Map, Value, json};

use crate::Outcome;

/// A request: its path as it came, and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As it came, in percent encoding.
    pub path: String,
    /// Parameters, decoded.
    pub query: BTreeMap<String, String>,
}

/// An answer: status and body.
pub type Answer = (u16, String);

/// The server; it ends with the process, its connections when the asker's end.
#[derive(Debug)]
pub struct Replay {
    /// Where it listens.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Replay {
    /// Answers by this function; a request that carries an index is held for ever.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Outcome<Replay> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(vec![]));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                thread::spawn(move || serve(&stream, &*answer, &log));
            }
        });
        Ok(Replay { address, asked })
    }

    /// Answers with what the `data` of a case holds; what was not recorded does not exist.
    pub fn of(data: Value) -> Outcome<Replay> {
        Replay::start(move |request| recorded(&data, request))
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Request) -> Answer, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let request = parse(first.split(' ').nth(1)?);
        log.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        if request.query.contains_key("index") {
            // Held until the asker goes away.
            lines.next()?.ok()?;
            return None;
        }
        let (status, body) = answer(&request);
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-Consul-Index: 42\r\nX-Consul-KnownLeader: true\r\n\
             X-Consul-LastContact: 0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut out = stream;
        out.write_all(head.as_bytes()).ok()?;
        out.write_all(body.as_bytes()).ok()?;
    }
}

fn parse(target: &str) -> Request {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    });
    Request { path: path.to_owned(), query: pairs.collect() }
}

/// Without percent encoding.
pub fn decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The recorded answer to a request; what was not recorded does not exist.
fn recorded(data: &Value, request: &Request) -> Answer {
    let all = data.as_array().into_iter().flatten();
    let all = all.flat_map(|entry| entry["consul_http"].as_array().cloned().unwrap_or_default());
    for http in all {
        let same_path = http["path"].as_str().is_some_and(|path| decoded(path) == decoded(&request.path));
        let ours =
            request.query.iter().filter(|(key, _)| !["stale", "wait", "index"].contains(&key.as_str()));
        let ours: Map<String, Value> = ours.map(|(key, value)| (key.clone(), json!(value))).collect();
        let theirs = http["query"].as_object().cloned().unwrap_or_default();
        if same_path && ours == theirs {
            let status = http["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
            return (status, http["body"].to_string());
        }
    }
    (404, String::new())
}
