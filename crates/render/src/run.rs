//! Puts one reading of the configuration to work: reads its templates, opens its doors, starts a keeper for each
//! template.

use crate::{
    apply::Target,
    config::{Flags, HaproxyConfig, REPEATABLE, RenderConfig, TemplateConfig},
    exec::Files,
    facts::Facts,
    files::Folder,
    fleet::Fleet,
    follow::Follower,
    functions::Setting,
    gate::Gate,
    haproxy::{
        outline::Recent,
        steward::{Applied, Steward},
    },
    keeper::{Fatal, Keeper, Memory},
    ledger::Ledger,
    machine::Machine,
    metrics::{Metrics, Places},
    partials,
    questions::{self, Asks, Heard},
    report::Report,
    sharing::{self, Sharing},
    status::{self, HaproxyStatus, TemplateStatus},
    steer::Helm,
    template::{self, Dialect, Language, Template, TemplateError},
    waiting,
};
use ::config::{Environment, Mistake, Mistakes, Place};
use consul::{Client, Session, shared::Member};
use daemon::{
    admin,
    clock::unix_millis,
    exit::Exit,
    metrics as daemon_metrics,
    notify::Vitals,
    ready::{Awaited, Ready},
    shutdown::{self, Leaving, Shutdown},
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
    /// What its writer should know.
    pub warnings: Vec<Mistake>,
    templates: Vec<Box<dyn Template>>,
    /// What each has in common with the equal ones of other hosts.
    names: Vec<String>,
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
    let (mut templates, mut names) = (vec![], vec![]);
    let machine = Arc::<Machine>::default();
    for template in &config.templates {
        let scope = [&config.consul.namespace, &config.consul.partition];
        let parsed = read(template).and_then(|read| {
            names.push(sharing::name(&read.0, &read.1, &template.denied, scope));
            parsed(template, &read, &env, &machine)
        });
        match parsed {
            Ok(parsed) => templates.push(parsed),
            Err(TemplateError { name, line, column, reason }) => {
                mistakes.note(Place::at(name, line).column(column), "", reason);
            }
        }
    }
    let warnings = mistakes.warnings().to_vec();
    mistakes.into_result(Loaded { config, warnings, templates, names })
}

/// The text of a template, and its dialect with the partials that it may use.
fn read(template: &TemplateConfig) -> Result<(String, Dialect), TemplateError> {
    let source = &template.source;
    let name = source.display().to_string();
    let unreadable = |e| TemplateError::of(name.clone(), format!("the template cannot be read: {e}"));
    let text = match &template.contents {
        Some(contents) => contents.clone(),
        None => fs::read_to_string(source).map_err(unreadable)?,
    };
    let language = template.dialect.language.unwrap_or_else(|| Language::of(source));
    let partials = match &template.partials {
        Some(folder) => partials::read(folder, language)?,
        None => vec![],
    };
    Ok((text, Dialect { partials, ..template.dialect.clone() }))
}

/// Reads and parses a template.
pub(crate) fn parse(
    template: &TemplateConfig,
    env: &Arc<Environment>,
    machine: &Arc<Machine>,
) -> Result<Box<dyn Template>, TemplateError> {
    parsed(template, &read(template)?, env, machine)
}

fn parsed(
    template: &TemplateConfig,
    (text, dialect): &(String, Dialect),
    env: &Arc<Environment>,
    machine: &Arc<Machine>,
) -> Result<Box<dyn Template>, TemplateError> {
    let setting = Setting {
        env: Arc::clone(env),
        outside: Arc::<Machine>::clone(machine),
        denied: template.denied.clone(),
        sandbox: template.sandbox.clone(),
        plugins: template.plugins,
        many: template.many.is_some(),
        records: template.records,
    };
    template::parse(&template.source, text, dialect, Arc::new(setting))
}

/// The environment as templates may see it.
pub(crate) fn without_secrets(mut env: Environment) -> Environment {
    daemon::child::SECRETS.iter().for_each(|name| _ = env.remove(*name));
    env
}

