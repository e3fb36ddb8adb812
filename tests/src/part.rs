//! One running program: its process, its log, its end. What was started is ended when the value is dropped,
//! and by the kernel when this process dies without dropping anything.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, kill_process};

use crate::{Outcome, Trouble, until};

pub use rustix::process::Signal;

/// How to run a program: what, with which arguments, in which environment (nothing is inherited but `PATH`).
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it is called in failure messages; also the name of its log file.
    pub name: String,
    /// A name on `PATH`, or a path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment beside `PATH`.
    pub environment: Vec<(String, String)>,
    /// Where the log file goes; also the working directory.
    pub directory: PathBuf,
}

/// A child process.
#[derive(Debug)]
pub struct Part {
    recipe: Recipe,
    child: Child,
    log: PathBuf,
}

impl Recipe {
    /// A recipe without environment.
    pub fn new<A: AsRef<OsStr>>(
        name: &str,
        program: impl AsRef<OsStr>,
        directory: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Recipe {
        Recipe {
            name: name.into(),
            program: program.as_ref().into(),
            arguments: arguments.into_iter().map(|a| a.as_ref().into()).collect(),
            environment: Vec::new(),
            directory: directory.into(),
        }
    }

    /// Starts it; standard output and error are appended to the log.
    pub fn start(self) -> Outcome<Part> {
        let log = self.directory.join(format!("{}.log", self.name));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = self.command()?.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn();
        let child = child.map_err(|e| Trouble::from(e).during(format!("starting {}", self.name)))?;
        Ok(Part { recipe: self, child, log })
    }

    fn command(&self) -> Outcome<Command> {
        let program = found(&self.program)?;
        // The kernel kills the child with us, also when we get a SIGKILL and drop nothing.
        let mut command = match found("setpriv".as_ref()) {
            Ok(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            Err(_) => Command::new(program),
        };
        command.args(&self.arguments).current_dir(&self.directory);
        command.env_clear().env("PATH", path()).envs(self.environment.clone());
        Ok(command)
    }
}

impl Part {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Sends a signal. A process that is gone is `Ok`: stories race with the deaths they cause.
    pub fn signal(&self, signal: Signal) -> Outcome {
        match kill_process(Pid::from_child(&self.child), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(Trouble::from(e).during(format!("signalling {}", self.recipe.name))),
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub async fn end(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let what = format!("{} to end", self.recipe.name);
        let waited =
            until(what, limit, async || self.child.try_wait()?.ok_or_else(|| Trouble::new("still running")));
        waited.await.map_err(|t| Trouble::new(format!("{t}\n{}", tail(&self.log))))
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Runs the same recipe again, after the old process is gone.
    pub fn restart(&mut self) -> Outcome {
        self.kill()?;
        *self = self.recipe.clone().start()?;
        Ok(())
    }

    /// The recipe, to be changed before a restart.
    pub fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    /// Puts the end of its log behind a failure.
    pub fn explain<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        outcome.map_err(|t| Trouble::new(format!("{t}\n{}", self.tail())))
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // SIGKILL also ends a stopped process. Nothing can be done about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n    ");
    format!("--- the end of {}\n    {last}", log.display())
}

/// Where programs are looked for: first where `HAPROXY_BINARY` is, last where Debian keeps daemons, which a plain user's
/// `PATH` may lack.
fn path() -> OsString {
    let mut path = OsString::new();
    if let Some(folder) = env::var_os("HAPROXY_BINARY").as_deref().and_then(|file| Path::new(file).parent()) {
        path.push(folder);
        path.push(":");
    }
    path.push(env::var_os("PATH").unwrap_or_default());
    path.push(":/usr/sbin:/sbin");
    path
}

/// The full path of a program. A missing one is a failure that says how to get it.
pub fn found(program: &OsStr) -> Outcome<PathBuf> {
    let runs =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let path = path();
    let mut candidates = env::split_paths(&path).map(|folder| folder.join(program));
    candidates.find(runs).ok_or_else(|| {
        Trouble::new(format!("{} is not on this machine; run scripts/setup", Path::new(program).display()))
    })
}
