use super::*;
use crate::sentinel::{Answer, Failover, Named, Report, hello::Hello};
use Role::{Master, Replica};

const ME: u16 = 6379;
const OTHER: u16 = 6380;
const MS: Duration = Duration::from_millis(1);

/// A story: what happens, at which millisecond.
struct Story {
    start: Instant,
    belief: Belief,
    evidence: Evidence,
    now: Instant,
}

fn place(port: u16) -> Place {
    ("10.0.0.7".into(), port)
}

fn elected(port: u16, epoch: u64) -> Failover {
    Failover { address: place(port), run_id: None, epoch, certain: true, elected: true, lost: false }
}

fn ordered(port: u16, epoch: u64) -> Failover {
    Failover { elected: false, ..elected(port, epoch) }
}

impl Story {
    fn new() -> Story {
        let start = Instant::now();
        let report = Report::new(["s1", "s2", "s3"].map(String::from));
        let evidence = Evidence { report, ..Evidence::default() };
        Story { start, belief: Belief::new(true), evidence, now: start }
    }

    fn judge(&mut self, at: u64) -> &mut Self {
        self.now = self.start + MS * u32::try_from(at).unwrap();
        let names = Names(BTreeSet::from([place(ME)]));
        self.belief = self.belief.clone().judged(&self.evidence, &names, self.now);
        // Checked at each step of every story: a wrong word that lasts for one judgement is told to Consul too.
        let Belief { role, standing, .. } = self.belief;
        assert!(standing != Standing::Master || role == Some(Master), "a master that does not say so");
        self
    }

    fn looks(&mut self, at: u64, sighting: Sighting) -> &mut Self {
        let now = self.start + MS * u32::try_from(at).unwrap();
        self.belief = self.belief.clone().saw(sighting, now);
        self.judge(at)
    }

    fn seen(&mut self, at: u64, role: Role, run_id: &str) -> &mut Self {
        let life = Life { run_id: Some(run_id.into()), connection: 1 };
        self.looks(at, Sighting::Answer { role, word: role.to_string(), epoch: None, life })
    }

    fn failed(&mut self, at: u64) -> &mut Self {
        self.looks(at, Sighting::Failure("no answer".into()))
    }

    fn says(&mut self, at: u64, who: &str, port: u16, epoch: u64, promotes: Option<(u16, u64)>) -> &mut Self {
        let failover = promotes.map(|(port, epoch)| elected(port, epoch));
        self.tells(at, who, port, epoch, failover)
    }

    fn tells(&mut self, at: u64, who: &str, port: u16, epoch: u64, failover: Option<Failover>) -> &mut Self {
        let named = Named {
            id: None,
            address: place(port),
            run_id: None,
            epoch,
            failover,
            known: 3,
            quorum: 2,
            others: Default::default(),
        };
        self.answers(at, who, Ok(named))
    }

    fn answers(&mut self, at: u64, who: &str, said: Result<Named, String>) -> &mut Self {
        let asked = Some(self.start + MS * u32::try_from(at).unwrap());
        self.evidence.report.0.insert(who.into(), Answer { asked, said, listed: true });
        self.judge(at)
    }

    fn silent(&mut self, at: u64) -> &mut Self {
        for who in ["s1", "s2", "s3"] {
            self.answers(at, who, Err("down".into()));
        }
        self
    }

    /// Two of three name this instance in `epoch`, and the third was asked.
    fn crowned(&mut self, at: u64, epoch: u64) -> &mut Self {
        self.says(at, "s1", ME, epoch, None).says(at, "s2", ME, epoch, None);
        if !self.evidence.report.complete(self.belief.doubts()) {
            self.answers(at, "s3", Err("down".into()));
        }
        self
    }

    fn is(&mut self, standing: Standing, epoch: Option<u64>, what: &str) -> &mut Self {
        let belief = &self.belief;
        let number = belief.epoch.map(|epoch| epoch.number);
        assert_eq!((belief.standing, number), (standing, epoch), "{what}: {}", belief.why);
        self
    }
}

