//! One binary, one link; a module per story.

mod denied;
mod flip;
mod forgotten;
mod killed;
mod outage;
mod parts;
mod refused;
mod rooms;
mod sigterm;