/// What is shown of the program at work.
#[derive(Clone)]
pub(crate) struct Shown {
    address: String,
    registry: Arc<Registry>,
    heard: Heard,
    shared: Option<sharing::Shown>,
    statuses: Vec<watch::Receiver<TemplateStatus>>,
}

/// The ends of the channels that outlive one reading of the configuration.
pub(crate) struct Outside {
    pub(crate) shown: watch::Sender<Option<Shown>>,
    pub(crate) files: watch::Sender<Files>,
}

/// Works until told to leave, or until each template is done with when that is all that was asked for, or until a
/// failure that is to be the end. What is awaited is added to `ready`, before `held` is let go.
pub(crate) async fn work(
    loaded: Loaded,
    outside: &Outside,
    (ready, held): (Ready, Option<Awaited>),
    leaving: Leaving,
) -> Exit {
    let Loaded { config, templates, names, .. } = loaded;
    let client = match Client::new(&config.consul) {
        Ok(client) => client.allow_stale(config.max_stale).allow_cached(config.cached).doubt_for(QUARANTINE),
        Err(error) => {
            tracing::error!("{error}");
            return Exit::Failed;
        }
    };
    let session = Session::start(&client);
    let mut registry = daemon_metrics::registry(env!("CARGO_PKG_VERSION"));
    let (facts_tx, facts) = watch::channel(Facts::default());
    let heard = Heard::beside(facts.clone());
    let metrics = Metrics::register(&mut registry, heard.clone());
    // One keeper's failure may be the end of all.
    let (end, inner) = shutdown::channel();

    let mut keepers = JoinSet::new();
    let reports: Vec<Report> =
        config.templates.iter().map(|template| report(template, metrics.clone())).collect();
    let statuses: Vec<_> = reports.iter().map(Report::subscribe).collect();
    let runs: Vec<Arc<tokio::sync::Notify>> = config.templates.iter().map(|_| Arc::default()).collect();
    let beside = config.templates.iter().zip(&statuses).filter(|(template, _)| template.haproxies.is_empty());
    let beside: Arc<[_]> =
        beside.map(|(template, status)| (template.destination.path().to_owned(), status.clone())).collect();
    let (all, asked) = watch::channel(questions::Asked::default());
    for (position, ((template, parsed), report)) in
        config.templates.iter().zip(templates).zip(reports).enumerate()
    {
        let awaited = ready.await_for(format!("first text of {}", template.destination.path().display()));
        let asks = Asks { position, all: all.clone() };
        let runs_here = Arc::clone(&runs[position]);
        let recent = Recent::default();
        let (fleet, stewards) = fleet(template, &report, &runs_here, &recent);
        let mut keeper = keeper(&config, template, (parsed, asks), facts.clone(), report, awaited);
        keeper.gate.recent = recent;
        (keeper.fleet, keeper.runs) = (fleet, runs_here);
        let reads = config.templates.iter().zip(&runs).filter(|(other, _)| !other.haproxies.is_empty());
        keeper.readers = reads.map(|(_, runs)| Arc::clone(runs)).collect();
        keeper.gate.beside = Arc::clone(&beside);
        let stewards = if config.dry { vec![] } else { stewards };
        keepers.spawn(together(keeper.keep(inner.clone()), stewards));
    }
    drop((all, inner, held));
    let address = client.settings().address.clone();
    let choice = config.deduplicate.as_ref().filter(|_| !config.once && !config.dry);
    let (sharing, members) = match choice {
        Some(choice) => Sharing::join(&client, choice, &names),
        None => (Sharing::none(), vec![]),
    };
    let shared = choice.map(|_| sharing.shown(names));
    if let Some(shown) = shared.clone() {
        let destinations = config.templates.iter().map(|one| one.destination.path().display().to_string());
        registry.register_collector(Box::new(Places { shown, destinations: destinations.collect() }));
    }
    let shown = Shown {
        address,
        registry: Arc::new(registry),
        heard: heard.clone(),
        shared,
        statuses: statuses.clone(),
    };
    outside.shown.send_replace(Some(shown));
    let before = outside.files.borrow().changes;
    let gathering = tokio::spawn(gather(before, statuses.clone(), ready.clone(), outside.files.clone()));
    let waiting = tokio::spawn(waiting::tell(heard.clone(), statuses.clone(), metrics));
    tokio::spawn(questions::follow(client.clone(), asked, facts_tx, heard, sharing));
    let exit = ended(keepers, &config, facts, end, leaving).await;
    gathering.abort();
    waiting.abort();
    // The last change may not have been told yet.
    tell(&outside.files, counted(before, &statuses, &ready));
    members.into_iter().map(Member::leave).collect::<JoinSet<()>>().join_all().await;
    session.end().await;
    exit
}

