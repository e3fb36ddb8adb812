//! The Handlebars dialect. Strict: a name that does not exist is an error, never an empty string in a
//! configuration file. Nothing is escaped: the text is no HTML.

use super::{
    Dialect, Draft, Mention, Partial, Template, TemplateError,
    bounds::{self, Each, Text, Used},
    rows::{self, EachRow, Given},
    walk,
};
use crate::{
    facts::Facts,
    functions::{self, ELSEWHERE, Ended, Function, Memo, Pass, Setting, from_json, to_json},
    ledger::Followed,
    parts,
};
use ::handlebars::{
    BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender, JsonTruthy, Output,
    RenderContext, RenderError, RenderErrorReason, Renderable, ScopedJson,
};
use gotemplate::print::LONGEST;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A parsed Handlebars template with the functions of the table.
pub(super) struct HandlebarsTemplate {
    name: String,
    /// The files of its partials, by name.
    partials: BTreeMap<String, String>,
    registry: Handlebars<'static>,
    setting: Arc<Setting>,
    /// The filling in progress: the library hands nothing of ours to a helper, so helpers share it.
    pass: Shared,
    memo: Mutex<Memo>,
    used: Used,
    mentions: Vec<Mention>,
}

type Shared = Arc<Mutex<Option<Pass>>>;

/// Functions of Go's template language that Handlebars has no helper of its own for.
const OF_THE_LANGUAGE: [&str; 10] =
    ["html", "index", "js", "ge", "le", "print", "printf", "println", "slice", "urlquery"];
/// The template itself among its partials; none of them can be called so.
const OWN: &str = "(template)";
/// How many pieces of a value may be handed from a function to the template.
pub(super) const ROOM: usize = 1_000_000;

impl HandlebarsTemplate {
    pub(super) fn parse(
        path: &Path,
        text: &str,
        dialect: &Dialect,
        setting: Arc<Setting>,
    ) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let (pass, used) = (Shared::default(), Used::default());
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(::handlebars::no_escape);
        registry.register_helper("with", Box::new(With));
        registry.register_helper("each", Box::new(Each(used.clone())));
        for name in functions::all().map(|function| function.signature.name) {
            if let Some(function) = functions::find(name, &setting) {
                let (pass, used) = (Arc::clone(&pass), used.clone());
                registry.register_helper(name, Box::new(Call { function, pass, used, given: None }));
            }
        }
        for name in OF_THE_LANGUAGE {
            registry.register_helper(name, Box::new(Builtin(name, used.clone())));
        }
        compile(&mut registry, OWN, &name, text)?;
        let mut partials = BTreeMap::new();
        for Partial { name, file, text } in &dialect.partials {
            compile(&mut registry, name, file, text)?;
            partials.insert(name.clone(), file.clone());
        }
        let (memo, mentions) = (Mutex::default(), vec![]);
        let mut template =
            HandlebarsTemplate { name, partials, registry, setting, pass, memo, used, mentions };
        let partials = walk::Partials::of(&template.files());
        partials.end()?;
        bounds::circle(&template.registry).map_err(|why| TemplateError::of(&template.name, why))?;
        partials.are_there()?;
        template.finish();
        Ok(template)
    }

    /// Remembers what stands in it, and then has its loops take rows.
    fn finish(&mut self) {
        let files = self.files();
        let mentions =
            files.iter().flat_map(|(_, file, template)| walk::mentions(file, template, &is_function));
        let mentions = mentions.collect();
        let mut looped = BTreeSet::new();
        let mut ours = |name: &str| {
            let is_ours = is_function(name);
            looped.extend(is_ours.then(|| name.to_owned()));
            is_ours
        };
        let by_rows = |(name, _, template): &(&str, &str, &::handlebars::Template)| {
            ((*name).to_owned(), rows::by_rows((*template).clone(), &mut ours))
        };
        let templates: Vec<_> = files.iter().map(by_rows).collect();
        self.mentions = mentions;
        for (name, template) in templates {
            self.registry.register_template(&name, template);
        }
        self.register_loops(&looped);
    }

    /// The helpers of loops over these functions.
    fn register_loops(&mut self, looped: &BTreeSet<String>) {
        let (given, used) = (Given::default(), self.used.clone());
        for function in looped.iter().filter_map(|name| functions::find(name, &self.setting)) {
            let (pass, used, given) = (Arc::clone(&self.pass), used.clone(), Some(given.clone()));
            let name = format!("{}{}", rows::GIVES, function.signature.name);
            self.registry.register_helper(&name, Box::new(Call { function, pass, used, given }));
        }
        self.registry.register_helper(rows::EACH, Box::new(EachRow { given, used }));
    }

    /// Its file and those of its partials: the name, the file, and what stands in it.
    fn files(&self) -> Vec<(&str, &str, &::handlebars::Template)> {
        let partials = self.partials.iter().map(|(name, file)| (name.as_str(), file.as_str()));
        let all = std::iter::once((OWN, self.name.as_str())).chain(partials);
        all.filter_map(|(name, file)| Some((name, file, self.registry.get_template(name)?))).collect()
    }
}

