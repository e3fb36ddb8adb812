//! A small world: three instances with an agent each, three Sentinels, the catalog and one renderer. Everything that
//! decides is the real thing; `search` tries every order of steps, `orders` long random ones. See the README for what
//! that proves.

mod flaws;
mod key;
mod orders;
mod search;

use super::*;
use crate::{
    pointer::Sight,
    sentinel::{Answer, Failover, Named, Report, hello::Hello},
};
use consul::{
    Instance,
    election::{Election, elect},
    instance::meta,
};
use flaws::Flaw;
use std::{collections::BTreeMap, rc::Rc};

const ALL: [usize; 3] = [0, 1, 2];
const TICK: Duration = Duration::from_millis(1);

/// Whom a Sentinel promotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promotion {
    to: usize,
    epoch: u64,
    elected: bool,
    /// Whether the order was carried out.
    done: bool,
}

/// What a Sentinel says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    master: usize,
    epoch: u64,
    promotes: Option<Promotion>,
}

/// One Sentinel.
#[derive(Clone, Copy, Debug)]
struct Sentinel {
    word: Word,
    current: u64,
    dead: bool,
}

/// One agent: what it believes and what it has heard.
#[derive(Clone, Debug)]
struct Agent {
    belief: Belief,
    /// Of each Sentinel: when it was asked last, and what it said.
    answers: [Option<(Instant, Option<Word>)>; 3],
    hellos: [Option<(usize, u64)>; 3],
    /// What it last read in the catalog, and when.
    read: Option<([Row; 3], Instant)>,
    /// What that is to it.
    heard: Rc<Evidence>,
}

/// An instance in the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    standing: Option<Standing>,
    /// In which epoch it is master, or was.
    epoch: Option<Epoch>,
    generation: u64,
    passes: bool,
}

/// What may still happen, so that the search ends; and what is unusual.
#[derive(Clone, Copy, Debug, Default)]
struct Chance {
    failovers: u8,
    deaths: u8,
    restarts: u8,
    pauses: u8,
    /// Partitions of instance 0 and Sentinel 0 from the others.
    cuts: u8,
    /// Answers that take a while.
    flights: u8,
    /// Whose registrations take a while.
    slow: Option<usize>,
    /// Whether agents hear the hellos of Sentinels.
    hellos: bool,
    /// Whether the catalog may be out of reach for an agent that asks it.
    blind: bool,
    /// Whether two orders by hand may take one epoch; elections give each once.
    twice: bool,
    /// Whether nobody is advertised anew below an epoch that the catalog has shown.
    strict: bool,
    /// The rule that is broken, to see that this is found.
    flaw: Option<Flaw>,
}

#[derive(Clone, Debug)]
struct World {
    now: Instant,
    roles: [Role; 3],
    sentinels: [Sentinel; 3],
    agents: [Rc<Agent>; 3],
    catalog: [Row; 3],
    /// The latest epoch that the catalog ever showed, and the one that the renderer followed.
    shown: Option<Epoch>,
    followed: Option<Epoch>,
    cut: bool,
    /// An answer under way: to whom, of whom, asked when.
    flight: Option<(usize, usize, Instant, Word)>,
    left: Chance,
    broken: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Elect(usize, usize),
    Order(usize, usize),
    Promote(usize),
    Conclude(usize),
    Hello(usize, usize),
    Demote(usize),
    Die(usize),
    Cut,
    Heal,
    Ask(usize, usize),
    Send(usize, usize),
    Arrive,
    Hear(usize, usize),
    Look(usize),
    Read(usize),
    Miss(usize),
    Publish(usize),
    Restart(usize),
    Pause,
    Render,
}

fn place(instance: usize) -> Place {
    ("10.0.0.1".into(), 7000 + instance as u16)
}

impl Row {
    /// What `plan::desired` makes of it; a test below holds the two together.
    fn of(belief: &Belief) -> Row {
        let master = belief.standing == Standing::Master;
        Row {
            standing: Some(belief.standing),
            epoch: if master { belief.epoch } else { belief.last_epoch() },
            generation: belief.generation,
            passes: belief.failure.is_none() && belief.standing.role().is_some(),
        }
    }

