//! The manners of a long-running process.
//!
//! [`run`] gives a program its runtime and its end: the first signal asks it to leave ([`shutdown`]), a
//! second one or a limit ends the process whatever the program does, and [`exit`] lists what the end can mean.
//! While it runs, [`admin`] shows whether it lives, what it awaits ([`ready`]), what it counts ([`metrics`])
//! and what it believes, for programs and ([`html`], [`view`]) for people, and takes orders; [`telemetry`] writes its log, [`notify`] tells systemd. [`clock`] is the one place that reads the wall clock,
//! [`settings`] what a user can choose of all this.
//!
//! Programs that it runs in turn are started, told ([`signal`]), and given up, by [`child`].
//!
//! This crate knows nothing of Consul, Redis or HAProxy.

pub mod admin;
pub mod child;
pub mod clock;
pub mod exit;
pub mod html;
pub mod metrics;
pub mod notify;
pub mod ready;
mod run;
pub mod settings;
pub mod shutdown;
pub mod signal;
pub mod telemetry;
pub mod view;

pub use run::{Manners, run, run_with};
