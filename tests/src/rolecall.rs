//! The product under test: the `rolecall` binary, run as `register` or `render`.

use std::{
    env, fs,
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::{ANSWER, Host, Http, Outcome, PATIENCE, Part, Port, Recipe, Trouble, until, when};

/// One running program of the product.
#[derive(Debug)]
pub struct Rolecall {
    /// The process.
    pub part: Part,
    config: PathBuf,
    admin: SocketAddr,
    _lease: Port,
    http: Http,
}

impl Rolecall {
    /// Starts `rolecall PROGRAM` with this configuration (an `admin` block is added) and environment.
    pub fn start(
        program: &str,
        name: &str,
        directory: &Path,
        config: &str,
        environment: Vec<(String, String)>,
    ) -> Outcome<Rolecall> {
        Rolecall::start_at(Host::LOOPBACK, program, name, directory, config, environment)
    }

    /// The same on that host.
    pub fn start_at(
        host: Host,
        program: &str,
        name: &str,
        directory: &Path,
        config: &str,
        environment: Vec<(String, String)>,
    ) -> Outcome<Rolecall> {
        let lease = Port::lease()?;
        let admin: SocketAddr = (host.side, lease.number()).into();
        let file = directory.join(format!("{name}.hcl"));
        fs::write(&file, format!("admin {{\n  address = \"{admin}\"\n}}\n{config}"))?;
        let arguments = [program.as_ref(), "-c".as_ref(), file.as_os_str()];
        let mut recipe = Recipe::new(name, binary()?, directory, arguments);
        recipe.environment = environment;
        let part = host.runs(recipe).start()?;
        Ok(Rolecall { part, config: file, admin, _lease: lease, http: Http::new(None)? })
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// `IP:PORT` of its admin pages.
    pub fn address(&self) -> String {
        self.admin.to_string()
    }

    /// An admin page: status code and text.
    pub async fn page(&self, path: &str) -> Outcome<(u16, String)> {
        let url = format!("http://{}/{path}", self.address());
        let answer = self.http.get(&url, ANSWER).await?;
        Ok((answer.status, answer.text))
    }

    /// The `/metrics` page, in the format that this `Accept` header asks for.
    pub async fn metrics(&self, accept: &str) -> Outcome<String> {
        let url = format!("http://{}/metrics", self.address());
        Ok(self.http.get_as(&url, accept, ANSWER).await?.text)
    }

    /// The `/status` page.
    pub async fn status(&self) -> Outcome<Value> {
        let url = format!("http://{}/status", self.address());
        self.http.get(&url, ANSWER).await?.json()
    }

    /// Waits until nobody listens at its admin address: what it was just starting when it ended has a copy of the socket until
    /// its own program begins, which a busy machine may delay.
    pub async fn gone(&self) -> Outcome {
        until(format!("nobody to listen on {}", self.admin), PATIENCE, async || {
            let refused = TcpStream::connect(self.admin).await.map_err(|error| error.kind());
            when(matches!(refused, Err(ErrorKind::ConnectionRefused)), || format!("{refused:?}"))
        })
        .await
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) -> Outcome {
        let ready = until(format!("{} to be ready", self.part.name()), PATIENCE, async || {
            let (status, text) = self.page("readyz").await?;
            when(status == 200, || text)
        });
        self.part.explain(ready.await)
    }

    /// Waits until `/status` fits. A failure shows the last status and the end of the log.
    pub async fn shows(&self, what: &str, limit: Duration, fits: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let shown = until(format!("{} to show {what}", self.part.name()), limit, async || {
            let status = self.status().await?;
            if fits(&status) { Ok(status) } else { Err(Trouble::new(format!("{status:#}"))) }
        });
        self.part.explain(shown.await)
    }
}

/// The binary: `ROLECALL_BINARY`, else the one beside this executable, which a test builds first.
pub fn binary() -> Outcome<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let find = || env::var_os("ROLECALL_BINARY").map_or_else(built, |given| Ok(given.into()));
    FOUND.get_or_init(|| find().map_err(|t| t.to_string())).clone().map_err(Trouble::new)
}

/// The binary beside this executable, whatever `ROLECALL_BINARY` says: it is linked dynamically.
pub fn built() -> Outcome<PathBuf> {
    let here = env::current_exe()?;
    let beside = here.parent().unwrap_or(Path::new("/"));
    if beside.file_name().is_none_or(|name| name != "deps") {
        return Ok(beside.join("rolecall"));
    }
    // A test executable is target/PROFILE/deps/NAME; cargo builds what is out of date, once per test run.
    let target = beside.parent().unwrap_or(beside);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "rolecall", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    if target.file_name().is_some_and(|profile| profile == "release") {
        cargo.arg("--release");
    }
    let built = cargo.status()?;
    when(built.success(), || "the rolecall binary does not build".into())?;
    Ok(target.join("rolecall"))
}
