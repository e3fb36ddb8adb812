//! Speaks to Consul: what may be asked (`query`), how an answer is followed (`cursor`, `watch`), what the
//! bytes mean (`wire`), what both programs agree on (`instance`), and the HTTP calls (`client`).
//!
//! Nothing here knows of processes, Redis or HAProxy.

pub mod backoff;
pub mod client;
pub mod cursor;
pub mod error;
pub mod instance;
pub mod query;
pub mod registration;
pub mod settings;
mod tls;
pub mod watch;
pub mod wire;

pub use client::{Answer, Client};
pub use error::ClientError;
pub use instance::{Instance, Role};
pub use query::Query;
pub use registration::{Held, HeldService, Registration, Status, TtlCheck};
pub use settings::ConsulSettings;
pub use watch::{Watched, watch};