/// A master whom a majority names.
pub(crate) fn crowned() -> Belief {
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 3);
    story.belief
}

#[test]
fn a_master_is_crowned_by_a_majority() {
    let mut story = Story::new();
    story.seen(0, Master, "a").says(5, "s1", ME, 3, None);
    assert!(!story.belief.is_settled(), "one of three has answered");
    story.says(6, "s2", ME, 3, None).is(Standing::Unknown, None, "the third may know of another");
    story.answers(7, "s3", Err("down".into())).is(Standing::Master, Some(3), "two of three");
    assert!(story.belief.is_settled() && !story.belief.is_open());

    let mut story = Story::new();
    story.seen(0, Master, "a").says(5, "s1", ME, 3, None).answers(5, "s2", Err("down".into()));
    story.answers(6, "s3", Err("down".into())).is(Standing::Candidate, None, "one of three is none");
    assert!(story.belief.is_settled() && story.belief.is_open());

    let (mut named, mut story) = (Story::new(), Story::new());
    named.says(5, "s1", ME, 3, None);
    let mut answer = named.evidence.report.0["s1"].clone();
    answer.said.as_mut().unwrap().id = Some("one".into());
    for who in ["s1", "s2"] {
        story.evidence.report.0.insert(who.into(), answer.clone());
    }
    story.seen(7, Master, "a");
    assert_ne!(story.belief.standing, Standing::Master, "one Sentinel under two addresses has one vote");
}

#[test]
fn a_promoted_replica_is_crowned_by_the_sentinel_that_promotes_it() {
    let mut story = Story::new();
    story.seen(0, Replica, "a").says(1, "s1", OTHER, 3, None).is(Standing::Replica, None, "it follows");
    assert!(!story.belief.is_open());
    story.says(100, "s1", OTHER, 3, Some((ME, 4))).is(
        Standing::Replica,
        None,
        "chosen, and not yet promoted",
    );
    assert!(story.belief.is_open(), "the Sentinels are asked before it happens");
    story.seen(160, Master, "a").is(Standing::Master, Some(4), "at once, before a majority knows");
    assert!(story.belief.is_settled());
    story.silent(200).is(Standing::Master, Some(4), "also when that Sentinel dies");

    let mut story = Story::new();
    story.seen(0, Replica, "a").says(1, "s1", OTHER, 3, Some((ME, 4))).seen(400, Replica, "a");
    story.seen(5000, Master, "a");
    assert_ne!(story.belief.standing, Standing::Master, "an old choice crowns nobody");
}

#[test]
fn a_promoted_replica_says_nothing_before_the_sentinels_were_asked_again() {
    let mut story = Story::new();
    story.seen(0, Replica, "a");
    for who in ["s1", "s2", "s3"] {
        story.says(5, who, OTHER, 3, None);
    }
    story.is(Standing::Replica, None, "another is master").seen(100, Master, "a");
    assert!(story.belief.is_open() && !story.belief.is_settled(), "what was said of a replica stands");
    let mut stale = Story { belief: story.belief.clone(), evidence: story.evidence.clone(), ..story };
    story.says(103, "s1", OTHER, 3, Some((ME, 4))).is(Standing::Master, Some(4), "it is promoted");
    for who in ["s1", "s2", "s3"] {
        stale.says(103, who, OTHER, 3, None);
    }
    stale.is(Standing::Fenced, None, "nobody promotes it");
    assert!(stale.belief.is_settled());
}

