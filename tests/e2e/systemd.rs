//! `Type=notify`: what systemd hears of the real binaries over its socket.

use std::{os::unix::net::UnixDatagram, time::Duration};

use tempfile::tempdir;
use tests::{Outcome, PATIENCE, Part, Recipe, Signal, binary, until, when};

/// systemd's end of the socket.
struct Systemd {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Systemd {
    fn listen(at: &std::path::Path) -> Outcome<Systemd> {
        let socket = UnixDatagram::bind(at)?;
        socket.set_nonblocking(true)?;
        Ok(Systemd { socket, heard: vec![] })
    }

    fn listen_on(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }

    async fn hears(&mut self, what: &str, part: &Part) -> Outcome {
        let heard = until(format!("systemd to hear {what}"), PATIENCE, async || {
            self.listen_on();
            when(self.heard.iter().any(|said| said.contains(what)), || format!("{:?}", self.heard))
        });
        part.explain(heard.await)
    }
}

async fn story(program: &str, config: &str, awaited: &str) -> Outcome {
    let home = tempdir()?;
    let mut systemd = Systemd::listen(&home.path().join("notify"))?;
    std::fs::write(home.path().join("t.hbs"), "{{key \"k\"}}\n")?;
    let file = home.path().join("config.hcl");
    std::fs::write(&file, config.replace("HOME", &home.path().display().to_string()))?;
    let arguments = [program.as_ref(), "-c".as_ref(), file.as_os_str()];
    let mut recipe = Recipe::new(program, binary()?, home.path(), arguments);
    let pair = |name: &str, value: String| (name.to_owned(), value);
    recipe.environment = vec![
        pair("NOTIFY_SOCKET", home.path().join("notify").display().to_string()),
        pair("WATCHDOG_USEC", Duration::from_millis(300).as_micros().to_string()),
    ];
    let mut part = recipe.start()?;
    // Neither Consul nor Redis is there: that is no reason to restart it.
    systemd.hears("READY=1", &part).await?;
    systemd.hears(awaited, &part).await?;
    systemd.heard.clear();
    systemd.hears("WATCHDOG=1", &part).await?;
    part.signal(Signal::TERM)?;
    systemd.hears("STOPPING=1", &part).await?;
    part.end(PATIENCE).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_register() -> Outcome {
    let config = "consul {\n  address = \"127.0.0.1:1\"\n}\nleave_timeout = \"200ms\"\nservice \"redis\" {\n  \
                  address = \"192.0.2.1\"\n  probe \"redis\" {\n    address = \"HOME/no.sock\"\n  }\n  port = 1\n}\n";
    story("register", config, "STATUS=awaits first answer of").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_render() -> Outcome {
    let config = "consul {\n  address = \"127.0.0.1:1\"\n}\ntemplate {\n  source = \"HOME/t.hbs\"\n  \
                  destination = \"HOME/out\"\n}\n";
    story("render", config, "STATUS=awaits first text of").await
}
