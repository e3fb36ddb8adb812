//! One binary, one link; a module per story.

mod ahead;
mod bad_answers;
mod bad_files;
mod bad_input;
mod denied;
mod drained;
mod fenced;
mod flip;
mod forgotten;
mod golden;
mod killed;
mod lies;
mod login;
mod old_workers;
mod outage;
mod parts;
mod planned;
mod reach;
mod refused;
mod reloads;
mod rooms;
mod sigterm;
mod steered;
mod sweeps;
mod systemd;
