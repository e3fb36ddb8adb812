//! The door through which templates see the machine: its clock, its files, its addresses, and programs that were
//! allowed.

use crate::functions::Outside;
use daemon::child::SECRETS;
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    net::{IpAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

/// The machine that rolecall runs on.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// What programs printed, by their arguments: each is run once.
    printed: Mutex<BTreeMap<Vec<String>, Result<String, String>>>,
}

/// As in consul-template.
const PLUGIN_LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

impl Outside for Machine {
    fn now(&self) -> (i64, u32) {
        let millis = daemon::clock::unix_millis();
        ((millis / 1e3).floor() as i64, ((millis % 1e3) * 1e6) as u32)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        fs::read(path).map(|bytes| octets::text(&bytes)).map_err(|e| format!("{path}: {e}"))
    }

    fn real_path(&self, path: &str) -> Result<String, String> {
        let real = fs::canonicalize(path).map_err(|e| format!("{path}: {e}"))?;
        Ok(real.display().to_string())
    }

    fn plugin(&self, argv: &[String]) -> Result<String, String> {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.entry(argv.to_vec()).or_insert_with(|| run(argv)).clone()
    }

    fn addresses(&self) -> Vec<(String, IpAddr)> {
        // The address that packets to elsewhere leave from; nothing is sent.
        let towards = |from: &str, to: &str| {
            let socket = UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            Some((String::new(), socket.local_addr().ok()?.ip()))
        };
        let found = [towards("0.0.0.0:0", "192.0.2.1:9"), towards("[::]:0", "[2001:db8::1]:9")];
        found.into_iter().flatten().collect()
    }
}

/// Runs a program to its end, or until its time is up.
fn run(argv: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("no program is named".into()) };
    let name = gotemplate::quote(program, false);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    SECRETS.iter().for_each(|name| _ = command.env_remove(name));
    let mut child = command.spawn().map_err(|e| format!("exec {name}: {e}"))?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = ended(&mut child).map_err(|why| format!("exec {name}: {why}"))?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    let (out, err) = (text(out), text(err));
    match status.success() {
        true => Ok(out),
        false => Err(format!("exec {name}: {status}\n\nstdout:\n\n{out}\n\nstderr:\n\n{err}\n")),
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = vec![];
        let read = pipe.map(|pipe| pipe.take(16 << 20).read_to_end(&mut bytes));
        drop(read);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn ended(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let mut waited = Duration::ZERO;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => return Ok(status),
            None if waited >= PLUGIN_LIMIT => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("did not finish in {PLUGIN_LIMIT:?}"));
            }
            None => {
                thread::sleep(LOOK);
                waited += LOOK;
            }
        }
    }
}