    /// In which epoch it is advertised as master.
    fn advertises(&self) -> Option<Epoch> {
        self.epoch.filter(|_| self.passes && self.standing == Some(Standing::Master))
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let key = if self.standing == Some(Standing::Master) { meta::EPOCH } else { meta::LAST_EPOCH };
        let facts = [
            (meta::ROLE, self.standing.and_then(Standing::word).map(str::to_owned)),
            (key, self.epoch.map(|epoch| epoch.number.to_string())),
            (meta::GENERATION, (self.generation > 0).then(|| self.generation.to_string())),
            (meta::RUN_ID, Some("r".to_owned())),
        ];
        facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

fn rows(catalog: &[Row; 3]) -> Vec<Instance> {
    let there = ALL.into_iter().filter(|one| catalog[*one].standing.is_some());
    let row = |one: usize| Instance {
        node: "n".into(),
        id: format!("i{one}"),
        tags: vec![],
        address: String::new(),
        port: 0,
        meta: catalog[one].facts(),
        status: if catalog[one].passes { "passing" } else { "critical" }.into(),
        written: 0,
    };
    there.map(row).collect()
}

impl Agent {
    fn new() -> Agent {
        let belief = Belief::new(true);
        Agent { belief, answers: [None; 3], hellos: [None; 3], read: None, heard: Rc::default() }
    }

    fn evidence(&self, now: Instant) -> Evidence {
        let mut report = Report::new(ALL.map(|sentinel| format!("s{sentinel}")));
        for (sentinel, (answer, heard)) in report.0.values_mut().zip(self.answers).enumerate() {
            if let Some((asked, word)) = heard {
                let said = word.map_or(Err(String::new()), |word| Ok(word.named(sentinel)));
                *answer = Answer { asked: Some(asked), said, listed: true };
            }
        }
        let hello = |(master, epoch)| Hello { address: place(master), epoch, at: now };
        let hellos = ALL.into_iter().filter_map(|one| Some((format!("s{one}"), hello(self.hellos[one]?))));
        let heard = Evidence::clone(&self.heard);
        let unread = self.read.is_none_or(|(_, asked)| Some(asked) < self.belief.doubts());
        Evidence { report, hellos: hellos.collect(), unread, ..heard }
    }
}

impl Word {
    fn named(self, sentinel: usize) -> Named {
        let failover = self.promotes.map(|Promotion { to, epoch, elected, .. }| Failover {
            address: place(to),
            run_id: None,
            epoch,
            certain: true,
            elected,
            lost: false,
        });
        Named {
            id: Some(format!("s{sentinel}")),
            address: place(self.master),
            run_id: None,
            epoch: self.epoch,
            failover,
            known: 3,
            quorum: 2,
            others: BTreeMap::new(),
        }
    }
}

impl World {
    /// Instance 0 is master in epoch 1, and everybody knows; then this happened.
    fn after(scene: &[Step], left: Chance, base: Instant) -> World {
        let word = Word { master: 0, epoch: 1, promotes: None };
        let mut world = World {
            now: base,
            roles: [Role::Master, Role::Replica, Role::Replica],
            sentinels: [Sentinel { word, current: 1, dead: false }; 3],
            agents: ALL.map(|_| Rc::new(Agent::new())),
            catalog: [Row::default(); 3],
            shown: None,
            followed: None,
            cut: false,
            flight: None,
            left: Chance { slow: None, failovers: 9, deaths: 9, restarts: 9, pauses: 9, ..left },
            broken: None,
        };
        for agent in ALL {
            world.does(Step::Read(agent));
            world.does(Step::Look(agent));
            ALL.iter().for_each(|sentinel| world.does(Step::Ask(agent, *sentinel)));
        }
        ALL.iter().for_each(|agent| world.does(Step::Read(*agent)));
        world.does(Step::Render);
        scene.iter().for_each(|step| world.does(*step));
        World { left, ..world }
    }

    fn together(&self, one: usize, other: usize) -> bool {
        !self.cut || (one == 0) == (other == 0)
    }

    fn voters(&self, by: usize) -> impl Iterator<Item = usize> + '_ {
        ALL.into_iter().filter(move |one| !self.sentinels[*one].dead && self.together(by, *one))
    }

    /// Whether it is, was, or may become master. Nobody else's agent ever says or changes anything.
    fn matters(&self, one: usize) -> bool {
        let chosen = |by: &Sentinel| by.word.promotes.is_some_and(|promotion| promotion.to == one);
        let master = self.roles[one] == Role::Master || self.agents[one].belief.role == Some(Role::Master);
        let may = self.left.failovers > 0 || self.sentinels.iter().any(chosen);
        master || may || self.catalog[one].epoch.is_some()
    }

    /// What may happen next; steps that cannot change anything are left out where that is plain.
    fn steps(&self) -> Vec<Step> {
        let (left, mut steps) = (self.left, vec![Step::Render]);
        for one in ALL {
            self.sentinel_steps(one, &mut steps);
            if !self.matters(one) {
                continue;
            }
            steps.extend([Step::Look(one), Step::Read(one)]);
            steps.extend(left.blind.then_some(Step::Miss(one)));
            let awaited = |from| self.flight.is_some_and(|(to, of, ..)| (to, of) == (one, from));
            let free: Vec<usize> = ALL.into_iter().filter(|from| !awaited(*from)).collect();
            steps.extend(free.iter().map(|from| Step::Ask(one, *from)));
            if left.flights > 0 && self.flight.is_none() {
                steps.extend(free.iter().map(|from| Step::Send(one, *from)));
            }
            if left.hellos {
                let heard = |from: &usize| self.together(one, *from) && !self.sentinels[*from].dead;
                steps.extend(ALL.into_iter().filter(heard).map(|from| Step::Hear(one, from)));
            }
            let rejects = |by: &Word| by.master != one && by.promotes.is_none_or(|choice| choice.to != one);
            let rejected = self.voters(one).all(|by| rejects(&self.sentinels[by].word));
            if self.roles[one] == Role::Master && rejected && self.voters(one).next().is_some() {
                steps.push(Step::Demote(one));
            }
            if left.restarts > 0 {
                steps.push(Step::Restart(one));
            }
        }
        let others = [
            (left.slow.is_some(), Step::Publish(left.slow.unwrap_or_default())),
            (left.pauses > 0, Step::Pause),
            (left.cuts > 0 && !self.cut, Step::Cut),
            (self.cut, Step::Heal),
            (self.flight.is_some(), Step::Arrive),
        ];
        steps.extend(others.into_iter().filter_map(|(may, step)| may.then_some(step)));
        steps
    }

    fn sentinel_steps(&self, one: usize, steps: &mut Vec<Step>) {
        let Sentinel { word, dead, .. } = self.sentinels[one];
        if dead {
            return;
        }
        let free = word.promotes.is_none() && self.left.failovers > 0;
        let whom = ALL.into_iter().filter(|to| free && *to != word.master && self.together(one, *to));
        if self.left.twice {
            steps.extend(whom.map(|to| Step::Order(one, to)));
        } else if self.voters(one).count() >= 2 {
            steps.extend(whom.map(|to| Step::Elect(one, to)));
        }
        match word.promotes {
            Some(Promotion { done: false, to, .. }) if self.together(one, to) => {
                steps.push(Step::Promote(one))
            }
            Some(Promotion { done: true, .. }) => steps.push(Step::Conclude(one)),
            _ => {}
        }
        let news = |to: &usize| self.sentinels[*to].word.epoch < word.epoch;
        steps.extend(self.voters(one).filter(news).map(|to| Step::Hello(one, to)));
        if self.left.deaths > 0 {
            steps.push(Step::Die(one));
        }
    }

    fn does(&mut self, step: Step) {
        self.now += TICK;
        match step {
            Step::Elect(by, to) => {
                // A majority votes, each once in an epoch: so nobody else is elected in it.
                let voters: Vec<usize> = self.voters(by).collect();
                let last = voters.iter().map(|one| self.sentinels[*one].current).max();
                let epoch = last.unwrap_or_default() + 1;
                voters.iter().for_each(|one| self.sentinels[*one].current = epoch);
                self.sentinels[by].word.promotes = Some(Promotion { to, epoch, elected: true, done: false });
                self.left.failovers -= 1;
            }
            Step::Order(by, to) => {
                let Sentinel { word, current, .. } = &mut self.sentinels[by];
                *current += 1;
                word.promotes = Some(Promotion { to, epoch: *current, elected: false, done: false });
                self.left.failovers -= 1;
            }
            Step::Promote(by) => {
                if let Some(Promotion { to, done, .. }) = &mut self.sentinels[by].word.promotes {
                    *done = true;
                    self.roles[*to] = Role::Master;
                }
            }
            Step::Conclude(by) => {
                let word = &mut self.sentinels[by].word;
                if let Some(Promotion { to, epoch, .. }) = word.promotes {
                    *word = Word { master: to, epoch, promotes: None };
                }
            }
            Step::Hello(from, to) => {
                // Another master in a later epoch ends whatever fail-over it leads.
                let Sentinel { word, current, .. } = self.sentinels[from];
                let hearer = &mut self.sentinels[to];
                hearer.word = Word { promotes: None, ..word };
                hearer.current = hearer.current.max(current);
            }
            Step::Demote(one) => self.roles[one] = Role::Replica,
            Step::Die(one) => {
                self.sentinels[one].dead = true;
                self.left.deaths -= 1;
            }
            Step::Cut => {
                self.cut = true;
                self.left.cuts -= 1;
            }
            Step::Heal => self.cut = false,
            Step::Pause => {
                self.now += STALL;
                self.left.pauses -= 1;
            }
            Step::Render => self.render(),
            Step::Publish(one) => self.publish(one),
            _ => self.agent_does(step),
        }
    }

    fn agent_does(&mut self, step: Step) {
        let now = self.now;
        let says = |world: &World, to, from| {
            let Sentinel { word, dead, .. } = world.sentinels[from];
            Some(word).filter(|_| !dead && world.together(to, from))
        };
        match step {
            Step::Ask(to, from) => {
                let said = says(self, to, from);
                self.judge(to, |agent| agent.answers[from] = Some((now, said)));
            }
            Step::Send(to, from) => {
                self.flight = says(self, to, from).map(|word| (to, from, now, word));
                self.left.flights -= 1;
            }
            Step::Arrive => {
                if let Some((to, from, asked, word)) = self.flight.take() {
                    self.judge(to, |agent| agent.answers[from] = Some((asked, Some(word))));
                }
            }
            Step::Hear(to, from) => {
                let Word { master, epoch, .. } = self.sentinels[from].word;
                self.judge(to, |agent| agent.hellos[from] = Some((master, epoch)));
            }
            Step::Look(one) => {
                let life = Life { run_id: Some("r".into()), connection: 1 };
                let seen = Sighting::Answer { role: self.roles[one], word: "x".into(), epoch: None, life };
                self.judge(one, |agent| agent.belief = agent.belief.clone().saw(seen, now));
            }
            Step::Read(one) => {
                let catalog = self.catalog;
                let heard = Evidence::of(&format!("i{one}"), false, &rows(&catalog), Sight::None);
                self.judge(one, |agent| (agent.read, agent.heard) = (Some((catalog, now)), Rc::new(heard)));
            }
            Step::Miss(one) => self.judge(one, |agent| {
                agent.read = Some((agent.read.map(|(rows, _)| rows).unwrap_or_default(), now));
            }),
            Step::Restart(one) => {
                self.agents[one] = Rc::new(Agent::new());
                self.flight = self.flight.filter(|(to, ..)| *to != one);
                self.left.restarts -= 1;
            }
            _ => {}
        }
    }

    fn judge(&mut self, one: usize, hears: impl FnOnce(&mut Agent)) {
        let agent = Rc::make_mut(&mut self.agents[one]);
        hears(agent);
        let names = Names(BTreeSet::from([place(one)]));
        let evidence = agent.evidence(self.now);
        agent.belief = Flaw::judged(self.left.flaw, &agent.belief, evidence, &names, self.now);
        if self.left.slow != Some(one) {
            self.publish(one);
        }
    }

    fn publish(&mut self, one: usize) {
        if !self.agents[one].belief.is_settled() {
            return;
        }
        let next = Row::of(&self.agents[one].belief);
        let (was, is) = (self.catalog[one].advertises(), next.advertises());
        if self.left.strict && is.is_some() && is != was && is < self.shown {
            self.broken = Some(format!("{one} is advertised anew in epoch {is:?}, after {:?}", self.shown));
        }
        self.catalog[one] = Flaw::written(self.left.flaw, next);
        self.shown = self.shown.max(is);
    }

    fn render(&mut self) {
        let rows = rows(&self.catalog);
        let claims: Vec<&Instance> =
            rows.iter().filter(|row| row.claims_master() && row.status == "passing").collect();
        if let Election::One(n) = elect(&claims, Flaw::ledger(self.left.flaw, self.followed)) {
            let epoch = claims[n].epoch();
            if epoch < self.followed {
                self.broken = Some(format!("the renderer went back from {:?} to {epoch:?}", self.followed));
            }
            self.followed = epoch;
        }
    }

    /// What must hold in every state.
    fn is_sound(&self) -> Result<(), String> {
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        for (one, Agent { belief, .. }) in self.agents.iter().map(Rc::as_ref).enumerate() {
            if belief.standing == Standing::Master && belief.role != Some(Role::Master) {
                return Err(format!("{one} is a master that does not say so"));
            }
            if belief.standing == Standing::Master && belief.is_settled() && belief.epoch.is_none() {
                return Err(format!("{one} is master without an epoch"));
            }
        }
        let crowned = |one: usize| {
            let belief = &self.agents[one].belief;
            let counts = belief.is_settled() && (!self.left.twice || belief.confirmed);
            belief.epoch.filter(|_| belief.standing == Standing::Master && counts)
        };
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            if crowned(one).is_some() && crowned(one) == crowned(other) {
                return Err(format!("{one} and {other} are crowned in one epoch"));
            }
            let (here, there) = (self.catalog[one].advertises(), self.catalog[other].advertises());
            if here.is_some() && here == there && !self.left.twice {
                return Err(format!("{one} and {other} are advertised in one epoch"));
            }
        }
        Ok(())
    }
}

