//! `probe "stream"`: a program that keeps running and writes a line for each change. It is started again when it ends.

use super::{
    Look, Probe, ProbeError,
    exec::shown,
    said::{Said, shorten},
};
use consul::backoff::Backoff;
use daemon::child::{Running, command};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, ChildStdout},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// A line is a role and an epoch; what is longer is something else.
const MOST_LINE: u64 = 4096;
/// What a program that ended may take to be heard to its end.
const LAST_WORDS: Duration = Duration::from_millis(100);
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// What is known: nothing yet, what the last line said, or why there is no such line.
type News = Option<Result<Said, String>>;

/// Listens to a program.
#[derive(Debug)]
pub struct StreamProbe {
    news: watch::Receiver<News>,
    patience: Duration,
    listening: JoinHandle<()>,
}

impl StreamProbe {
    /// Starts the program, without a shell, and whenever it ended or was silent for `stale_after`; the first line may
    /// take `patience`.
    #[must_use]
    pub fn new(argv: Vec<String>, stale_after: Duration, patience: Duration) -> StreamProbe {
        let (tell, news) = watch::channel(None);
        let listening = tokio::spawn(listen(argv, stale_after, tell));
        StreamProbe { news, patience, listening }
    }
}

impl Probe for StreamProbe {
    async fn look(&mut self) -> Result<Look, ProbeError> {
        let limit = self.patience;
        let known = match timeout(limit, self.news.wait_for(Option::is_some)).await {
            Ok(Ok(news)) => news.clone(),
            _ => None,
        };
        // Whatever stands there now was looked at.
        self.news.mark_unchanged();
        let silent = || Err(format!("the program has not said anything within {limit:?}"));
        known.unwrap_or_else(silent).map(Look::from).map_err(ProbeError::Other)
    }

