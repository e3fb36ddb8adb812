//! Tokens that end: both programs log in, renew in time, write again what belongs to the token, and give it back.

use std::{fs, time::Duration};

use serde_json::Value;
use tests::{
    Outcome, PATIENCE, Rolecall, Signal,
    consul::{Access, Agent},
    issuer::{Issuer, logins},
    redis::Redis,
    stack::{SERVICE, register_config},
    until, when,
};

const RULES: &str = "service \"redis\" { policy = \"write\" }\nservice_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }";
/// A token of a minute is renewed after 40 s at the latest, and given back some seconds later.
const RENEWED: Duration = Duration::from_secs(75);
/// Well below what is left of the life of a token, which would end it too.
const GIVEN_BACK: Duration = Duration::from_secs(10);

fn in_sync(s: &Value) -> bool {
    s["services"][0]["agent"]["state"] == "in sync" && s["services"][0]["catalog"]["state"] == "in sync"
}

async fn of(server: &Agent, who: &str) -> Outcome<Vec<String>> {
    let all = logins(server).await?.into_iter();
    Ok(all.filter(|(_, description)| description.contains(who)).map(|(accessor, _)| accessor).collect())
}

async fn gone(part: &mut Rolecall) -> Outcome {
    part.part.signal(Signal::TERM)?;
    let ended = until("the end of a program", PATIENCE, async || match part.part.ended()? {
        Some(status) => when(status.success(), || format!("{status}")),
        None => when(false, || "still there".into()),
    });
    ended.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_renewed_in_time_and_given_back() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Closed)?;
    let agent = Agent::client(home, &server, None, Access::Closed)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let issuer = Issuer::new(home, "issuer")?;
    issuer.auth_method(&server, RULES).await?;
    let jwt = home.join("jwt");
    fs::write(&jwt, issuer.bearer("redis", -60)?)?;

    let login = |who: &str| {
        let file = jwt.display();
        format!(
            "consul {{\n  address = \"{}\"\n  login {{\n    method = \"jwt\"\n    bearer_token_file = \"{file}\"\n    \
             meta {{\n      who = \"{who}\"\n    }}\n  }}\n}}\n",
            agent.address()
        )
    };
    let config = register_config(&agent.address(), "redis-0", redis.port(), &[]);
    let config = login("registrar") + config.split_once("}\n").map_or("", |(_, rest)| rest);
    let mut register = Rolecall::start("register", "register", home, &config, vec![])?;
    let why = |s: &Value| s["consul"]["trouble"].as_str().is_some_and(|told| told.contains("has ended"));
    register.shows("that the bearer token has ended", PATIENCE, why).await?;
    fs::write(&jwt, issuer.bearer("stranger", 600)?)?;
    let why =
        |s: &Value| s["consul"]["trouble"].as_str().is_some_and(|told| told.contains("no binding rule"));
    register.shows("that no rule fits", PATIENCE, why).await?;
    fs::write(&jwt, issuer.bearer("redis", 600)?)?;
    register.shows("its entry in Consul", PATIENCE, in_sync).await?;

    let (template, out) = (home.join("t.hbs"), home.join("out"));
    fs::write(&template, "{{#each (service \"redis\")}}{{ID}} {{/each}}\n")?;
    let files = format!(
        "template {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        template.display(),
        out.display()
    );
    let mut render = Rolecall::start("render", "render", home, &(login("renderer") + &files), vec![])?;
    // It passes only while a Redis on a busy machine answers in time.
    let rendered = until("the file to name the entry", PATIENCE, async || {
        let text = fs::read_to_string(&out).unwrap_or_default();
        when(text == "redis-0 \n", || text.clone())
    });
    render.part.explain(rendered.await)?;

    // Both are seen before either of them renews its own.
    let firsts = [of(&server, "registrar").await?, of(&server, "renderer").await?];
    for ((who, part), first) in [("registrar", &register), ("renderer", &render)].into_iter().zip(firsts) {
        assert!(!first.is_empty(), "{who} did not log in");
        let renewed =
            until(format!("a new token of {who}, and the old one given back"), RENEWED, async || {
                let now = of(&server, who).await?;
                when(now.len() == 1 && !first.contains(&now[0]), || format!("{first:?} {now:?}"))
            });
        part.part.explain(renewed.await)?;
    }
    let again = |s: &Value| in_sync(s) && s["services"][0]["agent"]["registrations"].as_u64() >= Some(2);
    register.shows("the entry under the new token", PATIENCE, again).await?;
    // What is written now reaches the servers with the token that the agent keeps for the entry.
    let passing = until("the entry to pass", PATIENCE, async || {
        let entries = server.entries(SERVICE).await?;
        when(entries.len() == 1 && entries[0].passing, || format!("{entries:?}"))
    });
    register.part.explain(passing.await)?;

    gone(&mut register).await?;
    gone(&mut render).await?;
    assert_eq!(server.entries(SERVICE).await?, []);
    // A program that leaves waits 2 s for the answer; what it asked for is done all the same.
    until("all tokens to be given back", GIVEN_BACK, async || {
        let left = logins(&server).await?;
        when(left.is_empty(), || format!("{left:?}"))
    })
    .await?;
    for part in [&register, &render] {
        assert!(!part.part.log().contains(&fs::read_to_string(&jwt)?), "the bearer token leaks");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_token_file_takes_the_entry_along() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Closed)?;
    let agent = Agent::client(home, &server, None, Access::Closed)?;
    let redis = Redis::server("redis-0", home, None)?;
    tokio::try_join!(server.ready(), agent.ready(), redis.ready())?;
    let (first, second) = (server.token("first", RULES).await?, server.token("second", RULES).await?);
    let file = home.join("token");
    fs::write(&file, &first)?;
    let config = register_config(&agent.address(), "redis-0", redis.port(), &[]);
    let config = config.replacen("consul {", &format!("consul {{\n  token_file = \"{}\"", file.display()), 1);
    let mut register = Rolecall::start("register", "register", home, &config, vec![])?;
    let registrations = |s: &Value| s["services"][0]["agent"]["registrations"].as_u64();
    let before = registrations(&register.shows("its entry in Consul", PATIENCE, in_sync).await?);

    fs::write(&file, &second)?;
    let again = |s: &Value| in_sync(s) && registrations(s) > before;
    register.shows("the entry under the new token", PATIENCE, again).await?;
    server.revoke(&first).await?;
    redis.ask::<()>(redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1)).await?;
    let replica = until("the new role in the catalog", PATIENCE, async || {
        let entries = server.entries(SERVICE).await?;
        when(entries.iter().any(|entry| entry.is("replica")), || format!("{entries:?}"))
    });
    register.part.explain(replica.await)?;
    gone(&mut register).await?;
    assert_eq!(server.entries(SERVICE).await?, []);
    let log = register.part.log();
    assert!(!log.contains(&first) && !log.contains(&second), "a token leaks");
    Ok(())
}
