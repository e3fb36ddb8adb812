//! What templates will cost Consul (`rolecall render explain`): which questions they ask, by which of their calls, and how
//! many connections that takes. With a Consul at hand, also what comes of the answers, and how large they are.

use crate::{
    config::TemplateConfig,
    facts::Facts,
    functions,
    ledger::Followed,
    machine::Machine,
    run,
    template::{Draft, Mention, Template},
};
use ::config::Environment;
use consul::{Client, Query, Watched};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
};

/// A question, and what is known of it.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// The calls that ask it, by template.
    calls: BTreeSet<(String, String)>,
    /// How large its answer is as JSON, or why there is none.
    size: Option<Result<usize, String>>,
}

/// What is told.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    questions: BTreeMap<Query, Asked>,
    /// Calls whose questions depend on answers that are not known.
    later: Vec<Mention>,
    /// Why a template could not be filled.
    failures: Vec<String>,
    connections: usize,
    live: bool,
}

/// A template that asks something new at every turn ends here.
const TURNS: usize = 20;

/// Explains templates; `Err` says which cannot be parsed. With a client, Consul is asked each question once.
pub async fn explain(
    templates: &[TemplateConfig],
    env: Environment,
    connections: usize,
    client: Option<&Client>,
) -> Result<Explained, String> {
    let (env, machine) = (Arc::new(run::without_secrets(env)), Arc::<Machine>::default());
    let mut told = Explained { connections, live: client.is_some(), ..Explained::default() };
    let mut known = BTreeMap::new();
    for template in templates {
        let recording = TemplateConfig { records: true, ..template.clone() };
        let parsed = run::parse(&recording, &env, &machine).map_err(|error| error.to_string())?;
        let name = template.source.display().to_string();
        told.explore(&name, &*parsed, &mut known, client).await;
    }
    Ok(told)
}

impl Explained {
    /// Fills a template until it asks nothing new; without a client, once.
    async fn explore(
        &mut self,
        name: &str,
        template: &dyn Template,
        known: &mut BTreeMap<Query, Watched>,
        client: Option<&Client>,
    ) {
        let mut draft = template.fill(&Facts::default(), &Followed::new());
        for _ in 0..TURNS {
            let Some(client) = client else { break };
            let mut news = false;
            for query in draft.asked.iter() {
                if !known.contains_key(query) {
                    news |= self.ask(client, query, known).await;
                }
            }
            draft = template.fill(&Arc::new(known.clone()), &Followed::new());
            if !news && draft.asked.iter().all(|query| known.contains_key(query) || self.failed(query)) {
                break;
            }
        }
        self.note(name, template, draft);
    }

    fn failed(&self, query: &Query) -> bool {
        self.questions.get(query).is_some_and(|asked| matches!(asked.size, Some(Err(_))))
    }

    /// Asks Consul once; true when there is an answer.
    async fn ask(&mut self, client: &Client, query: &Query, known: &mut BTreeMap<Query, Watched>) -> bool {
        if self.failed(query) {
            return false;
        }
        let answer = client.ask(query, 0).await;
        let asked = self.questions.entry(query.clone()).or_default();
        match answer {
            Ok(answer) => {
                asked.size = Some(Ok(answer.value.to_string().len()));
                let watched = Watched { value: Some(answer.value), ..Watched::default() };
                known.insert(query.clone(), watched);
                true
            }
            Err(error) => {
                asked.size = Some(Err(error.to_string()));
                false
            }
        }
    }

    fn note(&mut self, name: &str, template: &dyn Template, draft: Draft) {
        let mut seen = BTreeSet::new();
        for (query, calls) in &draft.calls {
            let asked = self.questions.entry(query.clone()).or_default();
            asked.calls.extend(calls.iter().map(|call| (name.to_owned(), call.clone())));
            seen.extend(calls.iter().cloned());
        }
        let waits = !draft.missing.is_empty();
        if let Err(error) = draft.text
            && !waits
        {
            self.failures.push(error.to_string());
        }
        // What was not come to may ask more; what was asked as it stands there may not.
        let open = template.mentions().into_iter().filter(|mention| {
            waits
                && functions::asks_consul(&mention.function)
                && !seen.contains(mention.call.trim_start_matches("| "))
        });
        self.later.extend(open);
    }

    /// Whether every template could be filled, or waits only for answers.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }

    /// How many of the questions Consul holds open at a time, how many it is asked in turn for want of room, and how
    /// many it cannot hold open at all.
    fn seats(&self) -> (usize, usize, usize) {
        let blocking = self.questions.keys().filter(|query| query.blocks()).count();
        let held = blocking.min(consul::client::held_at_once(self.connections));
        (held, blocking - held, self.questions.len() - blocking)
    }