#[test]
fn a_master_is_fenced_by_one_witness() {
    let start = || {
        let mut story = Story::new();
        story.seen(0, Master, "a").crowned(5, 3);
        story
    };
    start().says(100, "s3", OTHER, 4, None).is(Standing::Fenced, Some(3), "a later epoch of another");
    start().says(100, "s3", OTHER, 3, None).is(Standing::Master, Some(3), "no later epoch");
    start().says(100, "s1", ME, 3, Some((OTHER, 4))).is(Standing::Fenced, Some(3), "its successor is chosen");
    let mut story = start();
    story.says(100, "s1", ME, 3, Some((OTHER, 4))).says(200, "s1", ME, 3, None);
    story.is(Standing::Fenced, Some(3), "the fail-over was given up, but what is known to the others?");
    story.says(201, "s2", ME, 3, None).says(202, "s3", ME, 3, None).is(Standing::Master, Some(3), "nothing");
    let mut story = start();
    story.evidence.hellos.insert("x".into(), Hello { address: place(OTHER), epoch: 4, at: story.now });
    story.judge(100).is(Standing::Fenced, Some(3), "a hello");
    let mut story = start();
    story.evidence.rival = Some(Claim { epoch: 4.into(), who: "redis-1".into() });
    story.judge(100).is(Standing::Fenced, Some(3), "the catalog");
    story.evidence.rival = None;
    story.judge(200).is(Standing::Fenced, Some(3), "what was witnessed once stays true");
    story.crowned(300, 5).is(Standing::Master, Some(5), "until it wins itself");
}

#[test]
fn a_crown_is_held_through_silence_and_forgotten_by_a_stall() {
    let start = || {
        let mut story = Story::new();
        story.seen(0, Master, "a").crowned(5, 3);
        story
    };
    start().silent(100).seen(200, Master, "a").is(Standing::Master, Some(3), "no Sentinel speaks");
    start().failed(200).seen(400, Master, "a").is(Standing::Master, Some(3), "a short stall");
    let mut story = start();
    story.silent(100).seen(800, Master, "a");
    assert!(story.belief.failure.is_some() && story.belief.is_settled(), "its own sleep is told at once");
    story.seen(850, Master, "a");
    assert!(!story.belief.is_settled(), "and nothing better is said before the Sentinels are asked anew");
    story.says(900, "s1", OTHER, 3, None).answers(900, "s2", Err("down".into())).answers(
        900,
        "s3",
        Err("down".into()),
    );
    story.is(Standing::Fenced, None, "one that names another is heard, also in the same epoch");
    let mut story = start();
    story.silent(100).seen(800, Master, "a").seen(850, Master, "a").silent(900);
    story.is(Standing::Master, Some(3), "silence of all Sentinels is no witness");
    story.evidence.rival = Some(Claim { epoch: 4.into(), who: "redis-1".into() });
    story.judge(950).is(Standing::Fenced, Some(3), "a later epoch in the catalog is one");
    let mut story = start();
    story.failed(200).failed(400).seen(800, Master, "a").crowned(810, 3);
    story.is(Standing::Master, Some(3), "crowned again");
    let mut story = start();
    story.seen(200, Master, "b").silent(300).is(Standing::Candidate, None, "a restarted process begins anew");
    let mut story = Story::new();
    story.evidence.own = Some(("a".into(), 3.into()));
    story.seen(0, Master, "a").silent(100).is(
        Standing::Master,
        Some(3),
        "the catalog remembers for a new agent",
    );
    let mut story = Story::new();
    story.evidence.own = Some(("z".into(), 3.into()));
    story.seen(0, Master, "a").silent(100).is(Standing::Candidate, None, "but only the same process");
    let mut story = start();
    story.seen(200, Replica, "a").is(Standing::Replica, None, "a replica has no epoch");
}

#[test]
fn a_stale_master_that_wakes_up_is_no_master() {
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 3).failed(200);
    story.is(Standing::Master, Some(3), "it is silent; its check is critical");
    // It wakes up while its successor is promoted, and the others do not know yet.
    story.seen(2000, Master, "a").says(2010, "s1", ME, 3, Some((OTHER, 4))).says(2010, "s2", ME, 3, None);
    story.says(2010, "s3", ME, 3, None).is(Standing::Fenced, None, "not even with a majority of yesterday");
}

