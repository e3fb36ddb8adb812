//! The one binary: `rolecall register`, `rolecall render`, `rolecall failover`, `rolecall epoch`, `rolecall check`.

mod arguments;
mod doctor;
mod epoch;
mod orders;
mod status;
mod templates;

use arguments::{Arguments, Common, Diff, Failover, Instead, Program, Register, two_dashes};
use clap::Parser;
use config::{Environment, Mistake, Mistakes};
use daemon::{
    Manners,
    exit::Exit,
    notify::Notify,
    signal::{self, Signal},
    telemetry,
};
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// `render` has at most a reload to wait for, and the program that it supervises.
const RENDER_LIMIT: Duration = Duration::from_secs(20);
/// What is left to do when that program was killed.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(two_dashes(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(help) => return told(&help),
    };
    // TLS needs to know whose cryptography to use; it fails only when somebody chose before.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let env: Environment = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let exit = match arguments.program {
        Program::Register(Register { order: Some(order), .. }) => orders::give(&order, &env),
        Program::Register(Register { common, .. }) => register(&common, &env),
        Program::Render(arguments::Render { instead: Some(instead), .. }) => beside(instead, env),
        Program::Render(flags) => render(&flags, env),
        Program::Failover(order) => failover(&order, &env),
        Program::Doctor(order) => doctor::doctor(&order, env),
        Program::Status(wanted) => orders::show(&wanted, &env),
        Program::Epoch(order) => epoch::epoch(&order, &env),
        Program::Check { config } => check(&config, env),
    };
    exit.into()
}

/// clap's words: help and version are answers, anything else is wrong usage.
fn told(help: &clap::Error) -> ExitCode {
    let _no_terminal = help.print();
    if help.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
}

fn register(common: &Common, env: &Environment) -> Exit {
    let config = match register::RegisterConfig::load(&common.config, env, &common.register_flags()) {
        Ok(config) => config,
        Err(mistakes) => return refuse(&mistakes),
    };
    if common.print_config {
        return print(config.show());
    }
    telemetry::init(config.admin.level, config.admin.json);
    let systemd = Notify::find(env);
    daemon::run(register::leave_limit(&config), |leaving| register::run(config, systemd, leaving))
}

fn render(arguments: &arguments::Render, env: Environment) -> Exit {
    let (paths, flags) = (arguments.common.config.clone(), arguments.flags());
    let loaded = match render::load(&paths, env.clone(), &flags) {
        Ok(loaded) => loaded,
        Err(mistakes) => return refuse(&mistakes),
    };
    if arguments.common.print_config {
        return print(loaded.config.show());
    }
    if arguments.parse_only {
        return valid(&loaded.warnings);
    }
    let config = &loaded.config;
    if let Err(why) = telemetry::init_with(config.admin.level, config.admin.json, &config.process.log) {
        eprintln!("{why}");
        return Exit::Failed;
    }
    let systemd = Notify::find(&env);
    let manners = Manners {
        limit: RENDER_LIMIT
            .max(config.exec.as_ref().map_or(Duration::ZERO, |exec| exec.kill_timeout + GRACE)),
        ends: config.process.kill_signal.and_then(signal::heard),
        reloads: config.process.reload_signal == Some(Signal::HUP) || config.exec.is_some(),
    };
    let anew = move || render::load(&paths, env.clone(), &flags);
    daemon::run_with(manners, |leaving| render::run(loaded, anew, systemd, leaving))
}

/// What `render` does instead of rendering.
fn beside(instead: Instead, env: Environment) -> Exit {
    match instead {
        Instead::Diff(what) => diff(what),
        Instead::Functions { name } => templates::functions(name.as_deref()),
        Instead::Test { paths, write } => templates::test(&paths, write),
        Instead::Migrate { template, left_delimiter, right_delimiter } => {
            templates::migrate(&template, (&left_delimiter, &right_delimiter))
        }
        Instead::Explain { templates, config, partials, live, consul_addr, consul_token_file, json } => {
            let consul = consul::settings::Flags { address: consul_addr, token_file: consul_token_file };
            let subjects = templates::Subjects { templates, config, partials };
            templates::explain(&subjects, env, consul, live, json)
        }
    }
}

