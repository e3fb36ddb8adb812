//! Keeps a file, and the HAProxy that reads it, true to what Consul says.
//!
//! `questions` hears (`ways` says how, `sharing` with whom), `template` fills (with `functions`, from `facts`; `parts` cuts
//! a text that is several files), `quiet` and `again` say when to act, `apply` brings a text into use over `files`,
//! `command` and `haproxy`, `steer` goes ahead of it where clients cannot wait; `keeper` is the loop of one template,
//! `gate` what its texts have to pass, `fleet` the HAProxies that read its file, each led by `follow`; `exec` supervises
//! a program that reads the files, `environment` says what it may see, `report` tells what becomes of it all, `waiting`
//! what is waited for (`blocked` says why), `status` and `services` say it to programs, `page` to people. `diff` explains
//! what would be done, and does nothing; `rehearsal` tries templates over recorded answers, `explain` tells what they
//! cost Consul, `migrate` says those of consul-template in Handlebars.

pub mod again;
pub mod apply;
pub mod blocked;
pub mod command;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod environment;
pub mod exec;
pub mod explain;
pub mod facts;
pub mod files;
pub mod fleet;
pub mod follow;
pub mod functions;
pub mod gate;
pub mod haproxy;
pub mod keeper;
pub mod ledger;
mod machine;
pub mod metrics;
pub mod migrate;
pub mod page;
mod partials;
mod parts;
pub mod questions;
pub mod quiet;
pub mod rehearsal;
mod reload;
pub mod report;
mod run;
pub mod services;
mod sharing;
pub mod status;
pub mod steer;
pub mod template;
mod waiting;
pub mod ways;

pub use config::{Flags, RenderConfig};
pub use haproxy::order::Order;
pub use reload::run;
pub use run::{Loaded, load};
