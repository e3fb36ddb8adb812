//! What a Handlebars template may use up. The library bounds nothing: a partial that includes itself, loops in loops or
//! deep nesting would take the stack, the processor or the memory of the whole program.

use ::handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path,
    PathAndJson, RenderContext, RenderErrorReason, Renderable, Template,
    template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement},
};
use gotemplate::print::LONGEST;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Blocks, calls in calls and partials may lie so deep in each other.
const DEEPEST: usize = 100;
/// So many steps may be taken, as in a Go template: some seconds of work, and some hundred MiB of texts in between.
const STEPS: u64 = 10_000_000;
/// A round of a loop takes so many.
pub(super) const ROUND: u64 = 10;
/// What is written in loops is counted once for each loop that it lies in, so it may be more than the text.
const IN_LOOPS: u64 = 16 * LONGEST as u64;

/// What one filling used up so far; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Used(Arc<(AtomicU64, AtomicU64)>);

impl Used {
    /// A new filling begins.
    pub(super) fn begin(&self) {
        let (steps, written) = &*self.0;
        steps.store(0, Ordering::Relaxed);
        written.store(0, Ordering::Relaxed);
    }

    /// Takes so many steps.
    pub(super) fn step(&self, more: u64) -> Result<(), RenderErrorReason> {
        if self.0.0.fetch_add(more, Ordering::Relaxed) < STEPS {
            return Ok(());
        }
        let why = "the template does too much: it was stopped after 10 million steps";
        Err(RenderErrorReason::Other(why.into()))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let before = self.0.1.fetch_add(text.len() as u64, Ordering::Relaxed);
        if before + (text.len() as u64) <= IN_LOOPS { Ok(()) } else { Err(too_long()) }
    }
}

fn too_long() -> io::Error {
    io::Error::other("the text grew beyond 16 MiB and was stopped")
}

/// The text of a filling.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(too_long());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Text {
    /// The text; it was written in whole characters.
    pub(super) fn into_string(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// What a loop writes, which may be kept elsewhere than in the text.
pub(super) struct InLoop<'a>(pub(super) &'a mut dyn Output, pub(super) &'a Used);

impl Output for InLoop<'_> {
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.1.write(text)?;
        self.0.write(text)
    }
}

/// A block about this value, with its place where it has one.
pub(super) fn block_of<'rc>(param: &PathAndJson<'rc>) -> BlockContext<'rc> {
    let mut block = BlockContext::new();
    match param.context_path() {
        Some(path) => block.base_path_mut().clone_from(path),
        None => block.set_base_value(param.value().clone()),
    }
    block
}

/// `{{#each}}` as Handlebars has it, but for its bounds.
pub(super) struct Each(pub(super) Used);

impl HelperDef for Each {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("each", 0))?;
        let Some(body) = helper.template() else { return Ok(()) };
        let items: Vec<(Value, String, &Value)> = match param.value() {
            Value::Array(list) => {
                list.iter().enumerate().map(|(n, item)| (n.into(), n.to_string(), item)).collect()
            }
            Value::Object(object) => {
                object.iter().map(|(key, item)| (key.as_str().into(), key.clone(), item)).collect()
            }
            _ if helper.inverse().is_some() => vec![],
            _ => return Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into()),
        };
        if items.is_empty() {
            return helper.inverse().map_or(Ok(()), |other| other.render(registry, context, render, out));
        }
        let (path, last) = (param.context_path(), items.len() - 1);
        render.push_block(block_of(param));
        let out = &mut InLoop(out, &self.0);
        for (n, (key, step, item)) in items.into_iter().enumerate() {
            self.0.step(ROUND)?;
            if let Some(block) = render.block_mut() {
                if param.value().is_object() {
                    block.set_local_var("key", key.clone());
                }
                block.set_local_var("index", n.into());
                block.set_local_var("first", (n == 0).into());
                block.set_local_var("last", (n == last).into());
                match path {
                    Some(path) => {
                        block.base_path_mut().clone_from(path);
                        block.base_path_mut().push(step);
                    }
                    None => block.set_base_value(item.clone()),
                }
                block.set_block_params(named(helper, path.is_some(), &key, item)?);
            }
            body.render(registry, context, render, out)?;
        }
        render.pop_block();
        Ok(())
    }
}

/// The names that `as |item key|` gives.
pub(super) fn named<'rc>(
    helper: &Helper<'rc>,
    by_path: bool,
    key: &Value,
    item: &Value,
) -> Result<BlockParams<'rc>, ::handlebars::RenderError> {
    let mut names = BlockParams::new();
    let mut add = |name, value: &Value| match by_path {
        true => names.add_path(name, vec![]),
        false => names.add_value(name, value.clone()),
    };
    if let Some(name) = helper.block_param() {
        add(name, item)?;
    } else if let Some((name, index)) = helper.block_param_pair() {
        add(name, item)?;
        names.add_value(index, key.clone())?;
    }
    Ok(names)
}

