//! Keeps the house in order: deciding rooms do not touch the world, arrows point down, the README tells why
//! each dependency is here.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms that decide and do nothing else, by crate; a folder means every file in it.
const DECIDING: [(&str, &[&str]); 7] = [
    (
        "config",
        &["duration.rs", "hcl.rs", "hcl", "json.rs", "layers.rs", "section.rs", "similar.rs", "tree.rs"],
    ),
    (
        "consul",
        &[
            "cursor.rs",
            "doubt.rs",
            "election.rs",
            "error.rs",
            "instance.rs",
            "overview/marks.rs",
            "overview/prefixes.rs",
            "overview/told.rs",
            "query.rs",
            "rights.rs",
            "shared/document.rs",
            "wire.rs",
        ],
    ),
    ("daemon", &["html.rs", "metrics/format.rs", "view.rs"]),
    ("octets", &["lib.rs"]),
    (
        "gotemplate",
        &[
            "builtins.rs",
            "calls.rs",
            "eval.rs",
            "eval",
            "host.rs",
            "lex.rs",
            "migrate.rs",
            "parse.rs",
            "parse",
            "print.rs",
            "print",
            "quote.rs",
            "tree.rs",
            "types.rs",
            "value.rs",
        ],
    ),
    (
        "register",
        &[
            "address.rs",
            "complaint.rs",
            "config/address.rs",
            "diagnosis.rs",
            "drift.rs",
            "history.rs",
            "page.rs",
            "plan.rs",
            "probe/codes.rs",
            "probe/http/answer.rs",
            "probe/pattern.rs",
            "probe/said.rs",
            "pulse.rs",
            "quality.rs",
            "role.rs",
            "role/ballot.rs",
            "role/evidence.rs",
            "role/own_word.rs",
            "sentinel/hello.rs",
            "sentinel/mod.rs",
            "sentinel/reply.rs",
            "words.rs",
        ],
    ),
    (
        "render",
        &[
            "again.rs",
            "blocked.rs",
            "config",
            "environment.rs",
            "facts.rs",
            "functions",
            "haproxy/ahead.rs",
            "haproxy/capability.rs",
            "haproxy/compared.rs",
            "haproxy/demote.rs",
            "haproxy/enough.rs",
            "haproxy/listening.rs",
            "haproxy/order.rs",
            "haproxy/outline",
            "haproxy/processes.rs",
            "haproxy/running.rs",
            "haproxy/sessions.rs",
            "haproxy/stated.rs",
            "haproxy/verdict",
            "page.rs",
            "page",
            "parts.rs",
            "quiet.rs",
            "rehearsal/case.rs",
            "rehearsal/fill.rs",
            "rehearsal/recorded.rs",
            "services.rs",
            "status",
            "status.rs",
            "template",
            "ways.rs",
        ],
    ),
];
const WORLD: [&str; 9] =
    ["async", ".await", "fs::", "File::", "TcpStream", "env::", "::now()", "spawn", "fastrand"];

/// Who may depend on whom: a crate, its floor.
const FLOORS: [(&str, u8); 8] = [
    ("config", 0),
    ("gotemplate", 1),
    ("octets", 0),
    ("consul", 1),
    ("daemon", 1),
    ("register", 2),
    ("render", 2),
    ("rolecall", 3),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(room: &Path) -> Vec<PathBuf> {
    if room.is_file() {
        return vec![room.into()];
    }
    let entries = fs::read_dir(room).unwrap_or_else(|e| panic!("{} is gone: {e}", room.display()));
    let mut files: Vec<PathBuf> =
        entries.flat_map(|entry| files(&entry.expect("a readable folder").path())).collect();
    files.sort();
    files
}

/// The word itself, not a longer one that begins with it.
fn mentions(line: &str, word: &str) -> bool {
    line.split(word)
        .skip(1)
        .any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() && !word.ends_with(':')))
        && !line.trim_start().starts_with("//")
}

#[test]
fn deciding_rooms_do_not_touch_the_world() {
    for (name, rooms) in DECIDING {
        for file in
            rooms.iter().flat_map(|room| files(&root().join("crates").join(name).join("src").join(room)))
        {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for line in code.lines() {
                let touched = WORLD.iter().find(|word| mentions(line, word));
                assert!(
                    touched.is_none(),
                    "{}: `{}` touches the world; move that to the edge and pass the value in",
                    file.display(),
                    line.trim()
                );
            }
        }
    }
}

#[test]
fn a_room_that_touches_the_world_is_caught() {
    let caught = |line: &str| WORLD.iter().any(|word| mentions(line, word));
    for line in
        ["async fn look() {}", "x.await?", "let t = Instant::now();", "fs::read(path)", "tokio::spawn(go)"]
    {
        assert!(caught(line), "{line}");
    }
    for line in ["self.awaits_sentinel", "// it never spawns: async is for doors", "let now = later;"] {
        assert!(!caught(line), "{line}");
    }
}

#[test]
fn arrows_point_down() {
    for (name, floor) in FLOORS {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        for (other, below) in FLOORS {
            let depends = manifest.contains(&format!("\n{other}.workspace"))
                || manifest.contains(&format!("\n{other} ="));
            assert!(!depends || below < floor, "{name} must not depend on {other}");
        }
    }
    let manifest = fs::read_to_string(root().join("tests/Cargo.toml")).unwrap();
    for (ours, _) in FLOORS {
        assert!(
            !manifest.contains(&format!("\n{ours}.workspace")),
            "the stories run the binary; they must not link {ours}"
        );
    }
}

#[test]
fn the_readme_tells_why_each_dependency_is_here() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split_once(" = "));
    for (name, _) in names.filter(|(_, how)| !how.contains("path = ")) {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not say why `{name}` is needed");
    }
}
