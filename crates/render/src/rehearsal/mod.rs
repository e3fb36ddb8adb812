//! Templates tried over recorded answers, without Consul and without writing anything (`rolecall render test`): the
//! door that finds the cases and reads their files. `case` is what a case says, `recorded` what Consul says in it,
//! `fill` fills a template from that; what is otherwise than it must be is shown as `diff -u` does.

mod case;
mod fill;
mod recorded;

use crate::{
    config::{Flags, REPEATABLE, RenderConfig, TemplateConfig},
    machine::Machine,
    parts, run,
    template::Draft,
};
use ::config::{Environment, Mistakes};
use case::{Case, Subject, Wanted};
use serde_json::{Value, json};
use similar::TextDiff;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use fill::{Filled, fill};
pub use recorded::Recorded;

/// How all cases went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As they must.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Cases that cannot be tried so.
    pub left_out: usize,
}

/// Files that hold cases: one, or a list.
const NAMES: [&str; 2] = ["case.json", "templates.json"];

/// Tries all cases below these paths, and tells of each. With `write`, the files that hold expected texts are written
/// anew in place of being compared. `Err` says which cases cannot be read.
pub fn test(paths: &[PathBuf], write: bool, tell: &mut dyn FnMut(&str)) -> Result<Tally, String> {
    let mut files = vec![];
    for path in paths {
        find(path, &mut files).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if files.is_empty() {
        return Err(format!("there are no cases; they lie in files named {}", NAMES.join(" or ")));
    }
    let mut tally = Tally::default();
    for file in files {
        let folder = file.parent().unwrap_or(Path::new("."));
        for case in cases(&file)? {
            let failures = match case.is_left_out {
                true => vec![],
                false => try_case(&case, folder, write),
            };
            let word = match (case.is_left_out, failures.is_empty()) {
                (true, _) => {
                    tally.left_out += 1;
                    "left out"
                }
                (false, true) => {
                    tally.passed += 1;
                    "passed"
                }
                (false, false) => {
                    tally.failed += 1;
                    "FAILED"
                }
            };
            tell(&format!("{word} {}", case.name));
            failures.iter().for_each(|failure| tell(failure.trim_end()));
        }
    }
    Ok(tally)
}

/// The file itself, or the files with cases in a folder and those in it, in the order of their names.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        fs::metadata(path)?;
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let is_case = entry.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known));
        if is_case || (entry.is_dir() && !entry.is_symlink()) {
            find(&entry, files)?;
        }
    }
    Ok(())
}

fn cases(file: &Path) -> Result<Vec<Case>, String> {
    let wrong = |why: String| format!("{}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let all = match value {
        Value::Array(all) => all,
        one => vec![one],
    };
    let read = |(n, case): (usize, &Value)| {
        Case::read(case, n).map_err(|why| {
            wrong(format!(
                "{}: {why}",
                case["name"].as_str().map_or_else(|| format!("case {}", n + 1), str::to_owned)
            ))
        })
    };
    all.iter().enumerate().map(read).collect()
}

/// What is otherwise than it must be.
fn try_case(case: &Case, folder: &Path, write: bool) -> Vec<String> {
    let mut failures = vec![];
    for subject in &case.subjects {
        match try_subject(case, subject, folder, write) {
            Ok(found) => failures.extend(found),
            Err(why) => failures.push(match case.wanted.is_told_by(&why) {
                true => continue,
                false => why,
            }),
        }
    }
    failures
}

