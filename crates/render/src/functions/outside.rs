//! What a template may know beyond Consul's answers, and what it may not.

use config::Environment;
use std::{fmt, sync::Arc};

/// The few things of the machine that functions may read.
pub trait Outside: fmt::Debug + Send + Sync {
    /// Seconds and nanoseconds of Unix time.
    fn now(&self) -> (i64, u32);
    /// The text of a file.
    fn file(&self, path: &str) -> Result<String, String>;
    /// The path with all links followed.
    fn real_path(&self, path: &str) -> Result<String, String>;
    /// What a program prints for these arguments; the same arguments get the same answer.
    fn plugin(&self, argv: &[String]) -> Result<String, String>;
    /// The addresses of the machine's network interfaces.
    fn addresses(&self) -> Vec<(String, std::net::IpAddr)>;
}

/// What one template may do.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The environment, without secrets.
    pub env: Arc<Environment>,
    /// The machine.
    pub outside: Arc<dyn Outside>,
    /// Names of functions that it may not use; `*` stands for anything.
    pub denied: Vec<String>,
    /// The folder that `file` may read from.
    pub sandbox: Option<String>,
    /// Whether `plugin` may run programs.
    pub plugins: bool,
    /// Whether its text may be several files: what `toFile` begins.
    pub many: bool,
    /// Whether it is recorded which call asked what, for those who want to know.
    pub records: bool,
}

impl Setting {
    /// Whether a function is on the list of those that may not be used.
    #[must_use]
    pub fn denies(&self, name: &str) -> bool {
        self.denied.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}
