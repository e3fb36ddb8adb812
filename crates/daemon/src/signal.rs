//! Signals by the names that people write.

pub use rustix::process::Signal;
use tokio::signal::unix::SignalKind;

const NAMES: [(&str, Signal); 28] = [
    ("SIGABRT", Signal::ABORT),
    ("SIGALRM", Signal::ALARM),
    ("SIGBUS", Signal::BUS),
    ("SIGCONT", Signal::CONT),
    ("SIGFPE", Signal::FPE),
    ("SIGHUP", Signal::HUP),
    ("SIGILL", Signal::ILL),
    ("SIGINT", Signal::INT),
    ("SIGIO", Signal::IO),
    ("SIGIOT", Signal::ABORT),
    ("SIGKILL", Signal::KILL),
    ("SIGPIPE", Signal::PIPE),
    ("SIGPROF", Signal::PROF),
    ("SIGQUIT", Signal::QUIT),
    ("SIGSEGV", Signal::SEGV),
    ("SIGSTOP", Signal::STOP),
    ("SIGSYS", Signal::SYS),
    ("SIGTERM", Signal::TERM),
    ("SIGTRAP", Signal::TRAP),
    ("SIGTSTP", Signal::TSTP),
    ("SIGTTIN", Signal::TTIN),
    ("SIGTTOU", Signal::TTOU),
    ("SIGURG", Signal::URG),
    ("SIGUSR1", Signal::USR1),
    ("SIGUSR2", Signal::USR2),
    ("SIGWINCH", Signal::WINCH),
    ("SIGXCPU", Signal::XCPU),
    ("SIGXFSZ", Signal::XFSZ),
];

/// The signal of a name, in any case, with or without `SIG`; `None` for `SIGNULL` and an empty name, which stand for no
/// signal at all.
pub fn named(name: &str) -> Result<Option<Signal>, String> {
    let upper = name.to_ascii_uppercase();
    if matches!(upper.as_str(), "" | "SIGNULL") {
        return Ok(None);
    }
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = NAMES.iter().find(|(known, _)| known.strip_prefix("SIG") == Some(bare));
    found
        .map(|(_, signal)| Some(*signal))
        .ok_or_else(|| format!("{name:?} is no signal; write SIGUSR1, for instance"))
}

/// Its name.
#[must_use]
pub fn name(signal: Signal) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == signal).map_or("a signal", |(name, _)| name)
}

/// The signal as one to listen for; none can listen for SIGKILL and SIGSTOP, and what a fault raises is no message.
#[must_use]
pub fn heard(signal: Signal) -> Option<SignalKind> {
    let deaf = [Signal::KILL, Signal::STOP, Signal::SEGV, Signal::ILL, Signal::FPE, Signal::BUS, Signal::SYS];
    (!deaf.contains(&signal)).then(|| SignalKind::from_raw(signal.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name() {
        for (text, wanted) in [
            ("SIGUSR1", Ok(Some(Signal::USR1))),
            ("sighup", Ok(Some(Signal::HUP))),
            ("TERM", Ok(Some(Signal::TERM))),
            ("", Ok(None)),
            ("SIGNULL", Ok(None)),
            ("SIGFOO", Err("\"SIGFOO\" is no signal; write SIGUSR1, for instance".to_owned())),
        ] {
            assert_eq!(named(text), wanted);
        }
        assert_eq!((name(Signal::USR2), heard(Signal::KILL)), ("SIGUSR2", None));
    }
}
