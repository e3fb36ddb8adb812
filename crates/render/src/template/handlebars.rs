//! The Handlebars dialect. Strict: a name that does not exist is an error, never an empty string in a
//! configuration file. Nothing is escaped: the text is no HTML.

use super::{
    Draft, Template, TemplateError,
    bounds::{self, Each, Text, Used},
};
use crate::{
    facts::Facts,
    functions::{self, ELSEWHERE, Function, Memo, Pass, Setting, from_json, to_json},
    ledger::Followed,
};
use ::handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender, JsonTruthy,
    Output, RenderContext, RenderError, RenderErrorReason, Renderable, ScopedJson,
};
use gotemplate::print::LONGEST;
use serde_json::Value;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A parsed Handlebars template with the functions of the table.
pub(super) struct HandlebarsTemplate {
    name: String,
    registry: Handlebars<'static>,
    setting: Arc<Setting>,
    /// The filling in progress: the library hands nothing of ours to a helper, so helpers share it.
    pass: Shared,
    memo: Mutex<Memo>,
    used: Used,
}

type Shared = Arc<Mutex<Option<Pass>>>;

/// Functions of Go's template language that Handlebars has no helper of its own for.
const OF_THE_LANGUAGE: [&str; 10] =
    ["html", "index", "js", "ge", "le", "print", "printf", "println", "slice", "urlquery"];
/// How many pieces of a value may be handed from a function to the template.
const ROOM: usize = 1_000_000;

impl HandlebarsTemplate {
    pub(super) fn parse(path: &Path, text: &str, setting: Arc<Setting>) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        if let Some(line) = bounds::too_deep(text) {
            let reason = "blocks or calls lie too deep in each other".to_owned();
            return Err(TemplateError { name, line, column: 0, reason });
        }
        let (pass, used) = (Shared::default(), Used::default());
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(::handlebars::no_escape);
        registry.register_helper("with", Box::new(With));
        registry.register_helper("each", Box::new(Each(used.clone())));
        for name in functions::all().map(|function| function.signature.name) {
            if let Some(function) = functions::find(name, &setting) {
                let (pass, used) = (Arc::clone(&pass), used.clone());
                registry.register_helper(name, Box::new(Call { function, pass, used }));
            }
        }
        for name in OF_THE_LANGUAGE {
            registry.register_helper(name, Box::new(Builtin(name, used.clone())));
        }
        registry.register_template_string(&name, text).map_err(|error| {
            let (line, column) = error.pos().unwrap_or_default();
            TemplateError { name: name.clone(), line, column, reason: error.reason().to_string() }
        })?;
        bounds::circle(&registry).map_err(|why| TemplateError::of(path, why))?;
        Ok(HandlebarsTemplate { name, registry, setting, pass, memo: Mutex::default(), used })
    }
}

impl Template for HandlebarsTemplate {
    fn fill(&self, facts: &Facts, followed: &Followed) -> Draft {
        let lock = || self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pass = Pass::new(Arc::clone(facts), Arc::clone(&self.setting), std::mem::take(&mut *memo));
        pass.trail.followed.clone_from(followed);
        *lock() = Some(pass);
        self.used.begin();
        let mut text = Text::default();
        let filled = self.registry.render_with_context_to_write(&self.name, &Context::null(), &mut text);
        let (asked, missing, warnings, trail, kept) = lock().take().map(Pass::end).unwrap_or_default();
        *memo = kept;
        let text = filled.map(|()| text.into_string()).map_err(|error| self.located(&error));
        Draft { text, asked, missing, warnings, trail }
    }
}

