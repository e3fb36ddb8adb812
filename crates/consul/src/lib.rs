//! Speaks to Consul: what may be asked (`query`), how an answer is followed (`cursor`, `watch`), who may keep a
//! question open (`seats`), which questions tell of those that have no seat (`overview`), when an answer is not
//! believed (`doubt`), what the bytes mean (`wire`), what both programs agree on (`instance`, `election`), the HTTP calls
//! (`client`) with their connections (`connection`, `tls`), as whom they are made (`access`, `login`), what the caller may
//! (`rights`), who answers (`agents`), and whether all of that is in order (`doctor`). `external` is the way without an
//! agent, `shared` that of programs of which one asks for all.
//!
//! Nothing here knows of processes, Redis or HAProxy.

mod access;
pub mod agents;
pub mod backoff;
pub mod client;
mod connection;
pub mod cursor;
pub mod doctor;
pub mod doubt;
pub mod election;
pub mod error;
pub mod external;
pub mod instance;
pub mod login;
pub mod overview;
pub mod query;
pub mod registration;
pub mod rights;
pub mod seats;
pub mod settings;
pub mod shared;
mod tls;
pub mod watch;
pub mod wire;

pub use agents::AgentSelf;
pub use client::{Answer, Client};
pub use error::ClientError;
pub use external::External;
pub use instance::{Instance, Role};
pub use login::Session;
pub use query::Query;
pub use registration::{Held, HeldService, Registration, Status, TtlCheck};
pub use rights::Right;
pub use settings::ConsulSettings;
pub use watch::{Watched, watch, watch_after};
