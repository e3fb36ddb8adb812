//! Whether steering HAProxy ends where a fresh start would, for random pairs of configurations.

use std::path::PathBuf;

use tests::{
    Outcome,
    equivalence::{Counts, haproxies, pairs, version},
};

/// A chain of pairs begins anew after so many, with another first configuration.
const CHAIN: u32 = 500;

/// That many pairs on each HAProxy; each seed gives others.
pub async fn equivalence(many: u32, seed: u64) -> Outcome {
    for program in haproxies()? {
        let counts = chains(program.clone(), seed, many).await?;
        let Counts { same, steered, orders, reloads } = counts;
        println!(
            "HAProxy {}: {many} pairs, {steered} steered as a fresh start ({orders} orders), {same} the same, \
             {reloads} to be reloaded",
            version(&program).await?
        );
    }
    Ok(())
}

/// Two chains at once.
async fn chains(program: PathBuf, seed: u64, many: u32) -> Outcome<Counts> {
    let mut total = Counts::default();
    let mut left = many;
    let mut next = seed * 1_000_000;
    while left > 0 {
        let first = left.min(CHAIN);
        let second = (left - first).min(CHAIN);
        let (one, other) = tokio::join!(pairs(&program, next, first), pairs(&program, next + 1, second));
        for counts in [one?, other?] {
            total.same += counts.same;
            total.steered += counts.steered;
            total.orders += counts.orders;
            total.reloads += counts.reloads;
        }
        left -= first + second;
        next += 2;
        eprintln!("{}: {left} pairs left, {total:?}", program.display());
    }
    Ok(total)
}