fn compile(registry: &mut Handlebars, name: &str, file: &str, text: &str) -> Result<(), TemplateError> {
    if let Some(line) = bounds::too_deep(text) {
        let reason = "blocks or calls lie too deep in each other".to_owned();
        return Err(TemplateError { name: file.to_owned(), line, column: 0, reason });
    }
    registry.register_template_string(name, text).map_err(|error| {
        let (line, column) = error.pos().unwrap_or_default();
        TemplateError { name: file.to_owned(), line, column, reason: error.reason().to_string() }
    })
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
        let filled = self.registry.render_with_context_to_write(OWN, &Context::null(), &mut text);
        let ended = lock().take().map(Pass::end).unwrap_or_default();
        let Ended { asked, calls, missing, warnings, trail, memo: kept, files } = ended;
        *memo = kept;
        let text = filled.map(|()| text.into_string()).map_err(|error| self.located(&error));
        let text = text.and_then(|text| {
            parts::check(text, &files).map_err(|reason| TemplateError::of(&self.name, reason))
        });
        Draft { text, asked, calls, missing, warnings, trail }
    }

    fn mentions(&self) -> Vec<Mention> {
        self.mentions.clone()
    }
}

impl HandlebarsTemplate {
    fn located(&self, error: &RenderError) -> TemplateError {
        let partial = error.template_name.as_ref().and_then(|name| self.partials.get(name));
        TemplateError {
            name: partial.unwrap_or(&self.name).clone(),
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
    /// The loop that it stands in, where that takes its list.
    given: Option<Given>,
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
        if self.given.as_ref().is_some_and(|given| given.take(&value)) {
            return Ok(ScopedJson::Derived(Value::Null));
        }
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
        let mut inner = bounds::block_of(param);
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
        let template = HandlebarsTemplate::parse(Path::new("t.hbs"), template, &Dialect::default(), setting)
            .map_err(|e| e.to_string())?;
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
    fn a_loop_over_a_function_is_as_any() {
        for (template, text) in [
            (
                r#"{{#each (service "redis")}}{{ID}}{{#each Tags}} {{this}}{{@index}}{{/each}}{{/each}}"#,
                "redis-0 master0",
            ),
            (r#"{{#each (service "redis") as |s n|}}{{n}}{{s.ID}}{{ID}}{{/each}}"#, "0redis-0redis-0"),
            (
                r#"{{#each (service "redis")}}{{#with ServiceMeta}}{{epoch}}{{../Port}}{{/with}}{{/each}}"#,
                "36379",
            ),
            (
                r#"{{#each (service "redis")}}{{lookup this "Address"}}{{@first}}{{@last}}{{/each}}"#,
                "10.0.0.1truetrue",
            ),
            (r#"{{#each (service "redis") as |s|}}{{lookup s "Port"}}{{/each}}"#, "6379"),
            (
                r#"{{#each (service "redis")}}{{#each (service "redis")}}{{ID}}{{/each}}{{Port}}{{/each}}"#,
                "redis-06379",
            ),
            (r#"{{#each (split "," "a,b")}}{{this}}{{#unless @last}};{{/unless}}{{/each}}"#, "a;b"),
            (r#"{{#each (master "redis")}}{{#if (eq @key "ID")}}{{this}}{{/if}}{{/each}}"#, "redis-0"),
            (r#"{{#each (split "," "")}}x{{else}}none{{/each}}"#, "none"),
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

    fn with_partials(template: &str, partials: &[(&str, &str)]) -> Result<String, String> {
        let partial = |(name, text): &(&str, &str)| Partial {
            name: (*name).into(),
            file: format!("p/{name}.hbs"),
            text: (*text).into(),
        };
        let dialect = Dialect { partials: partials.iter().map(partial).collect(), ..Dialect::default() };
        let setting = Arc::new(setting(&[("PORT", "6379")]));
        let template = HandlebarsTemplate::parse(Path::new("t.hbs"), template, &dialect, setting);
        let known = facts(&[(Query::health("redis", true), rows())]);
        let draft = template.map_err(|e| e.to_string())?.fill(&known, &Followed::new());
        draft.text.map_err(|e| e.to_string())
    }

    #[test]
    fn partials_are_filled_with_what_is_around_them() {
        let partials =
            [("server", "{{ID}} {{Port}}{{> a/end mark=\"!\"}}\n"), ("a/end", " {{mark}}{{env \"PORT\"}}")];
        let text = with_partials("{{#each (service \"redis\")}}\n{{> server}}\n{{/each}}\n", &partials);
        assert_eq!(text.unwrap(), "redis-0 6379 !6379\n");
        let text = with_partials("{{#with (master \"redis\") as |m|}}{{> server m}}{{/with}}", &partials);
        assert_eq!(text.unwrap(), "redis-0 6379 !6379\n");
    }

    #[test]
    fn a_partial_that_is_missing_or_recursive_is_a_mistake_with_its_place() {
        for (template, partials, error) in [
            ("a\n {{> nope}}", vec![], "t.hbs:2:2: there is no partial `nope`; there are none: set partials"),
            (
                "{{> a}}",
                vec![("a", "x\n{{> b}}"), ("c", "")],
                "p/a.hbs:2:1: there is no partial `b`; there are a, c",
            ),
            (
                "{{> a}}",
                vec![("a", "{{> b}}"), ("b", "\n{{> a}}")],
                "p/a.hbs:1:1: the partial `a` includes itself, which would not end: a → b → a",
            ),
            ("{{#*inline \"a\"}}{{#if x}}{{> a}}{{/if}}{{/inline}}{{> a}}", vec![], "t.hbs:1:"),
            ("{{#if (key \"a\")}}{{else}}{{> nope}}{{/if}}", vec![], "t.hbs:1:"),
            ("{{> a}}", vec![("a", "{{#if}")], "p/a.hbs:"),
            ("{{> a}}", vec![("a", "\n{{Nope}}")], "p/a.hbs:2:1: `Nope` does not exist here"),
        ] {
            let found = with_partials(template, &partials).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        let text = with_partials("{{#*inline \"a\"}}x{{/inline}}{{> a}}{{#> none}}y{{/none}}", &[]);
        assert_eq!(text.unwrap(), "xy", "one that brings a text for its absence need not be there");
    }

    #[test]
    fn what_stands_in_a_template_is_told_with_its_place() {
        let dialect = Dialect::default();
        let text = "{{#each (services)}}\n{{#if (in Tags (key \"t\"))}}{{service Name}}{{/if}}{{/each}}";
        let template = HandlebarsTemplate::parse(Path::new("t.hbs"), text, &dialect, Arc::new(setting(&[])));
        let calls: Vec<_> = template.unwrap().mentions().into_iter().map(|m| (m.line, m.call)).collect();
        let expected = [(1, "services"), (2, "in Tags (key \"t\")"), (2, "key \"t\""), (2, "service Name")];
        assert_eq!(calls, expected.map(|(line, call)| (line, call.to_owned())));
    }
}
