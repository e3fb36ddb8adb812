//! consul-template's files and flags, unchanged, in `rolecall render`: what is written and run, a program that is
//! supervised, configuration that is read again, failures that end nothing unless that is asked for.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::{TempDir, tempdir};
use tests::{
    Outcome, PATIENCE, Part, Recipe, Signal, binary,
    consul::{Access, Agent},
    until, when,
};

/// A Consul with one key, and a folder.
pub(crate) struct Stage {
    home: TempDir,
    /// The Consul.
    pub consul: Agent,
}

impl Stage {
    /// Starts Consul.
    pub async fn set() -> Outcome<Stage> {
        let home = tempdir()?;
        let consul = Agent::server(home.path(), Access::Open)?;
        consul.ready().await?;
        consul.put("kv/app/text", "one").await?;
        Ok(Stage { home, consul })
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, text)?)
    }

    /// Starts `rolecall render` in the folder, with the address of Consul.
    pub fn render(&self, arguments: &[&str]) -> Outcome<Part> {
        let address = format!("-consul-addr={}", self.consul.address());
        let all = ["render", &address, "-log-level", "INFO"].into_iter().chain(arguments.iter().copied());
        let mut recipe = Recipe::new("render", binary()?, self.home.path(), all);
        recipe.environment = [("CONSUL_HTTP_TOKEN", "s3cret"), ("SHOP", "seven")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        recipe.start()
    }

    /// Waits until a file there holds this.
    pub async fn holds(&self, render: &Part, name: &str, text: &str) -> Outcome {
        let path = self.path(name);
        let holds = until(format!("{name} to hold {text:?}"), PATIENCE, async || {
            let found = fs::read_to_string(&path).unwrap_or_default();
            when(found == text, || found)
        });
        render.explain(holds.await)
    }
}

