//! What stands in a Handlebars template: the functions that it calls, and the partials, which must exist and must not
//! come back to themselves.

use super::{Mention, TemplateError};
use ::handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, Template, TemplateElement};
use std::collections::{BTreeMap, BTreeSet};

/// A place in a file.
type Spot = (usize, usize);

/// Something in a template.
enum Piece<'t> {
    /// A helper, or a name.
    Call(&'t HelperTemplate),
    /// The use of a partial; whether it brings a text for the case that there is none.
    Partial(&'t DecoratorTemplate, bool),
    /// The definition of a partial within a file.
    Inline(&'t str, &'t Template),
}

fn each<'t>(template: &'t Template, see: &mut dyn FnMut(Piece<'t>, Spot)) {
    for (n, element) in template.elements.iter().enumerate() {
        let spot = template.mapping.get(n).map_or((0, 0), |at| (at.0, at.1));
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(helper)
            | TemplateElement::HtmlExpression(helper)
            | TemplateElement::HelperBlock(helper) => each_in(helper, spot, see),
            TemplateElement::PartialExpression(partial) => {
                see(Piece::Partial(partial, false), spot);
                partial.params.iter().chain(partial.hash.values()).for_each(|word| within(word, spot, see));
            }
            TemplateElement::PartialBlock(partial) => {
                see(Piece::Partial(partial, true), spot);
                partial.template.iter().for_each(|inner| each(inner, see));
            }
            TemplateElement::DecoratorExpression(_) => {}
            TemplateElement::DecoratorBlock(decorator) => {
                if let (Some(Parameter::Literal(name)), Some(inner)) =
                    (decorator.params.first(), &decorator.template)
                    && decorator.name.as_name() == Some("inline")
                    && let Some(name) = name.as_str()
                {
                    see(Piece::Inline(name, inner), spot);
                }
            }
            // What the library may learn later is no concern of ours before.
            _ => {}
        }
    }
}

fn each_in<'t>(helper: &'t HelperTemplate, spot: Spot, see: &mut dyn FnMut(Piece<'t>, Spot)) {
    see(Piece::Call(helper), spot);
    helper.params.iter().chain(helper.hash.values()).for_each(|word| within(word, spot, see));
    helper.template.iter().chain(&helper.inverse).for_each(|inner| each(inner, see));
}

fn within<'t>(word: &'t Parameter, spot: Spot, see: &mut dyn FnMut(Piece<'t>, Spot)) {
    if let Parameter::Subexpression(inner) = word
        && let TemplateElement::Expression(helper) = inner.as_element()
    {
        each_in(helper, spot, see);
    }
}

/// The calls in a file, of the functions that are known.
pub(super) fn mentions(file: &str, template: &Template, knows: &dyn Fn(&str) -> bool) -> Vec<Mention> {
    let mut found = vec![];
    let mut see = |piece: Piece, (line, column): Spot| match piece {
        Piece::Call(helper) => {
            let Some(function) = helper.name.as_name().filter(|name| knows(name)) else { return };
            let mut call = function.to_owned();
            helper.params.iter().for_each(|word| call = format!("{call} {}", written(word)));
            found.push(Mention { file: file.to_owned(), line, column, function: function.to_owned(), call });
        }
        Piece::Inline(_, inner) => found.extend(mentions(file, inner, knows)),
        Piece::Partial(..) => {}
    };
    each(template, &mut see);
    found
}

fn written(word: &Parameter) -> String {
    match word {
        Parameter::Literal(value) => value.to_string(),
        Parameter::Subexpression(inner) => {
            let words = inner.params().into_iter().flatten().map(written);
            format!(
                "({})",
                std::iter::once(inner.name().to_owned()).chain(words).collect::<Vec<_>>().join(" ")
            )
        }
        _ => word.as_name().unwrap_or_default().to_owned(),
    }
}

/// What a piece of text uses: the partials' names, where each stands, and whether it must exist.
#[derive(Default)]
struct Uses {
    file: String,
    names: Vec<(String, Spot, bool)>,
}

/// What each partial of a template uses, and the template itself.
pub(super) struct Partials {
    texts: BTreeMap<String, Uses>,
    /// The name of the template itself.
    own: String,
}

/// So many names are told of those that there are.
const TOLD: usize = 20;

impl Partials {
    /// Of these files, by the name under which the others know them; the first is the template.
    pub(super) fn of(files: &[(&str, &str, &Template)]) -> Partials {
        let mut texts = BTreeMap::new();
        for (name, file, template) in files {
            gather(name, file, template, &mut texts);
        }
        Partials { texts, own: files.first().map_or_else(String::new, |first| first.0.to_owned()) }
    }

    /// That none comes back to itself.
    pub(super) fn end(&self) -> Result<(), TemplateError> {
        for (name, uses) in &self.texts {
            if let Some((way, spot)) = circle(name, &self.texts) {
                let way = way.join(" → ");
                let reason = format!("the partial `{name}` includes itself, which would not end: {way}");
                return Err(fault(&uses.file, spot, reason));
            }
        }
        Ok(())
    }

    /// That all are there.
    pub(super) fn are_there(&self) -> Result<(), TemplateError> {
        for uses in self.texts.values() {
            let missing =
                |(name, _, needed): &&(String, Spot, bool)| *needed && !self.texts.contains_key(name);
            if let Some((name, spot, _)) = uses.names.iter().find(missing) {
                let reason = format!("there is no partial `{name}`; {}", self.known());
                return Err(fault(&uses.file, *spot, reason));
            }
        }
        Ok(())
    }

    fn known(&self) -> String {
        let names: Vec<&str> =
            self.texts.keys().map(String::as_str).filter(|name| *name != self.own).take(TOLD).collect();
        match names.is_empty() {
            true => "there are none: set partials to their folder".to_owned(),
            false => format!("there are {}", names.join(", ")),
        }
    }
}

fn fault(file: &str, (line, column): Spot, reason: String) -> TemplateError {
    TemplateError { name: file.to_owned(), line, column, reason }
}

fn gather(name: &str, file: &str, template: &Template, texts: &mut BTreeMap<String, Uses>) {
    let mut uses = Uses { file: file.to_owned(), ..Uses::default() };
    let mut inline = vec![];
    each(template, &mut |piece, spot| match piece {
        Piece::Partial(partial, has_text) => {
            let name = partial.name.as_name().filter(|name| *name != "@partial-block");
            uses.names.extend(name.map(|name| (name.to_owned(), spot, !has_text)));
        }
        Piece::Inline(name, inner) => inline.push((name, inner)),
        Piece::Call(_) => {}
    });
    texts.insert(name.to_owned(), uses);
    for (name, inner) in inline {
        gather(name, file, inner, texts);
    }
}

/// The way from a partial back to itself, and where it begins.
fn circle(start: &str, texts: &BTreeMap<String, Uses>) -> Option<(Vec<String>, Spot)> {
    let mut seen = BTreeSet::new();
    let mut ways: Vec<(Vec<String>, Option<Spot>)> = vec![(vec![start.to_owned()], None)];
    while let Some((way, begun)) = ways.pop() {
        for (next, spot, _) in texts.get(way.last()?).map(|uses| uses.names.as_slice()).unwrap_or_default() {
            let longer: Vec<String> = way.iter().cloned().chain([next.clone()]).collect();
            let begun = begun.unwrap_or(*spot);
            if next == start {
                return Some((longer, begun));
            }
            if seen.insert(next.clone()) {
                ways.push((longer, Some(begun)));
            }
        }
    }
    None
}
