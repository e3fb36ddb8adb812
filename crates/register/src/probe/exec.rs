//! `probe "exec"`: a program is run for each look; its exit code or a line of it is the role.

use super::{
    Look, Probe, ProbeError,
    codes::Codes,
    said::{Said, shorten},
};
use daemon::child::{Running, command};
use std::{
    process::{Output, Stdio},
    time::Duration,
};
use tokio::time::timeout;

/// Runs a program, without a shell.
#[derive(Clone, Debug)]
pub struct ExecProbe {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Exit codes with a meaning; without them, the program ends with 0 and writes its role.
    pub codes: Option<Codes>,
    /// How long it may run.
    pub limit: Duration,
}

impl Probe for ExecProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let [program, arguments @ ..] = self.argv.as_slice() else {
            return Err(ProbeError::Other("there is no command to run".into()));
        };
        let mut command = command(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |why: String| ProbeError::Other(format!("{} {why}", shown(&self.argv)));
        let running =
            Running::start(&mut command).map_err(|why| failed(format!("cannot be started: {why}")))?;
        match timeout(self.limit, running.output()).await {
            Err(_) => Err(failed(format!("did not end within {:?} and was killed", self.limit))),
            Ok(Err(why)) => Err(failed(format!("cannot be heard: {why}"))),
            Ok(Ok(output)) => read(&output, self.codes.as_ref()).map(Look::from).map_err(failed),
        }
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

/// A command for people who may see the check's output, which is everybody: its arguments may be secrets.
#[must_use]
pub fn shown(argv: &[String]) -> String {
    format!("`{}`", argv.first().map_or("", String::as_str))
}

fn read(output: &Output, codes: Option<&Codes>) -> Result<Said, String> {
    let code = output.status.code();
    let ended = || {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let why = if last.is_empty() { String::new() } else { format!(": {}", shorten(last.trim())) };
        format!("ended with {}{why}", output.status)
    };
    let Some(codes) = codes else {
        return match code {
            Some(0) => Said::read(&String::from_utf8_lossy(&output.stdout))
                .map_err(|why| format!("says nothing of use: {why}")),
            _ => Err(ended()),
        };
    };
    let role = code.and_then(|code| codes.role(code.try_into().ok()?));
    role.map(|role| Said { role, word: role.to_string(), epoch: None }).ok_or_else(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::codes::tests::codes;
    use consul::Role;

    async fn look(argv: &[&str], codes: Option<Codes>) -> Result<(Role, Option<u64>), String> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let mut probe = ExecProbe { argv, codes, limit: Duration::from_secs(20) };
        probe.look().await.map(|look| (look.role, look.epoch)).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_line_or_an_exit_code_is_the_role() {
        let shell = |line: &'static str| ["sh", "-c", line];
        for (line, codes, wanted) in [
            ("echo role=primary epoch=7", None, Ok((Role::Master, Some(7)))),
            ("echo '{\"role\":\"standby\"}'", None, Ok((Role::Replica, None))),
            ("true", None, Err("says nothing of use: expected role=primary")),
            ("echo role=primary; echo no way >&2; exit 2", None, Err("ended with exit status: 2: no way")),
            ("exit 0", Some(codes(&["0"], &["1-2"])), Ok((Role::Master, None))),
            ("exit 2", Some(codes(&["0"], &["1-2"])), Ok((Role::Replica, None))),
            ("exit 3", Some(codes(&["0"], &["1-2"])), Err("ended with exit status: 3")),
            ("kill -9 $$", Some(codes(&["0"], &["9"])), Err("ended with signal: 9")),
        ] {
            let seen = look(&shell(line), codes).await;
            match (&seen, wanted) {
                (Err(why), Err(part)) => assert!(why.contains(part), "{line}: {why}"),
                (seen, wanted) => assert_eq!(seen.as_ref().ok(), wanted.as_ref().ok(), "{line}"),
            }
        }
        assert!(look(&["no-such-program"], None).await.unwrap_err().contains("cannot be started"));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed() {
        let argv = ["sleep", "1000"].map(String::from).into();
        let mut probe = ExecProbe { argv, codes: None, limit: Duration::from_millis(20) };
        let why = probe.look().await.unwrap_err().to_string();
        assert_eq!(why, "`sleep` did not end within 20ms and was killed");
    }
}
