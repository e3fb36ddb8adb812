//! HAProxy: what a configuration says (`outline`, `stated`), what has to be done about a new one (`verdict`, in
//! `order`s, within its `capability`), what its servers (`running`) and processes are and hold (`processes`,
//! `sessions`), what cannot wait for a reload (`ahead`), what becomes of sessions to servers that leave (`demote`,
//! `going`), what a backend must be left with (`enough`), whether it could listen where it is to (`preflight`, by who is
//! `listening`), both sides for people (`compared`), the doors to it (`check`,
//! `contents`, `socket`, `runtime`; `door`, with a `master` or a `successor`), and who looks after it in the background
//! (`steward`, by `sweep`; without a master over a `line` to each of the `elders`).

pub mod ahead;
pub mod capability;
pub mod check;
pub mod compared;
pub mod contents;
pub mod demote;
pub mod door;
mod elders;
pub mod enough;
pub mod going;
mod line;
mod listening;
pub mod master;
pub mod order;
pub mod outline;
pub mod preflight;
pub mod processes;
pub mod running;
pub mod runtime;
pub mod sessions;
pub mod socket;
pub mod stated;
pub mod steward;
pub mod successor;
mod sweep;
pub mod verdict;
