//! Steering ends where a fresh start of the new text would, on the real HAProxy: what decides who is served is the
//! same, or the verdict is a reload. `scripts/soak equivalence` does the same for many more pairs.

use tests::{
    Outcome,
    equivalence::{haproxies, pairs},
    when,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steering_ends_where_a_fresh_start_would() -> Outcome {
    for program in haproxies()? {
        let counts = pairs(&program, 1, 200).await?;
        println!("{}: {counts:?}", program.display());
        // A verdict that is always a reload would be right, and worthless.
        when(counts.steered >= 130, || format!("{}: only {counts:?}", program.display()))?;
    }
    Ok(())
}