#[test]
fn epochs_that_began_anew_are_believed_after_a_while() {
    let mut story = Story::new();
    story.seen(0, Master, "a").says(1, "s3", OTHER, 9, None).crowned(5, 1);
    story.is(Standing::Fenced, None, "another was named in a later epoch");
    for at in (0..31_000).step_by(400) {
        story.seen(at + 10, Master, "a").crowned(at + 20, 1);
        story.says(at + 20, "s3", ME, 1, None);
    }
    story.is(Standing::Master, Some(1), "a majority has named it for half a minute");

    // It stalls again and again, and for a moment nobody's word is fresh.
    let mut story = Story::new();
    story.seen(0, Master, "a").says(1, "s3", OTHER, 9, None).crowned(5, 1);
    for at in (700..32_000).step_by(700) {
        story.seen(at, Master, "a").crowned(at + 10, 1).says(at + 10, "s3", ME, 1, None);
    }
    story.is(Standing::Master, Some(1), "stalls do not begin the half minute anew");
}

#[test]
fn a_majority_is_the_truth_also_when_it_counts_lower() {
    // Sentinels that lost their memory name this instance anew, and then another.
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 9).crowned(100, 0).is(
        Standing::Master,
        Some(0),
        "the epoch comes down",
    );
    story.says(200, "s1", OTHER, 1, None).is(Standing::Fenced, Some(0), "so that the next one counts");

    // One Sentinel is gone for good, and its last word was of the former time.
    let mut story = Story::new();
    story.evidence.hellos.insert("gone".into(), Hello { address: place(OTHER), epoch: 9, at: story.now });
    story.seen(0, Master, "a").crowned(5, 1).is(Standing::Fenced, None, "it may be true");
    for at in (400..31_000).step_by(400) {
        story.seen(at, Master, "a").crowned(at + 10, 1).says(at + 10, "s3", ME, 1, None);
    }
    story.is(Standing::Master, Some(1), "a majority has named it for half a minute");
    assert_eq!(story.belief.generation, 1, "whoever followed epoch 9 follows this");
}

#[test]
fn an_order_without_votes_crowns_when_nobody_else_orders() {
    let chosen = |failover: Failover| {
        let mut story = Story::new();
        story.seen(0, Replica, "a").says(1, "s2", OTHER, 3, None).says(1, "s3", OTHER, 3, None);
        story.tells(100, "s1", OTHER, 3, Some(failover)).seen(160, Master, "a");
        story
    };
    let mut story = chosen(ordered(ME, 4));
    assert_ne!(story.belief.standing, Standing::Master, "the others have not been asked since");
    story.says(165, "s2", OTHER, 3, None).tells(165, "s1", OTHER, 3, Some(ordered(ME, 4)));
    assert_ne!(story.belief.standing, Standing::Master, "one has not");
    story.says(166, "s3", OTHER, 3, None).is(
        Standing::Master,
        Some(4),
        "all were asked since, and none orders",
    );

    let mut story = Story::new();
    story.seen(0, Replica, "a").tells(100, "s1", OTHER, 3, Some(ordered(ME, 4)));
    story.tells(102, "s1", OTHER, 3, Some(ordered(ME, 4))).says(103, "s2", OTHER, 3, None);
    story.says(103, "s3", OTHER, 3, None).is(Standing::Replica, None, "asked before it is promoted");
    story.seen(160, Master, "a").is(Standing::Master, Some(4), "then it is one at once");

    let mut story = chosen(ordered(ME, 4));
    story.tells(165, "s1", OTHER, 3, Some(ordered(ME, 4))).says(166, "s3", OTHER, 3, None);
    story.tells(167, "s2", OTHER, 3, Some(ordered(6381, 4)));
    assert_ne!(story.belief.standing, Standing::Master, "another is promoted in the same epoch");
    story.crowned(1200, 4).is(Standing::Master, Some(4), "a majority decides");

    let story = chosen(Failover { certain: false, ..elected(ME, 4) });
    assert_ne!(story.belief.standing, Standing::Master, "an epoch that is guessed crowns nobody");
}

