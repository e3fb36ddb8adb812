//! `scripts/conformance`: recorded cases of consul-template, replayed through the binary.

mod cases;
mod wire;

use std::{collections::BTreeMap, env, fs, path::Path, process::ExitCode};

use serde_json::Value;
use tests::{Outcome, Trouble};

/// How a case went.
pub enum Verdict {
    /// As recorded; for an error also whether in the recorded words.
    Passed {
        /// Whether an error was told in the recorded words (a text that is as recorded always is).
        exactly: bool,
    },
    /// Otherwise, and how.
    Failed(String),
    /// It cannot be replayed through a whole process.
    NotReplayed,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    not_replayed: usize,
    other_words: usize,
}

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("conformance: name the folder that holds templates.json and wire.json");
        return ExitCode::from(64);
    };
    match all(Path::new(&directory)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("conformance: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases; true when at least 99 of 100 that can be replayed passed.
fn all(directory: &Path) -> Outcome<bool> {
    let binary = tests::binary()?;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for (n, case) in read(&directory.join("templates.json"))?.iter().enumerate() {
        let group = case["group"].as_str().unwrap_or("other").to_owned();
        let name = case["name"].as_str().map_or_else(|| format!("case {n}"), str::to_owned);
        note(counts.entry(group).or_default(), &name, cases::replay(&binary, case)?);
    }
    for case in read(&directory.join("wire.json"))? {
        let name = case["call"].as_str().unwrap_or_default().to_owned();
        note(counts.entry("wire".into()).or_default(), &name, wire::replay(&binary, &case)?);
    }
    Ok(tell(&counts))
}

fn read(path: &Path) -> Outcome<Vec<Value>> {
    let text = fs::read_to_string(path)?;
    let cases: Value = serde_json::from_str(&text)?;
    cases.as_array().cloned().ok_or_else(|| Trouble::new(format!("{} is no list", path.display())))
}

fn note(count: &mut Count, name: &str, verdict: Verdict) {
    match verdict {
        Verdict::Passed { exactly } => {
            count.passed += 1;
            count.other_words += usize::from(!exactly);
        }
        Verdict::Failed(why) => {
            count.failed += 1;
            println!("FAILED {name}: {why}");
        }
        Verdict::NotReplayed => count.not_replayed += 1,
    }
}

fn tell(counts: &BTreeMap<String, Count>) -> bool {
    println!("{:<22} {:>7} {:>7} {:>13}", "group", "passed", "failed", "not replayed");
    let (mut passed, mut failed, mut not_replayed, mut other_words) = (0, 0, 0, 0);
    for (group, count) in counts {
        println!("{group:<22} {:>7} {:>7} {:>13}", count.passed, count.failed, count.not_replayed);
        passed += count.passed;
        failed += count.failed;
        not_replayed += count.not_replayed;
        other_words += count.other_words;
    }
    println!("{:<22} {passed:>7} {failed:>7} {not_replayed:>13}", "all");
    let share = passed as f64 * 100.0 / ((passed + failed).max(1)) as f64;
    println!(
        "{share:.1} % passed of those that can be replayed; {other_words} errors are told in other words"
    );
    println!("(not replayed: cases that need a clock that stands still, a file, or a pass without data)");
    share >= 99.0
}
