//! Prometheus can read what both programs tell, in both of its formats, whatever the names are that they tell of.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;
use tests::{
    Crew, Outcome, PATIENCE, Rolecall, Run, Trouble,
    consul::{Access, Agent},
    exposition::{OPENMETRICS, Sample, read},
    redis::Redis,
    until, when,
};

const NOBODY: [u16; 2] = [61_051, 61_053];
/// All that has to be escaped, and what looks like the format itself.
const ODD: &str = "o\"d\\d} grün{x=\"1\"} # EOF";

/// What a program tells, once `there` is among it; the same metrics are in both formats.
async fn told(program: &Rolecall, what: &str, there: impl Fn(&Sample) -> bool) -> Outcome<Vec<Sample>> {
    let told = until(what, PATIENCE, async || {
        let newer = read(&program.metrics(OPENMETRICS).await?, true)?;
        let older = read(&program.metrics("").await?, false)?;
        let names = |samples: &[Sample]| {
            samples.iter().map(|sample| (sample.name.clone(), sample.labels.clone())).collect::<Vec<_>>()
        };
        when(names(&newer) == names(&older), || format!("{newer:#?} is not {older:#?}"))?;
        when(older.iter().any(&there), || format!("{older:#?}"))?;
        Ok(older)
    });
    program.part.explain(told.await)
}

fn is(sample: &Sample, name: &str, labels: &[(&str, &str)]) -> bool {
    sample.name == name
        && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|told| told == value))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_name_can_be_told_in_either_format() -> Outcome {
    let home = tempdir()?;
    let server = Agent::server(home.path(), Access::Open)?;
    let redis = Redis::server("redis-0", home.path(), None)?;
    tokio::try_join!(server.ready(), redis.ready())?;
    let word = |text: &str| Value::from(text).to_string();
    let service = |name: &str, id: &str, port: u16| {
        format!(
            "service {} {{\n  id = {}\n  address = \"127.0.0.1\"\n  port = {port}\n  probe \"redis\" {{\n    \
             address = \"127.0.0.1:{port}\"\n  }}\n}}\n",
            word(name),
            word(id)
        )
    };
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\n{}{}",
        server.address(),
        service(ODD, &format!("{ODD}-0"), redis.port()),
        service("nobody", "nobody-0", NOBODY[0]),
    );
    let register = Rolecall::start("register", "register", home.path(), &config, vec![])?;
    let beats = [("service", ODD), ("id", &format!("{ODD}-0"))];
    told(&register, "heartbeats", |s| is(s, "rolecall_register_beats_total", &beats) && s.value > 0.0)
        .await?;
    let failures = [("id", "nobody-0")];
    told(&register, "looks that fail", |s| {
        is(s, "rolecall_register_probe_failures_total", &failures) && s.value > 0.0
    })
    .await?;

    let (source, out) = (home.path().join("t.hbs"), home.path().join(ODD));
    let key = format!("{ODD}\nnext");
    fs::write(&source, format!("{{{{keyOrDefault {} \"none\"}}}}\n", word(&key)))?;
    let config = format!(
        "consul {{\n  address = \"{}\"\n}}\ntemplate {{\n  source = {}\n  destination = {}\n}}\n",
        server.address(),
        word(&source.display().to_string()),
        word(&out.display().to_string())
    );
    let render = Rolecall::start("render", "render", home.path(), &config, vec![])?;
    let destination = out.display().to_string();
    let written = [("destination", destination.as_str()), ("outcome", "written")];
    let samples =
        told(&render, "a written file", |s| is(s, "rolecall_render_changes_total", &written)).await?;
    let asked = [("query", &*format!("kv/{key}"))];
    assert!(samples.iter().any(|s| is(s, "rolecall_render_query_index", &asked)), "{samples:#?}");
    Ok(())
}

/// What became of the text that was placed while this HAProxy ran: one that does not answer in time is reloaded.
fn outcome<'a>(status: &'a Value, name: &str) -> Option<&'a str> {
    let mut changes = status["templates"][0]["history"].as_array()?.iter();
    let change = changes.find(|change| {
        change["haproxy"] == name && change["outcome"] != "pending" && !change["renamed_ms"].is_null()
    });
    change?["outcome"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_haproxies_is_told_by_its_name() -> Outcome {
    let ways = [(Run::Master, ""), (Run::Master, "reload = \"always\"")];
    let mut crew = Crew::start(NOBODY[0], &ways).await?;
    crew.say(&[("n", NOBODY[1])], "");
    for name in ["a", "b"] {
        let status = crew.render.shows("the change", PATIENCE, |s| outcome(s, name).is_some()).await?;
        let outcome = outcome(&status, name).unwrap_or_default();
        let step = match (name, outcome) {
            ("a", "steered") => "steer",
            (_, "reloaded") => "reload",
            _ => return Err(Trouble::new(format!("{name} was {outcome}"))),
        };
        let change = [("haproxy", name), ("outcome", outcome)];
        let samples =
            told(&crew.render, outcome, |s| is(s, "rolecall_render_changes_total", &change)).await?;
        let took = [("haproxy", name), ("step", step)];
        let took =
            |s: &&Sample| is(s, "rolecall_render_apply_seconds_count", &took) && (s.value - 1.0).abs() < 0.1;
        assert_eq!(samples.iter().filter(took).count(), 1, "{samples:#?}");
    }
    Ok(())
}
