//! What HAProxy is told at run time.

use super::{capability::Version, sessions::Server};
use std::{fmt, net::IpAddr};

/// One order. [`fmt::Display`] says it in plain English.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Makes a server, out of use until it is told to be ready.
    Add {
        /// Backend and name.
        server: Server,
        /// Its address.
        address: (IpAddr, u16),
        /// Everything that its line and the defaults above it say.
        settings: Vec<String>,
    },
    /// Begins its health checks: before it is ready, or the counters of the check stay wrong.
    EnableHealth(Server),
    /// Begins its agent checks.
    EnableAgent(Server),
    /// Ends its agent checks, which might put it back into use.
    DisableAgent(Server),
    /// Sets its state.
    State(Server, State),
    /// Points it elsewhere. Sessions stay where they are.
    Address(Server, IpAddr, u16),
    /// Takes it for healthy until its next check, as at a start.
    HealthUp(Server),
    /// Sets its weight.
    Weight(Server, u16),
    /// Sets how many connections it takes; 0 for no limit.
    MaxConn(Server, u32),
    /// Ends its sessions.
    Cut(Server),
    /// Removes a server that is out of use.
    Delete(Server),
    /// Replaces the content of a map or list of patterns, all at once.
    Entries {
        /// Map or list of patterns.
        kind: Entries,
        /// The file's name, as the configuration says it.
        file: String,
        /// Its lines, without comments.
        lines: Vec<String>,
        /// How many bytes HAProxy takes at once.
        chunk: usize,
    },
    /// Replaces a certificate file's content.
    Certificate {
        /// What the file is for.
        kind: Certificate,
        /// The file's name, as the configuration says it.
        file: String,
        /// The new content.
        pem: Pem,
    },
}

/// A server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use, if it is healthy.
    Ready,
    /// Keeps its sessions, takes no new ones.
    Drain,
    /// Out of use.
    Maint,
}

/// A file of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// Keys and values.
    Map,
    /// Patterns.
    Acl,
}

/// A file of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// A certificate with its key (`crt`).
    Cert,
    /// Authorities (`ca-file`).
    Ca,
    /// Revocations (`crl-file`).
    Crl,
}

/// Certificates and keys, kept out of every log.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(String);

impl Pem {
    /// Without blank lines: one would end the payload.
    #[must_use]
    pub fn new(text: &str) -> Pem {
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        Pem(lines.map(|line| format!("{line}\n")).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Stands in [`Order::commands`] for the version that the order's own `prepare` answered: "New version created: 7".
pub const VERSION: &str = "@?";

/// HAProxy takes no more at once than `tune.bufsize`, 16384 unless told otherwise.
pub(super) const CHUNK: usize = 8192;

impl Order {
    /// The server that it is about.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match self {
            Order::Add { server, .. }
            | Order::EnableHealth(server)
            | Order::EnableAgent(server)
            | Order::DisableAgent(server)
            | Order::State(server, _)
            | Order::Address(server, ..)
            | Order::HealthUp(server)
            | Order::Weight(server, _)
            | Order::MaxConn(server, _)
            | Order::Cut(server)
            | Order::Delete(server) => Some(server),
            Order::Entries { .. } | Order::Certificate { .. } => None,
        }
    }

    /// Whether it is only tidying up, and has to wait until nothing points to the server: HAProxy counts too little
    /// of that itself, and may crash (haproxy#2298, and again in July 2026). Refused while sessions are left.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        matches!(self, Order::Delete(_))
    }

    /// Whether it makes or takes a server into use.
    #[must_use]
    pub fn takes_in(&self) -> bool {
        matches!(self, Order::Add { .. } | Order::State(_, State::Ready))
    }

    /// Whether an answer to one of its commands tells of no failure. Those about servers tell too little; what runs
    /// then has to be looked at.
    #[must_use]
    pub fn is_content_with(&self, answer: &str) -> bool {
        match self {
            Order::Entries { .. } => answer.trim().is_empty(),
            Order::Certificate { .. } => answer.contains("Transaction") || answer.contains("Success"),
            _ => true,
        }
    }

    /// The first version of HAProxy that takes it.
    #[must_use]
    pub fn since(&self) -> Version {
        match self {
            Order::Add { .. } | Order::Delete(_) => super::capability::DYNAMIC_SERVERS,
            Order::Entries { .. } => Version(2, 4, 0),
            Order::Certificate { kind: Certificate::Cert, .. } => Version(2, 2, 0),
            Order::Certificate { .. } => Version(2, 5, 0),
            _ => Version(1, 8, 0),
        }
    }

