//! Puts the program together: reads its templates, opens its doors, starts a keeper for each template.

use crate::{
    apply::{Reader, Target},
    config::{Flags, HaproxyConfig, REPEATABLE, RenderConfig, TemplateConfig},
    facts::Facts,
    functions::Setting,
    haproxy::{
        master::Master,
        steward::{Applied, Steward},
    },
    keeper::{Keeper, Memory},
    ledger::Ledger,
    machine::Machine,
    metrics::Metrics,
    questions::{self, Asks},
    report::Report,
    status::{self, TemplateStatus},
    steer::{Helm, Policy},
    template::{self, Template, TemplateError},
};
use ::config::{Environment, Mistakes, Place};
use consul::{Client, Session};
use daemon::{
    admin,
    clock::unix_millis,
    exit::Exit,
    metrics as daemon_metrics,
    notify::{Notify, Vitals},
    ready::{Awaited, Ready},
    shutdown::Leaving,
};
use prometheus_client::registry::Registry;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// The programs beside the instances tell a Consul that came back empty of them within seconds; an agent that has them
/// does within a minute.
const QUARANTINE: Duration = Duration::from_secs(60);

/// A checked configuration with its parsed templates.
pub struct Loaded {
    /// The configuration.
    pub config: RenderConfig,
    templates: Vec<Box<dyn Template>>,
}

impl Loaded {
    /// The parsed templates, in the order of the configuration.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &dyn Template> {
        self.templates.iter().map(AsRef::as_ref)
    }
}

/// Reads configuration and templates, and reports every mistake in all of them.
pub fn load(paths: &[PathBuf], env: Environment, flags: &Flags) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let top = ::config::read(paths, &REPEATABLE, &mut mistakes);
    let config = RenderConfig::read(top, &env, flags, &mut mistakes);
    let env = Arc::new(without_secrets(env));
    let mut templates = vec![];
    let machine = Arc::<Machine>::default();
    for template in &config.templates {
        match parse(template, &env, &machine) {
            Ok(parsed) => templates.push(parsed),
            Err(TemplateError { name, line, column, reason }) => {
                mistakes.note(Place::at(name, line).column(column), "", reason);
            }
        }
    }
    mistakes.into_result(Loaded { config, templates })
}

fn parse(
    template: &TemplateConfig,
    env: &Arc<Environment>,
    machine: &Arc<Machine>,
) -> Result<Box<dyn Template>, TemplateError> {
    let source = &template.source;
    let unreadable = |e| TemplateError::of(source, format!("the template cannot be read: {e}"));
    let text = match &template.contents {
        Some(contents) => contents.clone(),
        None => fs::read_to_string(source).map_err(unreadable)?,
    };
    let setting = Setting {
        env: Arc::clone(env),
        outside: Arc::<Machine>::clone(machine),
        denied: template.denied.clone(),
        sandbox: template.sandbox.clone(),
        plugins: template.plugins,
    };
    template::parse(source, &text, &template.dialect, Arc::new(setting))
}

/// The environment as templates may see it.
fn without_secrets(mut env: Environment) -> Environment {
    daemon::child::SECRETS.iter().for_each(|name| _ = env.remove(*name));
    env
}

/// Runs until told to leave, or until each template is done with when that is all that was asked for.
pub async fn run(loaded: Loaded, systemd: Option<Notify>, leaving: Leaving) -> Exit {
    let Loaded { config, templates } = loaded;
    let client = match Client::new(&config.consul) {
        Ok(client) => client.allow_stale(config.max_stale).doubt_for(QUARANTINE),
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Failed;
        }
    };
    let session = Session::start(&client);
    let mut registry = daemon_metrics::registry(env!("CARGO_PKG_VERSION"));
    let ready = Ready::default();
    let (facts_tx, facts) = watch::channel(Facts::default());
    let metrics = Metrics::register(&mut registry, facts.clone());

    let mut keepers = JoinSet::new();
    let report = |template: &TemplateConfig| {
        let destination = template.destination.path().display().to_string();
        Report::new(template.source.display().to_string(), destination, metrics.clone())
    };
    let reports: Vec<Report> = config.templates.iter().map(report).collect();
    let statuses: Vec<_> = reports.iter().map(Report::subscribe).collect();
    let runs: Vec<Arc<tokio::sync::Notify>> = config.templates.iter().map(|_| Arc::default()).collect();
    let (all, asked) = watch::channel(questions::Asked::default());
    for (position, ((template, parsed), report)) in
        config.templates.iter().zip(templates).zip(reports).enumerate()
    {
        let awaited = ready.await_for(format!("first text of {}", template.destination.path().display()));
        let asks = Asks { position, all: all.clone() };
        let mut keeper = keeper(&config, template, (parsed, asks), facts.clone(), report, awaited);
        keeper.runs = Arc::clone(&runs[position]);
        let reads = config.templates.iter().zip(&runs).filter(|(other, _)| other.haproxy.is_some());
        keeper.readers = reads.map(|(_, runs)| Arc::clone(runs)).collect();
        let beside = config.templates.iter().zip(&statuses).filter(|(other, _)| other.haproxy.is_none());
        let file = |other: &TemplateConfig| other.destination.path().to_owned();
        keeper.beside = beside.map(|(other, status)| (file(other), status.clone())).collect();
        let steward = steward(&config, template, &keeper);
        keepers.spawn(together(keeper.keep(leaving.clone()), steward));
    }
    drop(all);
    if let Some(systemd) = systemd {
        tokio::spawn(systemd.keep(vitals(ready.clone(), statuses.clone()), leaving.clone()));
    }
    tokio::spawn(questions::follow(client.clone(), asked, facts_tx));
    if let Some(address) = config.admin.address {
        let bound = match admin::bind(address).await {
            Ok(bound) => bound,
            Err(error) => {
                tracing::error!("{error}");
                return Exit::Failed;
            }
        };
        tokio::spawn(bound.serve(pages(&client, &ready, registry, facts, statuses), leaving));
    }
    let ended = keepers.join_all().await;
    session.end().await;
    ended.into_iter().find(|exit| *exit != Exit::Done).unwrap_or(Exit::Done)
}

