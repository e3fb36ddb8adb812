//! Each template goes its way alone: what one waits for, fails at or runs is nothing to the others, and who asked for
//! nothing that changed is not filled anew. What is gone from Consul does not live on in memory.

use std::{fs, time::Duration};

use tests::{Outcome, PATIENCE, until, when};
use tokio::time::Instant;

use crate::taken_over::{Stage, logs};

/// Well above what a write of the burst takes, so that not each of them is followed by quiet.
const QUIET: Duration = Duration::from_secs(2);

/// In consul-template, a key that is missing anywhere switches `wait` off for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_waits_for_a_key_leaves_the_others_their_quiet() -> Outcome {
    let stage = Stage::set().await?;
    let config = format!(
        "template {{\n  contents = \"{{{{ key \\\"no/such\\\" }}}}\"\n  destination = \"blocked\"\n}}\n\
         template {{\n  contents = \"{{{{ key \\\"app/text\\\" }}}}\"\n  destination = \"a\"\n  \
         command = \"cat a >> all; echo >> all\"\n  wait {{\n    min = \"{}s\"\n  }}\n}}\n",
        QUIET.as_secs()
    );
    stage.write("c.hcl", &config)?;
    let render = stage.render(&["-config", "c.hcl"])?;
    stage.holds(&render, "all", "one\n").await?;
    let began = Instant::now();
    for n in 0..20 {
        stage.consul.put("kv/app/text", n).await?;
    }
    let all = until("the last text to be there", PATIENCE, async || {
        let all = fs::read_to_string(stage.path("all"))?;
        when(all.ends_with("\n19\n"), || all.clone())?;
        Ok(all)
    });
    let (all, took) = (render.explain(all.await)?, began.elapsed());
    // Each text came after a quiet time of its own, and a machine that is slow enough leaves such times between writes.
    let texts = u32::try_from(all.lines().count() - 1)?;
    assert!(texts * QUIET <= took, "it did not wait: {took:?} for {all}");
    assert!(!stage.path("blocked").exists());
    stage.consul.put("kv/no/such", "there").await?;
    stage.holds(&render, "blocked", "there").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_command_holds_up_its_own_template_only() -> Outcome {
    let stage = Stage::set().await?;
    stage.write("slow.ctmpl", "{{ key \"app/text\" }}")?;
    stage.write("quick.ctmpl", "{{ key \"app/text\" }}")?;
    let slow = "slow.ctmpl:slow:if test -e hold; then echo > under-way; until test -e go; do sleep 0.02; done; else echo > quick-yet; fi";
    let render = stage.render(&["-template", slow, "-template", "quick.ctmpl:quick"])?;
    stage.holds(&render, "slow", "one").await?;
    stage.holds(&render, "quick-yet", "\n").await?;
    stage.write("hold", "")?;
    stage.consul.put("kv/app/text", "two").await?;
    stage.holds(&render, "under-way", "\n").await?;
    for text in ["three", "four"] {
        stage.consul.put("kv/app/text", text).await?;
        stage.holds(&render, "quick", text).await?;
    }
    assert_eq!(fs::read_to_string(stage.path("slow"))?, "two", "its command is not done with it");
    stage.write("go", "")?;
    stage.holds(&render, "slow", "four").await
}

/// The text of one holds the moment at which it was filled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asked_for_nothing_that_changed_is_not_filled_anew() -> Outcome {
    let stage = Stage::set().await?;
    stage.consul.put("kv/still", "here").await?;
    stage.write("still.ctmpl", "{{ key \"still\" }} {{ timestamp \"2006-01-02T15:04:05.000000000\" }}")?;
    stage.write("lively.ctmpl", "{{ key \"app/text\" }}")?;
    let render = stage.render(&["-template", "still.ctmpl:still", "-template", "lively.ctmpl:lively"])?;
    stage.holds(&render, "lively", "one").await?;
    let filled = until("the other file", PATIENCE, async || Ok(fs::read_to_string(stage.path("still"))?));
    let filled = render.explain(filled.await)?;
    for n in 0..5 {
        stage.consul.put("kv/app/text", n).await?;
        stage.holds(&render, "lively", &n.to_string()).await?;
    }
    assert_eq!(fs::read_to_string(stage.path("still"))?, filled, "it was filled, and nothing of it changed");
    stage.consul.put("kv/still", "there").await?;
    let filled = until("it to follow", PATIENCE, async || {
        let text = fs::read_to_string(stage.path("still"))?;
        when(text.starts_with("there "), || text)
    });
    render.explain(filled.await)
}

/// In consul-template, the last value of a deleted key is used until a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_key_is_gone() -> Outcome {
    let stage = Stage::set().await?;
    stage.write("needs.ctmpl", "{{ key \"app/text\" }} {{ key \"app/other\" }}")?;
    stage.write("may.ctmpl", "{{ keyOrDefault \"app/text\" \"none\" }} {{ keyExists \"app/text\" }}")?;
    stage.consul.put("kv/app/other", 1).await?;
    let render = stage.render(&["-template", "needs.ctmpl:needs", "-template", "may.ctmpl:may"])?;
    stage.holds(&render, "needs", "one 1").await?;
    stage.holds(&render, "may", "one true").await?;
    stage.consul.delete("kv/app/text").await?;
    stage.holds(&render, "may", "none false").await?;
    logs(&render, "kv/app/text").await?;
    // Its neighbour changes: nothing is written with the value that is gone.
    stage.consul.put("kv/app/other", 2).await?;
    stage.consul.put("kv/app/text", "two").await?;
    stage.holds(&render, "needs", "two 2").await?;
    stage.holds(&render, "may", "two true").await
}
