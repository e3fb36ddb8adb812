//! HAProxy in master-worker mode, and its two sockets.

use std::{io::ErrorKind, path::Path, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::{ANSWER, Outcome, PATIENCE, Part, Recipe, Trouble, until, when};

/// HAProxy's master process and its workers.
#[derive(Debug)]
pub struct Haproxy {
    /// The master process.
    pub part: Part,
    master_socket: PathBuf,
}

/// A line of `show proc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// `master` or `worker`.
    pub kind: String,
    /// Whether it only serves out what an earlier configuration left it.
    pub old: bool,
}

impl Haproxy {
    /// Starts it with this configuration file; the master socket is where `master_socket` says.
    pub fn start(directory: &Path, config: &Path) -> Outcome<Haproxy> {
        Haproxy::start_with(directory, config, &[])
    }

    /// The same with an environment.
    pub fn start_with(directory: &Path, config: &Path, environment: &[(&str, &str)]) -> Outcome<Haproxy> {
        let master_socket = master_socket(directory);
        let bind = format!("{},level,admin", master_socket.display());
        let arguments = ["-W".as_ref(), "-S".as_ref(), bind.as_ref(), "-f".as_ref(), config.as_os_str()];
        let mut recipe = Recipe::new("haproxy", "haproxy", directory, arguments);
        recipe.environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Ok(Haproxy { part: recipe.start()?, master_socket })
    }

    /// Waits until a worker serves.
    pub async fn ready(&self) -> Outcome {
        let mut limit = Duration::from_millis(50);
        let ready = until("a worker of HAProxy to serve", PATIENCE, async || {
            let processes = self.processes().await?;
            when(processes.iter().any(|p| p.kind == "worker" && !p.old), || format!("{processes:?}"))?;
            // Since 3.1 it is listed before it listens, and never answers what it was asked too early; a busy one answers late.
            limit = ANSWER.min(limit * 2);
            let said = timeout(limit, command(&self.master_socket, "@1 show info")).await??;
            when(said.contains("Pid: "), || said.clone())
        });
        self.part.explain(ready.await)
    }

    /// Its processes, by `show proc`. During a reload the master answers nobody for some 80 ms.
    pub async fn processes(&self) -> Outcome<Vec<Process>> {
        until("HAProxy's master to answer", PATIENCE, async || {
            let mut seen = processes(&command(&self.master_socket, "show proc").await?);
            // 3.0.11 lists one for ever that ended while the master replaced itself.
            seen.retain(|process| !process.old || Path::new(&format!("/proc/{}", process.pid)).exists());
            if seen.is_empty() { Err(Trouble::new("an empty answer")) } else { Ok(seen) }
        })
        .await
    }

    /// The master socket.
    pub fn socket(&self) -> &Path {
        &self.master_socket
    }
}

/// Where the master socket of an HAProxy in this directory is.
pub fn master_socket(directory: &Path) -> PathBuf {
    directory.join("master.sock")
}

/// Runs one command on a master or stats socket.
pub async fn command(socket: &Path, line: &str) -> Outcome<String> {
    let talk = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        // The master socket stays open after its answer; our half-close ends the talk.
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<String, Trouble>(answer)
    };
    let said = timeout(ANSWER, talk).await?;
    said.map_err(|t| t.during(format!("asking {} to {line}", socket.display())))
}

/// Waits until nobody listens on a socket of HAProxy: a worker lives on for a moment when its master was killed, and can be
/// steered in it.
pub async fn gone(socket: &Path) -> Outcome {
    until(format!("nobody to listen on {}", socket.display()), PATIENCE, async || {
        let refused = UnixStream::connect(socket).await.map_err(|error| error.kind());
        when(matches!(refused, Err(ErrorKind::ConnectionRefused | ErrorKind::NotFound)), || {
            format!("{refused:?}")
        })
    })
    .await
}

fn processes(answer: &str) -> Vec<Process> {
    let mut old = false;
    let mut seen = Vec::new();
    for line in answer.lines() {
        if line.starts_with('#') {
            old = line.contains("old workers");
            continue;
        }
        let mut words = line.split_whitespace();
        if let (Some(Ok(pid)), Some(kind)) = (words.next().map(str::parse), words.next()) {
            seen.push(Process { pid, kind: kind.into(), old });
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn show_proc_tells_old_workers_from_the_one_that_serves() {
        let answer = "#<PID>          <type>          <reloads>       <uptime>        <version>\n\
            13680           master          1 [failed: 1]   0d00h00m29s     2.6.12-1+deb12u4\n\
            # workers\n\
            13683           worker          0               0d00h00m02s     2.6.12-1+deb12u4\n\
            # old workers\n\
            13681           worker          1               0d00h00m29s     2.6.12-1+deb12u4\n\
            # programs\n\n";
        let seen: Vec<_> = processes(answer).into_iter().map(|p| (p.pid, p.kind, p.old)).collect();
        let expected = [(13680, "master", false), (13683, "worker", false), (13681, "worker", true)];
        assert_eq!(seen, expected.map(|(pid, kind, old)| (pid, kind.to_string(), old)));
    }
}
