//! Speaks to Consul: what may be asked (`query`), how an answer is followed (`cursor`, `watch`), what the
//! bytes mean (`wire`), what both programs agree on (`instance`), the HTTP calls (`client`) with their connections
//! (`connection`, `tls`), and as whom they are made (`access`, `login`).
//!
//! Nothing here knows of processes, Redis or HAProxy.

mod access;
pub mod backoff;
pub mod client;
mod connection;
pub mod cursor;
pub mod error;
pub mod instance;
pub mod login;
pub mod query;
pub mod registration;
pub mod settings;
mod tls;
pub mod watch;
pub mod wire;

pub use client::{Answer, Client};
pub use error::ClientError;
pub use instance::{Instance, Role};
pub use login::Session;
pub use query::Query;
pub use registration::{Held, HeldService, Registration, Status, TtlCheck};
pub use settings::ConsulSettings;
pub use watch::{Watched, watch};
