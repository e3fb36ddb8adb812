//! One template, a file for each thing that it finds, and partials: files come, change and go, and the command runs once
//! for all that changed together.

use std::{fs, path::Path, process::Command};

use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Part, Recipe, Signal, binary,
    consul::{Access, Agent},
    until, when,
};

const CONFIG: &str = r#"
partials = "partials"

template {
  source    = "sites.ctmpl"
  directory = "conf.d"
  perms     = "0640"
  command   = "ls conf.d | tr '\n' ' ' >> told; echo >> told"
}

template {
  source    = "sites.hbs"
  directory = "other.d"
  on_gone   = "keep"
}
"#;
const GO: &str =
    "{{ range tree \"sites\" }}{{ toFile (print .Key \".conf\") }}\n{{ template \"site\" . }}{{ end }}";
const HANDLEBARS: &str =
    "{{#each (tree \"sites\")}}\n{{toFile (printf \"%s.conf\" Key)}}\n{{> site}}\n{{/each}}\n";

/// All files of a folder that are not hidden, with their texts.
fn files(folder: &Path) -> String {
    let mut all: Vec<_> = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect();
    all.sort_by_key(fs::DirEntry::file_name);
    let shown = all.iter().map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        format!("{name}: {}", fs::read_to_string(entry.path()).unwrap_or_default())
    });
    shown.filter(|line| !line.starts_with('.')).collect()
}

async fn holds(render: &Part, folder: &Path, expected: &str) -> Outcome {
    let holds = until(format!("{} to hold {expected:?}", folder.display()), PATIENCE, async || {
        let found = files(folder);
        when(found == expected, || found)
    });
    render.explain(holds.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_and_go_with_what_the_template_finds() -> Outcome {
    let home = tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    consul.ready().await?;
    for (key, value) in [("kv/sites/shop", "1"), ("kv/sites/deep/api", "1")] {
        consul.put(key, value).await?;
    }
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text);
    fs::create_dir(home.path().join("partials"))?;
    fs::create_dir(home.path().join("conf.d"))?;
    write("partials/site.ctmpl", "go {{ .Key }} {{ .Value }}\n")?;
    write("partials/site.hbs", "hbs {{Key}} {{Value}}\n")?;
    write("sites.ctmpl", GO)?;
    write("sites.hbs", HANDLEBARS)?;
    write("render.hcl", CONFIG)?;
    write("conf.d/foreign.conf", "not ours\n")?;
    let address = consul.address();
    let arguments = ["render", "-c", "render.hcl", "--consul-addr", &address];
    let render = Recipe::new("render", binary()?, home.path(), arguments).start()?;
    let (go, hbs) = (home.path().join("conf.d"), home.path().join("other.d"));

    holds(&render, &go, "deep: foreign.conf: not ours\nshop.conf: go shop 1\n").await?;
    holds(&render, &go.join("deep"), "api.conf: go deep/api 1\n").await?;
    holds(&render, &hbs, "deep: shop.conf: hbs shop 1\n").await?;
    let told = || fs::read_to_string(home.path().join("told")).unwrap_or_default();
    let once = until("the command to run", PATIENCE, async || {
        when(told() == "deep foreign.conf shop.conf \n", told)
    });
    render.explain(once.await)?;

    consul.put("kv/sites/blog", "2").await?;
    holds(&render, &go, "blog.conf: go blog 2\ndeep: foreign.conf: not ours\nshop.conf: go shop 1\n").await?;
    let delete = |key: &str| serde_json::json!({"KV": {"Verb": "delete", "Key": key}});
    consul.put("txn", serde_json::json!([delete("sites/deep/api"), delete("sites/shop")])).await?;
    holds(&render, &go, "blog.conf: go blog 2\nforeign.conf: not ours\n").await?;
    holds(&render, &hbs, "blog.conf: hbs blog 2\ndeep: shop.conf: hbs shop 1\n").await?;

    // Partials are read again as templates are.
    write("partials/site.ctmpl", "new {{ .Key }}\n")?;
    render.signal(Signal::HUP)?;
    holds(&render, &go, "blog.conf: new blog\nforeign.conf: not ours\n").await?;
    write("partials/site.ctmpl", "{{ template \"nope\" }}")?;
    let check =
        Command::new(binary()?).args(["check", "-c", "render.hcl"]).current_dir(home.path()).output()?;
    assert_eq!(check.status.code(), Some(64));
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("partials/site.ctmpl:1:"), "{said}");
    assert!(said.contains("template \"nope\" not defined; there are site"), "{said}");
    Ok(())
}
