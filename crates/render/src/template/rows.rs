//! Loops over what a function gives: each row is made for its round, of the fields that the loop names. A thousand
//! instances with all that Consul knows of them would be copied twice for each loop.

use super::{
    bounds::{Each, InLoop, ROUND, Used, named},
    handlebars::ROOM,
};
use crate::functions::row_to_json;
use ::handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, PathSeg, RenderContext,
    RenderErrorReason, Renderable, Template,
    template::{BlockParam, HelperTemplate, Parameter, TemplateElement},
};
use gotemplate::{Slice, Value};
use serde_json::Value as Json;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The helper that runs such a loop, and what the name of a function begins with there: no template can say that.
pub(super) const EACH: &str = "each row";
pub(super) const GIVES: &str = "gives ";

/// What a function gave to the loop that it stands in.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(Arc<Mutex<Option<Arc<Slice>>>>);

impl Given {
    /// Hands a list to the loop; another value is not for it.
    pub(super) fn take(&self, value: &Value) -> bool {
        let list = if let Value::Slice(list) = value { Some(Arc::clone(list)) } else { None };
        let is_list = list.is_some();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = list;
        is_list
    }

    fn list(&self) -> Option<Arc<Slice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// `{{#each (FUNCTION …)}}`
pub(super) struct EachRow {
    pub(super) given: Given,
    pub(super) used: Used,
}

impl HelperDef for EachRow {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Some(list) = self.given.list() else {
            return Each(self.used.clone()).call(helper, registry, context, render, out);
        };
        let Some(body) = helper.template() else { return Ok(()) };
        if list.items.is_empty() {
            return helper.inverse().map_or(Ok(()), |other| other.render(registry, context, render, out));
        }
        let names = helper.param(1).and_then(|names| names.value().as_array());
        let names: Option<Vec<&str>> = names.map(|names| names.iter().filter_map(Json::as_str).collect());
        let (last, mut room) = (list.items.len() - 1, ROOM);
        render.push_block(BlockContext::new());
        let out = &mut InLoop(out, &self.used);
        for (n, item) in list.items.iter().enumerate() {
            self.used.step(ROUND)?;
            let row = row_to_json(item, names.as_deref(), &mut room).map_err(RenderErrorReason::Other)?;
            if let Some(block) = render.block_mut() {
                block.set_local_var("index", n.into());
                block.set_local_var("first", (n == 0).into());
                block.set_local_var("last", (n == last).into());
                block.set_block_params(named(helper, false, &n.into(), &row)?);
                block.set_base_value(row);
            }
            body.render(registry, context, render, out)?;
        }
        render.pop_block();
        Ok(())
    }
}

/// The same template with such loops in the place of those over a function that is `ours`, which is asked once for each.
pub(super) fn by_rows(mut template: Template, ours: &mut dyn FnMut(&str) -> bool) -> Template {
    template.elements.iter_mut().for_each(|element| change(element, ours));
    template
}

fn change(element: &mut TemplateElement, ours: &mut dyn FnMut(&str) -> bool) {
    let bodies = match element {
        TemplateElement::HelperBlock(helper) => {
            change_loop(helper, ours);
            [helper.template.as_mut(), helper.inverse.as_mut()]
        }
        TemplateElement::PartialBlock(block) | TemplateElement::DecoratorBlock(block) => {
            [block.template.as_mut(), None]
        }
        _ => return,
    };
    bodies.into_iter().flatten().flat_map(|body| &mut body.elements).for_each(|inner| change(inner, ours));
}

fn change_loop(helper: &mut HelperTemplate, ours: &mut dyn FnMut(&str) -> bool) {
    let is_each = helper.name.as_name() == Some("each") && helper.hash.is_empty();
    let ([Parameter::Subexpression(call)], true) = (helper.params.as_mut_slice(), is_each) else { return };
    let TemplateElement::Expression(call) = &mut *call.element else { return };
    let Some(function) = call.name.as_name().filter(|name| ours(name)).map(str::to_owned) else {
        return;
    };
    call.name = Parameter::Name(format!("{GIVES}{function}"));
    helper.name = Parameter::Name(EACH.to_owned());
    let mut named = Named::default();
    named.gather_in(helper);
    let names = named.names().map(|names| Parameter::Literal(names.into_iter().collect()));
    helper.params.extend(names);
}

/// What a loop names, whatever it is of.
#[derive(Default)]
struct Named<'t> {
    names: BTreeSet<&'t str>,
    /// Names that stand alone, and might be that of a row.
    alone: BTreeSet<&'t str>,
    /// What rows are called in it.
    rows: BTreeSet<&'t str>,
    /// Whether something may want a row as a whole.
    whole: bool,
}

