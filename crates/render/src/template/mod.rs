//! A template is a function from facts to text, which also says what else it wants to know.

mod bounds;
#[cfg(test)]
mod fuzz;
mod gotemplate;
mod handlebars;
mod rows;
mod walk;

use crate::{
    facts::Facts,
    functions::Setting,
    ledger::{Followed, Trail},
};
use consul::Query;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// One filling of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text; nothing to go by while `missing` is not empty: a template may well fail on empty values.
    pub text: Result<String, TemplateError>,
    /// Every question asked, up to where it failed.
    pub asked: BTreeSet<Query>,
    /// Which calls asked each of them, where that is recorded.
    pub calls: BTreeMap<Query, BTreeSet<String>>,
    /// What there is no answer to yet, in words.
    pub missing: BTreeSet<String>,
    /// What the reader of the rendered file should know, such as two masters.
    pub warnings: BTreeSet<String>,
    /// The epochs of the masters in the text.
    pub trail: Trail,
}

/// A parsed template, whichever dialect it is written in.
pub trait Template: Send {
    /// Fills the template; a master below the epoch that was `followed` before is none. Reads no clock, no file, no
    /// network.
    fn fill(&self, facts: &Facts, followed: &Followed) -> Draft;

    /// The calls of functions that stand in it, whatever a filling comes to.
    fn mentions(&self) -> Vec<Mention>;
}

/// A call of a function that stands in a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The template's file, or that of a partial.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// Column in the line, from 1.
    pub column: usize,
    /// The function.
    pub function: String,
    /// The call as it stands there.
    pub call: String,
}

/// A template that others may use by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Its name: the path in its folder, without the ending.
    pub name: String,
    /// Its file, for errors.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Why a template could not be parsed or filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", self.place())]
pub struct TemplateError {
    /// Template file.
    pub name: String,
    /// Line in it, from 1; 0 when unknown.
    pub line: usize,
    /// Column in the line, from 1; 0 when unknown.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl TemplateError {
    /// The file, with line and column as far as they are known.
    fn place(&self) -> String {
        match (&self.name, self.line, self.column) {
            (name, 0, _) => name.clone(),
            (name, line, 0) => format!("{name}:{line}"),
            (name, line, column) => format!("{name}:{line}:{column}"),
        }
    }

    /// Something that concerns the whole file.
    #[must_use]
    pub fn of(name: impl Into<String>, reason: String) -> Self {
        TemplateError { name: name.into(), line: 0, column: 0, reason }
    }
}

/// The language that a template is written in, and how it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The language; by the file's name when not said.
    pub language: Option<Language>,
    /// What a Go template's actions begin with; empty for `{{`.
    pub left: String,
    /// What they end with; empty for `}}`.
    pub right: String,
    /// A key that a map does not have is an error.
    pub missing_is_error: bool,
    /// What Go prints that nobody wants in a file is an error.
    pub strict: bool,
    /// The templates that it may use.
    pub partials: Vec<Partial>,
}

/// A template language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Handlebars, the native one.
    Handlebars,
    /// Go's text/template, as consul-template has it.
    Go,
}

impl Language {
    /// By the name of the file: `.hbs` and `.handlebars` are Handlebars, anything else Go, as consul-template has it.
    #[must_use]
    pub fn of(path: &Path) -> Language {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(ending) if Language::Handlebars.endings().contains(&ending) => Language::Handlebars,
            _ => Language::Go,
        }
    }

    /// How names of its files end.
    #[must_use]
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Language::Handlebars => &["hbs", "handlebars"],
            Language::Go => &["ctmpl", "tmpl", "gotmpl", "tpl"],
        }
    }

    /// Its name in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Language::Handlebars => "handlebars",
            Language::Go => "go",
        }
    }
}

/// Parses the text of a template file.
pub fn parse(
    path: &Path,
    text: &str,
    dialect: &Dialect,
    setting: Arc<Setting>,
) -> Result<Box<dyn Template>, TemplateError> {
    Ok(match dialect.language.unwrap_or_else(|| Language::of(path)) {
        Language::Handlebars => {
            Box::new(handlebars::HandlebarsTemplate::parse(path, text, dialect, setting)?)
        }
        Language::Go => Box::new(gotemplate::GoTemplate::parse(path, text, dialect, setting)?),
    })
}
