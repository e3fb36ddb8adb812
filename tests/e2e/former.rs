//! Whoever followed a later epoch does not go back: not when the later master is gone, not after a restart, until an
//! operator says so.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{
    Outcome, PATIENCE, Rolecall, binary,
    consul::{Access, Agent},
    until, when,
};

const TEMPLATE: &str = "{{#with (master \"redis\")}}{{ID}}{{else}}nobody{{/with}}\n";

async fn claims(consul: &Agent, id: &str, epoch: u64) -> Outcome {
    let body = json!({"ID": id, "Name": "redis", "Port": 6379, "Address": "10.0.0.1",
                      "Tags": ["master"], "Meta": {"role": "primary", "epoch": epoch.to_string()}});
    consul.put("agent/service/register", body).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_master_is_not_followed_until_an_operator_resets_its_epoch() -> Outcome {
    let home = tempdir()?;
    let consul = Agent::server(home.path(), Access::Open)?;
    consul.ready().await?;
    let (template, text) = (home.path().join("t.hbs"), home.path().join("out.txt"));
    fs::write(&template, TEMPLATE)?;
    let config = format!(
        "consul {{ address = \"{}\" }}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        template.display(),
        text.display()
    );
    let says = async |name: &str| {
        until(&format!("the text to name {name}"), PATIENCE, async || {
            let text = fs::read_to_string(&text).unwrap_or_default();
            when(text.trim() == name, || text.clone())
        })
        .await
    };

    claims(&consul, "new", 5).await?;
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    says("new").await?;
    claims(&consul, "old", 3).await?;
    consul.put("agent/service/deregister/new", "").await?;
    says("nobody").await?;
    let warned =
        |status: &Value| status["templates"][0]["warnings"].to_string().contains("epoch 5 was followed");
    render.shows("a warning of a former master", PATIENCE, warned).await?;

    drop(render);
    fs::remove_file(&text)?;
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    says("nobody").await?;
    let reset = Command::new(binary()?).args(["epoch", "reset", "-c"]).arg(render.config()).output()?;
    let told = String::from_utf8_lossy(&reset.stdout);
    assert!(reset.status.success() && told.contains("redis: a master in epoch 5 was followed"), "{reset:?}");
    says("old").await
}
