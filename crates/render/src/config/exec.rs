//! `exec {}`: the program that is supervised, at the top; the command after each change, in a template.

use super::spelling::idle;
use crate::{
    command::AfterWrite,
    environment::Filter,
    exec::{Program, Told},
};
use config::{Environment, Mistakes, Section, show_duration};
use daemon::signal::{self, Signal};
use serde_json::{Value, json};
use std::time::Duration;

/// As in consul-template.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// As in consul-template.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys that mean something for a supervised program alone, in consul-template too.
const SUPERVISED: [&str; 4] = ["kill_signal", "kill_timeout", "reload_signal", "splay"];

/// The program that the top-level `exec {}` names.
pub(super) fn program(top: &mut Section, env: &Environment, mistakes: &mut Mistakes) -> Option<Program> {
    let mut exec = top.block("exec", mistakes)?;
    let argv = words(&mut exec, mistakes);
    let enabled = exec.bool("enabled", mistakes).unwrap_or(!argv.is_empty());
    let kill_signal = exec.parsed("kill_signal", signal::named, mistakes).unwrap_or(Some(Signal::INT));
    let kill_timeout = exec.duration("kill_timeout", mistakes).unwrap_or(KILL_TIMEOUT);
    let told = match exec.parsed("reload_signal", signal::named, mistakes) {
        None => Told::ByRestart,
        Some(None) => Told::Nothing,
        Some(Some(signal)) => Told::By(signal),
    };
    let splay = exec.duration("splay", mistakes).unwrap_or_default();
    if exec.duration("timeout", mistakes).is_some_and(|timeout| !timeout.is_zero()) {
        let why = "without effect here: the program runs until it is told to end";
        mistakes.warn(exec.place_of("timeout").clone(), exec.path_of("timeout"), why);
    }
    let env = filter(&mut exec, mistakes).pass(env);
    if enabled && argv.is_empty() {
        let why = "without effect: there is no command, so nothing is supervised";
        mistakes.warn(exec.place_of("enabled").clone(), exec.path_of("enabled"), why);
    } else if !argv.is_empty() && argv.concat().trim().is_empty() {
        exec.mistake("command", "has nothing but blanks", mistakes);
    }
    exec.finish(mistakes);
    (enabled && !argv.is_empty()).then_some(Program { argv, kill_signal, kill_timeout, told, splay, env })
}

/// The command of a template: `exec {}`, or `command` and `command_timeout`, which go before it.
pub(super) fn command(
    section: &mut Section,
    env: &Environment,
    mistakes: &mut Mistakes,
) -> Option<AfterWrite> {
    let mut exec = section.block("exec", mistakes).unwrap_or_else(|| Section::empty("template.exec"));
    let (words_of_exec, timeout) = (words(&mut exec, mistakes), exec.duration("timeout", mistakes));
    let enabled = exec.bool("enabled", mistakes).unwrap_or(true);
    let env = filter(&mut exec, mistakes).pass(env);
    let why = "without effect: only the program of the top-level exec {} has it";
    idle(&mut exec, &SUPERVISED, why, mistakes);
    exec.finish(mistakes);
    let plain = words(section, mistakes);
    let timeout = section.duration("command_timeout", mistakes).or(timeout).unwrap_or(COMMAND_TIMEOUT);
    let argv = if plain.is_empty() { words_of_exec } else { plain };
    (enabled && !argv.is_empty()).then_some(AfterWrite { argv, timeout, env })
}

/// A command as a line or as words; none, and words that are all empty, stand for no command.
fn words(section: &mut Section, mistakes: &mut Mistakes) -> Vec<String> {
    let words = section.words("command", mistakes).unwrap_or_default();
    if words.iter().all(String::is_empty) { vec![] } else { words }
}

fn filter(exec: &mut Section, mistakes: &mut Mistakes) -> Filter {
    let Some(mut env) = exec.block("env", mistakes) else { return Filter::default() };
    let mut list = |key: &str, old: &str, mistakes: &mut Mistakes| {
        let mut all = env.words(key, mistakes).unwrap_or_default();
        all.extend(env.words(old, mistakes).unwrap_or_default());
        all
    };
    let allowed = list("allowlist", "whitelist", mistakes);
    let denied = list("denylist", "blacklist", mistakes);
    let custom = env.words("custom", mistakes).unwrap_or_default();
    let pairs = custom.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Some((name.to_owned(), value.to_owned())),
        _ => {
            env.mistake("custom", "holds an entry that is not NAME=VALUE", mistakes);
            None
        }
    });
    let custom = pairs.flatten().collect();
    let pristine = env.bool("pristine", mistakes).unwrap_or_default();
    env.finish(mistakes);
    Filter { pristine, custom, allowed, denied }
}

pub(super) fn show(program: &Program) -> Value {
    json!({
        "command": program.argv,
        "kill_signal": program.kill_signal.map(signal::name),
        "kill_timeout": show_duration(program.kill_timeout),
        "reload_signal": match program.told {
            Told::ByRestart => None,
            Told::Nothing => Some("SIGNULL"),
            Told::By(signal) => Some(signal::name(signal)),
        },
        "splay": show_duration(program.splay),
        "env": names(&program.env),
    })
}

/// The variables that a program sees. Their values may be secrets.
pub(super) fn names(env: &Environment) -> Vec<&String> {
    env.keys().collect()
}