impl HandlebarsTemplate {
    fn located(&self, error: &RenderError) -> TemplateError {
        TemplateError {
            name: self.name.clone(),
            line: error.line_no.unwrap_or_default(),
            column: error.column_no.unwrap_or_default(),
            reason: match error.reason() {
                RenderErrorReason::MissingVariable(Some(path)) if is_function(path) => {
                    format!("`{path}` is a function: write `({path})` to call it here")
                }
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("`{path}` does not exist here; use {{{{#if {path}}}}} for what may be missing")
                }
                RenderErrorReason::HelperNotFound(name) => {
                    match ELSEWHERE.iter().find(|(known, _)| known == name) {
                        Some((_, why)) => format!("{name} is not in rolecall: {why}"),
                        None => format!("there is no function `{name}`"),
                    }
                }
                reason => reason.to_string(),
            },
        }
    }
}

fn is_function(name: &str) -> bool {
    functions::all().any(|function| function.signature.name == name)
}

/// A function of the table as a Handlebars helper.
struct Call {
    function: &'static Function,
    pass: Shared,
    used: Used,
}

/// A function of Go's template language as a Handlebars helper.
struct Builtin(&'static str, Used);

impl HelperDef for Builtin {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let values: Vec<_> = helper.params().iter().map(|param| from_json(param.value())).collect();
        self.1.step(values.iter().map(gotemplate::Value::weight_to_read).sum())?;
        let result = gotemplate::builtin(self.0, &values).unwrap_or_else(|| Err("is not there".into()));
        if result.as_ref().is_ok_and(|value| value.as_str().is_some_and(|text| text.len() > LONGEST)) {
            return Err(other(format!("{}: the text grew beyond 16 MiB and was stopped", self.0)));
        }
        self.1.step(result.as_ref().map_or(0, gotemplate::Value::weight))?;
        let value = result.and_then(|value| to_json(&value, &mut { ROOM }, 0));
        value.map(ScopedJson::Derived).map_err(|why| other(format!("{}: {why}", self.0)))
    }
}

fn other(why: String) -> RenderError {
    RenderErrorReason::Other(why).into()
}

impl HelperDef for Call {
    /// Where the value is printed: a list or an object has no text that anybody wants in a file.
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.call_inner(helper, registry, context, render)?;
        let kind = match value.as_json() {
            Value::Array(_) => "a list: use `{{#each",
            Value::Object(_) => "an object: use `{{#with",
            text => return Ok(out.write(&text.render())?),
        };
        let name = self.function.signature.name;
        Err(other(format!("{name} returns {kind} ({name} …)}}}}`")))
    }

    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let arguments: Vec<_> = helper.params().iter().map(|param| from_json(param.value())).collect();
        self.used.step(arguments.iter().map(gotemplate::Value::weight_to_read).sum())?;
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pass) = pass.as_mut() else { return Err(other("no template is being filled".into())) };
        let value = self.function.call_loosely(pass, arguments).map_err(|e| other(e.to_string()))?;
        self.used.step(1 + value.weight())?;
        to_json(&value, &mut { ROOM }, 0).map(ScopedJson::Derived).map_err(other)
    }
}

/// `{{#with}}` as Handlebars has it, but for one thing: null is a value that skips the block also in strict
/// mode, since `master` returns it. A name that does not exist is still an error.
struct With;

