//! Long random orders of steps.

use super::*;
use proptest::prelude::*;

const MUCH: Chance = Chance {
    failovers: 6,
    deaths: 1,
    restarts: 4,
    pauses: 4,
    cuts: 2,
    flights: 5,
    slow: None,
    hellos: true,
    blind: false,
    twice: false,
    strict: false,
    flaw: None,
};

fn runs(left: Chance, choices: &[usize]) -> Result<(), TestCaseError> {
    let mut world = World::after(&[], left, Instant::now() + Duration::from_secs(3600));
    let mut path = vec![];
    for choice in choices {
        let steps = world.steps();
        let step = steps[choice % steps.len()];
        world.does(step);
        path.push(step);
        prop_assert_eq!(world.is_sound(), Ok(()), "{:?}", path);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_long_order_breaks_the_rules(
        choices in prop::collection::vec(any::<usize>(), 1..150),
        slow in prop::option::of(0..3_usize),
        twice in any::<bool>(),
    ) {
        runs(Chance { slow, twice, ..MUCH }, &choices)?;
    }
}
