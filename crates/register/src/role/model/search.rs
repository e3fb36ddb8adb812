//! Every order of steps, breadth first.

use super::*;

/// Instance 1 is chosen by an election, crowned by the Sentinel that leads it, and the renderer follows it.
const FOLLOWED: &[Step] =
    &[Step::Elect(0, 1), Step::Ask(1, 0), Step::Promote(0), Step::Look(1), Step::Render];
/// Instance 0 became master again, and then instance 1, while two Sentinels still name instance 0 in its first epoch.
const TWICE: [Step; 17] = [
    Step::Elect(0, 1),
    Step::Promote(0),
    Step::Conclude(0),
    Step::Demote(0),
    Step::Look(0),
    Step::Elect(0, 0),
    Step::Promote(0),
    Step::Ask(0, 0),
    Step::Look(0),
    Step::Conclude(0),
    Step::Elect(0, 1),
    Step::Promote(0),
    Step::Ask(1, 0),
    Step::Look(1),
    Step::Render,
    Step::Pause,
    Step::Look(0),
];
const CHOSEN: [Step; 3] = [Step::Elect(1, 1), Step::Ask(1, 1), Step::Promote(1)];
const ORDERED: [Step; 5] =
    [Step::Order(1, 1), Step::Ask(1, 1), Step::Promote(1), Step::Order(2, 2), Step::Promote(2)];

/// How a search begins, and what may happen then.
fn scenes() -> Vec<(&'static str, &'static [Step], Chance)> {
    let none = Chance::default();
    let one = Chance { failovers: 1, ..none };
    let two = Chance { failovers: 2, twice: true, ..none };
    let strict = Chance { strict: true, ..none };
    vec![
        ("calm", &[], Chance { failovers: 2, deaths: 1, restarts: 1, pauses: 1, ..none }),
        ("promoted", &CHOSEN, Chance { deaths: 1, restarts: 1, ..one }),
        ("promoted, answers come late", &CHOSEN, Chance { flights: 1, pauses: 1, ..one }),
        ("promoted, hellos are heard", &CHOSEN, Chance { hellos: true, ..one }),
        ("followed", FOLLOWED, Chance { restarts: 1, pauses: 1, ..one }),
        ("followed, a partition", FOLLOWED, Chance { cuts: 1, ..one }),
        ("followed, the old master registers slowly", FOLLOWED, Chance { slow: Some(0), ..one }),
        ("followed, the new master registers slowly", FOLLOWED, Chance { slow: Some(1), ..one }),
        ("superseded, agents restart", FOLLOWED, Chance { restarts: 2, ..strict }),
        ("superseded, all stall", FOLLOWED, Chance { pauses: 1, flights: 1, ..strict }),
        (
            "superseded, all stall and a Sentinel dies",
            FOLLOWED,
            Chance { pauses: 1, restarts: 1, deaths: 1, ..strict },
        ),
        ("superseded, a partition", FOLLOWED, Chance { cuts: 1, restarts: 1, ..strict }),
        (
            "superseded, the catalog is out of reach",
            FOLLOWED,
            Chance { pauses: 1, restarts: 1, blind: true, ..strict },
        ),
        ("superseded twice", &TWICE, Chance { pauses: 1, restarts: 1, deaths: 1, ..strict }),
        ("two order", &[Step::Order(1, 1), Step::Order(2, 2)], two),
        ("two have ordered", &ORDERED, two),
    ]
}

/// Tries everything until there were so many worlds; tells how many steps deep that is complete (`None`: to the end),
/// and how many worlds there were, or how one broke.
pub(super) fn search(scene: &[Step], left: Chance, limit: usize) -> Result<(Option<usize>, usize), String> {
    let base = Instant::now() + Duration::from_secs(3600);
    let first = World::after(scene, left, base);
    let mut known = BTreeSet::from([first.key()]);
    // Each world's step, and which world it was done in.
    let mut trail: Vec<(usize, Step)> = vec![];
    let mut front = vec![(first, usize::MAX)];
    for depth in 0.. {
        let mut next = vec![];
        for (world, from) in &front {
            for step in world.steps() {
                let mut after = world.clone();
                after.does(step);
                if !known.insert(after.key()) {
                    continue;
                }
                trail.push((*from, step));
                after.is_sound().map_err(|why| format!("{why}: {:?}", path(&trail)))?;
                if known.len() >= limit {
                    return Ok((Some(depth), limit));
                }
                next.push((after, trail.len() - 1));
            }
        }
        if next.is_empty() {
            break;
        }
        front = next;
    }
    Ok((None, known.len()))
}

/// How the last world of the trail came about.
fn path(trail: &[(usize, Step)]) -> Vec<Step> {
    let last = trail.len().checked_sub(1);
    let back = |at: &usize| Some(trail[*at].0).filter(|from| *from != usize::MAX);
    let mut path: Vec<Step> = std::iter::successors(last, back).map(|at| trail[at].1).collect();
    path.reverse();
    path
}

fn all_scenes(limit: usize, least: usize) {
    for (what, scene, left) in scenes() {
        let (depth, worlds) = search(scene, left, limit).unwrap_or_else(|broken| panic!("{what}: {broken}"));
        match depth {
            Some(depth) => println!("{what}: {worlds} worlds, every order of {depth} steps"),
            None => println!("{what}: {worlds} worlds, every order there is"),
        }
        assert!(depth.is_none_or(|depth| depth >= least), "{what}: only {depth:?} steps");
    }
}

#[test]
fn no_order_of_steps_crowns_two_in_one_epoch_or_leads_the_renderer_back() {
    all_scenes(1_000, 2);
}

/// `scripts/soak model`: as deep as it takes.
#[test]
#[ignore = "takes minutes; scripts/soak model runs it"]
fn no_longer_order_of_steps_does_either() {
    all_scenes(100_000, 5);
}
