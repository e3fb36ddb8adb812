//! HAProxy: what a configuration says (`outline`), what its processes are (`processes`), and the doors to it
//! (`check`, `socket`, `master`).

pub mod check;
pub mod master;
pub mod outline;
pub mod processes;
pub mod sessions;
pub mod socket;
