//! What the figures were measured on: as much as it takes to compare them, and nothing that names the machine.

use std::{env, fs, path::Path, process::Command, thread};

use serde_json::{Value, json};
use tests::{binary, found, unix_ms};
use tokio::time::Instant;

/// Cores, the kind of disk, load, versions, and the moment.
pub fn data() -> Value {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "unix_ms": unix_ms(Instant::now()),
        "cores": thread::available_parallelism().map(usize::from).ok(),
        "files_on": file_system(&env::temp_dir()),
        "load_of_the_last_15_minutes": load.split(' ').nth(2),
        "rolecall": binary().ok().and_then(|binary| first_line(Command::new(binary).arg("--version"))),
        "consul": version("consul", "version"),
        "haproxy": version("haproxy", "-v"),
        "redis": version("redis-server", "--version"),
    })
}

/// The kind of file system that a folder is on, such as `ext4` or `tmpfs`.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let around = mounts.filter(|(place, _)| folder.starts_with(place));
    around.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind.to_owned())
}

fn version(program: &str, argument: &str) -> Option<String> {
    first_line(Command::new(found(program.as_ref()).ok()?).arg(argument))
}

fn first_line(command: &mut Command) -> Option<String> {
    let said = command.output().ok()?.stdout;
    Some(String::from_utf8_lossy(&said).lines().next()?.to_string())
}
