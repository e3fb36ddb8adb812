//! Tools for those who write templates: what functions there are, and whether templates still give what they must.

use crate::{known, refuse};
use config::{Environment, Mistakes};
use consul::Client;
use daemon::exit::Exit;
use render::{Flags, RenderConfig, config::REPEATABLE, explain::Explained, rehearsal};
use serde_json::json;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// `rolecall render functions`.
pub fn functions(name: Option<&str>) -> Exit {
    match render::functions::reference(name) {
        Some(text) => {
            print!("{text}");
            Exit::Done
        }
        None => {
            eprintln!("there is no function of that name; `rolecall render functions` lists all");
            Exit::Usage
        }
    }
}

/// Prints a line. A reader who has seen enough is no trouble.
fn say(line: &str) {
    let _gone = writeln!(io::stdout(), "{line}");
}

/// `rolecall render test`.
pub fn test(paths: &[PathBuf], write: bool) -> Exit {
    match rehearsal::test(paths, write, &mut |line| say(line)) {
        Ok(tally) => {
            say(&format!("{} passed, {} failed, {} left out", tally.passed, tally.failed, tally.left_out));
            if tally.failed == 0 { Exit::Done } else { Exit::Failed }
        }
        Err(why) => {
            eprintln!("{why}");
            Exit::Usage
        }
    }
}

/// Templates, or a configuration that names them.
pub struct Subjects {
    /// Template files.
    pub templates: Vec<PathBuf>,
    /// Configuration files and folders.
    pub config: Vec<PathBuf>,
    /// The folder of partials, for template files.
    pub partials: Option<PathBuf>,
}

impl Subjects {
    /// The configuration; template files are one without destinations that matter.
    fn read(&self, env: &Environment, consul: consul::settings::Flags) -> Result<RenderConfig, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut top = config::read(&self.config, &REPEATABLE, &mut mistakes);
        if !self.templates.is_empty() {
            let block = |(n, source): (usize, &PathBuf)| json!({"source": source, "directory": format!("/nowhere/{n}"), "partials": self.partials});
            let blocks: Vec<_> = self.templates.iter().enumerate().map(block).collect();
            let text = known(json!({"template": blocks})).to_string();
            top.merge(config::parse("the command line", &text, &mut mistakes), &REPEATABLE);
        }
        let config = RenderConfig::read(top, env, &Flags { consul, ..Flags::default() }, &mut mistakes);
        mistakes.into_result(config)
    }
}

/// Asking is over soon, or is given up by a signal.
const LIMIT: Duration = Duration::from_secs(1);

/// `rolecall render explain`.
pub fn explain(
    subjects: &Subjects,
    env: Environment,
    consul: consul::settings::Flags,
    live: bool,
    json: bool,
) -> Exit {
    let config = match subjects.read(&env, consul) {
        Ok(config) => config,
        Err(mistakes) => return refuse(&mistakes),
    };
    daemon::run(LIMIT, async move |mut leaving| {
        let client = match live.then(|| Client::new(&config.consul)).transpose() {
            Ok(client) => client,
            Err(error) => {
                eprintln!("{error}");
                return Exit::Failed;
            }
        };
        let connections = config.consul.max_connections;
        tokio::select! {
            told = render::explain::explain(&config.templates, env, connections, client.as_ref()) => told_of(told, json),
            () = leaving.signaled() => Exit::Failed,
        }
    })
}

fn told_of(told: Result<Explained, String>, json: bool) -> Exit {
    match told {
        Ok(told) => {
            if json {
                say(&format!("{:#}", told.show()));
            } else {
                say(told.text().trim_end());
            }
            if told.is_sound() { Exit::Done } else { Exit::Failed }
        }
        Err(why) => {
            eprintln!("{why}");
            Exit::Usage
        }
    }
}

/// `rolecall render migrate`.
pub fn migrate(template: &Path, delimiters: (&str, &str)) -> Exit {
    match render::migrate::migrate(template, delimiters) {
        Ok(migrated) => {
            print!("{}", migrated.text);
            for gap in &migrated.gaps {
                eprintln!(
                    "{}:{}:{}: no way to say this in Handlebars: {}",
                    template.display(),
                    gap.line,
                    gap.column,
                    gap.what
                );
            }
            if migrated.gaps.is_empty() { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            eprintln!("{error}");
            Exit::Usage
        }
    }
}