#[test]
fn until_a_majority_confirms_it_one_in_the_same_epoch_is_a_witness() {
    let start = || {
        let mut story = Story::new();
        story.seen(0, Replica, "a").says(1, "s1", OTHER, 3, Some((ME, 4))).seen(160, Master, "a");
        story.is(Standing::Master, Some(4), "promoted");
        story
    };
    start().says(200, "s2", OTHER, 4, None).is(
        Standing::Fenced,
        Some(4),
        "it was promoted in an epoch that is taken",
    );
    start().crowned(200, 4).says(300, "s3", OTHER, 4, None).is(Standing::Master, Some(4), "it is confirmed");
}

#[test]
fn a_choice_that_is_lost_does_not_block_for_ever() {
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 3);
    for at in (100..3_600).step_by(100) {
        let lost = Failover { lost: at > 1_000, ..ordered(OTHER, 4) };
        story.seen(at, Master, "a").tells(at, "s3", ME, 3, Some(lost));
        story.says(at, "s1", ME, 3, None).says(at, "s2", ME, 3, None);
        let standing = if at < 3_100 { Standing::Fenced } else { Standing::Master };
        assert_eq!((story.belief.standing, story.belief.epoch), (standing, Some(3.into())), "at {at}");
    }
    story.says(3_700, "s3", OTHER, 4, None).is(Standing::Fenced, Some(3), "it came back, and was promoted");
}

#[test]
fn a_majority_is_one_that_reached_the_same_epoch() {
    let mut story = Story::new();
    story.seen(0, Master, "a").says(5, "s1", ME, 5, None).says(5, "s2", ME, 3, None);
    story.answers(5, "s3", Err("down".into()));
    story.is(Standing::Master, Some(3), "one of them tells of a former time");
    story.says(6, "s3", OTHER, 5, None).is(Standing::Fenced, Some(3), "so another may win the later epoch");
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 4).says(100, "s1", ME, 0, None);
    story.is(Standing::Master, Some(4), "a Sentinel that begins anew takes nothing away");
}

#[test]
fn a_machine_that_slept_is_looked_at_again() {
    let mut story = Story::new();
    story.seen(0, Replica, "a").says(100, "s1", OTHER, 3, Some((ME, 4))).seen(160, Master, "a");
    story.is(Standing::Master, Some(4), "promoted");
    story.belief = story.belief.clone().slept(Duration::from_secs(3600), story.now);
    story.judge(200);
    assert!(story.belief.failure.is_some() && story.belief.is_settled(), "told before the next look");
    story.seen(210, Master, "a").seen(250, Master, "a");
    assert_ne!(story.belief.standing, Standing::Master, "the choice of before the sleep crowns nobody");
    story.silent(300).is(Standing::Master, Some(4), "silence of all is no witness, as after a stall");
}

#[test]
fn a_choice_of_a_former_epoch_is_none() {
    let mut story = Story::new();
    story.seen(0, Master, "a").crowned(5, 5).says(10, "s3", ME, 5, Some((OTHER, 4)));
    story.is(Standing::Master, Some(5), "it was made before this instance was named");
}

#[test]
fn a_replica_is_no_master_however_long_it_is_named() {
    let mut story = Story::new();
    story.seen(0, Replica, "a").says(1, "s3", OTHER, 9, None);
    for at in (0..31_000).step_by(400) {
        story.seen(at + 10, Replica, "a").crowned(at + 20, 1);
        assert_eq!(
            (story.belief.standing, story.belief.epoch),
            (Standing::Replica, None),
            "{}",
            story.belief.why
        );
    }
}

#[test]
fn without_sentinels_its_own_word_is_all_there_is() {
    let life = Life { run_id: None, connection: 1 };
    let seen = Sighting::Answer { role: Master, word: "master".into(), epoch: None, life };
    let belief = Belief::new(false).saw(seen, Instant::now());
    let belief = belief.judged(&Evidence::default(), &Names::default(), Instant::now());
    assert_eq!((belief.standing, belief.epoch, belief.is_open()), (Standing::Master, None, false));
}

