//! HAProxy's traps, on the real one: what it does, and that what rolecall orders does not step into it. One HAProxy a
//! test; on the one on `PATH` and on each of `HAPROXY_BINARIES`.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tests::{
    Outcome, PATIENCE, Trouble,
    equivalence::{Alone, Step, haproxies, version},
    haproxy::command,
    until, when,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    task::JoinHandle,
};

/// A server that tells its address to each client, then echoes nothing until the client is gone.
struct Greeter {
    address: String,
    clients: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Greeter {
    /// `says` makes the greeting from the address.
    async fn begin(says: fn(&str) -> String) -> Outcome<Greeter> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let clients = Arc::new(AtomicUsize::new(0));
        let (greeting, count) = (says(&address), Arc::clone(&clients));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let greeting = greeting.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        if buffer[..length].contains(&b'\n')
                            && stream.write_all(greeting.as_bytes()).await.is_err()
                        {
                            break;
                        }
                    }
                });
            }
        });
        Ok(Greeter { address, clients, task })
    }

    async fn line() -> Outcome<Greeter> {
        Greeter::begin(|address| format!("{address}\n")).await
    }

    fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One HAProxy program with a folder.
struct Bench {
    program: PathBuf,
    version: String,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn each() -> Outcome<Vec<Bench>> {
        let mut all = vec![];
        for program in haproxies()? {
            all.push(Bench { version: version(&program).await?, program, folder: tempfile::tempdir()? });
        }
        Ok(all)
    }

