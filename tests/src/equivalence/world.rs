//! Random HAProxy configurations, each a small step from the one before, as a template would render them.

use std::fmt::Write;

use fastrand::Rng;

/// A configuration, as its author thinks of it.
#[derive(Debug, Clone)]
pub struct World {
    backends: Vec<Backend>,
    map: Vec<(String, String)>,
    retries: u32,
    addresses: Vec<String>,
}

#[derive(Debug, Clone)]
struct Backend {
    name: String,
    http: bool,
    balance: &'static str,
    default: &'static str,
    named_defaults: bool,
    retries: u32,
    servers: Vec<Server>,
    serial: u32,
}

#[derive(Debug, Clone)]
struct Server {
    name: String,
    address: String,
    weight: Option<u32>,
    maxconn: Option<u32>,
    disabled: bool,
    extra: &'static str,
}

const BALANCE: [&str; 9] = [
    "",
    "balance roundrobin",
    "balance leastconn",
    "balance first",
    "balance first",
    "balance random",
    "balance static-rr",
    "balance source",
    "balance source\n    hash-type consistent",
];
const DEFAULT: [&str; 5] = [
    "",
    "default-server check inter 200ms rise 1 on-marked-down shutdown-sessions init-addr libc,none",
    "default-server check inter 300ms fall 2 maxconn 40",
    "default-server weight 7",
    "default-server check inter 200ms rise 1 send-proxy disabled",
];
const EXTRA: [&str; 8] = ["", "", "", "", "backup", "slowstart 200ms", "no-check", "observe layer4"];

fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

impl World {
    /// A first configuration; its servers are at these addresses.
    pub fn new(rng: &mut Rng, addresses: Vec<String>) -> World {
        let mut world = World { backends: vec![], map: vec![], retries: 1, addresses };
        for number in 0..rng.usize(2..6) {
            let backend = world.backend(rng, number);
            world.backends.push(backend);
        }
        world.fill(rng);
        world
    }

    fn backend(&self, rng: &mut Rng, number: usize) -> Backend {
        let mut backend = Backend {
            name: format!("b{number}"),
            http: rng.u8(..5) == 0,
            balance: one(rng, &BALANCE),
            default: one(rng, &DEFAULT),
            named_defaults: rng.bool(),
            retries: 1,
            servers: vec![],
            serial: 0,
        };
        for _ in 0..rng.usize(..5) {
            let server = self.server(rng, &mut backend.serial);
            backend.servers.push(server);
        }
        backend
    }

    fn server(&self, rng: &mut Rng, serial: &mut u32) -> Server {
        *serial += 1;
        let address = self.addresses[rng.usize(..self.addresses.len())].clone();
        Server {
            name: if rng.bool() { format!("s{serial}") } else { format!("{serial}-{address}") },
            address,
            weight: (rng.u8(..3) == 0).then(|| rng.u32(..=256)),
            maxconn: (rng.u8(..4) == 0).then(|| rng.u32(1..500)),
            disabled: rng.u8(..6) == 0,
            extra: one(rng, &EXTRA),
        }
    }

    fn fill(&mut self, rng: &mut Rng) {
        let value = |rng: &mut Rng| format!("b{}", rng.u8(..9));
        let most = if rng.u8(..8) == 0 { 3000 } else { 6 };
        self.map = (0..rng.usize(..most)).map(|key| (format!("key{key}"), value(rng))).collect();
        if rng.u8(..4) == 0 {
            self.map.push(("key0".into(), "twice \\ ; over".into()));
            self.map.push(("empty".into(), String::new()));
        }
    }

    /// A configuration a few changes further; most are of servers.
    pub fn step(&self, rng: &mut Rng) -> World {
        let mut next = self.clone();
        for _ in 0..rng.usize(1..5) {
            next.change(rng);
        }
        next
    }

    fn change(&mut self, rng: &mut Rng) {
        match rng.u8(..200) {
            0 => self.retries += 1,
            1 => {
                let backend = self.backend(rng, self.backends.len());
                self.backends.push(backend);
            }
            2 if self.backends.len() > 1 => _ = self.backends.pop(),
            3..20 => self.fill(rng),
            _ => {
                let at = rng.usize(..self.backends.len());
                let mut backend = self.backends[at].clone();
                self.change_backend(rng, &mut backend);
                self.backends[at] = backend;
            }
        }
    }

