//! What the stories and the demo stand on: real servers on free ports, and ways to watch them.
//!
//! `part` runs a program and ends it; `ports` finds room for it; `wait` polls instead of sleeping. `consul`, `redis`,
//! `haproxy` and `rolecall` are the parts, `stack` is all of them together, `front` only the end of the path. `writer` and `watchers` see a fail-over
//! from the outside; `sightings` remembers who was master when, for each of them.

mod clock;
pub mod consul;
mod front;
pub mod haproxy;
mod http;
mod memory;
mod part;
mod ports;
pub mod redis;
mod rolecall;
mod scripted;
mod sightings;
pub mod stack;
mod trouble;
mod wait;
mod watchers;
mod writer;

pub use clock::unix_ms;
pub use front::{Front, Special};
pub use http::{Answer, Http};
pub use memory::resident_mb;
pub use part::{Part, Recipe, Signal, found};
pub use ports::Port;
pub use rolecall::{Rolecall, binary};
pub use scripted::{Scene, Scripted};
pub use sightings::Sightings;
pub use stack::{Shape, Stack};
pub use trouble::{Outcome, Trouble};
pub use wait::{PATIENCE, until, when};
pub use watchers::{Watcher, watch_consul, watch_proxy, watch_sentinels};
pub use writer::{Tally, Writer};
