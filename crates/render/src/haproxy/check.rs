//! Asks HAProxy itself whether a configuration is sound, before it is put in place.

use daemon::child::{Running, command};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::time::timeout;

/// Why a configuration was not let through.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// HAProxy refuses it.
    #[error("HAProxy refuses the configuration: {0}")]
    Unsound(String),
    /// HAProxy could not be asked.
    #[error(
        "HAProxy's program `{binary}` cannot check the configuration: {why}; set haproxy {{ binary = … }}"
    )]
    NoAnswer {
        /// The program.
        binary: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// Thousands of servers are checked in well under a second; a resolver that hangs should not hold us for ever.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Runs `haproxy -c` on `staged`; errors speak of `destination`, which the user knows. Without `-q`, which would
/// swallow the reason. Only exit code 0 is good: 2 says that nothing would listen.
pub async fn check(binary: &Path, staged: &Path, destination: &Path) -> Result<(), CheckError> {
    let no_answer = |why: String| CheckError::NoAnswer { binary: binary.to_owned(), why };
    let mut command = command(binary);
    command.arg("-c").arg("-f").arg(staged).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(&mut command).map_err(|e| no_answer(e.to_string()))?;
    let output = timeout(LIMIT, running.output())
        .await
        .map_err(|_| no_answer(format!("no result within {LIMIT:?}")))?
        .map_err(|e| no_answer(e.to_string()))?;
    if output.status.code() == Some(0) {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let said = said.replace(&*staged.to_string_lossy(), &destination.to_string_lossy());
    Err(CheckError::Unsound(plain(&said)))
}

/// HAProxy's words on one line, without its process ids and the lines that only sum up.
pub(super) fn plain(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("[NOTICE]"))
        .map(|line| line.split_once(") : ").map_or(line, |(_, rest)| rest).trim())
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() { "it gives no reason".into() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stays_and_the_noise_goes() {
        let said = "[NOTICE]   (12) : haproxy version is 2.6.12\n\
            [ALERT]    (12) : config : parsing [/run/h.cfg:9] : unknown keyword 'servr' in 'backend' section\n\
            [ALERT]    (12) : config : Fatal errors found in configuration.\n";
        assert_eq!(
            plain(said),
            "config : parsing [/run/h.cfg:9] : unknown keyword 'servr' in 'backend' section; \
             config : Fatal errors found in configuration."
        );
        assert_eq!(plain(""), "it gives no reason");
    }
}
