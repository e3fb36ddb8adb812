//! The program from its start to its end: reads configuration and templates again when told to, keeps the supervised
//! program through that, and shows itself.

use crate::{
    config::{ProcessConfig, RenderConfig},
    exec::{Files, Hears, Program},
    run::{Loaded, Outside, pages, vitals, work},
};
use ::config::Mistakes;
use daemon::{
    admin,
    exit::Exit,
    notify::Notify,
    ready::{Awaited, Ready},
    settings::AdminSettings,
    shutdown::{self, Leaving, Shutdown},
    signal::{self, Signal},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::{
    signal::unix,
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Signals that a supervised program gets from us, unless they mean something to us.
const FORWARDED: [Signal; 6] =
    [Signal::HUP, Signal::USR1, Signal::USR2, Signal::QUIT, Signal::ALARM, Signal::WINCH];

/// Runs until told to leave, or until everything is done with when that is all that was asked for; `anew` reads
/// configuration and templates again.
pub async fn run(
    loaded: Loaded,
    anew: impl Fn() -> Result<Loaded, Mistakes>,
    systemd: Option<Notify>,
    leaving: Leaving,
) -> Exit {
    let ready = Ready::default();
    let outside = Outside { shown: watch::channel(None).0, files: watch::channel(Files::default()).0 };
    let doors = match Doors::open(&loaded.config, &ready, &outside, &leaving).await {
        Ok(doors) => doors,
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Failed;
        }
    };
    let telling = systemd.map(|systemd| {
        let vitals = vitals(ready.clone(), outside.shown.subscribe());
        tokio::spawn(systemd.keep(vitals, leaving.clone()))
    });
    let supervisor = Supervisor::start(&loaded, &outside);
    let mut awaits = (ready.clone(), Some(ready.await_for("the start")));
    let mut life = Life { ready, outside, doors, supervisor, leaving };
    let mut loaded = loaded;
    let exit = loop {
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        (loaded, awaits) = match life.turn(loaded, awaits, &anew).await {
            Turn::Anew(next, awaits) => {
                life.supervisor = life.supervisor.follow(&next, &life.outside).await;
                (*next, awaits)
            }
            Turn::End(exit) => break life.supervisor.over(exit).await,
        };
    };
    if let Some(telling) = telling.filter(|_| life.leaving.is_signaled()) {
        // It has a last word to say.
        _ = telling.await;
    }
    exit
}

/// All that lasts from the start to the end.
struct Life {
    ready: Ready,
    outside: Outside,
    doors: Doors,
    supervisor: Supervisor,
    leaving: Leaving,
}

/// What comes after one reading of the configuration.
enum Turn {
    /// Another one.
    Anew(Box<Loaded>, Awaits),
    /// The end.
    End(Exit),
}

/// Where awaits are added, and what is held until they are.
type Awaits = (Ready, Option<Awaited>);

impl Life {
    /// Puts one reading of the configuration to work until that ends, or is to end.
    async fn turn(
        &mut self,
        loaded: Loaded,
        awaits: Awaits,
        anew: &impl Fn() -> Result<Loaded, Mistakes>,
    ) -> Turn {
        let once = loaded.config.once;
        let (end, inner) = shutdown::channel();
        let mut working = std::pin::pin!(work(loaded, &self.outside, awaits, inner));
        loop {
            tokio::select! {
                exit = &mut working => {
                    let waits = once && exit == Exit::Done && self.supervisor.is_there();
                    return Turn::End(if waits { last(&mut self.supervisor, &mut self.leaving).await } else { exit });
                }
                exit = self.supervisor.end() => {
                    end.tell();
                    working.await;
                    return Turn::End(exit);
                }
                () = self.leaving.signaled() => {
                    end.tell();
                    self.supervisor.tell();
                    return Turn::End(working.await);
                }
                () = self.doors.told() => {
                    if let Some(next) = self.read(anew) {
                        let awaits = again(&self.ready);
                        end.tell();
                        working.await;
                        return Turn::Anew(Box::new(next), awaits);
                    }
                }
            }
        }
    }

    /// Reads configuration and templates again; nothing when that cannot be done.
    fn read(&self, anew: &impl Fn() -> Result<Loaded, Mistakes>) -> Option<Loaded> {
        match anew() {
            Ok(next) => {
                tracing::info!("configuration and templates are read again");
                self.doors.compare(&next.config);
                Some(next)
            }
            Err(mistakes) => {
                tracing::error!("the configuration is not read again, the present one stays: {mistakes}");
                None
            }
        }
    }
}

/// All is rendered once: what is left is the end of the supervised program.
async fn last(supervisor: &mut Supervisor, leaving: &mut Leaving) -> Exit {
    tokio::select! {
        exit = supervisor.end() => exit,
        () = leaving.signaled() => Exit::Done,
    }
}

/// Where new awaits go: who was ready once stays so, and who was not must not seem so in between.
fn again(ready: &Ready) -> Awaits {
    match ready.is_ready() {
        true => (Ready::default(), None),
        false => (ready.clone(), Some(ready.await_for("the configuration that is read again"))),
    }
}

/// What is opened once, at the start.
struct Doors {
    admin: AdminSettings,
    process: ProcessConfig,
    reload: Option<unix::Signal>,
    _pid: Option<PidFile>,
}

impl Doors {
    async fn open(
        config: &RenderConfig,
        ready: &Ready,
        outside: &Outside,
        leaving: &Leaving,
    ) -> Result<Doors, String> {
        let (admin, process) = (config.admin.clone(), config.process.clone());
        let pid = PidFile::write(process.pid_file.as_deref())?;
        let reload = process.reload_signal.and_then(signal::heard).map(unix::signal);
        let reload = reload.transpose().map_err(|e| e.to_string())?;
        if let Some(address) = admin.address {
            let bound = admin::bind(address).await.map_err(|e| e.to_string())?;
            tokio::spawn(bound.serve(pages(ready, &outside.shown.subscribe()), leaving.clone()));
        }
        Ok(Doors { admin, process, reload, _pid: pid })
    }

    /// Waits until somebody wants the configuration to be read again.
    async fn told(&mut self) {
        match &mut self.reload {
            Some(signal) => _ = signal.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Says what of a new configuration only a start can bring.
    fn compare(&self, next: &RenderConfig) {
        let Doors { admin, process, .. } = self;
        let same = (&process.pid_file, process.kill_signal, process.reload_signal, &process.log)
            == (
                &next.process.pid_file,
                next.process.kill_signal,
                next.process.reload_signal,
                &next.process.log,
            );
        if !same || *admin != next.admin {
            tracing::warn!("admin {{}}, the log, pid_file and signals change only at the next start");
        }
    }
}

/// The program of exec mode and who watches over it; nobody where there is none.
struct Supervisor(Option<(Program, Shutdown, JoinHandle<Exit>)>);

impl Supervisor {
    fn start(loaded: &Loaded, outside: &Outside) -> Supervisor {
        let Some(program) = loaded.config.exec.clone().filter(|_| !loaded.config.dry) else {
            return Supervisor(None);
        };
        let (shutdown, leaving) = shutdown::channel();
        let signals = forward(loaded.config.process.kill_signal, loaded.config.process.reload_signal);
        let mut hears = Hears { files: outside.files.subscribe(), signals, leaving };
        let supervised = program.clone();
        let task = tokio::spawn(async move { supervised.supervise(&mut hears).await });
        Supervisor(Some((program, shutdown, task)))
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the end that the program makes of itself; for ever where there is none.
    async fn end(&mut self) -> Exit {
        let Some((_, _, task)) = &mut self.0 else { return std::future::pending().await };
        let exit = task.await.unwrap_or(Exit::Aborted);
        self.0 = None;
        exit
    }

    /// Tells the program to end.
    fn tell(&self) {
        if let Some((_, shutdown, _)) = &self.0 {
            shutdown.tell();
        }
    }

    /// Ends the program, since we end so.
    async fn over(self, exit: Exit) -> Exit {
        self.tell();
        if let Some((_, _, task)) = self.0 {
            _ = task.await;
        }
        exit
    }

    /// Goes on with the same program, or with what a new configuration says.
    async fn follow(self, next: &Loaded, outside: &Outside) -> Supervisor {
        if self.0.as_ref().map(|(program, ..)| program) == next.config.exec.as_ref() {
            return self;
        }
        self.over(Exit::Done).await;
        Supervisor::start(next, outside)
    }
}

/// Hears signals for the program, but those that mean something to us.
fn forward(kill: Option<Signal>, reload: Option<Signal>) -> mpsc::Receiver<Signal> {
    let (send, receive) = mpsc::channel(8);
    for forwarded in FORWARDED.into_iter().filter(|one| Some(*one) != kill && Some(*one) != reload) {
        let Some(Ok(mut heard)) = signal::heard(forwarded).map(unix::signal) else { continue };
        let send = send.clone();
        tokio::spawn(
            async move { while heard.recv().await.is_some() && send.send(forwarded).await.is_ok() {} },
        );
    }
    receive
}

/// A file with our process id, as long as we live.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: Option<&Path>) -> Result<Option<PidFile>, String> {
        let Some(path) = path else { return Ok(None) };
        let written = fs::write(path, format!("{}\n", std::process::id()));
        written.map_err(|e| format!("{}: the process id cannot be written: {e}", path.display()))?;
        Ok(Some(PidFile(path.to_owned())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}
