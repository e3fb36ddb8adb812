//! Consul takes no more connections from this address: those it took are followed, others on the machine get through, and
//! nobody knocks all the time.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tests::{Outcome, PATIENCE, Rolecall, consul::Agent, until, when};
use tokio::{
    io::{AsyncWriteExt, copy},
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

/// Lets through to Consul, and counts who comes, and whom it ends without a word.
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
            while let Ok((from, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::Relaxed);
                let (to, away) = (to.clone(), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    pass(from, TcpStream::connect(to).await?, &away).await;
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

/// Lets a client speak to Consul. It counts when Consul ends that first, having said nothing: on a busy machine the question
/// may come later than that, or not at all.
async fn pass(mut client: TcpStream, mut consul: TcpStream, away: &AtomicUsize) {
    let ((mut question, mut hears), (mut answer, mut asks)) = (client.split(), consul.split());
    let is_gone = AtomicBool::new(false);
    let asking = async {
        let is_over = copy(&mut question, &mut asks).await.is_ok();
        is_gone.store(is_over, Ordering::Relaxed);
        asks.shutdown().await
    };
    let answering = async {
        let is_silent = matches!(answer.peek(&mut [0]).await, Ok(0) | Err(_));
        away.fetch_add(usize::from(is_silent && !is_gone.load(Ordering::Relaxed)), Ordering::Relaxed);
        _ = copy(&mut answer, &mut hears).await;
        hears.shutdown().await
    };
    _ = tokio::join!(asking, answering);
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
    // One that Consul turns away late is in trouble, until its next turn.
    let well = |s: &Value| {
        let mut queries = s["queries"].as_array().into_iter().flatten().peekable();
        queries.peek().is_some() && queries.all(|query| query["trouble"].is_null())
    };
    render.shows("no trouble", PATIENCE, well).await?;
    let told = render.part.log().matches(TOLD).count();
    render.part.explain(when(told == 1, || format!("told {told} times")))
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
