//! Consul takes no more connections from this address: those it took are followed, others on the machine get through, and
//! nobody knocks all the time.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use tempfile::{TempDir, tempdir};
use tests::{Outcome, PATIENCE, Rolecall, consul::Agent, until, when};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const TOLD: &str = "Consul takes no more connections";

/// A Consul with a limit, and a template of so many keys.
struct Crowd {
    folder: &'static str,
    keys: usize,
    server: Agent,
    door: Door,
    config: String,
    out: PathBuf,
    home: TempDir,
}

impl Crowd {
    /// Keys that lie in a folder may be asked for together.
    async fn gather(folder: &'static str, keys: usize, limit: usize) -> Outcome<Crowd> {
        let home = tempdir()?;
        let limit = json!({ "limits": { "http_max_conns_per_client": limit } });
        let server = Agent::server_as("consul-server", home.path(), limit)?;
        server.ready().await?;
        let door = Door::open(server.address()).await?;
        let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
        for n in 0..keys {
            server.put(&format!("kv/{folder}k{n}"), 0).await?;
        }
        fs::write(
            &template,
            (0..keys).map(|n| format!("{{{{key \"{folder}k{n}\"}}}}\n")).collect::<String>(),
        )?;
        let config = format!(
            "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
            door.address,
            template.display(),
            out.display()
        );
        Ok(Crowd { folder, keys, server, door, config, out, home })
    }

    fn render(&self) -> Outcome<Rolecall> {
        Rolecall::start("render", "render", self.home.path(), &self.config, vec![])
    }

    /// Writes a key, and waits for it.
    async fn change(&self, n: usize, to: usize) -> Outcome {
        // Others get through: this harness asks from the same address.
        until("a write to get through", PATIENCE, async || {
            self.server.put(&format!("kv/{}k{n}", self.folder), to).await
        })
        .await?;
        until(format!("the file to hold {to}"), PATIENCE, async || {
            let text = fs::read_to_string(&self.out)?;
            let (lines, found) = (text.lines().count(), text.lines().nth(n).unwrap_or_default());
            when(lines == self.keys && found == to.to_string(), || format!("{lines} lines, {found}"))
        })
        .await
    }
}

/// Lets through to Consul, and counts who comes, and to whom it says nothing.
struct Door {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
    away: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Door {
    async fn open(to: String) -> Outcome<Door> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (came, away) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counts = (Arc::clone(&came), Arc::clone(&away));
        let serving = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::Relaxed);
                let (to, away) = (to.clone(), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(to).await?;
                    let is_answered =
                        matches!(copy_bidirectional(&mut from, &mut to).await, Ok((0, _) | (_, 1..)));
                    away.fetch_add(usize::from(!is_answered), Ordering::Relaxed);
                    Outcome::Ok(())
                });
            }
        });
        Ok(Door { address, came, away, serving })
    }

    /// How many came so far, and how many of them were turned away.
    fn counts(&self) -> (usize, usize) {
        (self.came.load(Ordering::Relaxed), self.away.load(Ordering::Relaxed))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_consul_takes_fewer_connections_fewer_are_held() -> Outcome {
    let crowd = Crowd::gather("", 150, 60).await?;
    let render = crowd.render()?;
    render.ready().await?;
    until("that it is told", PATIENCE, async || when(render.part.log().contains(TOLD), || "not yet".into()))
        .await?;
    for (round, n) in [0, 75, 149, 75].into_iter().enumerate() {
        render.part.explain(crowd.change(n, round + 1).await)?;
    }
    let log = render.part.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    render.part.explain(when(lines(TOLD) == 1 && lines("no answer that can be believed") == 0, || {
        format!("told {} times, troubles {}", lines(TOLD), lines("no answer that can be believed"))
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_does_not_knock_all_the_time() -> Outcome {
    const KEYS: usize = 1000;
    // Consul counts the connections of one that was killed until it has answered what they held.
    let crowd = Crowd::gather("many/", KEYS, 60).await?;
    let mut render = crowd.render()?;
    render.part.explain(crowd.change(0, 1).await)?;
    render.part.kill()?;
    fs::remove_file(&crowd.out)?;
    let before = crowd.door.counts();
    render.part.restart()?;
    render.part.explain(crowd.change(KEYS - 1, 2).await)?;
    let after = crowd.door.counts();
    let (came, away) = (after.0 - before.0, after.1 - before.1);
    let says = || format!("{came} connections, {away} turned away");
    render.part.explain(when(away > 0 && came <= 10 * KEYS, says))
}
