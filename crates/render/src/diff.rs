//! Explains for two HAProxy configurations what would be done and why (`rolecall render diff`).

use crate::haproxy::{
    capability::capabilities,
    contents::contents,
    running::{Running, running},
    verdict::{Configuration, Verdict, verdict},
};
use std::{fs, path::PathBuf};

/// What is compared.
#[derive(Clone, Debug)]
pub struct Diff {
    /// The configuration that HAProxy runs.
    pub old: PathBuf,
    /// The next one.
    pub new: PathBuf,
    /// HAProxy's version.
    pub version: String,
    /// The answer to `show servers state`; without one, HAProxy is taken for freshly started.
    pub running: Option<PathBuf>,
    /// Files that the configurations name, and what they will hold.
    pub replaced: Vec<(String, PathBuf)>,
}

/// The verdict; `Err` says what cannot be read.
pub fn diff(diff: &Diff) -> Result<Verdict, String> {
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let can = capabilities(&diff.version)
        .ok_or_else(|| format!("`{}` is no version of HAProxy; write one such as 2.6.12", diff.version))?;
    let (mut live, mut next) = (Configuration::new(&read(&diff.old)?), Configuration::new(&read(&diff.new)?));
    (live.files, next.files) = (contents(&live.outline), contents(&next.outline));
    for (name, path) in &diff.replaced {
        next.files.insert(name.clone(), Some(read(path)?));
    }
    let runs = match &diff.running {
        None => Running::fresh(&live.outline),
        Some(path) => running(&read(path)?)
            .ok_or_else(|| format!("{} is no answer to `show servers state`", path.display()))?,
    };
    Ok(verdict(&live, &next, &runs, &can))
}