    /// For programs.
    #[must_use]
    pub fn show(&self) -> Value {
        let (held, in_turn, polled) = self.seats();
        let questions = self.questions.iter().map(|(query, asked)| {
            json!({
                "question": query.to_string(),
                "path": format!("/v1/{query}"),
                "calls": asked.calls.iter().map(|(template, call)| json!({"template": template, "call": call})).collect::<Vec<_>>(),
                "blocking": query.blocks(),
                "recursive": matches!(query, Query::Tree { .. }),
                "bytes": asked.size.as_ref().and_then(|size| size.as_ref().ok()),
                "error": asked.size.as_ref().and_then(|size| size.as_ref().err()),
            })
        });
        let later = self.later.iter().map(|mention| {
            json!({"file": mention.file, "line": mention.line, "column": mention.column, "call": mention.call})
        });
        json!({
            "questions": questions.collect::<Vec<_>>(),
            "merged": self.merged(),
            "connections": {"budget": self.connections, "held": held, "in_turn": in_turn, "polled": polled},
            "depends_on_answers": later.collect::<Vec<_>>(),
            "errors": self.failures,
        })
    }

    /// Calls that share the question of another one.
    fn merged(&self) -> usize {
        self.questions.values().map(|asked| asked.calls.len().saturating_sub(1)).sum()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (query, asked) in &self.questions {
            let kind = match query {
                Query::Tree { .. } => "held open, all keys below",
                query if query.blocks() => "held open",
                _ => "asked every 15 s",
            };
            let size = match &asked.size {
                Some(Ok(bytes)) => format!(", {bytes} bytes"),
                Some(Err(why)) => format!(", no answer: {why}"),
                None => String::new(),
            };
            let _ = writeln!(out, "/v1/{query}\n    {kind}{size}");
            for (template, call) in &asked.calls {
                let _ = writeln!(out, "    {template}: {call}");
            }
        }
        let (held, in_turn, polled) = self.seats();
        let _ = writeln!(
            out,
            "{} questions of {} calls ({} share another's question)",
            self.questions.len(),
            self.questions.len() + self.merged(),
            self.merged()
        );
        let turns = match in_turn {
            0 => String::new(),
            n => format!(", {n} more asked in turn"),
        };
        let _ = writeln!(
            out,
            "{held} connections held open{turns}, {polled} questions that Consul cannot hold open; max_connections is {}",
            self.connections
        );
        if !self.later.is_empty() {
            let hint = if self.live { "" } else { "; --live asks Consul" };
            let _ = writeln!(out, "more may come of answers{hint}:");
        }
        for Mention { file, line, column, call, .. } in &self.later {
            let _ = writeln!(out, "    {file}:{line}:{column}: {call}");
        }
        for failure in &self.failures {
            let _ = writeln!(out, "it cannot be filled: {failure}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Flags, config::RenderConfig};
    use ::config::Mistakes;

    async fn explained(templates: &[&str]) -> Explained {
        let blocks: Vec<Value> = templates
            .iter()
            .enumerate()
            .map(|(n, text)| json!({"contents": text, "destination": format!("/run/{n}")}))
            .collect();
        let mut mistakes = Mistakes::default();
        let top = ::config::parse("c.json", &json!({"template": blocks}).to_string(), &mut mistakes);
        let config = RenderConfig::read(top, &Environment::new(), &Flags::default(), &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes}");
        explain(&config.templates, Environment::new(), 16, None).await.unwrap()
    }

    #[tokio::test]
    async fn questions_are_told_with_their_calls_and_what_they_take() {
        let told = explained(&[
            r#"{{ if keyExists "a" }}{{ end }}{{ range services }}{{ range service .Name }}{{ end }}{{ end }}"#,
            r#"{{ keyOrDefault "a" "b" }}{{ range tree "p@dc2" }}{{ end }}{{ range datacenters }}{{ end }}"#,
        ])
        .await;
        let shown = told.show();
        let questions = shown["questions"].as_array().unwrap();
        let paths: Vec<_> = questions.iter().map(|question| question["path"].as_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["/v1/catalog/services", "/v1/kv/a", "/v1/kv/p?recurse&dc=dc2", "/v1/catalog/datacenters"]
        );
        assert_eq!(questions[1]["calls"][1]["call"], r#"keyOrDefault "a" "b""#);
        assert_eq!((&questions[2]["recursive"], &questions[3]["blocking"]), (&json!(true), &json!(false)));
        assert_eq!(shown["merged"], 1);
        assert_eq!(shown["connections"], json!({"budget": 16, "held": 3, "in_turn": 0, "polled": 1}));
        assert_eq!(shown["depends_on_answers"][0]["call"], "service .Name");
        let text = told.text();
        assert!(text.contains("4 questions of 5 calls (1 share another's question)"), "{text}");
        assert!(text.contains("contents:1:61: service .Name") && told.is_sound(), "{text}");
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_asked_in_turn() {
        let template: String = (0..20).map(|n| format!("{{{{ keyOrDefault \"k{n}\" \"\" }}}}")).collect();
        let shown = explained(&[&template]).await.show();
        assert_eq!(shown["connections"], json!({"budget": 16, "held": 6, "in_turn": 14, "polled": 0}));
    }
}
