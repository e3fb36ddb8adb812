//! The probes that ask nobody by a protocol of its own: `exec`, `stream`, `tcp`, `file`, `push` and `static`.

use super::{Kind, codes};
use crate::probe::{
    pattern::{Pattern, bytes},
    said::Said,
    tcp::Expect,
};
use config::{Mistakes, Section};
use consul::Role;
use std::{path::PathBuf, time::Duration};

/// A program that says nothing for so long is taken for stuck.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn exec(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let codes = probe.block("exit", mistakes).map(|exit| codes(exit, 0..=255, mistakes));
    Some(Kind::Exec { argv: command(probe, mistakes)?, codes })
}

pub(super) fn stream(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let stale_after = stale(probe, mistakes).unwrap_or(SILENCE);
    Some(Kind::Stream { argv: command(probe, mistakes)?, stale_after })
}

pub(super) fn tcp(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let address = needed("address", "HOST:PORT, or unix:///PATH", probe, str::parse, mistakes);
    let send = probe.parsed("send", bytes, mistakes).unwrap_or_default();
    let role = probe.parsed("role", |word| Said::word(word, None).map(|said| said.role), mistakes);
    let expect = match probe.block("expect", mistakes) {
        None => Expect::Connection(role.unwrap_or(Role::Master)),
        Some(mut block) => {
            if !block.has("primary") && !block.has("replica") {
                let why = "needs primary or replica: bytes by which an answer is known";
                mistakes.note(block.place().clone(), block.path(), why);
            }
            let primary = block.parsed("primary", Pattern::read, mistakes);
            let replica = block.parsed("replica", Pattern::read, mistakes);
            if role.is_some() {
                probe.mistake("role", "is set beside expect, which tells the role", mistakes);
            }
            block.finish(mistakes);
            Expect::Answer { primary, replica }
        }
    };
    Some(Kind::Tcp { address: address?, send, expect })
}

pub(super) fn file(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let path = needed("path", "the file that another program writes the role into", probe, path, mistakes);
    let stale_after = stale(probe, mistakes);
    Some(Kind::File { path: path?, stale_after })
}

pub(super) fn push(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let keep = probe.parsed("keep", path, mistakes);
    let stale_after = stale(probe, mistakes);
    Some(Kind::Push { keep, stale_after })
}

pub(super) fn fixed(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Kind> {
    let role = needed("role", "\"primary\" or \"replica\"", probe, |word| Said::word(word, None), mistakes);
    let epoch = probe.integer("epoch", 0..=i64::MAX, mistakes).and_then(|epoch| u64::try_from(epoch).ok());
    Some(Kind::Fixed(Said { epoch, ..role? }))
}

fn needed<T>(
    key: &str,
    what: &str,
    probe: &mut Section,
    parse: impl Fn(&str) -> Result<T, String>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    if !probe.has(key) {
        probe.mistake(key, format!("is needed: {what}"), mistakes);
    }
    probe.parsed(key, parse, mistakes)
}

fn command(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let there = probe.has("command");
    let argv = probe.strings("command", mistakes);
    if !there || argv.as_ref().is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
        let why = "is needed: [\"PROGRAM\", \"ARGUMENT\", …]; no shell reads it";
        probe.mistake("command", why, mistakes);
        return None;
    }
    argv
}

fn stale(probe: &mut Section, mistakes: &mut Mistakes) -> Option<Duration> {
    let stale_after = probe.duration("stale_after", mistakes);
    if stale_after.is_some_and(|limit| limit.is_zero()) {
        probe.mistake("stale_after", "must be more than zero", mistakes);
    }
    stale_after
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("is empty".into()) } else { Ok(text.into()) }
}