/// The line of a text in which blocks or calls lie too deep in each other to be read; blanks within a tag do not hide them.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    // For each open block: how many tags it takes to close it, since `{{else if}}` opens one in the one before.
    let (mut blocks, mut depth) = (Vec::<usize>::new(), 0);
    for (at, _) in text.match_indices("{{") {
        let tag = text[at + 2..].trim_start_matches(['{', '~', ' ', '\t', '\r', '\n']);
        let tag = &tag[..tag.find("}}").unwrap_or(tag.len())];
        if tag.starts_with('#') || (tag.starts_with('^') && tag.len() > 1) {
            blocks.push(1);
            depth += 1;
        } else if tag.starts_with('/') {
            depth -= blocks.pop().unwrap_or_default();
        } else if tag.strip_prefix("else").is_some_and(|rest| !rest.trim_matches([' ', '~']).is_empty())
            && let Some(here) = blocks.last_mut()
        {
            *here += 1;
            depth += 1;
        }
        let mut calls = 0_usize;
        let deepest = tag.bytes().fold(0, |deepest, byte| {
            calls = match byte {
                b'(' => calls + 1,
                b')' => calls.saturating_sub(1),
                _ => calls,
            };
            deepest.max(calls)
        });
        if depth + deepest > DEEPEST {
            return Some(text[..at].matches('\n').count() + 1);
        }
    }
    None
}

/// Why the templates of a registry include each other without end, or too deep; nothing when they do not.
pub(super) fn circle(registry: &Handlebars<'_>) -> Result<(), String> {
    let mut partials = Partials::default();
    for (name, template) in registry.get_templates() {
        partials.gather(name, template)?;
    }
    let names: Vec<_> = partials.0.keys().copied().collect();
    let mut known = BTreeMap::new();
    for name in names {
        if partials.depth(name, &mut vec![], &mut known)? > DEEPEST {
            return Err(format!("partials lie too deep in each other: more than {DEEPEST} levels"));
        }
    }
    Ok(())
}

/// Bodies by name; a name may stand for several, as inline partials are where they are.
#[derive(Default)]
struct Partials<'t>(BTreeMap<&'t str, Vec<&'t Template>>);

impl<'t> Partials<'t> {
    fn gather(&mut self, name: &'t str, template: &'t Template) -> Result<(), String> {
        self.0.entry(name).or_default().push(template);
        self.gather_inline(template)
    }

    fn gather_inline(&mut self, template: &'t Template) -> Result<(), String> {
        for element in &template.elements {
            let TemplateElement::DecoratorBlock(block) = element else {
                bodies(element).try_for_each(|body| self.gather_inline(body))?;
                continue;
            };
            let name = block.params.first().and_then(name_of);
            let name = name.ok_or("an inline partial needs a name that stands in the template")?;
            block.template.iter().try_for_each(|body| self.gather(name, body))?;
        }
        Ok(())
    }

    fn depth(
        &self,
        name: &'t str,
        within: &mut Vec<&'t str>,
        known: &mut BTreeMap<&'t str, usize>,
    ) -> Result<usize, String> {
        if let Some(depth) = known.get(name) {
            return Ok(*depth);
        }
        if within.contains(&name) {
            return Err(format!("the partial `{name}` includes itself, which would not end"));
        }
        within.push(name);
        let mut deepest = 0;
        for template in self.0.get(name).into_iter().flatten() {
            deepest = deepest.max(self.depth_of(template, within, known)?);
        }
        within.pop();
        known.insert(name, deepest);
        Ok(deepest)
    }

    fn depth_of(
        &self,
        template: &'t Template,
        within: &mut Vec<&'t str>,
        known: &mut BTreeMap<&'t str, usize>,
    ) -> Result<usize, String> {
        let mut deepest = 0;
        for element in &template.elements {
            // An inline partial counts where it is included.
            if matches!(element, TemplateElement::DecoratorBlock(_)) {
                continue;
            }
            for body in bodies(element) {
                deepest = deepest.max(1 + self.depth_of(body, within, known)?);
            }
            if let TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) =
                element
            {
                // One that is chosen while the template is filled may be any of them.
                let chosen = name_of(&partial.name);
                let all = self.0.keys().copied().filter(|name| chosen.is_none_or(|chosen| chosen == *name));
                for name in all.collect::<Vec<_>>() {
                    deepest = deepest.max(1 + self.depth(name, within, known)?);
                }
            }
        }
        Ok(deepest)
    }
}

/// What lies in an element.
fn bodies(element: &TemplateElement) -> impl Iterator<Item = &Template> {
    let (one, other) = match element {
        TemplateElement::HelperBlock(block) => {
            let HelperTemplate { template, inverse, .. } = &**block;
            (template.as_ref(), inverse.as_ref())
        }
        TemplateElement::PartialBlock(block) => {
            let DecoratorTemplate { template, .. } = &**block;
            (template.as_ref(), None)
        }
        _ => (None, None),
    };
    one.into_iter().chain(other)
}

fn name_of(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Name(name) | Parameter::Literal(Value::String(name)) => Some(name),
        Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => Some(raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_seen_in_the_text() {
        let chain = |n| format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if a}}".repeat(n));
        for (text, line) in [
            ("{{#if a}}\n".repeat(100), None),
            ("{{#if a}}\n".repeat(101), Some(101)),
            ("{{~# if a}}{{/if}}".repeat(1000), None),
            (chain(99), None),
            (chain(100), Some(1)),
            (chain(99).repeat(10), None),
            (format!("\n{{{{a {}1{}}}}}", "(a ".repeat(101), ")".repeat(101)), Some(2)),
            ("{{a (b (c))}}".repeat(1000), None),
            ("{{else}}{{^}}{{/if}}(((".repeat(1000), None),
        ] {
            assert_eq!(too_deep(&text), line, "{}", &text[..40]);
        }
    }
}
