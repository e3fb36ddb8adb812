//! HAProxy: what a configuration says (`outline`), what its processes are and hold (`processes`, `sessions`), the
//! doors to it (`check`, `socket`, `master`), and who looks after it in the background (`steward`).

pub mod check;
pub mod master;
pub mod outline;
pub mod processes;
pub mod sessions;
pub mod socket;
pub mod steward;