/// Waits for the keepers' end, which one failure may bring about for all.
async fn ended(
    mut keepers: JoinSet<Exit>,
    config: &RenderConfig,
    mut facts: watch::Receiver<Facts>,
    end: Shutdown,
    mut leaving: Leaving,
) -> Exit {
    let mut worst = Exit::Done;
    loop {
        tokio::select! {
            ended = keepers.join_next() => match ended {
                None => return worst,
                Some(ended) => {
                    let exit = ended.unwrap_or(Exit::Aborted);
                    if exit != Exit::Done {
                        worst = exit;
                    }
                    if exit != Exit::Done && !config.once {
                        end.tell();
                    }
                }
            },
            () = leaving.signaled(), if !end.was_told() => end.tell(),
            () = given_up(&mut facts, config.process.attempts), if worst == Exit::Done && !end.was_told() => {
                worst = Exit::Failed;
                end.tell();
            }
        }
    }
}

/// Waits until some question failed so often in a row that it is to be the end; for ever for 0.
async fn given_up(facts: &mut watch::Receiver<Facts>, attempts: u32) {
    let failed = |facts: &Facts| {
        let mut failed = facts.iter().filter(|(_, watched)| watched.failures >= attempts);
        failed.next().map(|(query, _)| query.to_string())
    };
    if attempts > 0
        && let Ok(facts) = facts.wait_for(|facts| failed(facts).is_some()).await
    {
        let query = failed(&facts);
        tracing::error!(query, attempts, "Consul gave no good answer, and exit_on_error is set");
        return;
    }
    std::future::pending().await
}

/// Adds up how the files stand, for those who read them.
async fn gather(
    before: u64,
    statuses: Vec<watch::Receiver<TemplateStatus>>,
    ready: Ready,
    files: watch::Sender<Files>,
) {
    let news = Arc::new(tokio::sync::Notify::new());
    let mut waits = JoinSet::new();
    for mut status in statuses.clone() {
        let news = Arc::clone(&news);
        waits.spawn(async move {
            while status.changed().await.is_ok() {
                news.notify_one();
            }
        });
    }
    loop {
        tell(&files, counted(before, &statuses, &ready));
        news.notified().await;
    }
}

fn counted(before: u64, statuses: &[watch::Receiver<TemplateStatus>], ready: &Ready) -> Files {
    let changes = before + statuses.iter().map(|status| status.borrow().writes).sum::<u64>();
    Files { complete: ready.is_ready(), changes }
}

fn tell(files: &watch::Sender<Files>, now: Files) {
    files.send_if_modified(|files| std::mem::replace(files, now) != now);
}

/// What systemd is told. Templates may have nothing to do for hours, so that the thread answers is all that can be said.
pub(crate) fn vitals(
    ready: Ready,
    shown: watch::Receiver<Option<Shown>>,
) -> Vitals<impl Fn() -> String, impl FnMut(Instant) -> bool> {
    let summary = move || {
        let statuses = shown.borrow().as_ref().map(|shown| shown.statuses.clone()).unwrap_or_default();
        let wrong = statuses.iter().find_map(|status| status.borrow().whole_error());
        wrong.unwrap_or_else(|| format!("templates that follow Consul: {}", statuses.len()))
    };
    Vitals { ready, summary, alive: |_| true }
}

