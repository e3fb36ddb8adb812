//! Destinations that cannot be written: full, or read-only. Nothing is half-written, `/status` says why, and the
//! file is written as soon as it can be.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::tempdir;
use tests::{Outcome, PATIENCE, Part, Recipe, Scene, Scripted, binary, until, when};

/// A small or read-only file system, mounted where only this child sees it.
fn render_on(mount: &str, home: &Path, consul: &str) -> Outcome<Part> {
    let folder = home.join("out");
    fs::create_dir_all(&folder)?;
    fs::write(home.join("t.hbs"), "{{keyOrDefault \"text\" \"none\"}}\n")?;
    let script = format!(
        "set -e; {mount}; exec {} render --consul-addr {consul} --template {}/t.hbs:{}/file --once",
        binary()?.display(),
        home.display(),
        folder.display()
    );
    let arguments = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    // util-linux is on every Debian; a kernel without user namespaces fails here, and says so in the log.
    Recipe::new("render", "unshare", home, arguments).start()
}

async fn fails_with(mount: &str, words: &str) -> Outcome {
    let home = tempdir()?;
    let body = "[{\"Key\":\"text\",\"Value\":\"".to_owned() + &"QUFB".repeat(30_000) + "\"}]";
    let consul = Scripted::start(Scene::Good { index: 5, body }).await?;
    let mount = mount.replace("OUT", &home.path().join("out").display().to_string());
    let mut render = render_on(&mount, home.path(), consul.address())?;
    let status = render.end(PATIENCE).await?;
    let log = fs::read_to_string(home.path().join("render.log"))?;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("out/file: cannot") && log.contains(words), "`{words}` is not in:\n{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named() -> Outcome {
    fails_with("mount -t tmpfs -o size=64k none OUT; echo old > OUT/file", "No space left on device").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_folder_is_named() -> Outcome {
    fails_with("mount -t tmpfs -o ro none OUT", "Read-only file system").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_written_when_there_is_room_again() -> Outcome {
    let home = tempdir()?;
    let consul = Scripted::start(Scene::Good { index: 5, body: "[]".into() }).await?;
    fs::write(home.path().join("t.hbs"), "{{keyOrDefault \"text\" \"none\"}}\n")?;
    // A folder's place is taken by a file, until somebody mends that.
    let folder = home.path().join("taken");
    fs::write(&folder, "")?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        home.path().join("t.hbs").display(),
        folder.join("file").display()
    );
    let render = tests::Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let failed =
        |s: &Value| s["templates"][0]["error"].as_str().is_some_and(|e| e.contains("taken/file: cannot"));
    render.shows("why the file cannot be written", PATIENCE, failed).await?;
    until("the metrics to say so", PATIENCE, async || {
        let (_, metrics) = render.page("metrics").await?;
        when(metrics.contains("state=\"failed\"} 1"), || metrics.clone())
    })
    .await?;
    fs::remove_file(&folder)?;
    let written = until("the file", PATIENCE, async || {
        let text = fs::read_to_string(folder.join("file"))?;
        when(text == "none\n", || text)
    });
    render.part.explain(written.await)
}
