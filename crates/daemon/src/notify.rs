//! Tells systemd how it goes (`Type=notify`): that the program runs, what it awaits, that its loops turn, that it leaves.
//!
//! `READY=1` means that the loops run, not that the world answers: systemd must not restart a program for a server
//! that is not up yet. What is awaited stands in `STATUS=`. `WATCHDOG=1` is sent by the thread that does the work, and
//! only while that moves on: a program that hangs is restarted.

use crate::{ready::Ready, shutdown::Leaving};
use config::Environment;
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The way to systemd, and how often it wants to hear.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    every: Duration,
    watchdog: bool,
}

/// What systemd is told of a program.
#[derive(Debug)]
pub struct Vitals<S, A> {
    /// What is awaited.
    pub ready: Ready,
    /// One line for people, once nothing is awaited.
    pub summary: S,
    /// Whether the loops have moved on, as of this moment; what keeps systemd from restarting the program.
    pub alive: A,
}

/// Often enough for people who read `systemctl status`.
const EVERY: Duration = Duration::from_secs(1);

impl Notify {
    /// The way that `$NOTIFY_SOCKET` names; `None` where systemd did not start this program, or does not want to hear.
    #[must_use]
    pub fn find(env: &Environment) -> Option<Notify> {
        let name = env.get("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let socket = open(name);
        let socket =
            socket.inspect_err(|error| tracing::warn!(name, %error, "systemd cannot be told")).ok()?;
        let mine = env.get("WATCHDOG_PID").is_none_or(|pid| *pid == std::process::id().to_string());
        let usec = env.get("WATCHDOG_USEC").filter(|_| mine).and_then(|usec| usec.parse().ok());
        let limit = usec.map(Duration::from_micros).filter(|limit| !limit.is_zero());
        // systemd asks for twice within the limit; once more in case one comes late.
        let every = limit.map_or(EVERY, |limit| EVERY.min(limit / 3));
        Some(Notify { socket, every, watchdog: limit.is_some() })
    }

    /// Tells it all until it is time to leave. To be run beside the loops, on their thread.
    pub async fn keep<S: Fn() -> String, A: FnMut(Instant) -> bool>(
        self,
        mut vitals: Vitals<S, A>,
        mut leaving: Leaving,
    ) {
        let mut began = self.say("READY=1");
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut shown, mut hung) = (String::new(), false);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = leaving.signaled() => break,
            }
            began = began || self.say("READY=1");
            let awaited = vitals.ready.awaited();
            let status = if awaited.is_empty() {
                (vitals.summary)()
            } else {
                format!("awaits {}", awaited.join("; "))
            };
            if status != shown && self.say(&format!("STATUS={}", status.replace('\n', " "))) {
                shown = status;
            }
            let alive = (vitals.alive)(Instant::now());
            if alive && self.watchdog {
                self.say("WATCHDOG=1");
            }
            if hung == alive {
                hung = !alive;
                tracing::warn!(hung, "what the program does for a living");
            }
        }
        self.say("STOPPING=1\nSTATUS=leaving");
    }

    /// False when systemd was not told: what it has yet to read may be all that its socket takes.
    fn say(&self, what: &str) -> bool {
        let told = self.socket.send(what.as_bytes());
        told.inspect_err(|error| tracing::debug!(%error, what, "systemd was not told")).is_ok()
    }
}

/// A path, or with `@` a name in the abstract namespace. It must never be waited for.
fn open(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::channel;
    use std::{cell::Cell, rc::Rc};
    use tokio::time::sleep;

    fn heard(systemd: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| systemd.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()))
            .map(|said| String::from_utf8(said).unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn systemd_hears_what_is_awaited_and_that_the_loops_turn() {
        let name = format!("rolecall-test-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let mut env = Environment::from([("NOTIFY_SOCKET".to_owned(), format!("@{name}"))]);
        env.insert("WATCHDOG_USEC".into(), "3000000".into());
        let ready = Ready::default();
        let awaited = ready.await_for("redis");
        let alive = Rc::new(Cell::new(true));
        let looks = alive.clone();
        let vitals = Vitals { ready, summary: || "all is well".into(), alive: move |_| looks.get() };
        let (shutdown, leaving) = channel();
        let keep = Notify::find(&env).unwrap().keep(vitals, leaving);
        let story = async {
            sleep(Duration::from_millis(1500)).await;
            assert_eq!(heard(&systemd), ["READY=1", "STATUS=awaits redis", "WATCHDOG=1", "WATCHDOG=1"]);
            drop(awaited);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(heard(&systemd), ["STATUS=all is well", "WATCHDOG=1"]);
            alive.set(false);
            sleep(Duration::from_secs(10)).await;
            assert_eq!(heard(&systemd), [""; 0], "nothing that would keep a hung program alive");
            alive.set(true);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(heard(&systemd), ["WATCHDOG=1"]);
            shutdown.tell();
        };
        tokio::join!(keep, story);
        assert_eq!(heard(&systemd), ["STOPPING=1\nSTATUS=leaving"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_systemd_had_no_room_for_is_said_again() {
        let name = format!("rolecall-busy-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let others = open(&format!("@{name}")).unwrap();
        while others.send(b"of others").is_ok() {}
        let (ready, (_shutdown, leaving)) = (Ready::default(), channel());
        let vitals = Vitals { ready, summary: || "all is well".into(), alive: |_| true };
        let env = Environment::from([("NOTIFY_SOCKET".to_owned(), format!("@{name}"))]);
        let story = async {
            sleep(Duration::from_millis(500)).await;
            assert!(heard(&systemd).iter().all(|said| said == "of others"), "there was room");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(heard(&systemd), ["READY=1", "STATUS=all is well"]);
        };
        tokio::select! {
            () = Notify::find(&env).unwrap().keep(vitals, leaving) => panic!("nobody told it to leave"),
            () = story => {}
        }
    }

    #[test]
    fn without_systemd_nothing_is_said() {
        assert!(Notify::find(&Environment::new()).is_none());
        let nowhere = [("NOTIFY_SOCKET".to_owned(), "/nowhere/notify".to_owned())];
        assert!(Notify::find(&nowhere.into()).is_none());
    }

    #[test]
    fn somebody_elses_watchdog_is_not_fed() {
        let name = format!("rolecall-other-{}", std::process::id());
        let _systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let env = [
            pair("NOTIFY_SOCKET", &format!("@{name}")),
            pair("WATCHDOG_USEC", "1000"),
            pair("WATCHDOG_PID", "1"),
        ];
        assert!(!Notify::find(&env.into()).unwrap().watchdog);
    }
}
