//! HAProxy: what a configuration says (`outline`, `stated`), what its processes are and hold (`processes`,
//! `sessions`), what cannot wait for a reload (`ahead`), the doors to it (`check`, `socket`, `master`, `runtime`), and
//! who looks after it in the background (`steward`).

pub mod ahead;
pub mod check;
pub mod master;
pub mod outline;
pub mod processes;
pub mod runtime;
pub mod sessions;
pub mod socket;
pub mod stated;
pub mod steward;
