//! Answers that are none: whatever comes instead of Consul's answer, the last good file stays, `/status` says what
//! came, and the next good answer is followed.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::tempdir;
use tests::{Outcome, PATIENCE, Rolecall, Scene, Scripted, Trouble, binary, until, when};

const TEMPLATE: &str = "{{#each (service \"web\")}}{{ID}} {{/each}}\n";

fn good(index: u64, id: &str) -> Scene {
    let row = json!([{
        "Node": {"Node": "n", "Address": "10.0.0.1"},
        "Service": {"ID": id, "Service": "web", "Port": 80, "Tags": [], "Meta": {}},
        "Checks": [],
    }]);
    Scene::Good { index, body: row.to_string() }
}

fn reply(status: &str, body: &str) -> Scene {
    Scene::Raw(format!(
        "HTTP/1.1 {status}\r\nX-Consul-Index: 1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// What comes instead, and what `/status` must say of it.
fn instead() -> Vec<(Scene, &'static str)> {
    vec![
        (reply("200 OK", "<html>captive portal</html>"), "begins with `<html>captive portal</html>`"),
        (
            Scene::Raw("HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nContent-Length: 999\r\n\r\n[{".into()),
            "cut off",
        ),
        (reply("200 OK", "[{\"Node\":"), "not whole JSON"),
        (reply("200 OK", "{}"), "expected a list, found an object"),
        (Scene::Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".into()), "no X-Consul-Index"),
        (reply("500 Internal Server Error", "No cluster leader"), "Consul answered 500"),
        (reply("403 Forbidden", "Permission denied"), "Consul answered 403"),
        (reply("429 Too Many Requests", "slow down"), "Consul answered 429"),
        (reply("404 Not Found", "404 page not found"), "Consul answered 404"),
        (
            Scene::Raw(
                "HTTP/1.1 200 OK\r\nX-Consul-Index: 9\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n\
                 Content-Length: 2\r\n\r\n[]"
                    .into(),
            ),
            "what the token may not read",
        ),
        (Scene::Raw("SSH-2.0-OpenSSH_9.2\r\n".into()), "cannot be reached"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_good_file_outlives_every_bad_answer() -> Outcome {
    let home = tempdir()?;
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&template, TEMPLATE)?;
    let consul = Scripted::start(good(10, "web-0")).await?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n  retry {{\n    max_backoff = \"250ms\"\n  }}\n}}\n\
         template {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        template.display(),
        out.display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let holds = async |id: &str| {
        let shown = until(format!("the file to hold {id}"), PATIENCE, async || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            when(text == format!("{id} \n"), || format!("{text:?}"))
        });
        render.part.explain(shown.await)
    };
    holds("web-0").await?;

    for (n, (scene, words)) in instead().into_iter().enumerate() {
        consul.play(scene);
        let says =
            |s: &Value| s["queries"][0]["trouble"].as_str().is_some_and(|trouble| trouble.contains(words));
        render.shows(&format!("`{words}`"), PATIENCE, says).await?;
        holds(&format!("web-{n}")).await?;
        // The index need not grow: a Consul that was restored from a backup begins below what was seen.
        let id = format!("web-{}", n + 1);
        consul.play(good(9 - (n as u64).min(8), &id));
        holds(&id).await?;
    }
    assert_eq!(render.page("healthz").await?.0, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_goes_backwards_starts_anew() -> Outcome {
    let home = tempdir()?;
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&template, TEMPLATE)?;
    let consul = Scripted::start(good(1_000, "web-0")).await?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        template.display(),
        out.display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    for (index, id) in [(1_000, "web-0"), (3, "web-1"), (4, "web-2"), (2, "web-3"), (2_000, "web-4")] {
        consul.play(good(index, id));
        let shown = |s: &Value| {
            let query = &s["queries"][0];
            query["index"] == index && query["trouble"].is_null() && query["failures"] == 0
        };
        render.shows(&format!("index {index}"), PATIENCE, shown).await?;
        until(format!("the file to hold {id}"), PATIENCE, async || {
            let text = fs::read_to_string(&out)?;
            when(text == format!("{id} \n"), || format!("{text:?}"))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_consuls_address_is_said_and_waited_for() -> Outcome {
    let home = tempdir()?;
    let template = home.path().join("t.hbs");
    fs::write(&template, TEMPLATE)?;
    let config = format!(
        "consul {{\n  address = \"127.0.0.1:1\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        template.display(),
        home.path().join("out").display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let says = |s: &Value| {
        let trouble = s["queries"][0]["trouble"].as_str().unwrap_or_default();
        trouble.contains("Consul at http://127.0.0.1:1 cannot be reached")
            && s["templates"][0]["state"] == "waiting"
    };
    render.shows("that Consul cannot be reached", PATIENCE, says).await?;
    let (status, text) = render.page("readyz").await?;
    assert_eq!(status, 503);
    assert!(text.contains("first text of"), "{text}");
    assert!(!home.path().join("out").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_gets_no_question_and_no_token() -> Outcome {
    let home = tempdir()?;
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    fs::write(&template, TEMPLATE)?;
    let (consul, proxy) =
        (Scripted::start(good(10, "web-0")).await?, Scripted::start(good(10, "proxy")).await?);
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        template.display(),
        out.display()
    );
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let through = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .map(|name| pair(name, format!("http://{}", proxy.address())));
    let environment = through.into_iter().chain([pair("CONSUL_HTTP_TOKEN", "s3cret".into())]).collect();
    let render = Rolecall::start("render", "render", home.path(), &config, environment)?;
    render.ready().await?;
    assert_eq!(fs::read_to_string(&out)?, "web-0 \n");
    assert_eq!(proxy.asked(), "", "the proxy was asked");
    assert!(consul.asked().contains("x-consul-token: s3cret"), "{}", consul.asked());
    Ok(())
}

fn row(name: &str, meta: &Value) -> String {
    json!([{
        "Node": {"Node": "n", "Address": "10.0.0.1"},
        "Service": {"ID": name, "Service": name, "Port": 80, "Tags": [], "Meta": meta},
        "Checks": [],
    }])
    .to_string()
}

fn answers(index: u64, api: String, web: String) -> Scene {
    let path = |name: &str| format!("health/service/{name}");
    Scene::Changing { index, bodies: [(path("api"), api), (path("web"), web)].into() }
}

/// A template that fails says all the same what it asked: the answer that mends it is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_fails_hears_of_the_answer_that_mends_it() -> Outcome {
    let home = tempdir()?;
    let (template, out) = (home.path().join("t.hbs"), home.path().join("out"));
    let (asks_too, other) = (home.path().join("u.hbs"), home.path().join("other"));
    // The second template's question is answered when the first one comes to ask it: its first try fails.
    fs::write(
        &template,
        "{{#if (service \"api\")}}{{#each (service \"web\")}}{{ServiceMeta.zone}}{{/each}}{{/if}}\n",
    )?;
    fs::write(&asks_too, TEMPLATE)?;
    let consul = Scripted::start(answers(1, "[]".into(), row("web", &json!({})))).await?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n\
         template {{\n  source = \"{}\"\n  destination = \"{}\"\n}}\n",
        consul.address(),
        template.display(),
        out.display(),
        asks_too.display(),
        other.display()
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    render.ready().await?;
    consul.play(answers(2, row("api", &json!({})), row("web", &json!({}))));
    let failed =
        |s: &Value| s["templates"][0]["error"].as_str().is_some_and(|e| e.contains("ServiceMeta.zone"));
    render.shows("that the template fails", PATIENCE, failed).await?;
    consul.play(answers(3, row("api", &json!({})), row("web", &json!({"zone": "a"}))));
    let mended = until("the file to be mended", PATIENCE, async || {
        let text = fs::read_to_string(&out)?;
        when(text == "a\n", || text.clone())
    });
    render.part.explain(mended.await)
}

/// `rolecall render --dry --once … | head`: that nobody reads any more is no failure of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_has_seen_enough_is_no_failure() -> Outcome {
    let home = tempdir()?;
    let template = home.path().join("t.hbs");
    fs::write(&template, TEMPLATE)?;
    let consul = Scripted::start(good(1, "web-0")).await?;
    let mut dry = Command::new(binary()?);
    dry.args(["render", "--dry", "--once", "--consul-addr", consul.address(), "--template"]);
    let mut dry =
        dry.arg(format!("{}:out", template.display())).env_clear().stdout(Stdio::piped()).spawn()?;
    drop(dry.stdout.take());
    let status = until("its end", PATIENCE, async || dry.try_wait()?.ok_or_else(|| Trouble::new("it runs")));
    assert_eq!(status.await?.code(), Some(0));
    Ok(())
}