    /// Whether this is 2.x.
    fn is_2(&self) -> bool {
        self.version.starts_with("2.")
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn start(&self, text: &str) -> Outcome<Alone> {
        Alone::start(&self.program, self.folder(), "h", &whole(text)).await
    }

    /// Steers from one text to the other; the verdict.
    async fn steer(&self, haproxy: &Alone, from: &str, to: &str) -> Outcome<String> {
        let step = Step { version: &self.version, folder: self.folder(), replaced: &[] };
        let (verdict, commands) = step.verdict(&haproxy.socket, &whole(from), &whole(to)).await?;
        tests::equivalence::execute(&haproxy.socket, &commands).await?;
        Ok(verdict)
    }

    async fn client(&self) -> Outcome<UnixStream> {
        Ok(UnixStream::connect(self.folder().join("front.sock")).await?)
    }
}

/// The text around a backend.
fn whole(backend: &str) -> String {
    format!(
        "defaults\n    mode tcp\n    timeout connect 1m\n    timeout client 1m\n    timeout server 1m\n    retries 0\n\
         frontend front\n    bind unix@front.sock\n    default_backend b\nbackend b\n{backend}"
    )
}

/// Asks a client's server who it is; `None` when the connection is over.
async fn who(stream: &mut UnixStream) -> Outcome<Option<String>> {
    if stream.write_all(b"who\n").await.is_err() {
        return Ok(None);
    }
    let mut buffer = [0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await?;
    Ok(read
        .ok()
        .filter(|length| *length > 0)
        .map(|length| String::from_utf8_lossy(&buffer[..length]).trim().to_owned()))
}

/// Waits until a client's connection is over: HAProxy says that it cuts it before it does.
async fn gone(stream: &mut UnixStream) -> Outcome {
    until("the old connection to be cut", PATIENCE, async || {
        let said = who(stream).await?;
        when(said.is_none(), || format!("{said:?}"))
    })
    .await
}

/// A field of a server, or of the backend, in `show stat`.
async fn stat(haproxy: &Alone, server: &str, field: &str) -> Outcome<String> {
    let text = command(&haproxy.socket, "show stat").await?;
    let mut lines = text.lines();
    let column = lines.next().and_then(|head| head.split(',').position(|name| name == field));
    let row = lines.map(|line| line.split(',').collect::<Vec<_>>()).find(|row| row[..2] == ["b", server]);
    match (column, row) {
        (Some(column), Some(row)) => Ok(row[column].to_owned()),
        _ => Err(Trouble::new(format!("no {field} of {server} in\n{text}"))),
    }
}

fn about(bench: &Bench, trouble: Trouble) -> Trouble {
    trouble.during(format!("HAProxy {}", bench.version))
}

/// Runs a story on each HAProxy.
async fn on_each(story: impl AsyncFn(&Bench) -> Outcome) -> Outcome {
    for bench in Bench::each().await? {
        story(&bench).await.map_err(|t| about(&bench, t))?;
    }
    Ok(())
}

fn expect(what: &str, seen: impl AsRef<str>, expected: &str) -> Outcome {
    let seen = seen.as_ref().trim();
    when(seen.contains(expected) && (!expected.is_empty() || seen.is_empty()), || {
        format!("{what}: `{seen}`, not `{expected}`")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_cuts_after_it_points_away_and_leaves_others_alone() -> Outcome {
    on_each(async |bench| {
        let (old, new) = (Greeter::line().await?, Greeter::line().await?);
        for (cuts, came) in [(" on-marked-down shutdown-sessions", true), ("", false)] {
            for (from, to) in [
                (
                    format!("    server m {}{cuts}\n", old.address),
                    format!("    server m {}{cuts}\n", new.address),
                ),
                (
                    format!("    server o {}{cuts}\n", old.address),
                    format!("    server n {}{cuts}\n", new.address),
                ),
                (
                    format!(
                        "    balance first\n    server o {}{cuts}\n    server x 127.0.0.1:9 disabled\n",
                        old.address
                    ),
                    format!(
                        "    balance first\n    server x 127.0.0.1:9 disabled\n    server n {}{cuts}\n",
                        new.address
                    ),
                ),
            ] {
                let haproxy = bench.start(&from).await?;
                let mut client = bench.client().await?;
                when(who(&mut client).await?.as_ref() == Some(&old.address), || {
                    "the old one serves first".into()
                })?;
                let verdict = bench.steer(&haproxy, &from, &to).await?;
                expect("the verdict", &verdict, "no reload")?;
                // Where sessions are cut, the client has to come again; elsewhere it stays where it is.
                if came {
                    gone(&mut client).await.map_err(|t| t.during(format!("after {verdict}")))?;
                } else {
                    let stays = who(&mut client).await?;
                    when(stays.as_ref() == Some(&old.address), || {
                        format!("after {verdict}\nthe old connection said {stays:?}")
                    })?;
                }
                let now = who(&mut bench.client().await?).await?;
                when(now.as_ref() == Some(&new.address), || format!("after {verdict}\nserved by {now:?}"))?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_server_counts_as_one_of_the_file() -> Outcome {
    on_each(async |bench| {
        let (old, new) = (Greeter::line().await?, Greeter::line().await?);
        let from = format!("    default-server check inter 5s rise 3\n    server o {}\n", old.address);
        let to = format!("{from}    server n {}\n", new.address);
        let haproxy = bench.start(&from).await?;
        // The trap (haproxy#2497): taken, and not counted, before 3.0; refused since.
        let trap = format!("add server b/trap {} enabled", new.address);
        let said = command(&haproxy.socket, &trap).await?;
        if bench.is_2() {
            expect("`add server … enabled`", &said, "New server registered")?;
            expect("active servers, corrupted", stat(&haproxy, "BACKEND", "act").await?, "1")?;
        } else {
            expect("`add server … enabled`", &said, "'enabled' option is not accepted for dynamic server")?;
        }
        command(&haproxy.socket, "set server b/trap state maint; del server b/trap").await?;
        let haproxy = bench.start(&from).await?;
        // The trap: nothing is inherited from default-server.
        command(&haproxy.socket, &format!("add server b/bare {}", new.address)).await?;
        expect("inherited rise", stat(&haproxy, "bare", "check_rise").await?, "")?;
        command(&haproxy.socket, "del server b/bare").await?;
        bench.steer(&haproxy, &from, &to).await?;
        expect("active servers", stat(&haproxy, "BACKEND", "act").await?, "2")?;
        expect("rise", stat(&haproxy, "n", "check_rise").await?, "3")?;
        // Out again, and the other one still serves.
        bench.steer(&haproxy, &to, &from).await?;
        expect("active servers", stat(&haproxy, "BACKEND", "act").await?, "1")?;
        let now = who(&mut bench.client().await?).await?;
        when(now.as_ref() == Some(&old.address), || format!("served by {now:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_that_is_pointed_to_a_live_one_serves_at_once() -> Outcome {
    on_each(async |bench| {
        let new = Greeter::line().await?;
        let dead = tests::Port::lease()?;
        // It takes nine checks of 2 s each to be known as up by itself.
        let line = |address: &str| {
            format!("    server m {address} check inter 2s fastinter 2s downinter 2s rise 9 fall 1\n")
        };
        let (from, to) = (line(&dead.address().to_string()), line(&new.address));
        let haproxy = bench.start(&from).await?;
        let down = until("the dead server to be down", PATIENCE, async || {
            expect("status", stat(&haproxy, "m", "status").await?, "DOWN")
        });
        down.await?;
        // The trap: an address that cannot be used is refused as gently as a good one is taken.
        expect(
            "a bad address",
            command(&haproxy.socket, "set server b/m addr nobody.invalid").await?,
            "Invalid addr",
        )?;
        bench.steer(&haproxy, &from, &to).await?;
        let now = who(&mut bench.client().await?).await?;
        when(now.as_ref() == Some(&new.address), || format!("served by {now:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_disabled_keeps_a_bit_and_serves_all_the_same() -> Outcome {
    on_each(async |bench| {
        let server = Greeter::line().await?;
        let to = format!("    server m {} check inter 5s\n", server.address);
        let from = to.replace(" check", " disabled check");
        let haproxy = bench.start(&from).await?;
        bench.steer(&haproxy, &from, &to).await?;
        let state = command(&haproxy.socket, "show servers state b").await?;
        when(state.contains(&format!("m {} 2 4 ", "127.0.0.1")), || {
            format!("admin state 4, and up:\n{state}")
        })?;
        let again = bench.steer(&haproxy, &to, &to).await?;
        expect("nothing is seen as drift", &again, "nothing to do")?;
        let now = who(&mut bench.client().await?).await?;
        when(now.as_ref() == Some(&server.address), || format!("served by {now:?}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_added_out_of_use_is_not_checked() -> Outcome {
    on_each(async |bench| {
        let server = Greeter::line().await?;
        // A check that only connects is over before the server hears of it.
        let from = "    option tcp-check\n    tcp-check send who\n";
        let to = format!("{from}    server m {} disabled check inter 100ms\n", server.address);
        let ready = to.replace(" disabled", "");
        let haproxy = bench.start(from).await?;
        bench.steer(&haproxy, from, &to).await?;
        // Checks begin with the state that the orders after it give.
        let state = command(&haproxy.socket, "show servers state b").await?;
        let health = state.lines().find(|line| line.contains(" m ")).map(|line| line.split(' ').nth(13));
        when(health == Some(Some("2")), || format!("known, and off:\n{state}"))?;
        when(server.clients() == 0, || format!("{} checks of a server out of use", server.clients()))?;
        bench.steer(&haproxy, &to, &ready).await?;
        until("it to be checked", PATIENCE, async || when(server.clients() > 1, || "not yet".into())).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_added_http_server_reuses_connections_or_is_a_reload() -> Outcome {
    on_each(async |bench| {
        let http = |_: &str| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned();
        let server = Greeter::begin(http).await?;
        let from = "    mode http\n    http-reuse always\n";
        let to = format!("{from}    server m {}\n", server.address);
        let text = |backend: &str| whole(backend).replace("    mode tcp\n", "    mode http\n");
        let haproxy = Alone::start(&bench.program, bench.folder(), "h", &text(from)).await?;
        command(&haproxy.socket, &format!("add server b/m {}; set server b/m state ready", server.address))
            .await?;
        let info = command(&haproxy.socket, "show info").await?;
        let threads = info.lines().find_map(|line| line.strip_prefix("Nbthread: ")?.parse::<usize>().ok());
        let threads = threads.ok_or_else(|| Trouble::new(&info))?;
        let requests = threads + 3;
        for _ in 0..requests {
            let mut client = bench.client().await?;
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await?;
            expect("the answer", &answer, "200 OK")?;
        }
        let step = Step { version: &bench.version, folder: bench.folder(), replaced: &[] };
        let fresh = Alone::start(&bench.program, bench.folder(), "f", &text(from)).await?;
        let (verdict, _) = step.verdict(&fresh.socket, &text(from), &text(&to)).await?;
        // The trap: before 3.0 each request opens a connection of its own. Later, each thread keeps one.
        let (clients, told) =
            if bench.is_2() { (requests..=requests, "reload: ") } else { (1..=threads, "no reload") };
        let came = server.clients();
        when(clients.contains(&came), || format!("{came} connections for {requests} requests"))?;
        expect("the verdict", &verdict, told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_haproxy_would_refuse_is_a_reload() -> Outcome {
    on_each(async |bench| {
        let server = "    server a 127.0.0.1:9\n";
        for (backend, added, order, refusal) in [
            (
                "    balance static-rr\n",
                "",
                "add server b/x 127.0.0.1:9",
                "must use a dynamic load balancing",
            ),
            ("    balance source\n", "", "add server b/x 127.0.0.1:9", "must use a dynamic load balancing"),
            (
                "",
                " resolvers r",
                "add server b/x 127.0.0.1:9 resolvers r",
                "option is not accepted for dynamic server",
            ),
            (
                "",
                " redir /x",
                "add server b/x 127.0.0.1:9 redir /x",
                "option is not accepted for dynamic server",
            ),
        ] {
            let haproxy = bench.start(&format!("{backend}{server}")).await?;
            expect(order, command(&haproxy.socket, order).await?, refusal)?;
            let step = Step { version: &bench.version, folder: bench.folder(), replaced: &[] };
            let from = whole(&format!("{backend}{server}"));
            let to = format!("{from}    server x 127.0.0.1:9{added}\n");
            let (verdict, _) = step.verdict(&haproxy.socket, &from, &to).await?;
            expect("the verdict", &verdict, "reload: ")?;
        }
        let haproxy = bench.start(&format!("    balance static-rr\n{server}")).await?;
        let said = command(&haproxy.socket, "set server b/a weight 9").await?;
        expect("a weight", said, "only accepts weights '0%' and '100%'")
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_sessions_is_not_deleted() -> Outcome {
    on_each(async |bench| {
        let (old, new) = (Greeter::line().await?, Greeter::line().await?);
        let from = format!("    server o {}\n", old.address);
        let to = format!("    server n {}\n", new.address);
        let haproxy = bench.start(&from).await?;
        let mut client = bench.client().await?;
        who(&mut client).await?;
        bench.steer(&haproxy, &from, &to).await?;
        when(who(&mut client).await?.is_some(), || "the session is over".into())?;
        expect("what is left", command(&haproxy.socket, "show servers state b").await?, " o 127.0.0.1 0 1 ")?;
        expect("its end", command(&haproxy.socket, "del server b/o").await?, "Server still has connections")?;
        drop(client);
        // Whoever steers next tidies up.
        let gone = until("the server to be deleted", PATIENCE, async || {
            bench.steer(&haproxy, &to, &to).await?;
            let state = command(&haproxy.socket, "show servers state b").await?;
            when(!state.contains(" o 127"), || state.clone())
        });
        gone.await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maps_and_lists_are_filled_in_pieces_that_fit() -> Outcome {
    on_each(async |bench| {
        let path = |name: &str| bench.folder().join(name).display().to_string();
        let (map, list) = (path("n.map"), path("n.lst"));
        std::fs::write(&map, "a b\n")?;
        std::fs::write(&list, "a\n")?;
        let text = format!(
            "global\n    tune.bufsize 2048\n{}    use-server m if {{ src,map({map}) -m str x }} {{ src -m str -f {list} }}\n    \
             server m 127.0.0.1:9\n",
            whole("")
        );
        let haproxy = Alone::start(&bench.program, bench.folder(), "h", &text).await?;
        let entries: String = (0..400).map(|key| format!("key-of-some-length-{key} value {key} \\; and  more\n")).collect();
        let patterns = "one\ntwo words; \\ and more\n";
        let (new_map, new_list) = (path("new.map"), path("new.lst"));
        std::fs::write(&new_map, &entries)?;
        std::fs::write(&new_list, patterns)?;
        let replaced = [format!("{map}={new_map}"), format!("{list}={new_list}")];
        let step = Step { version: &bench.version, folder: bench.folder(), replaced: &replaced };
        let (verdict, commands) = step.verdict(&haproxy.socket, &text, &text).await?;
        expect("the verdict", &verdict, "no reload")?;
        tests::equivalence::execute(&haproxy.socket, &commands).await?;
        let shown = async |what: &str| -> Outcome<String> {
            let text = command(&haproxy.socket, what).await?;
            Ok(text.lines().filter_map(|line| Some(format!("{}\n", line.split_once(' ')?.1))).collect())
        };
        let now = shown(&format!("show map {map}")).await?;
        when(now == entries, || format!("{} of {} lines", now.lines().count(), entries.lines().count()))?;
        let now = shown(&format!("show acl {list}")).await?;
        when(now == patterns, || format!("the list holds {now}"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_haproxy_would_swallow_is_refused() -> Outcome {
    on_each(async |bench| {
        let step = Step { version: &bench.version, folder: bench.folder(), replaced: &[] };
        let from = whole("    server a 127.0.0.1:9\n");
        let haproxy = Alone::start(&bench.program, bench.folder(), "h", &from).await?;
        for (text, swallowed) in [
            (whole("    server a :9\n"), true),
            (String::new(), false),
            ("# nothing\n".to_owned(), false),
            ("backend b\n    server a 127.0.0.1:9\n".to_owned(), false),
        ] {
            let file = bench.folder().join("swallow.cfg");
            std::fs::write(&file, &text)?;
            let checked =
                tokio::process::Command::new(&bench.program).arg("-c").arg("-f").arg(&file).output().await?;
            when(checked.status.success() == swallowed, || format!("{text}: {checked:?}"))?;
            let (verdict, _) = step.verdict(&haproxy.socket, &from, &text).await?;
            expect("the verdict", &verdict, "refused: ")?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raising_a_frontends_maxconn_kills_2_6() -> Outcome {
    on_each(async |bench| {
        let server = Greeter::line().await?;
        let text = whole(&format!("    server m {}\n", server.address))
            .replace("frontend front\n", "frontend front\n    option socket-stats\n    maxconn 1\n");
        let mut haproxy = Alone::start(&bench.program, bench.folder(), "h", &text).await?;
        let mut first = bench.client().await?;
        who(&mut first).await?;
        let mut second = bench.client().await?;
        second.write_all(b"who\n").await?;
        until("the second to wait for its turn", PATIENCE, async || {
            let text = command(&haproxy.socket, "show stat").await?;
            let waits = |line: &str| line.starts_with("front,sock-1,") && line.contains(",WAITING,");
            when(text.lines().any(waits), || text.clone())
        })
        .await?;
        // The trap (haproxy#2726): it aborts, with every connection, when its watchdog has seen it turn in a circle for some
        // seconds of processor time.
        let said = command(&haproxy.socket, "set maxconn frontend front 9").await;
        if bench.is_2() {
            let status = haproxy.part.end(10 * PATIENCE).await?;
            return when(!status.success(), || format!("it lives: {said:?}"));
        }
        said?;
        when(who(&mut second).await?.is_some(), || "the second client is not served".into())
    })
    .await
}

/// Why clients are not paused while a master moves: whoever pauses a frontend may die, and HAProxy does not go on by
/// itself, not even when it was told to in the same line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_outlives_whoever_asked_for_it() -> Outcome {
    on_each(async |bench| {
        let haproxy = bench.start("    server m 127.0.0.1:9\n").await?;
        let limit = async || -> Outcome<String> {
            let text = command(&haproxy.socket, "show stat").await?;
            let mut lines = text.lines();
            let column = lines.next().and_then(|head| head.split(',').position(|name| name == "slim"));
            let front = lines.find(|line| line.starts_with("front,FRONTEND,"));
            let limit = column.zip(front).and_then(|(column, line)| line.split(',').nth(column));
            Ok(limit.unwrap_or_default().to_owned())
        };
        if bench.is_2() {
            // It would be killed by the end of the pause, and cannot wait.
            return expect("wait", command(&haproxy.socket, "wait 1ms").await?, "Unknown command");
        }
        let mut asker = UnixStream::connect(&haproxy.socket).await?;
        asker.write_all(b"set maxconn frontend front 0;wait 200ms;set maxconn frontend front 77\n").await?;
        until("the pause", PATIENCE, async || {
            let now = limit().await?;
            when(now == "0", || now)
        })
        .await?;
        drop(asker);
        let begun = tokio::time::Instant::now();
        until("five times the pause", PATIENCE, async || {
            when(begun.elapsed() > Duration::from_secs(1), || "not yet".into())
        })
        .await?;
        expect("the limit", limit().await?, "0")
    })
    .await
}

/// A failure looks like a success, and a socket of another level obeys nothing: only what runs then tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_tell_little() -> Outcome {
    on_each(async |bench| {
        let haproxy = bench.start("    server m 127.0.0.1:9\n").await?;
        let level = |answer: &str| answer.trim_start().split(':').next().unwrap_or_default().to_owned();
        let say = async |order: &str| {
            command(&haproxy.socket, &format!("set severity-output number;{order}")).await
        };
        let good = say("set server b/m addr 127.0.0.2 port 9").await?;
        let bad = say("set server b/m addr 300.1.1.1").await?;
        expect("a failure", &bad, "Invalid addr")?;
        when(level(&good) == level(&bad), || format!("{good} is told from {bad}"))?;
        let denied = command(&haproxy.socket, "operator;set server b/m state maint").await?;
        expect("a lower level", denied, "Permission denied")?;
        let state = command(&haproxy.socket, "show servers state b").await?;
        let row: Vec<&str> = state.lines().nth(2).unwrap_or_default().split_whitespace().collect();
        when(row.get(4) == Some(&"127.0.0.2") && row.get(6) == Some(&"0"), || state.clone())
    })
    .await
}