    async fn disturbed(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for StreamProbe {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(argv: Vec<String>, stale_after: Duration, tell: watch::Sender<News>) {
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let began = Instant::now();
        let why = follow(&argv, stale_after, &tell).await;
        tell.send_replace(Some(Err(format!("{} {why}; it is started again", shown(&argv)))));
        sleep(pause(&mut backoff, began.elapsed())).await;
    }
}

/// Before the next start. One that says its role and ends, again and again, would make the instance flap: so pauses are
/// short again only after a program that ran for long.
fn pause(backoff: &mut Backoff, ran: Duration) -> Duration {
    if ran >= PAUSE.1 {
        backoff.reset();
    }
    backoff.pause()
}

/// Runs the program once, and says why that is over.
async fn follow(argv: &[String], stale_after: Duration, tell: &watch::Sender<News>) -> String {
    let [program, arguments @ ..] = argv else { return "is no command".into() };
    let mut command = command(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = match Running::start(&mut command) {
        Ok(running) => running,
        Err(why) => return format!("cannot be started: {why}"),
    };
    let (Some(stdout), Some(stderr)) = (running.stdout(), running.stderr()) else {
        return "has no output".into();
    };
    let (complaint, last) = watch::channel(String::new());
    let mut hearing = tokio::spawn(hear(stderr, program.clone(), complaint));
    let why = listen_to(stdout, running, stale_after, tell).await;
    // Its last words may still lie in the pipe.
    let _all_heard = timeout(LAST_WORDS, &mut hearing).await;
    hearing.abort();
    match last.borrow().as_str() {
        "" => why,
        last => format!("{why}: {last}"),
    }
}

/// Passes on to the log what a program complains of, a line each, and keeps the last one.
async fn hear(stderr: ChildStderr, program: String, last: watch::Sender<String>) {
    let mut lines = BufReader::new(stderr);
    loop {
        let mut bytes = vec![];
        match (&mut lines).take(MOST_LINE).read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        if !text.trim().is_empty() {
            tracing::info!(program, said = text.trim(), "the program complains");
            last.send_replace(shorten(text.trim()));
        }
    }
}

async fn listen_to(
    stdout: ChildStdout,
    mut running: Running,
    stale_after: Duration,
    tell: &watch::Sender<News>,
) -> String {
    let mut lines = BufReader::new(stdout);
    loop {
        match timeout(stale_after, line(&mut lines)).await {
            Err(_) => return format!("was silent for {stale_after:?} and was killed"),
            Ok(Err(why)) => return format!("cannot be heard: {why}"),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(line))) if line.trim().is_empty() => {}
            Ok(Ok(Some(line))) => match Said::read(&line) {
                Ok(said) => {
                    _ = tell.send_if_modified(|news| {
                        let next = Some(Ok(said));
                        let differs = *news != next;
                        *news = next;
                        differs
                    })
                }
                Err(why) => return format!("says nothing of use and was killed: {why}"),
            },
        }
    }
    // Its output is closed; what goes on behind that is of no use.
    match timeout(stale_after, running.end()).await {
        Ok(Ok(status)) => format!("ended with {status}"),
        _ => "closed its output and was killed".into(),
    }
}

async fn line(lines: &mut BufReader<ChildStdout>) -> std::io::Result<Option<String>> {
    let mut bytes = vec![];
    lines.take(MOST_LINE).read_until(b'\n', &mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match bytes.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(text)),
        // Without its end a line may be cut: `epoch=1` of `epoch=12`.
        Some(_) if bytes.len() as u64 == MOST_LINE => {
            Err(std::io::Error::other(format!("a line of more than {MOST_LINE} bytes: {:?}", shorten(&text))))
        }
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::Role;

    const LONG: Duration = Duration::from_secs(30);

    fn start(line: &str, stale_after: Duration) -> StreamProbe {
        StreamProbe::new(["sh", "-c", line].map(String::from).into(), stale_after, LONG)
    }

    async fn seen(probe: &mut StreamProbe) -> Result<(Role, Option<u64>), String> {
        probe.look().await.map(|look| (look.role, look.epoch)).map_err(|error| error.to_string())
    }

    /// Looks after each change until it fits.
    async fn until(probe: &mut StreamProbe, fits: impl Fn(&Result<(Role, Option<u64>), String>) -> bool) {
        let all = async {
            loop {
                if fits(&seen(probe).await) {
                    return;
                }
                probe.disturbed().await;
            }
        };
        timeout(LONG, all).await.expect("the wanted state comes");
    }

    #[tokio::test]
    async fn each_line_is_a_change_and_an_end_is_a_failure() {
        let folder = std::env::temp_dir().join(format!("rolecall-stream-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let gate = folder.join("gate");
        let script = format!(
            "echo '{{\"role\":\"replica\"}}'; while [ ! -e {0} ]; do sleep 0.01; done; rm {0}; \
             echo '{{\"role\":\"primary\",\"epoch\":3}}'; while [ ! -e {0} ]; do sleep 0.01; done; rm {0}; exit 5",
            gate.display()
        );
        let mut probe = start(&script, LONG);
        until(&mut probe, |seen| *seen == Ok((Role::Replica, None))).await;
        std::fs::write(&gate, "").unwrap();
        until(&mut probe, |seen| *seen == Ok((Role::Master, Some(3)))).await;
        std::fs::write(&gate, "").unwrap();
        until(&mut probe, |seen| seen.as_ref().is_err_and(|why| why.contains("ended with exit status: 5")))
            .await;
        until(&mut probe, |seen| *seen == Ok((Role::Replica, None))).await;
        drop(probe);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_that_ends_again_and_again_is_started_ever_less_often() {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        let pauses: Vec<_> = (0..50).map(|_| pause(&mut backoff, Duration::from_secs(1))).collect();
        assert!(pauses.iter().any(|pause| *pause > PAUSE.1 / 6), "{pauses:?}");
        assert!(pause(&mut backoff, PAUSE.1) <= PAUSE.0);
    }

    #[tokio::test]
    async fn silence_and_nonsense_are_failures() {
        for (script, why) in [
            ("echo role=primary; sleep 1000", "was silent for 50ms and was killed"),
            ("echo hello; sleep 1000", "says nothing of use and was killed: expected role=primary"),
            ("head -c 5000 /dev/zero; sleep 1000", "a line of more than 4096 bytes"),
            ("printf role=primary", "ended with exit status: 0"),
            ("echo role=primary; echo no way >&2; exit 3", "ended with exit status: 3: no way"),
        ] {
            // Only silence is to run out of time here, also on a busy machine.
            let stale_after =
                if script.contains("primary; sleep") { Duration::from_millis(50) } else { LONG };
            let mut probe = start(script, stale_after);
            until(&mut probe, |seen| seen.as_ref().is_err_and(|said| said.contains(why))).await;
        }
        let mut probe =
            StreamProbe::new(["no-such-program", "-psecret"].map(String::from).into(), LONG, LONG);
        let why = seen(&mut probe).await.unwrap_err();
        assert!(why.starts_with("`no-such-program` cannot be started") && !why.contains("secret"), "{why}");
    }
}