impl<'t> Named<'t> {
    /// The fields that it may want of its rows; nothing when it may want all.
    fn names(self) -> Option<BTreeSet<&'t str>> {
        (!self.whole && self.alone.is_disjoint(&self.rows)).then_some(self.names)
    }

    fn gather(&mut self, body: &'t Template) {
        for element in &body.elements {
            match element {
                TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
                TemplateElement::Expression(helper)
                | TemplateElement::HtmlExpression(helper)
                | TemplateElement::HelperBlock(helper) => self.gather_in(helper),
                _ => self.whole = true,
            }
        }
    }

    fn gather_in(&mut self, helper: &'t HelperTemplate) {
        let words = helper.params.iter().chain(helper.hash.values()).chain([&helper.name]);
        words.for_each(|word| self.word(word));
        let rows = match &helper.block_param {
            Some(BlockParam::Single(row)) => [Some(row), None],
            Some(BlockParam::Pair((row, at))) => [Some(row), Some(at)],
            _ => [None, None],
        };
        self.rows.extend(rows.into_iter().flatten().filter_map(Parameter::as_name));
        helper.template.iter().chain(&helper.inverse).for_each(|body| self.gather(body));
    }

    fn word(&mut self, word: &'t Parameter) {
        match word {
            Parameter::Path(Path::Relative((steps, _))) => {
                let mut names = steps.iter().filter_map(|step| match step {
                    PathSeg::Named(name) => Some(name.as_str()),
                    _ => None,
                });
                match (names.next(), names.next()) {
                    (None, _) => self.whole = true,
                    (Some(name), None) => _ = (self.names.insert(name), self.alone.insert(name)),
                    (Some(name), Some(next)) => self.names.extend([name, next].into_iter().chain(names)),
                }
            }
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(helper) => self.gather_in(helper),
                _ => self.whole = true,
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields that each loop of a template asks its rows for.
    fn asked(text: &str) -> Vec<Option<String>> {
        fn loops(template: &Template, found: &mut Vec<Option<String>>) {
            for element in &template.elements {
                let TemplateElement::HelperBlock(helper) = element else { continue };
                if helper.name.as_name() == Some(EACH) {
                    let names = helper.params.get(1).map(|names| match names {
                        Parameter::Literal(Json::Array(names)) => {
                            names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" ")
                        }
                        other => panic!("{other:?}"),
                    });
                    found.push(names);
                }
                helper.template.iter().chain(&helper.inverse).for_each(|body| loops(body, found));
            }
        }
        let template =
            by_rows(Template::compile(text).unwrap(), &mut |name| matches!(name, "service" | "lookup"));
        let mut found = vec![];
        loops(&template, &mut found);
        found
    }

    #[test]
    fn a_row_has_what_the_loop_may_name() {
        for (body, fields) in [
            ("{{ID}} {{Address}}:{{Port}}", Some("Address ID Port")),
            (
                "{{#if ServiceMeta.pool}}{{../x}}{{@index}}{{else}}{{Node}}{{/if}}",
                Some("Node ServiceMeta pool x"),
            ),
            ("{{this.ID}}{{./Node}}{{@root.a}}", Some("ID Node a")),
            ("{{toUpper (trim ID)}}", Some("ID")),
            ("{{this}}", None),
            ("{{lookup this \"ID\"}}", None),
            ("{{#with Node}}{{lookup ../this \"ID\"}}{{/with}}", None),
            ("{{#each this}}x{{/each}}", None),
            ("{{> server}}", None),
        ] {
            let found = asked(&format!("{{{{#each (service \"a\")}}}}{body}{{{{/each}}}}"));
            assert_eq!(found[0].as_deref(), fields, "{body}");
        }
        assert_eq!(asked("{{#each (service \"a\") as |s|}}{{s.ID}}{{/each}}").len(), 1);
        assert!(asked("{{#each (service \"a\") as |s|}}{{s.ID}}{{/each}}")[0].is_some());
        assert_eq!(asked("{{#each (service \"a\") as |s n|}}{{json s}}{{/each}}"), [None]);
        assert_eq!(
            asked("{{#each list}}{{/each}}{{#each (other 1)}}{{/each}}{{#each (service 1) a=1}}{{/each}}"),
            []
        );
        assert_eq!(
            asked("{{#if x}}{{#each (service 1)}}{{#each (service ID)}}{{/each}}{{/each}}{{/if}}").len(),
            2
        );
    }
}