/// Waits until the log says so.
pub async fn logs(render: &Part, words: &str) -> Outcome {
    let said = until(format!("the log to say {words:?}"), PATIENCE, async || {
        when(render.log().contains(words), String::new)
    });
    render.explain(said.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_flags_of_consul_template_do_what_they_say() -> Outcome {
    let stage = Stage::set().await?;
    stage.write("a.ctmpl", "{{ key \"app/text\" }}\n")?;
    stage.write("a.conf", "{{ key \"app/text\" }}\n")?;
    stage.write("keystore", "{{ base64Decode \"AP/+YQ==\" }}")?;
    stage.write(
        "conf.d/10-base.conf",
        "log_level = \"WARN\"\nvault { address = \"https://vault:8200\", renew_token = true }\nconsul { retry { attempts = 5 } }\n",
    )?;
    stage.write("conf.d/deeper/a", "template { source = \"a.ctmpl\", destination = \"out/a\", perms = 0640, backup = true\n command = \"echo $SHOP-$CONSUL_HTTP_ADDR-$CONSUL_HTTP_TOKEN-$MORE > ran\"\n exec { env { custom = [\"MORE=more\"] } } }\n")?;
    stage.write(
        "conf.d/z",
        "{\"template\": [{\"contents\": \"{{ keyOrDefault \\\"x\\\" \\\"none\\\" }}\", \"destination\": \"out/b\"}]}",
    )?;
    let mut render = stage.render(&[
        "-config",
        "conf.d",
        "-once",
        "-template",
        "a.conf:out/c:cp out/c out/d",
        "-template",
        "keystore:out/bytes:cp out/bytes out/copied",
    ])?;
    let status = render.end(PATIENCE).await?;
    assert_eq!(status.code(), Some(0), "{}", render.tail());
    for (name, text) in [("out/a", "one\n"), ("out/b", "none"), ("out/c", "one\n"), ("out/d", "one\n")] {
        assert_eq!(fs::read_to_string(stage.path(name))?, text, "{name}");
    }
    assert_eq!(fs::read(stage.path("out/copied"))?, b"\x00\xff\xfea", "bytes that are no UTF-8");
    assert_eq!(fs::metadata(stage.path("out/a"))?.permissions().mode() & 0o7777, 0o640);
    let ran = fs::read_to_string(stage.path("ran"))?;
    assert_eq!(ran, format!("seven-http://{}--more\n", stage.consul.address()));
    let warned = render.log();
    assert!(warned.contains("10-base.conf:2: vault: without effect: Vault is not spoken to"), "{warned}");
    assert!(warned.contains("10-base.conf:3: consul.retry.attempts: without effect"), "{warned}");

    stage.consul.put("kv/app/text", "two").await?;
    fs::set_permissions(stage.path("out/b"), fs::Permissions::from_mode(0o600))?;
    let mut again =
        stage.render(&["-config=conf.d", "-once", "-log-file", "kept.log", "-log-rotate-max-files", "-1"])?;
    assert_eq!(again.end(PATIENCE).await?.code(), Some(0), "{}", again.tail());
    let kept = fs::read_dir(stage.home.path())?.filter_map(Result::ok).map(|entry| entry.path());
    let kept = kept.filter(|path| path.to_string_lossy().contains("/kept-")).collect::<Vec<_>>();
    let [log] = &kept[..] else { panic!("one log file: {kept:?}") };
    assert!(fs::read_to_string(log)?.contains("the rendered file changed"));
    assert_eq!(fs::read_to_string(stage.path("out/a"))?, "two\n");
    assert_eq!(fs::read_to_string(stage.path("out/a.bak"))?, "one\n");

    fs::remove_dir_all(stage.path("out"))?;
    let mut parsed = stage.render(&["-config", "conf.d", "-parse-only"])?;
    assert_eq!(parsed.end(PATIENCE).await?.code(), Some(0), "{}", parsed.tail());
    assert!(!stage.path("out").exists(), "parse-only writes nothing");
    Ok(())
}

/// Writes its pid to `pids` at each start, once it listens, a line to `log` for each signal, and runs on.
const PROGRAM: &str = "trap 'echo told >> log' USR1; trap 'echo passed on >> log' USR2; \
                       trap 'echo ended >> log; exit 0' INT; echo $$ >> pids; while :; do sleep 0.02; done";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_supervised_and_outlives_a_reload_of_the_configuration() -> Outcome {
    let stage = Stage::set().await?;
    let config = |second: &str| {
        format!(
            "pid_file = \"pid\"\ntemplate {{\n  contents = \"{{{{ key \\\"app/text\\\" }}}}\"\n  destination = \"a\"\n}}\n\
             {second}\nexec {{\n  command = [\"sh\", \"-c\", \"{PROGRAM}\"]\n  reload_signal = \"SIGUSR1\"\n}}\n"
        )
    };
    stage.write("c.hcl", &config(""))?;
    let mut render = stage.render(&["-config", "c.hcl"])?;
    let pids = || fs::read_to_string(stage.path("pids")).unwrap_or_default();
    let started = until("the program to start", PATIENCE, async || when(pids().ends_with('\n'), pids));
    render.explain(started.await)?;
    assert_eq!(fs::read_to_string(stage.path("a"))?, "one", "it starts when the files are in place");
    assert_eq!(fs::read_to_string(stage.path("pid"))?, format!("{}\n", render.pid()));

    stage.consul.put("kv/app/text", "two").await?;
    stage.holds(&render, "log", "told\n").await?;
    assert_eq!(fs::read_to_string(stage.path("a"))?, "two");
    render.signal(Signal::USR2)?;
    stage.holds(&render, "log", "told\npassed on\n").await?;

    // A configuration that cannot be read changes nothing; one that can is followed, and the program runs on.
    stage.write("c.hcl", "template { source = }")?;
    render.signal(Signal::HUP)?;
    logs(&render, "the configuration is not read again").await?;
    stage.write("c.hcl", &config("template {\n  contents = \"new\"\n  destination = \"b\"\n}"))?;
    render.signal(Signal::HUP)?;
    stage.holds(&render, "b", "new").await?;
    stage.consul.put("kv/app/text", "three").await?;
    stage.holds(&render, "a", "three").await?;
    assert_eq!(pids().lines().count(), 1, "the program was started again: {}", render.tail());

    render.signal(Signal::TERM)?;
    assert_eq!(render.end(PATIENCE).await?.code(), Some(0), "{}", render.tail());
    assert!(fs::read_to_string(stage.path("log"))?.ends_with("ended\n"));
    assert!(!stage.path("pid").exists(), "the file with the process id is gone");
    Ok(())
}

/// The program has all the time that it is promised, also while a command takes its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_told_to_end_while_a_command_still_runs() -> Outcome {
    let stage = Stage::set().await?;
    let slow = "test -e hold || exit 0; echo > under-way; until test -e go; do sleep 0.02; done";
    let program = "trap 'echo ended >> log; exit 0' INT; echo started >> log; while :; do sleep 0.02; done";
    let config = format!(
        "template {{\n  contents = \"{{{{ key \\\"app/text\\\" }}}}\"\n  destination = \"a\"\n  command = \"{slow}\"\n  \
         command_timeout = \"5m\"\n}}\nexec {{\n  command = \"{program}\"\n  reload_signal = \"\"\n}}\n"
    );
    stage.write("c.hcl", &config)?;
    let mut render = stage.render(&["-config", "c.hcl"])?;
    stage.holds(&render, "log", "started\n").await?;
    stage.write("hold", "")?;
    stage.consul.put("kv/app/text", "two").await?;
    stage.holds(&render, "under-way", "\n").await?;
    render.signal(Signal::TERM)?;
    stage.holds(&render, "log", "started\nended\n").await?;
    assert!(render.ended()?.is_none(), "the command was not waited for: {}", render.tail());
    stage.write("go", "")?;
    assert_eq!(render.end(PATIENCE).await?.code(), Some(0), "{}", render.tail());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_program_is_ours() -> Outcome {
    let stage = Stage::set().await?;
    for (command, code) in [("exit 0", 0), ("sleep 0; exit 7", 7), ("kill -KILL $$", 137)] {
        for once in ["-once=false", "-once"] {
            let mut render = stage.render(&[once, "-template", "a.ctmpl:a", "-exec", command])?;
            assert_eq!(render.end(PATIENCE).await?.code(), Some(64), "there is no template yet");
            stage.write("a.ctmpl", "{{ key \"app/text\" }}")?;
            render.restart()?;
            assert_eq!(render.end(PATIENCE).await?.code(), Some(code), "{command} {once}: {}", render.tail());
            fs::remove_file(stage.path("a.ctmpl"))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_the_end_only_where_that_is_asked_for() -> Outcome {
    let stage = Stage::set().await?;
    stage.write(
        "fails.ctmpl",
        "{{ if eq (key \"app/text\") \"two\" }}{{ index (service \"none\") 0 }}{{ end }}x",
    )?;
    stage.write("good.ctmpl", "{{ key \"app/text\" }}")?;
    let both = ["-template", "fails.ctmpl:f", "-template", "good.ctmpl:g:exit 3"];
    let mut render = stage.render(&both)?;
    stage.holds(&render, "g", "one").await?;
    logs(&render, "`exit 3` failed").await?;
    stage.consul.put("kv/app/text", "two").await?;
    stage.holds(&render, "g", "two").await?;
    logs(&render, "fails.ctmpl:1").await?;
    stage.consul.put("kv/app/text", "three").await?;
    stage.holds(&render, "g", "three").await?;
    render.signal(Signal::TERM)?;
    assert_eq!(render.end(PATIENCE).await?.code(), Some(0), "{}", render.tail());

    stage.consul.put("kv/app/text", "two").await?;
    for arguments in
        [["-template-error-fatal", "-template", both[1]], ["-exit-on-error", "-template", both[3]]]
    {
        _ = fs::remove_file(stage.path("g"));
        let mut render = stage.render(&arguments)?;
        assert_eq!(render.end(PATIENCE).await?.code(), Some(1), "{arguments:?}: {}", render.tail());
    }
    let nobody = tests::Port::lease()?;
    let address = format!("-consul-addr=127.0.0.1:{}", nobody.number());
    let patience = ["-exit-on-error", "-consul-retry-attempts=3", "-consul-retry-backoff=10ms", &address];
    let mut lost = stage.render(&[&patience[..], &["-template", "good.ctmpl:h"]].concat())?;
    assert_eq!(lost.end(PATIENCE).await?.code(), Some(1), "{}", lost.tail());
    assert!(lost.log().contains("gave no good answer"), "{}", lost.tail());
    Ok(())
}

/// Watches, connections and tasks of the readings before are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_again_and_again_leaves_nothing_behind() -> Outcome {
    let stage = Stage::set().await?;
    stage.write(
        "a.ctmpl",
        "{{ key \"app/text\" }} {{ keyOrDefault \"other\" \"\" }}{{ range ls \"app\" }}{{ .Key }}{{ end }}",
    )?;
    let mut render = stage.render(&["-template", "a.ctmpl:a"])?;
    let sockets = |render: &Part| -> Outcome<usize> {
        let files = fs::read_dir(format!("/proc/{}/fd", render.pid()))?;
        let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        Ok(links.filter(|link| link.to_string_lossy().starts_with("socket:")).count())
    };
    let mut first = None;
    for round in 1..=10 {
        stage.consul.put("kv/app/text", round).await?;
        stage.holds(&render, "a", &format!("{round} text")).await?;
        first.get_or_insert(sockets(&render)?);
        let read = render.log().matches("are read again").count();
        render.signal(Signal::HUP)?;
        let again = until("the configuration to be read again", PATIENCE, async || {
            when(render.log().matches("are read again").count() > read, String::new)
        });
        render.explain(again.await)?;
    }
    // Those of the reading before may still be closing, and those of the first may not all have been open.
    let few = until("the sockets of all readings before to be closed", PATIENCE, async || {
        let now = sockets(&render)?;
        when(first.is_some_and(|first| now <= first + 4), || format!("{now} sockets, {first:?} at first"))
    });
    render.explain(few.await)?;
    assert!(render.ended()?.is_none(), "{}", render.tail());
    Ok(())
}

/// A single file that a container mounts cannot be replaced: it is written over, whole and on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_file_is_written_in_place() -> Outcome {
    let stage = Stage::set().await?;
    stage.write("good.ctmpl", "{{ key \"app/text\" }}")?;
    stage.write("outside", "what was there before, and is longer")?;
    stage.write("out/file", "")?;
    let script = format!(
        "set -e; mount --bind outside out/file; exec {} render -consul-addr={} -template good.ctmpl:out/file -once",
        binary()?.display(),
        stage.consul.address()
    );
    let arguments = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    let mut render = Recipe::new("render", "unshare", stage.home.path(), arguments).start()?;
    assert_eq!(render.end(PATIENCE).await?.code(), Some(0), "{}", render.tail());
    assert_eq!(fs::read_to_string(stage.path("outside"))?, "one");
    let left: Vec<_> =
        fs::read_dir(stage.path("out"))?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    assert_eq!(left, ["file"], "nothing is left beside it");
    Ok(())
}