/// A keeper, and the stewards of its HAProxies until it is done.
async fn together(keeper: impl Future<Output = Exit>, stewards: Vec<Steward>) -> Exit {
    let serving: JoinSet<()> = stewards.into_iter().map(Steward::serve).collect();
    tokio::join!(keeper, serving.join_all()).0
}

fn report(template: &TemplateConfig, metrics: Metrics) -> Report {
    let destination = template.destination.path().display().to_string();
    let haproxies = template.haproxies.iter().map(|haproxy| HaproxyStatus {
        name: haproxy.name.clone(),
        address: haproxy.door.address(),
        ..HaproxyStatus::default()
    });
    Report::new(template.source.display().to_string(), destination, haproxies.collect(), metrics)
}

/// The HAProxies that read a template's file, each with its steward.
fn fleet(
    template: &TemplateConfig,
    report: &Report,
    runs: &Arc<tokio::sync::Notify>,
    recent: &Recent,
) -> (Fleet, Vec<Steward>) {
    let followers = template.haproxies.iter().zip(report.haproxies()).map(|(haproxy, report)| {
        let destination = template.destination.read_by(vec![haproxy.name.clone()]);
        let (applied, told) = watch::channel(Applied::default());
        let runs = Arc::clone(runs);
        let HaproxyConfig { door, max_old_workers, on_demote, .. } = haproxy.clone();
        let steward = Steward::new(door.clone(), max_old_workers, on_demote, told, runs, report.clone());
        let helm =
            Helm::new(door, destination, haproxy.reload, haproxy.reload_interval, on_demote, recent.clone());
        (Follower::new(helm, report, applied), steward)
    });
    let (followers, stewards) = followers.unzip();
    (Fleet::new(followers), stewards)
}

fn target(template: &TemplateConfig) -> Target {
    let names: Vec<_> = template.haproxies.iter().map(|haproxy| haproxy.name.clone()).collect();
    let destination = &template.destination;
    Target {
        destination: if names.is_empty() { destination.clone() } else { destination.read_by(names) },
        folder: template.many.map(|gone| Folder::new(destination.clone(), gone)),
        checks: template.haproxies.iter().map(|haproxy| haproxy.binary.clone()).collect(),
        command: template.command.clone(),
    }
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
        target: target(template),
        fleet: Fleet::default(),
        gate: Gate::new(template.haproxies.iter().map(|haproxy| haproxy.enough)),
        patience: template.wait,
        ledger: Ledger::of(template.destination.path()),
        asks,
        facts,
        report,
        runs: Arc::default(),
        readers: vec![],
        awaited: Some(awaited),
        dry: config.dry,
        once: config.once,
        fatal: Fatal { template: template.error_fatal, others: config.process.exit_on_error },
        memory: Memory::new(tokio::time::Instant::now()),
    }
}

pub(crate) fn pages(ready: &Ready, shown: &watch::Receiver<Option<Shown>>) -> admin::Pages {
    let (waits, metrics, statuses) = (ready.clone(), shown.clone(), shown.clone());
    admin::Pages {
        ready: ready.clone(),
        metrics: Arc::new(move || {
            let registry = metrics.borrow().as_ref().map(|shown| Arc::clone(&shown.registry));
            registry.map(|registry| daemon_metrics::text(&registry)).unwrap_or_default()
        }),
        status: Arc::new(move || {
            let Some(shown) = statuses.borrow().clone() else { return serde_json::Value::Null };
            let templates: Vec<_> = shown.statuses.iter().map(|status| status.borrow().clone()).collect();
            let unix_ms = |at: tokio::time::Instant| unix_millis() - at.elapsed().as_secs_f64() * 1e3;
            status::page(
                &shown.address,
                &waits.awaited(),
                &shown.heard.now(),
                (&templates, &shown.shared.map(|shared| shared.places()).unwrap_or_default()),
                unix_ms,
            )
        }),
        view: crate::page::page,
        orders: admin::Orders::default(),
    }
}