/// What systemd is told. Templates may have nothing to do for hours, so that the thread answers is all that can be said.
fn vitals(
    ready: Ready,
    statuses: Vec<watch::Receiver<TemplateStatus>>,
) -> Vitals<impl Fn() -> String, impl FnMut(Instant) -> bool> {
    let summary = move || {
        let wrong = statuses.iter().find_map(|status| status.borrow().error.clone());
        wrong.unwrap_or_else(|| format!("templates that follow Consul: {}", statuses.len()))
    };
    Vitals { ready, summary, alive: |_| true }
}

/// A keeper, and the steward of its HAProxy until it is done.
async fn together(keeper: impl Future<Output = Exit>, steward: Option<Steward>) -> Exit {
    let serving = async {
        if let Some(steward) = steward {
            steward.serve().await;
        }
    };
    tokio::join!(keeper, serving).0
}

fn keeper(
    config: &RenderConfig,
    template: &TemplateConfig,
    (parsed, asks): (Box<dyn Template>, Asks),
    facts: watch::Receiver<Facts>,
    report: Report,
    awaited: Awaited,
) -> Keeper {
    Keeper {
        template: parsed,
        target: Target { destination: template.destination.clone(), reader: reader(template) },
        helm: template.haproxy.as_ref().map(|haproxy| {
            let destination = template.destination.clone();
            Helm::new(
                master(haproxy),
                destination,
                haproxy.reload,
                haproxy.reload_interval,
                haproxy.min_instances,
                haproxy.on_demote,
            )
        }),
        patience: template.wait,
        ledger: Ledger::of(template.destination.path()),
        asks,
        facts,
        report,
        applied: watch::channel(Applied::default()).0,
        runs: Arc::default(),
        readers: vec![],
        beside: vec![],
        awaited: Some(awaited),
        dry: config.dry,
        once: config.once,
        memory: Memory::new(tokio::time::Instant::now()),
    }
}

fn steward(config: &RenderConfig, template: &TemplateConfig, keeper: &Keeper) -> Option<Steward> {
    let haproxy = template.haproxy.as_ref().filter(|_| !config.dry)?;
    Some(Steward {
        master: master(haproxy),
        most_old: haproxy.max_old_workers,
        demote: haproxy.on_demote,
        applied: keeper.applied.subscribe(),
        runs: Arc::clone(&keeper.runs),
        report: keeper.report.clone(),
    })
}

fn master(haproxy: &HaproxyConfig) -> Master {
    Master { socket: haproxy.master_socket.clone(), stats: haproxy.stats_socket.clone() }
}

fn reader(template: &TemplateConfig) -> Reader {
    match (&template.haproxy, &template.command) {
        (Some(haproxy), _) => Reader::Haproxy {
            master: master(haproxy),
            binary: haproxy.binary.clone(),
            reloads: haproxy.reload != Policy::Never,
        },
        (None, Some(command)) => Reader::Command(command.clone()),
        (None, None) => Reader::Nobody,
    }
}

fn pages(
    client: &Client,
    ready: &Ready,
    registry: Registry,
    facts: watch::Receiver<Facts>,
    statuses: Vec<watch::Receiver<TemplateStatus>>,
) -> admin::Pages {
    let (address, waits) = (client.settings().address.clone(), ready.clone());
    admin::Pages {
        ready: ready.clone(),
        metrics: Arc::new(move || daemon_metrics::text(&registry)),
        status: Arc::new(move || {
            let templates: Vec<_> = statuses.iter().map(|status| status.borrow().clone()).collect();
            let heard_ms = |heard: tokio::time::Instant| unix_millis() - heard.elapsed().as_secs_f64() * 1e3;
            status::page(&address, &waits.awaited(), &facts.borrow().clone(), &templates, heard_ms)
        }),
        view: crate::page::page,
        orders: admin::Orders::default(),
    }
}
