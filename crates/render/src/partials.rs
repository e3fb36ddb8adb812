//! The door to the templates that others may use: the files of a folder.

use crate::template::{Language, Partial, TemplateError};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Links may lead in a circle.
const DEEPEST: usize = 20;

/// Reads all templates of a language below a folder, in the order of their names; each is known by its path there,
/// without the ending. Hidden files are left alone.
pub fn read(folder: &Path, language: Language) -> Result<Vec<Partial>, TemplateError> {
    let wrong = |path: &Path, e: io::Error| {
        TemplateError::of(path.display().to_string(), format!("the folder of partials cannot be read: {e}"))
    };
    let mut files = vec![];
    list(folder, DEEPEST, &mut files).map_err(|e| wrong(folder, e))?;
    files.sort();
    let mut partials: Vec<Partial> = vec![];
    for path in files.into_iter().filter(|path| is_of(path, language)) {
        let name = path.with_extension("");
        let name = name.strip_prefix(folder).unwrap_or(&name).display().to_string();
        let file = path.display().to_string();
        if let Some(other) = partials.iter().find(|other| other.name == name) {
            let reason = format!("it would be the partial `{name}`, and so would {}", other.file);
            return Err(TemplateError::of(file, reason));
        }
        let text = fs::read_to_string(&path).map_err(|e| wrong(&path, e))?;
        partials.push(Partial { name, file, text });
    }
    Ok(partials)
}

fn is_of(path: &Path, language: Language) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| language.endings().contains(&ending))
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        match path.is_dir() {
            _ if hidden => {}
            true if depth > 0 => list(&path, depth - 1, files)?,
            true => {}
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_partials_by_their_paths() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("nginx")).unwrap();
        for name in ["head.hbs", "nginx/server.hbs", "head.ctmpl", ".hidden.hbs", "README.md", "nginx/x.tpl"]
        {
            fs::write(home.path().join(name), name).unwrap();
        }
        let names = |language| -> Vec<String> {
            read(home.path(), language).unwrap().into_iter().map(|partial| partial.name).collect()
        };
        assert_eq!(names(Language::Handlebars), ["head", "nginx/server"]);
        assert_eq!(names(Language::Go), ["head", "nginx/x"]);
        fs::write(home.path().join("head.tmpl"), "").unwrap();
        let error = read(home.path(), Language::Go).unwrap_err().to_string();
        assert!(error.contains("head.tmpl: it would be the partial `head`, and so would"), "{error}");
        let error = read(&home.path().join("nowhere"), Language::Go).unwrap_err().to_string();
        assert!(error.contains("nowhere: the folder of partials cannot be read"), "{error}");
    }
}