    fn change_backend(&self, rng: &mut Rng, backend: &mut Backend) {
        let last = backend.servers.len();
        let fixed = ["balance static-rr", "balance source", BALANCE[8]].contains(&backend.balance)
            || (backend.http && rng.u8(..4) > 0);
        match rng.u8(..100) {
            0 => backend.retries += 1,
            1 => backend.balance = one(rng, &BALANCE),
            2 => backend.default = one(rng, &DEFAULT),
            3..24 if !fixed || rng.u8(..9) == 0 => {
                let server = self.server(rng, &mut backend.serial);
                // Only at the end does `balance first` find a place for it.
                let at = if backend.balance == "balance first" && rng.u8(..9) > 0 {
                    last
                } else {
                    rng.usize(..=last)
                };
                backend.servers.insert(at, server);
            }
            24..40 if last > 0 && (!fixed || rng.u8(..9) == 0) => {
                _ = backend.servers.remove(rng.usize(..last))
            }
            40..46 if last > 0 && !fixed => {
                // As when pods are replaced: all others, under other names.
                backend.servers = (0..last).map(|_| self.server(rng, &mut backend.serial)).collect();
            }
            46..48 if !fixed || rng.u8(..9) == 0 => rng.shuffle(&mut backend.servers),
            _ if last == 0 => {}
            48 => backend.servers[rng.usize(..last)].extra = one(rng, &EXTRA),
            49..66 => {
                backend.servers[rng.usize(..last)].address =
                    self.addresses[rng.usize(..self.addresses.len())].clone();
            }
            66..80 if !fixed => {
                backend.servers[rng.usize(..last)].weight = rng.bool().then(|| rng.u32(..=256));
            }
            66..90 => {
                let server = &mut backend.servers[rng.usize(..last)];
                server.disabled = !server.disabled;
            }
            _ => backend.servers[rng.usize(..last)].maxconn = rng.bool().then(|| rng.u32(1..500)),
        }
    }

    /// The map's file.
    pub fn map(&self) -> String {
        let lines = self.map.iter().map(|(key, value)| format!("{key} {value}\n"));
        format!("# a map\n\n{}", lines.collect::<String>())
    }

    /// The text, with blanks and comments by chance; the map is in this file.
    pub fn text(&self, rng: &mut Rng, map: &str) -> String {
        let mut text = format!(
            "# {}\ndefaults plain\n    mode tcp\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n    timeout check 5s\n    \
             retries {}\ndefaults checked from plain\n    default-server check inter 250ms\ndefaults last from plain\n",
            rng.u32(..),
            self.retries
        );
        for backend in &self.backends {
            backend.write(&mut text, rng);
        }
        // Both ways to write it mean the same.
        let gap = if rng.bool() { "\n\n  # end\n\t" } else { "\n    " };
        write!(
            text,
            "frontend mapped{gap}bind unix@mapped.sock{gap}use_backend %[src,map({map},none)]\n    "
        )
        .expect("a string takes everything");
        text + "default_backend none\nbackend none\n"
    }
}

impl Backend {
    fn write(&self, text: &mut String, rng: &mut Rng) {
        let from = if self.named_defaults { " from checked" } else { "" };
        let mut line = |line: String| {
            if !line.is_empty() {
                let comment = if rng.u8(..9) == 0 { " # so" } else { "" };
                writeln!(text, "    {line}{comment}").expect("a string takes everything");
            }
        };
        line(format!("\nbackend {}{from}", self.name));
        line(if self.http { "mode http".into() } else { String::new() });
        line(self.balance.into());
        line(format!("retries {}", self.retries));
        line(self.default.into());
        for server in &self.servers {
            let weight = server.weight.map_or(String::new(), |weight| format!(" weight {weight}"));
            let maxconn = server.maxconn.map_or(String::new(), |most| format!(" maxconn {most}"));
            let state = match (server.disabled, self.default.ends_with("disabled")) {
                (true, _) => " disabled",
                (false, true) => " enabled",
                (false, false) => "",
            };
            line(format!(
                "server {} {}{weight}{state} {}{maxconn}",
                server.name, server.address, server.extra
            ));
        }
    }
}
