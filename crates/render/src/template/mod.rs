//! A template is a function from facts to text, which also says what else it wants to know.

mod handlebars;

use crate::facts::Facts;
use config::Environment;
use consul::Query;
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// One filling of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The text; nothing to go by while `missing` is not empty: a template may well fail on empty values.
    pub text: Result<String, TemplateError>,
    /// Every question asked, up to where it failed.
    pub asked: BTreeSet<Query>,
    /// What there is no answer to yet, in words.
    pub missing: BTreeSet<String>,
    /// What the reader of the rendered file should know, such as two masters.
    pub warnings: BTreeSet<String>,
}

/// A parsed template, whichever dialect it is written in.
pub trait Template: Send {
    /// Fills the template. Reads no clock, no file, no network.
    fn fill(&self, facts: &Facts) -> Draft;
}

/// Why a template could not be parsed or filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {reason}")]
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
    /// Something that concerns the whole file.
    #[must_use]
    pub fn of(path: &Path, reason: String) -> Self {
        TemplateError { name: path.display().to_string(), line: 0, column: 0, reason }
    }
}

/// Parses the text of a template file.
pub fn parse(path: &Path, text: &str, env: Arc<Environment>) -> Result<Box<dyn Template>, TemplateError> {
    Ok(Box::new(handlebars::HandlebarsTemplate::parse(path, text, env)?))
}
