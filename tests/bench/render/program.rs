//! The two programs, run alike: the same Go templates of keys, files and flags.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tests::{Http, Outcome, Part, Recipe, Trouble, binary, consul::Agent, found};
use tokio::time::Instant;

use super::load::{Load, key};

/// Who has not rendered by then counts as one that never does.
pub const FIRST: Duration = Duration::from_secs(30);
/// A change that is not in the file by then fails the bench.
const CHANGE: Duration = Duration::from_secs(30);
/// The file is looked at so often: well below what is measured, and little work beside it.
const LOOK: Duration = Duration::from_micros(100);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `rolecall render`.
    Rolecall,
    /// `consul-template`.
    ConsulTemplate,
}

impl Program {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Program::Rolecall => "rolecall",
            Program::ConsulTemplate => "consul-template",
        }
    }

    fn recipe(self, home: &Path, arguments: &[String]) -> Outcome<Recipe> {
        let arguments = arguments.iter().map(String::as_str);
        Ok(match self {
            Program::Rolecall => {
                let arguments = std::iter::once("render").chain(arguments);
                Recipe::new(self.word(), binary()?, home, arguments)
            }
            Program::ConsulTemplate => Recipe::new(self.word(), self.word(), home, arguments),
        })
    }
}

/// What consul-template says of itself, where it is.
pub fn version() -> Option<String> {
    let program = found(Program::ConsulTemplate.word().as_ref()).ok()?;
    let said = Command::new(program).arg("-version").output().ok()?;
    let said = [said.stdout, said.stderr].concat();
    Some(String::from_utf8_lossy(&said).trim().to_owned())
}

/// A client from an address of its own: what the programs use up of Consul's connections is theirs alone.
pub fn writer() -> Outcome<Http> {
    Http::kept(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)))
}

/// The most that Consul writes at once.
const AT_ONCE: usize = 64;

/// Changes all keys that were asked for. Consul counts the connection of whoever died until the question that it held is
/// answered, up to a minute, and the next one would start with what is left of the 200.
pub async fn let_go(consul: &Agent, questions: usize) -> Outcome {
    let (writer, url) = (writer()?, format!("http://{}/v1/txn", consul.address()));
    let numbers: Vec<usize> = (0..questions).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let value = BASE64_STANDARD.encode(format!("between {}", fastrand::u64(..)));
        let write = |number: &usize| json!({ "KV": { "Verb": "set", "Key": key(*number), "Value": value } });
        let answer = writer.put(&url, numbers.iter().map(write).collect::<Value>().to_string()).await?;
        tests::when(answer.status == 200, || answer.text.clone())?;
    }
    Ok(())
}

/// One of them at work.
pub struct Running {
    /// The process.
    pub part: Part,
    home: PathBuf,
    load: Load,
    http: Http,
}

impl Running {
    /// Starts it with these templates, and waits for all files: also the milliseconds that took. Nothing when they
    /// never came.
    pub async fn start(
        program: Program,
        consul: &Agent,
        home: &Path,
        load: Load,
    ) -> Outcome<Option<(Running, f64)>> {
        let mut arguments = vec![format!("-consul-addr={}", consul.address()), "-log-level=warn".into()];
        arguments.extend(load.lay(home)?.iter().map(|pair| format!("-template={pair}")));
        let began = Instant::now();
        let part = program.recipe(home, &arguments)?.start()?;
        let came = all_there(load.files(home), began + FIRST).await;
        let first = came.map(|at| (at - began).as_secs_f64() * 1e3);
        let running = Running { part, home: home.to_owned(), load, http: writer()? };
        Ok(first.map(|first| (running, first)))
    }

    /// Changes one key, and tells after how many milliseconds the file held it.
    pub async fn change(&self, consul: &Agent, number: usize) -> Outcome<f64> {
        let value = format!("changed-{}", fastrand::u64(..));
        let (file, wanted) = (self.file(number), value.clone());
        let before = identity(&file);
        let began = Instant::now();
        let seen =
            tokio::spawn(
                async move { seen(&file, before, CHANGE, move |text| text.contains(&wanted)).await },
            );
        self.write(consul, number, value).await?;
        let Some(at) = seen.await? else {
            return self.part.explain(Err(Trouble::new(format!("{} is not in the file", key(number)))));
        };
        Ok((at - began).as_secs_f64() * 1e3)
    }

    /// Writes one key.
    pub async fn write(&self, consul: &Agent, number: usize, value: String) -> Outcome {
        let answer =
            self.http.put(&format!("http://{}/v1/kv/{}", consul.address(), key(number)), value).await?;
        tests::when(answer.status == 200, || answer.text.clone())
    }

    /// The file that holds this key.
    pub fn file(&self, number: usize) -> PathBuf {
        self.load.file(&self.home, number)
    }
}

/// When the last of the files was there; nothing when that was not in time.
async fn all_there(mut missing: Vec<PathBuf>, end: Instant) -> Option<Instant> {
    let look = move || {
        while Instant::now() < end {
            missing.retain(|file| !file.exists());
            if missing.is_empty() {
                return Some(Instant::now());
            }
            thread::sleep(LOOK);
        }
        None
    };
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// When the file became another one that fits; nothing when it did not in time.
async fn seen(
    file: &Path,
    mut before: Option<Identity>,
    limit: Duration,
    fits: impl Fn(&str) -> bool + Send + 'static,
) -> Option<Instant> {
    let (file, end) = (file.to_owned(), Instant::now() + limit);
    let look = move || {
        while Instant::now() < end {
            let now = identity(&file);
            if now.is_some() && now != before && fs::read_to_string(&file).is_ok_and(|text| fits(&text)) {
                return Some(Instant::now());
            }
            before = now;
            thread::sleep(LOOK);
        }
        None
    };
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// What tells one file from the next in its place.
pub type Identity = (u64, i64, i64);

/// That of a file; nothing when there is none.
pub fn identity(file: &Path) -> Option<Identity> {
    let file = fs::metadata(file).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec()))
}
