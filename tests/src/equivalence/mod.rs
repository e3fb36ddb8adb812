//! Whether steering ends where a fresh start would: random configurations, one after the other, told to one real
//! HAProxy by what `rolecall render diff` says, and given to another one as its first.

mod seen;
mod world;

pub use seen::{Seen, seen};
pub use world::World;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use fastrand::Rng;
use tokio::{
    net::TcpListener,
    process::Command,
    task::{AbortHandle, JoinHandle},
};

use crate::{Outcome, PATIENCE, Part, Recipe, Trouble, binary, haproxy::command, until, when};

/// How pairs of configurations came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nothing to do.
    pub same: u32,
    /// Steered.
    pub steered: u32,
    /// Orders given in all.
    pub orders: u32,
    /// To be reloaded.
    pub reloads: u32,
}

/// A HAProxy of its own, without master, in a folder of its own.
#[derive(Debug)]
pub struct Alone {
    /// The process.
    pub part: Part,
    /// Its stats socket.
    pub socket: PathBuf,
}

impl Alone {
    /// Starts it with this text; its stats socket and an idle port come with it.
    pub async fn start(program: &Path, folder: &Path, name: &str, text: &str) -> Outcome<Alone> {
        let socket = folder.join(format!("{name}.sock"));
        let head = folder.join(format!("{name}.head.cfg"));
        let config = folder.join(format!("{name}.cfg"));
        fs::write(
            &head,
            format!(
                "global\n    stats socket {} mode 600 level admin\n    maxconn 2000\nfrontend idle\n    mode tcp\n    \
                 timeout client 1s\n    bind unix@{name}.idle.sock\n",
                socket.display()
            ),
        )?;
        fs::write(&config, text.replace("unix@mapped.sock", &format!("unix@{name}.mapped.sock")))?;
        // It also stays away when the old socket's file is still there.
        _ = fs::remove_file(&socket);
        let arguments: [OsString; 5] = ["-db".into(), "-f".into(), head.into(), "-f".into(), config.into()];
        let mut part = Recipe::new(name, program, folder, arguments).start()?;
        let answers = until("HAProxy to answer", PATIENCE, async || {
            let ended = part.ended()?;
            when(ended.is_none(), || format!("it ended: {ended:?}"))?;
            command(&socket, "show info").await
        });
        let answers = answers.await;
        part.explain(answers)?;
        Ok(Alone { part, socket })
    }
}

/// The HAProxy programs to test: the one on `PATH`, and those of `HAPROXY_BINARIES` (parted by `:`).
pub fn haproxies() -> Outcome<Vec<PathBuf>> {
    let more = std::env::var_os("HAPROXY_BINARIES").unwrap_or_default();
    let more = std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
    Ok([crate::found("haproxy".as_ref())?].into_iter().chain(more).collect())
}

/// The version of a program, as it says it.
pub async fn version(program: &Path) -> Outcome<String> {
    let said = Command::new(program).arg("-v").output().await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1).map(str::to_owned);
    version.ok_or_else(|| Trouble::new(format!("{} says `{said}`", program.display())))
}

/// Servers that take every connection, so that checks pass.
struct Listening {
    addresses: Vec<String>,
    tasks: Vec<AbortHandle>,
}

impl Listening {
    async fn begin() -> Outcome<Listening> {
        let mut listening = Listening { addresses: vec![], tasks: vec![] };
        for host in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
            for _ in 0..3 {
                let listener = TcpListener::bind((host, 0)).await?;
                listening.addresses.push(listener.local_addr()?.to_string());
                let task: JoinHandle<()> =
                    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
                listening.tasks.push(task.abort_handle());
            }
        }
        Ok(listening)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Compares this many pairs on one HAProxy; `seed` says which.
pub async fn pairs(program: &Path, seed: u64, many: u32) -> Outcome<Counts> {
    let folder = tempfile::tempdir()?;
    let listening = Listening::begin().await?;
    let map = folder.path().join("names.map");
    let mut run = Run {
        program,
        version: version(program).await?,
        folder: folder.path(),
        map: map.display().to_string(),
        counts: Counts::default(),
    };
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(&mut rng, listening.addresses.clone());
    let mut text = world.text(&mut rng, &run.map);
    fs::write(&map, world.map())?;
    let mut steered = Alone::start(program, folder.path(), "h0", &text).await?;
    for number in 1..=many {
        let next = world.step(&mut rng);
        let next_text = next.text(&mut rng, &run.map);
        let fresh = format!("h{number}");
        let version = run.version.clone();
        let said = |t: Trouble| {
            Trouble::new(format!(
                "pair {number} of seed {seed} on {version}: {t}\n--- from\n{text}\n--- to\n{next_text}"
            ))
        };
        steered = run.pair(steered, &fresh, (&text, &next_text), &next.map()).await.map_err(said)?;
        (world, text) = (next, next_text);
    }
    Ok(run.counts)
}

struct Run<'a> {
    program: &'a Path,
    version: String,
    folder: &'a Path,
    map: String,
    counts: Counts,
}