fn try_subject(case: &Case, subject: &Subject, folder: &Path, write: bool) -> Result<Vec<String>, String> {
    let mut mistakes = Mistakes::default();
    let top = match subject {
        Subject::Config(file) => ::config::read(&[folder.join(file)], &REPEATABLE, &mut mistakes),
        Subject::Template(block) => {
            ::config::parse("case.json", &json!({"template": [block]}).to_string(), &mut mistakes)
        }
    };
    let config = RenderConfig::read(top, &case.env, &Flags::default(), &mut mistakes);
    let config = mistakes.into_result(config).map_err(|mistakes| mistakes.to_string())?;
    let (env, machine) = (Arc::new(run::without_secrets(case.env.clone())), Arc::default());
    let mut failures = vec![];
    for mut template in config.templates {
        if template.contents.is_none() {
            template.source = beside(&template.source, folder);
        }
        template.partials = template.partials.map(|partials| beside(&partials, folder));
        let (said, missing) = try_template(case, &template, (&env, &machine))?;
        let destination = template.destination.path();
        let mut note = |path: &Path, failure: Option<String>| {
            let label = format!("{} → {}", template.source.display(), path.display());
            failures.extend(failure.map(|failure| format!("{label}: {failure}{missing}")));
        };
        match said {
            Ok(text) if template.many.is_some() => {
                let files = parts::split(&text);
                let given: Vec<PathBuf> = files.iter().map(|(name, _)| destination.join(name)).collect();
                for path in case.wanted.paths().filter(|path| path.starts_with(destination)) {
                    note(path, (!given.iter().any(|given| given == path)).then(|| "it is not given".into()));
                }
                for (name, text) in files {
                    let path = destination.join(name);
                    note(&path, judge(case, &path, text, folder, write)?);
                }
            }
            Ok(text) => note(destination, judge(case, destination, &text, folder, write)?),
            Err(error) if case.wanted.is_told_by(&error) => {}
            Err(error) => note(destination, Some(error)),
        }
    }
    Ok(failures)
}

/// What the template gives, and what was asked that nothing was recorded for.
fn try_template(
    case: &Case,
    template: &TemplateConfig,
    (env, machine): (&Arc<Environment>, &Arc<Machine>),
) -> Result<(Result<String, String>, String), String> {
    let parsed = run::parse(template, env, machine).map_err(|error| error.to_string())?;
    let Filled { draft, unrecorded, .. } = fill(&*parsed, &case.recorded, case.waits)?;
    let mut note = String::new();
    for query in unrecorded.iter().filter(|_| !case.waits) {
        let _ = write!(note, "\nasked, and not recorded: /v1/{query}");
    }
    let Draft { text, missing, .. } = draft;
    let waits = missing.into_iter().next().filter(|_| !case.waits && text.is_ok());
    Ok((
        match waits {
            Some(missing) => Err(format!("nothing would be written; it waits for {missing}")),
            None => text.map_err(|error| error.to_string()),
        },
        note,
    ))
}

/// A file of that name beside the case goes first: paths of a machine mean nothing where it is tried.
fn beside(path: &Path, folder: &Path) -> PathBuf {
    let here = path.file_name().map(|name| folder.join(name)).filter(|here| here.exists());
    match here {
        Some(here) if path.is_absolute() || !folder.join(path).exists() => here,
        _ => folder.join(path),
    }
}

/// How a text is otherwise than it must be.
fn judge(
    case: &Case,
    destination: &Path,
    text: &str,
    folder: &Path,
    write: bool,
) -> Result<Option<String>, String> {
    let destination = destination.display().to_string();
    let (name, expected) = match &case.wanted {
        Wanted::Error(_) => return Ok(Some("it did not fail".into())),
        Wanted::Text(text) => ("expected".to_owned(), text.clone()),
        Wanted::File(file) => read_expected(folder, file, text, write)?,
        Wanted::Files(files) => match files.get(&destination) {
            Some(file) => read_expected(folder, file, text, write)?,
            None => return Ok(Some("expected_files does not name it".into())),
        },
    };
    let shown = TextDiff::from_lines(&expected, text).unified_diff().header(&name, "rendered").to_string();
    Ok((!shown.is_empty()).then(|| format!("the text is another one\n{shown}")))
}

fn read_expected(folder: &Path, file: &str, text: &str, write: bool) -> Result<(String, String), String> {
    let path = folder.join(file);
    let wrong = |e| format!("{}: {e}", path.display());
    if write {
        fs::write(&path, text).map_err(wrong)?;
    }
    Ok((file.to_owned(), fs::read_to_string(&path).map_err(wrong)?))
}