#[test]
fn without_sentinels_a_later_epoch_of_another_fences() {
    let seen = |role, epoch| {
        let life = Life { run_id: None, connection: 0 };
        Belief::new(false).saw(Sighting::Answer { role, word: "leader".into(), epoch, life }, Instant::now())
    };
    let rival = |epoch: u64| Some(Claim { epoch: epoch.into(), who: "pg-1".into() });
    for (role, told, rival, standing, epoch) in [
        (Master, Some(3), None, Standing::Master, Some(3)),
        (Master, Some(3), rival(2), Standing::Master, Some(3)),
        (Master, Some(3), rival(3), Standing::Master, Some(3)),
        (Master, Some(3), rival(4), Standing::Fenced, Some(3)),
        (Master, None, rival(4), Standing::Master, None),
        (Replica, Some(3), rival(4), Standing::Replica, None),
    ] {
        let evidence = Evidence { latest: rival.clone(), ..Evidence::default() };
        let belief = seen(role, told).judged(&evidence, &Names::default(), Instant::now());
        let number = belief.epoch.map(|epoch| epoch.number);
        assert_eq!((belief.standing, number), (standing, epoch), "{role:?} {told:?} {rival:?}");
        assert!(belief.is_settled());
        let gone = belief.judged(&Evidence::default(), &Names::default(), Instant::now());
        assert_eq!(gone.standing, standing, "that the other is gone makes nobody master");
    }
    let unread = Evidence { unread: true, ..Evidence::default() };
    let early = seen(Master, Some(3)).judged(&unread, &Names::default(), Instant::now());
    assert!(!early.is_settled(), "the catalog may name another in a later epoch");
    let later = early.saw(
        Sighting::Answer {
            role: Master,
            word: "leader".into(),
            epoch: Some(4),
            life: Life { run_id: None, connection: 0 },
        },
        Instant::now() + Duration::from_secs(20),
    );
    let later = later.judged(&Evidence::default(), &Names::default(), Instant::now());
    assert_eq!((later.epoch, later.failure), (Some(4.into()), None), "a slow probe is no stall");
}

/// Any order of looks, answers and silence: what always holds.
#[test]
fn no_order_of_events_breaks_the_rules() {
    let mut random = 7_u64;
    let mut next = |bound: u64| {
        // Knuth's generator: the same stories on every run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for _ in 0..2_000 {
        let (mut story, mut at) = (Story::new(), 0);
        for _ in 0..40 {
            at += next(700);
            let who = ["s1", "s2", "s3"][next(3) as usize];
            let port = [ME, OTHER][next(2) as usize];
            let promotes = (next(4) == 0).then(|| ([ME, OTHER][next(2) as usize], next(6)));
            match next(6) {
                0 => story.seen(at, Replica, "a"),
                1 | 2 => story.seen(at, Master, ["a", "b"][usize::from(next(9) == 0)]),
                3 => story.failed(at),
                4 => story.answers(at, who, Err("down".into())),
                _ => story.says(at, who, port, next(6), promotes),
            };
            let (belief, report) = (&story.belief, &story.evidence.report);
            let master = belief.standing == Standing::Master && belief.is_settled();
            let highest =
                report.said().filter(|(_, n)| n.address == place(OTHER)).map(|(_, n)| n.epoch).max();
            assert!(!master || belief.role == Some(Master), "only who says so is master");
            assert!(!master || belief.epoch.is_some(), "no master without an epoch");
            assert!(
                !master || belief.epoch.map(|epoch| epoch.number) >= highest || belief.generation > 0,
                "no master below an epoch in which another was named"
            );
            assert!(
                belief.standing.role() != Some(Replica)
                    || belief.role == Some(Replica)
                    || !belief.is_settled()
            );
        }
    }
}
