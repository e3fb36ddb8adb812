//! What the stories and the demo stand on: real servers on free ports, and ways to watch them.
//!
//! `part` runs a program and ends it; `ports` finds room for it; `wait` polls instead of sleeping. `consul`, `redis`,
//! `haproxy` and `rolecall` are the parts, `stack` is all of them together, `front` only the end of the path, `crew` the
//! same with HAProxies in number, each run in a way of its own; `client` holds a connection through them. `browser` looks at their pages, `exposition` reads their metrics. `issuer` makes
//! their keys and certificates. `scripted` and `replay` are a Consul that says what it is told. `fault` breaks it; `writer` and `watchers` see that from the outside, and `sightings` remembers who was master when, for
//! each of them, and `promotion` reads it in a Redis' own log. `arguments`, `say` and `results` are the manners of the two programs, demo and bench.

mod adverts;
mod arguments;
mod browser;
mod client;
mod clock;
pub mod consul;
mod crew;
pub mod equivalence;
pub mod exposition;
mod fault;
mod flips;
mod front;
pub mod haproxy;
mod http;
pub mod issuer;
mod memory;
mod part;
mod ports;
mod promotion;
pub mod redis;
pub mod replay;
mod results;
mod rolecall;
mod say;
mod scripted;
mod sightings;
pub mod stack;
mod trouble;
mod usage;
mod wait;
mod watchers;
mod wire;
mod writer;
mod writers;

pub use adverts::{Adverts, Steady};
pub use arguments::arguments;
pub use browser::{Browser, Screen};
pub use client::Client;
pub use clock::unix_ms;
pub use crew::{Crew, Mate, Run};
pub use fault::{Fault, LIMIT};
pub use front::{Front, Special};
pub use http::{Answer, Http};
pub use memory::{kept_mb, resident_mb};
pub use part::{Part, Recipe, Signal, found};
pub use ports::Port;
pub use promotion::Promotion;
pub use results::write_json;
pub use rolecall::{Rolecall, binary, built};
pub use say::{Say, plain};
pub use scripted::{Scene, Scripted};
pub use sightings::Sightings;
pub use stack::{Shape, Stack};
pub use trouble::{Outcome, Trouble};
pub use usage::{Usage, usage};
pub use wait::{ANSWER, PATIENCE, until, when};
pub use watchers::{Watcher, watch_consul, watch_masters, watch_proxy, watch_role, watch_sentinels};
pub use wire::{Host, Wire};
pub use writer::{Tally, Writer};
pub use writers::Writers;