fn diff(what: Diff) -> Exit {
    let Diff { old, new, haproxy_version: version, running, replaced, commands } = what;
    let verdict = match render::diff::diff(&render::diff::Diff { old, new, version, running, replaced }) {
        Ok(verdict) => verdict,
        Err(why) => {
            eprintln!("{why}");
            return Exit::Usage;
        }
    };
    if commands {
        eprintln!("{verdict}");
        verdict.orders().iter().flat_map(render::Order::commands).for_each(|line| println!("{line}"));
    } else {
        println!("{verdict}");
    }
    if verdict.is_refusal() { Exit::Failed } else { Exit::Done }
}

fn failover(order: &Failover, env: &Environment) -> Exit {
    let common = &order.common;
    let config = match register::RegisterConfig::load(&common.config, env, &common.register_flags()) {
        Ok(config) => config,
        Err(mistakes) => return refuse(&mistakes),
    };
    let (service, limit) = (order.service.clone(), order.timeout);
    telemetry::init(config.admin.level, config.admin.json);
    // What was ordered is not stopped half-way: it has a limit of its own.
    daemon::run(limit * 2, async move |leaving| {
        let (say, stop) = (|text: &str| println!("{text}"), || leaving.is_signaled());
        match register::failover::failover(&config, service.as_deref(), limit, say, stop).await {
            Ok(done) => {
                println!("switched from {} to {}; no acknowledged write was lost", done.from, done.to);
                Exit::Done
            }
            Err(error) => {
                eprintln!("failover {error}");
                Exit::Failed
            }
        }
    })
}

/// Which program a configuration is for.
enum For {
    Register,
    Render,
}

/// What it holds, services or templates, tells which program a configuration is for.
fn program(paths: &[PathBuf]) -> Result<For, Mistakes> {
    let repeatable: Vec<&str> = ["service"].into_iter().chain(render::config::REPEATABLE).collect();
    let mut mistakes = Mistakes::default();
    let top = config::read(paths, &repeatable, &mut mistakes);
    match (top.has("service"), top.has("template")) {
        _ if !mistakes.is_empty() => Err(mistakes),
        (true, false) => Ok(For::Register),
        (false, true) => Ok(For::Render),
        (both, _) => {
            let why = if both {
                "holds services and templates; give each program its own file"
            } else {
                "holds neither a service {} block (for register) nor a template {} block (for render)"
            };
            top.mistake("service", why, &mut mistakes);
            Err(mistakes)
        }
    }
}

/// A file is checked as the program that it is for.
fn check(paths: &[PathBuf], env: Environment) -> Exit {
    let result = program(paths).and_then(|program| match program {
        For::Register => register::RegisterConfig::load(paths, &env, &Default::default()).map(|_| vec![]),
        For::Render => render::load(paths, env, &Default::default()).map(|loaded| loaded.warnings),
    });
    match result {
        Ok(warnings) => valid(&warnings),
        Err(mistakes) => refuse(&mistakes),
    }
}

fn valid(warnings: &[Mistake]) -> Exit {
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    println!("the configuration is valid");
    Exit::Done
}

fn refuse(mistakes: &Mistakes) -> Exit {
    eprintln!("{mistakes}");
    Exit::Usage
}

fn print(config: Value) -> Exit {
    println!("{:#}", known(config));
    Exit::Done
}

/// Leaves out what is not set.
fn known(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let all = all.into_iter().filter(|(_, value)| !value.is_null());
            all.map(|(key, value)| (key, known(value))).collect()
        }
        Value::Array(all) => all.into_iter().map(known).collect(),
        other => other,
    }
}
