//! Configuration with every mistake found at once.
//!
//! [`read`] opens files and directories, reads HCL and JSON into one located tree and
//! merges them from left to right. The tree comes back as a [`Section`]: each part of a program takes
//! its keys out one by one, with their types, and [`Section::finish`] names the keys nobody asked for. Every
//! complaint is a [`Mistake`] with its file, line and key; they are gathered in [`Mistakes`] and shown
//! together. Values given by flags or by the environment go before the files by [`layered`].
//!
//! This crate knows no key of any program.

mod duration;
mod files;
mod finding;
mod hcl;
mod json;
mod layers;
mod mistake;
mod secret;
mod section;
mod similar;
mod source;
mod tree;

pub use duration::{parse_duration, show_duration};
pub use files::{parse, read};
pub use finding::{Finding, Health};
pub use layers::layered;
pub use mistake::{Mistake, Mistakes, Place};
pub use secret::Secret;
pub use section::{Section, Setting};

/// The process environment, read once in `main` and passed on as a value.
pub type Environment = std::collections::BTreeMap<String, String>;