#[test]
fn a_row_of_the_model_says_what_the_plan_would() {
    let name = |belief: &Belief| {
        let wish = crate::plan::desired(&crate::plan::tests::me(), belief);
        let mut meta = crate::plan::tests::entry(&wish).meta;
        meta.retain(|key, _| [meta::ROLE, meta::EPOCH, meta::LAST_EPOCH, meta::GENERATION].contains(&&**key));
        (meta, crate::plan::tests::entry(&wish).check.status == consul::Status::Passing)
    };
    for standing in
        [Standing::Unknown, Standing::Replica, Standing::Master, Standing::Candidate, Standing::Fenced]
    {
        for (epoch, crowned, generation, failure) in [
            (Some(3), Some(3), 0, None),
            (None, Some(2), 0, None),
            (None, None, 1, None),
            (Some(4), Some(4), 0, Some("x")),
        ] {
            let (epoch, crowned) = (epoch.map(Epoch::from), crowned.map(Epoch::from));
            let failure = failure.map(str::to_owned);
            let belief =
                Belief { standing, epoch, crowned, generation, failure, settled: true, ..Belief::new(true) };
            let row = Row::of(&belief);
            let mut facts = row.facts();
            facts.remove(meta::RUN_ID);
            assert_eq!((facts, row.passes), name(&belief), "{belief:?}");
        }
    }
}