impl HelperDef for With {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("with", 0))?;
        if param.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into());
        }
        if !param.value().is_truthy(false) {
            return helper.inverse().map_or(Ok(()), |block| block.render(registry, context, render, out));
        }
        let Some(block) = helper.template() else { return Ok(()) };
        let mut inner = BlockContext::new();
        match param.context_path() {
            Some(path) => inner.base_path_mut().clone_from(path),
            None => inner.set_base_value(param.value().clone()),
        }
        if let Some(name) = helper.block_param() {
            let mut names = BlockParams::new();
            names.add_value(name, param.value().clone())?;
            inner.set_block_params(names);
        }
        if let Some(outer) = render.block() {
            inner.local_variables_mut().clone_from(outer.local_variables());
        }
        render.push_block(inner);
        let result = block.render(registry, context, render, out);
        render.pop_block();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::tests::{facts, setting};
    use consul::Query;
    use serde_json::json;

    fn fill(template: &str, rows: Option<Value>) -> Result<Draft, String> {
        let setting = Arc::new(setting(&[("PORT", "6379")]));
        let known: Vec<_> = rows.into_iter().map(|rows| (Query::health("redis", true), rows)).collect();
        let template =
            HandlebarsTemplate::parse(Path::new("t.hbs"), template, setting).map_err(|e| e.to_string())?;
        Ok(template.fill(&facts(&known), &Followed::new()))
    }

    fn text(template: &str, rows: Option<Value>) -> Result<String, String> {
        fill(template, rows)?.text.map_err(|e| e.to_string())
    }

    fn rows() -> Value {
        json!([{"ID": "redis-0", "Node": "n", "Address": "10.0.0.1", "Port": 6379, "Tags": ["master"],
                "ServiceMeta": {"epoch": "3"}, "Status": "passing"}])
    }

    #[test]
    fn functions_nest_and_nothing_is_escaped() {
        for (template, text) in [
            (r#"{{#with (master "redis")}}{{ID}} {{Address}}:{{Port}}{{/with}}"#, "redis-0 10.0.0.1:6379"),
            (r#"{{#with (master "redis") as |m|}}{{m.ID}}{{/with}}"#, "redis-0"),
            (
                r#"{{#each (service "redis")}}{{@index}}{{ID}}{{#if ServiceMeta.epoch}} e{{ServiceMeta.epoch}}{{/if}}{{#if ServiceMeta.pod}} p{{/if}}{{/each}}"#,
                "0redis-0 e3",
            ),
            (r#"{{#each (replicas "redis")}}x{{else}}none{{/each}}"#, "none"),
            (r#":{{env "PORT"}} {{envOrDefault "X" "<&>"}}"#, ":6379 <&>"),
        ] {
            assert_eq!(self::text(template, Some(rows())).unwrap(), text, "{template}");
        }
    }

    #[test]
    fn null_skips_a_with_block() {
        for (template, expected) in [
            (r#"a{{#with (master "redis")}}x{{/with}}b"#, "ab"),
            (r#"{{#with (master "redis")}}x{{else}}none{{/with}}"#, "none"),
        ] {
            assert_eq!(text(template, Some(json!([]))).unwrap(), expected);
        }
    }

    #[test]
    fn a_pass_without_answers_says_what_is_missing() {
        let draft = fill(
            r#"{{#each (service "redis")}}{{/each}}{{#with (master "redis")}}{{No.Such}}{{/with}}"#,
            None,
        )
        .unwrap();
        assert_eq!(draft.missing, ["health/service/redis?passing=1".to_owned()].into());
        assert_eq!(draft.asked.len(), 1);
    }

    #[test]
    fn a_template_that_fails_has_asked_all_the_same() {
        let draft = fill("{{#each (service \"redis\")}}{{Nope}}{{/each}}", Some(rows())).unwrap();
        assert!(draft.text.is_err() && draft.missing.is_empty());
        assert_eq!(draft.asked, [Query::health("redis", true)].into());
    }

    #[test]
    fn errors_are_located() {
        for (template, error) in [
            (
                "a\n{{#each (service \"redis\")}}\n  {{Adress}}\n{{/each}}",
                "t.hbs:3:3: `Adress` does not exist here",
            ),
            ("a\nb {{key 1}}", "t.hbs:2:3: key: argument 1 must be text"),
            ("a\n{{nope \"x\"}}", "t.hbs:2:1: there is no function `nope`"),
            ("a\n{{#if x}}", "t.hbs:"),
            ("{{service \"redis\"}}", "t.hbs:1:1: service returns a list: use `{{#each (service …)}}`"),
            ("{{master \"redis\"}}", "t.hbs:1:1: master returns an object"),
            (
                "{{#each services}}{{Name}}{{/each}}",
                "t.hbs:1:1: `services` is a function: write `(services)`",
            ),
            ("{{#with nope}}x{{/with}}", "t.hbs:1:1: `nope` does not exist here"),
        ] {
            let found = text(template, Some(rows())).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }
}
