//! consul-template's keys that have another name or form here.

use config::{Mistakes, Section, Setting};

/// Puts what the top says in consul-template's words into ours, where ours say nothing.
pub(super) fn translate(top: &mut Section, mistakes: &mut Mistakes) {
    if let Some(address) = top.text("consul").map(str::to_owned) {
        let place = top.place_of("consul").clone();
        mistakes.warn(place.clone(), "consul", "is a block since long: consul { address = \"…\" }");
        top.lay(&["consul", "address"], place, Setting::Text(address));
    }
    rename(top, "log_level", &["log", "level"], mistakes);
    rename(top, "block_query_wait", &["consul", "block_query_wait"], mistakes);
}

fn rename(top: &mut Section, key: &str, path: &[&str], mistakes: &mut Mistakes) {
    let place = top.place_of(key).clone();
    if let Some(text) = top.string(key, mistakes).filter(|_| !top.has_at(path)) {
        top.lay(path, place, Setting::Text(text));
    }
}

/// The delimiters of templates that name none.
pub(super) fn delimiters(top: &mut Section, mistakes: &mut Mistakes) -> [Option<String>; 2] {
    let Some(mut section) = top.block("default_delimiters", mistakes) else { return [None, None] };
    let both = [section.string("left", mistakes), section.string("right", mistakes)];
    section.finish(mistakes);
    both
}

/// Splits consul-template's `SRC:DST[:CMD]`; empty parts do not count, and the command may hold further colons.
pub(super) fn template(spec: &str) -> Option<(&str, &str, Option<&str>)> {
    let (source, rest) = spec.trim_start_matches(':').split_once(':')?;
    let rest = rest.trim_start_matches(':');
    let (destination, command) = match rest.split_once(':') {
        Some((destination, command)) => (destination, Some(command.trim_matches(':'))),
        None => (rest, None),
    };
    let command = command.filter(|command| !command.is_empty());
    (!source.is_empty() && !destination.is_empty()).then_some((source, destination, command))
}

/// A block of which no key does anything.
struct Idle {
    /// The block that it is in.
    outer: &'static [&'static str],
    name: &'static str,
    keys: &'static [&'static str],
    why: &'static str,
}

const IDLE: &[Idle] = &[Idle {
    outer: &["consul"],
    name: "transport",
    keys: &[
        "dial_keep_alive",
        "dial_timeout",
        "disable_keep_alives",
        "idle_conn_timeout",
        "max_idle_conns",
        "max_idle_conns_per_host",
        "max_conns_per_host",
        "tls_handshake_timeout",
    ],
    why: "without effect: every request has a deadline, and connections are kept and shared",
}];

/// Blocks for systems that are not spoken to.
const FOREIGN: [(&str, &str); 2] = [("vault", "Vault"), ("nomad", "Nomad")];

/// Takes out what has no effect, with a warning for each block of another system, and for each key of the others.
pub(super) fn set_aside(top: &mut Section, mistakes: &mut Mistakes) {
    for (block, name) in FOREIGN {
        if let Some(section) = top.block(block, mistakes) {
            let why = format!("without effect: {name} is not spoken to");
            mistakes.warn(section.place().clone(), block, why);
        }
    }
    for Idle { outer, name, keys, why } in IDLE {
        let mut holder = top.part(outer, &[name]);
        if let Some(mut block) = holder.block(name, mistakes) {
            idle(&mut block, keys, why, mistakes);
            block.finish(mistakes);
        }
    }
    let mut ssl = top.part(&["consul", "ssl"], &["ca_cert_bytes"]);
    let why = "without effect, as in consul-template: only Vault has it; use ca_cert";
    idle(&mut ssl, &["ca_cert_bytes"], why, mistakes);
    if top.bool("err_on_failed_lookup", mistakes) == Some(true) {
        let why =
            "without effect: what has no answer is named in the log, /status and /readyz, and waited for";
        mistakes.warn(top.place_of("err_on_failed_lookup").clone(), "err_on_failed_lookup", why);
    }
}

/// Takes keys out, with a warning for each that is set.
pub(super) fn idle(section: &mut Section, keys: &[&str], why: &str, mistakes: &mut Mistakes) {
    for key in keys {
        if section.pass(key) {
            mistakes.warn(section.place_of(key).clone(), section.path_of(key), why);
        }
    }
}

/// After how many failures in a row a question is given up, if anything is; 0 for never. Takes the keys that say so.
pub(super) fn attempts(top: &mut Section, exits: bool, mistakes: &mut Mistakes) -> u32 {
    let mut retry = top.part(&["consul", "retry"], &["attempts", "enabled"]);
    let given = retry.integer("attempts", 0..=i64::from(u32::MAX), mistakes);
    let enabled = retry.bool("enabled", mistakes);
    let warn = |key: &str, retry: &Section, mistakes: &mut Mistakes| {
        let why = "without effect: rolecall always tries again, unless exit_on_error = true";
        mistakes.warn(retry.place_of(key).clone(), retry.path_of(key), why);
    };
    if !exits && given.is_some_and(|attempts| attempts > 0) {
        warn("attempts", &retry, mistakes);
    }
    if !exits && enabled == Some(false) {
        warn("enabled", &retry, mistakes);
    }
    match (exits, enabled) {
        (false, _) => 0,
        (true, Some(false)) => 1,
        // As in consul-template.
        (true, _) => given.and_then(|attempts| attempts.try_into().ok()).unwrap_or(12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_in_one_word() {
        for (spec, wanted) in [
            ("a:b", Some(("a", "b", None))),
            ("a:b:c", Some(("a", "b", Some("c")))),
            ("a:b:echo x:y", Some(("a", "b", Some("echo x:y")))),
            ("a:b:", Some(("a", "b", None))),
            ("a::b", Some(("a", "b", None))),
            ("C:/x", Some(("C", "/x", None))),
            ("a", None),
            ("a:", None),
            ("", None),
        ] {
            assert_eq!(template(spec), wanted, "{spec}");
        }
    }
}