    /// The runtime API's lines, to be sent in this order. One that holds line breaks carries a payload, ends with an
    /// empty line and has to be sent alone; the others may share a line, parted by `;`. [`VERSION`] stands for what
    /// the first of them answered.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let one = |text: String| vec![text];
        match self {
            Order::Add { server, address: (ip, port), settings } => {
                let mut line = format!("add server {} {}", path(server), socket(*ip, *port));
                for word in settings {
                    line.push(' ');
                    line.push_str(&escaped(word));
                }
                one(line)
            }
            Order::EnableHealth(server) => one(format!("enable health {}", path(server))),
            Order::EnableAgent(server) => one(format!("enable agent {}", path(server))),
            Order::DisableAgent(server) => one(format!("disable agent {}", path(server))),
            Order::State(server, state) => one(format!("set server {} state {}", path(server), state.word())),
            Order::Address(server, ip, port) => {
                one(format!("set server {} addr {ip} port {port}", path(server)))
            }
            Order::HealthUp(server) => one(format!("set server {} health up", path(server))),
            Order::Weight(server, weight) => one(format!("set server {} weight {weight}", path(server))),
            Order::MaxConn(server, most) => one(format!("set maxconn server {} {most}", path(server))),
            Order::Cut(server) => one(format!("shutdown sessions server {}", path(server))),
            Order::Delete(server) => one(format!("del server {}", path(server))),
            Order::Entries { kind: Entries::Map, file, lines, chunk } => map(&escaped(file), lines, *chunk),
            Order::Entries { kind: Entries::Acl, file, lines, .. } => acl(&escaped(file), lines),
            Order::Certificate { kind, file, pem } => {
                let (word, file) = (kind.word(), escaped(file));
                vec![format!("set ssl {word} {file} <<\n{}\n", pem.0), format!("commit ssl {word} {file}")]
            }
        }
    }
}

fn map(file: &str, lines: &[String], most: usize) -> Vec<String> {
    let mut commands = vec![format!("prepare map {file}")];
    let begin = format!("add map {VERSION} {file} <<\n");
    let mut chunk = begin.clone();
    for line in lines {
        if chunk.len() > begin.len() && chunk.len() + line.len() + 2 > most {
            commands.push(std::mem::replace(&mut chunk, begin.clone()) + "\n");
        }
        chunk.push_str(line);
        chunk.push('\n');
    }
    if chunk.len() > begin.len() {
        commands.push(chunk + "\n");
    }
    commands.push(format!("commit map {VERSION} {file}"));
    commands
}

/// Patterns are taken one by one only.
fn acl(file: &str, lines: &[String]) -> Vec<String> {
    let add = |line: &String| format!("add acl {VERSION} {file} {}", escaped(line));
    let (begin, end) = (format!("prepare acl {file}"), format!("commit acl {VERSION} {file}"));
    std::iter::once(begin).chain(lines.iter().map(add)).chain([end]).collect()
}

fn path((proxy, server): &Server) -> String {
    escaped(&format!("{proxy}/{server}"))
}

fn socket(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// As the command line of the runtime API reads a word.
fn escaped(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        if matches!(c, ' ' | '\t' | ';' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Drain => "drain",
            State::Maint => "maint",
        }
    }
}

impl Certificate {
    fn word(self) -> &'static str {
        match self {
            Certificate::Cert => "cert",
            Certificate::Ca => "ca-file",
            Certificate::Crl => "crl-file",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |server: &Server| format!("server {}/{}", server.0, server.1);
        match self {
            Order::Add { server, address: (ip, port), .. } => {
                write!(f, "add {} at {}", name(server), socket(*ip, *port))
            }
            Order::EnableHealth(server) => write!(f, "begin the health checks of {}", name(server)),
            Order::EnableAgent(server) => write!(f, "begin the agent checks of {}", name(server)),
            Order::DisableAgent(server) => write!(f, "end the agent checks of {}", name(server)),
            Order::State(server, State::Ready) => write!(f, "take {} into use", name(server)),
            Order::State(server, State::Drain) => write!(f, "send nothing new to {}", name(server)),
            Order::State(server, State::Maint) => write!(f, "take {} out of use", name(server)),
            Order::Address(server, ip, port) => write!(f, "point {} to {}", name(server), socket(*ip, *port)),
            Order::HealthUp(server) => write!(f, "take {} for healthy until its next check", name(server)),
            Order::Weight(server, weight) => write!(f, "give {} the weight {weight}", name(server)),
            Order::MaxConn(server, 0) => write!(f, "let {} take any number of connections", name(server)),
            Order::MaxConn(server, most) => write!(f, "let {} take {most} connections", name(server)),
            Order::Cut(server) => write!(f, "cut the sessions of {}", name(server)),
            Order::Delete(server) => write!(f, "delete {}", name(server)),
            Order::Entries { kind: Entries::Map, file, lines, .. } => {
                write!(f, "fill the map {file} anew ({} entries)", lines.len())
            }
            Order::Entries { kind: Entries::Acl, file, lines, .. } => {
                write!(f, "fill the list {file} anew ({} patterns)", lines.len())
            }
            Order::Certificate { file, .. } => write!(f, "replace the certificates of {file}"),
        }
    }
}