impl Run<'_> {
    /// Brings one process from the first text to the second, and compares; the process to go on with is returned.
    async fn pair(&mut self, steered: Alone, name: &str, texts: (&str, &str), map: &str) -> Outcome<Alone> {
        let replaced = self.folder.join("replaced");
        fs::write(&replaced, map)?;
        let replaced = [format!("{}={}", self.map, replaced.display())];
        let step = Step { version: &self.version, folder: self.folder, replaced: &replaced };
        let (verdict, commands) = step.verdict(&steered.socket, texts.0, texts.1).await?;
        when(!verdict.starts_with("refused: "), || verdict.clone())?;
        fs::write(&self.map, map)?;
        let fresh = Alone::start(self.program, self.folder, name, texts.1).await?;
        if verdict.starts_with("reload: ") {
            self.counts.reloads += 1;
            return Ok(fresh);
        }
        if commands.is_empty() {
            self.counts.same += 1
        } else {
            self.counts.steered += 1
        }
        self.counts.orders += u32::try_from(verdict.lines().count() - 1).unwrap_or(u32::MAX);
        let replies = execute(&steered.socket, &commands).await?;
        // Health of what was added takes a check to be known.
        let same = until("both to run the same", PATIENCE, async || {
            seen(&steered.socket, &self.map).await?.same_as(&seen(&fresh.socket, &self.map).await?)
        });
        same.await.map_err(|t| {
            Trouble::new(format!("{t}\n--- by\n{}\n--- replies\n{replies}", commands.join("\n")))
        })?;
        Ok(steered)
    }
}

/// A step from one text to another, and who says what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// HAProxy's version.
    pub version: &'a str,
    /// Where the texts are laid down.
    pub folder: &'a Path,
    /// `NAME=FILE` for each file that the texts name and that changes.
    pub replaced: &'a [String],
}

impl Step<'_> {
    /// What `rolecall render diff` says, and the commands that it gives.
    pub async fn verdict(&self, socket: &Path, from: &str, to: &str) -> Outcome<(String, Vec<String>)> {
        let file = |name: &str, text: &str| -> Outcome<PathBuf> {
            let path = self.folder.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        let running = file("running", &command(socket, "show servers state").await?)?;
        let said = Command::new(binary()?)
            .args(["render", "diff", "--commands", "--haproxy-version", self.version, "--running"])
            .arg(running)
            .args(self.replaced.iter().flat_map(|replaced| ["--replaced", replaced]))
            .args([file("old.cfg", from)?, file("new.cfg", to)?])
            .stdin(Stdio::null())
            .output()
            .await?;
        let verdict = String::from_utf8_lossy(&said.stderr).into_owned();
        // 1 for a text that is refused.
        when(matches!(said.status.code(), Some(0 | 1)), || verdict.clone())?;
        Ok((verdict, commands(&String::from_utf8_lossy(&said.stdout))))
    }
}

/// Parts the output of `--commands`: a line that ends with `<<` goes on until an empty line.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = vec![];
    let mut payload = false;
    for line in text.lines() {
        match commands.last_mut() {
            Some(last) if payload => {
                last.push_str(line);
                last.push('\n');
                payload = !line.is_empty();
            }
            _ if line.is_empty() => {}
            _ => {
                payload = line.ends_with("<<");
                commands.push(if payload { format!("{line}\n") } else { line.to_owned() });
            }
        }
    }
    commands
}

/// Sends commands, many on a line where they may share one; returns what was answered.
pub async fn execute(socket: &Path, commands: &[String]) -> Outcome<String> {
    let (mut line, mut answers, mut version) = (String::new(), String::new(), String::new());
    for order in commands {
        let order = order.replace("@?", &format!("@{version}"));
        let alone = order.contains('\n') || order.starts_with("prepare ");
        if !line.is_empty() && (alone || line.len() + order.len() > 8000) {
            answers += &command(socket, &std::mem::take(&mut line)).await?;
        }
        if alone {
            let answer = command(socket, &order).await?;
            if let Some(made) = answer.trim().strip_prefix("New version created: ") {
                made.clone_into(&mut version);
            }
            answers += &answer;
            continue;
        }
        line.push_str(if line.is_empty() { "" } else { ";" });
        line.push_str(&order);
    }
    if !line.is_empty() {
        answers += &command(socket, &line).await?;
    }
    Ok(answers)
}
