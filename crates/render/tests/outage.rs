//! Half an hour without Consul, in a moment: the whole of render, real sockets and a real file, under a clock that is moved
//! on by hand. Whatever is there instead of Consul's answers, the file stays as it is, and the next one is followed.

use std::{fs, path::Path, time::Duration};

use config::Environment;
use render::Flags;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{Instant, advance, sleep},
};

const OUTAGE: Duration = Duration::from_secs(30 * 60);
/// The clock is moved on by this during the outage …
const STEP: Duration = Duration::from_secs(5);
/// … and by this while something is awaited, for no longer than the longest pause and the deadline of a request.
const SOON: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(20));

/// What is there in place of Consul.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// It is well, and one instance with this number is there.
    Well { index: u64, instance: u32 },
    /// Nobody: connections are refused.
    Nobody,
    /// Each answer is that there is no leader.
    Leaderless,
    /// It takes connections and says nothing.
    Silent,
    /// The token is unknown to it.
    Forbidden,
}

async fn consul(port: u16, mut scene: watch::Receiver<Scene>) {
    loop {
        if *scene.borrow_and_update() == Scene::Nobody {
            _ = scene.changed().await;
            continue;
        }
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is kept for us");
        let playing = scene.clone();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => drop(tokio::spawn(answer(stream, playing.clone()))),
                _ = scene.wait_for(|scene| *scene == Scene::Nobody) => break,
            }
        }
    }
}

/// Answers one request. A connection ends with its answer, or when Consul is gone.
async fn answer(mut stream: TcpStream, mut scene: watch::Receiver<Scene>) {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let now = *scene.borrow_and_update();
    let held = matches!(now, Scene::Well { index, .. } if head.contains(&format!("index={index} ")) || head.contains(&format!("index={index}&")));
    if held || now == Scene::Silent {
        tokio::select! {
            _ = scene.changed() => {}
            () = sleep(Duration::from_secs(10)), if held => {}
        }
    }
    let now = *scene.borrow();
    let (status, index, body) = match now {
        Scene::Nobody | Scene::Silent => return,
        Scene::Leaderless => ("500 Internal Server Error", 1, "No cluster leader".to_owned()),
        Scene::Forbidden => ("403 Forbidden", 1, "ACL not found".to_owned()),
        Scene::Well { .. } if !head.contains("/health/service/web") => ("404 Not Found", 1, String::new()),
        Scene::Well { index, instance } => (
            "200 OK",
            index,
            format!(
                r#"[{{"Node":{{"Node":"n","Address":"10.0.0.1"}},"Service":{{"ID":"web-{instance}","Service":"web","Port":80,"Tags":[],"Meta":{{}}}},"Checks":[]}}]"#
            ),
        ),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nX-Consul-Index: {index}\r\nX-Consul-KnownLeader: true\r\nX-Consul-LastContact: 0\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    _ = stream.write_all(head.as_bytes()).await;
}

/// Lets sockets and files have their turn; the clock stands still meanwhile, since a thread is at work.
async fn settle() {
    let slept = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2))).await;
    slept.expect("sleeping does not panic");
}

async fn holds(file: &Path, text: &str, what: &str) {
    let (began, found) = (Instant::now(), || fs::read_to_string(file).unwrap_or_default());
    while found() != text {
        assert!(began.elapsed() < SOON.1, "{what}: {:?} in place of {text:?}", found());
        settle().await;
        advance(SOON.0).await;
    }
}

async fn story(file: &Path, scene: &watch::Sender<Scene>) {
    for (n, away) in (1..).zip([Scene::Nobody, Scene::Leaderless, Scene::Silent, Scene::Forbidden]) {
        scene.send_replace(Scene::Well { index: u64::from(n) * 10, instance: n });
        let text = format!("web-{n} ");
        holds(file, &text, &format!("after {n} outages")).await;
        scene.send_replace(away);
        let began = Instant::now();
        while began.elapsed() < OUTAGE {
            settle().await;
            advance(STEP).await;
            let found = fs::read_to_string(file).unwrap_or_default();
            assert_eq!(found, text, "{away:?}, after {:?}", began.elapsed());
        }
    }
    // It comes back without its data, and tells of another instance at a lower index.
    scene.send_replace(Scene::Well { index: 5, instance: 9 });
    holds(file, "web-9 ", "after the last").await;
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_without_consul_leaves_the_file_as_it_is() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let home = tempfile::tempdir().unwrap();
    // Kept, or somebody else might get the port while nobody listens there.
    let kept = TcpSocket::new_v4().unwrap();
    kept.set_reuseaddr(true).unwrap();
    kept.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = kept.local_addr().unwrap().port();
    let (template, file, configuration) =
        (home.path().join("t.hbs"), home.path().join("out"), home.path().join("c.hcl"));
    fs::write(&template, "{{#each (service \"web\")}}{{ID}} {{/each}}").unwrap();
    let text = format!(
        "consul {{\n  address = \"127.0.0.1:{port}\"\n}}\ntemplate {{\n  source = {template:?}\n  destination = {file:?}\n}}\n"
    );
    fs::write(&configuration, text).unwrap();
    let anew = || render::load(std::slice::from_ref(&configuration), Environment::new(), &Flags::default());
    let (scene, playing) = watch::channel(Scene::Nobody);
    let (_shutdown, leaving) = daemon::shutdown::channel();
    tokio::select! {
        exit = render::run(anew().unwrap_or_else(|mistakes| panic!("{mistakes}")), anew, None, leaving) => {
            panic!("it ended with {exit:?}")
        }
        () = consul(port, playing) => unreachable!("it never ends"),
        () = story(&file, &scene) => {}
    }
}
