//! Master switches and scale events under persistent connections, by orders and by reloads: what each leaves behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::Value;
use tests::{Front, Outcome, PATIENCE, Special, Trouble, resident_mb, until, when};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, interval, timeout},
};

/// Clients of the master, and as many of the pool.
const CLIENTS: usize = 20;
const PACE: Duration = Duration::from_millis(5);
const MASTERS: usize = 3;
const POOL: usize = 10;

/// A server that answers each byte, until it was demoted: then it counts what still comes.
struct Server {
    port: u16,
    demoted: Arc<AtomicBool>,
    stale: Arc<AtomicU64>,
}

/// What the clients met.
#[derive(Clone, Default)]
struct Met {
    answers: Arc<AtomicU64>,
    cut: Arc<AtomicU64>,
}

/// Runs both, and fails when orders leave behind what they must not.
pub async fn switches(switches: u32, scales: u32) -> Outcome {
    let steered = run("by orders", "reload = \"when_needed\"", switches, scales).await?;
    let by_reload = "reload = \"always\"\n    reload_interval = \"0s\"";
    run("by reload", by_reload, switches, scales).await?;
    when(steered == [0, 1, 0, 0], || {
        format!("reloads, workers, stale writes, foreign connections cut: {steered:?}")
    })
}

/// Reloads, workers alive, writes to a demoted master, connections of the pool that were cut.
async fn run(name: &str, policy: &str, switches: u32, scales: u32) -> Outcome<[u64; 4]> {
    let mut tasks = JoinSet::new();
    let mut masters = vec![];
    for _ in 0..MASTERS {
        masters.push(server(&mut tasks).await?);
    }
    let mut pool = vec![];
    for at in 0..POOL {
        pool.push((format!("p{at}"), server(&mut tasks).await?.port));
    }
    let mut front = Front::start(masters[0].port, Special { haproxy: policy, ..Special::default() }).await?;
    let mut scene = Scene { master: 0, pool: POOL };
    scene.play(&mut front, &masters, &pool).await?;
    let (writers, foreign) = (Met::default(), Met::default());
    for _ in 0..CLIENTS {
        tasks.spawn(client(front.bind.number(), writers.clone()));
        tasks.spawn(client(front.pool.number(), foreign.clone()));
    }
    until("all clients to be served", PATIENCE, async || {
        let done = writers.answers.load(Relaxed).min(foreign.answers.load(Relaxed));
        when(done > 200, || done.to_string())
    })
    .await?;
    let (from, before, reloads) = (Instant::now(), memory(&front).await?, reloads(&front).await?);
    for n in 0..switches.max(scales) {
        if n < switches {
            scene.master = (scene.master + 1) % MASTERS;
            scene.play(&mut front, &masters, &pool).await?;
        }
        if n < scales {
            // One leaves, one comes back.
            scene.pool = if scene.pool == POOL { POOL - 1 - n as usize / 2 % (POOL - 1) } else { POOL };
            scene.play(&mut front, &masters, &pool).await?;
        }
    }
    let took = from.elapsed();
    let workers = front.haproxy.as_ref().map(|haproxy| haproxy.processes());
    let workers = match workers {
        Some(seen) => seen.await?.iter().filter(|process| process.kind == "worker").count(),
        None => 0,
    };
    let after = memory(&front).await?;
    let stale: u64 = masters.iter().map(|master| master.stale.load(Relaxed)).sum();
    let reloads = self::reloads(&front).await? - reloads;
    let [answers, cut] = [writers.answers.load(Relaxed), foreign.cut.load(Relaxed)];
    println!(
        "{name}: {switches} switches and {scales} scale events in {:.0} s: {reloads} reloads, {workers} workers alive, \
         HAProxy {before:.1} -> {after:.1} MB, render {:.1} MB; {answers} writes acknowledged, {stale} by a demoted \
         master; {cut} connections to others cut",
        took.as_secs_f64(),
        resident_mb(front.render.part.pid())?,
    );
    Ok([reloads, workers as u64, stale, cut])
}

/// What Consul says.
struct Scene {
    master: usize,
    /// How many of the pool are there.
    pool: usize,
}

impl Scene {
    async fn play(&self, front: &mut Front, masters: &[Server], pool: &[(String, u16)]) -> Outcome {
        let heard = |status: &Value| status["templates"][0]["last"]["heard_ms"].as_f64().unwrap_or_default();
        let before = heard(&front.render.status().await?);
        let name = format!("m{}", self.master);
        masters[self.master].demoted.store(false, Relaxed);
        front.say_pool(&[(name.as_str(), masters[self.master].port)], &pool[..self.pool]);
        let done = |s: &Value| heard(s) > before && s["templates"][0]["state"] == "applied";
        let status = front.render.shows("the change applied", PATIENCE, done).await?;
        let outcome = &status["templates"][0]["last"]["outcome"];
        when(outcome == "steered" || outcome == "reloaded", || status.to_string())?;
        for (at, master) in masters.iter().enumerate() {
            master.demoted.store(at != self.master, Relaxed);
        }
        Ok(())
    }
}

async fn server(tasks: &mut JoinSet<()>) -> Outcome<Server> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (demoted, stale) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let (is_demoted, counts) = (Arc::clone(&demoted), Arc::clone(&stale));
    tasks.spawn(async move {
        let mut held = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let (is_demoted, counts) = (Arc::clone(&is_demoted), Arc::clone(&counts));
            held.spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    counts.fetch_add(is_demoted.load(Relaxed).into(), Relaxed);
                    if stream.write_all(&byte).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(Server { port, demoted, stale })
}

/// Writes over one connection as long as it lasts, then over another.
async fn client(port: u16, met: Met) {
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let mut served = false;
        let mut byte = [0];
        loop {
            pace.tick().await;
            let exchange = async {
                stream.write_all(b"x").await?;
                stream.read_exact(&mut byte).await
            };
            if !matches!(timeout(Duration::from_secs(5), exchange).await, Ok(Ok(_))) {
                break;
            }
            served = true;
            met.answers.fetch_add(1, Relaxed);
        }
        met.cut.fetch_add(served.into(), Relaxed);
    }
}

/// All of HAProxy's processes.
async fn memory(front: &Front) -> Outcome<f64> {
    let haproxy = front.haproxy.as_ref().ok_or_else(|| Trouble::new("HAProxy was not started"))?;
    // An old worker may end between the list and the look.
    Ok(haproxy.processes().await?.iter().filter_map(|process| resident_mb(process.pid).ok()).sum())
}

async fn reloads(front: &Front) -> Outcome<u64> {
    Ok(front.render.status().await?["templates"][0]["reloads"].as_u64().unwrap_or_default())
}
