//! The door: opens configuration files and directories.

use crate::{
    Mistakes, Place, Section, hcl, json,
    source::Source,
    tree::{Table, merge},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Reads files and directories and merges them from left to right: a later value replaces, blocks merge, and
/// the blocks named in `repeatable` are appended.
///
/// Of a directory, every file is read in the order of their names, deeper directories too, as in consul-template;
/// hidden names and templates that lie there are left alone. A file is JSON when its name ends in `.json` or its text
/// begins with a brace, and HCL otherwise.
pub fn read(paths: &[PathBuf], repeatable: &[&str], mistakes: &mut Mistakes) -> Section {
    let mut table = Table::new();
    for path in paths {
        for file in files(path, mistakes) {
            merge(&mut table, read_file(&file, mistakes), repeatable);
        }
    }
    let place = paths.first().map_or_else(|| Place::of("configuration"), |path| Place::of(name(path)));
    Section::new(String::new(), place, table)
}

/// Reads one text as [`read`] reads a file of that name.
pub fn parse(name: &str, text: &str, mistakes: &mut Mistakes) -> Section {
    Section::new(String::new(), Place::of(name), read_text(name, text, mistakes))
}

fn read_text(name: &str, text: &str, mistakes: &mut Mistakes) -> Table {
    let json = is(Path::new(name), "json") || text.trim_start().starts_with('{');
    let read = if json { json::parse } else { hcl::parse };
    read(&Source::new(name, text), mistakes)
}

fn read_file(path: &Path, mistakes: &mut Mistakes) -> Table {
    let name = name(path);
    match fs::read_to_string(path) {
        Ok(text) => read_text(&name, &text, mistakes),
        Err(error) => {
            mistakes.note(Place::of(name), "", format!("cannot be read: {error}"));
            Table::new()
        }
    }
}

/// The path itself, or the configuration files of a directory.
fn files(path: &Path, mistakes: &mut Mistakes) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    if let Err((path, error)) = list(path, 0, &mut files) {
        mistakes.note(Place::of(name(&path)), "", format!("cannot be listed: {error}"));
    }
    files
}

/// Links may lead in a circle.
const DEEPEST: usize = 20;
/// Texts that a configuration names, and that may lie beside it.
const TEMPLATES: [&str; 5] = ["hbs", "ctmpl", "tmpl", "gotmpl", "tpl"];

fn list(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // Kubernetes mounts ConfigMaps as links into a hidden directory: follow links, skip hidden names.
        if hidden || TEMPLATES.iter().any(|ending| is(&path, ending)) {
            continue;
        }
        match path.is_dir() {
            true if depth == DEEPEST => {
                return Err((path, io::Error::other("too deep; do links lead in a circle?")));
            }
            true => list(&path, depth + 1, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|known| known == extension)
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Writes files into a directory and reads the paths given, by names relative to it; mistakes are shown
    /// without the directory.
    fn read_all(
        files: &[(&str, &str)],
        paths: &[&str],
        take: impl FnOnce(&mut Section, &mut Mistakes),
    ) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let paths: Vec<_> = paths.iter().map(|path| directory.path().join(path)).collect();
        let mut mistakes = Mistakes::default();
        let mut section = read(&paths, &["service", "template"], &mut mistakes);
        take(&mut section, &mut mistakes);
        section.finish(&mut mistakes);
        let prefix = format!("{}/", directory.path().display());
        mistakes.iter().map(|mistake| mistake.to_string().replace(&prefix, "")).collect()
    }

    /// Takes what a program might, of every type.
    fn take_program(top: &mut Section, mistakes: &mut Mistakes) {
        top.duration("leave_timeout", mistakes);
        if let Some(mut consul) = top.block("consul", mistakes) {
            consul.string("address", mistakes);
            consul.secret("token", mistakes);
            consul.finish(mistakes);
        }
        for (_, mut service) in top.blocks("service", true, mistakes) {
            service.integer("port", 1..=65535, mistakes);
            service.strings("tags", mistakes);
            service.duration("ttl", mistakes);
            service.bool("enabled", mistakes);
            service.string_map("meta", mistakes);
            if let Some((_, mut probe)) = service.labelled_block("probe", mistakes) {
                probe.duration("interval", mistakes);
                probe.finish(mistakes);
            }
            service.finish(mistakes);
        }
    }

    const GOOD_HCL: &str = r#"
consul { address = "127.0.0.1:8500"  token = "hunter2" }
leave_timeout = "10s"
service "redis" {
  port = 6379
  tags = ["v7", "eu"]
  meta { rack = "7" }
  ttl = "1m30s"
  probe "redis" { interval = "200ms" }
}
service "other" { port = 1 }
"#;

    const GOOD_JSON: &str = r#"{
  "consul": {"address": "127.0.0.1:8500", "token": "hunter2"},
  "leave_timeout": "10s",
  "service": {
    "redis": {
      "port": 6379, "tags": ["v7", "eu"], "meta": {"rack": "7"}, "ttl": "1m30s",
      "probe": {"redis": {"interval": "200ms"}}
    },
    "other": [{"port": 1}]
  }
}"#;

    #[test]
    fn hcl_and_json_say_the_same() {
        for (name, text) in [("a.hcl", GOOD_HCL), ("a.json", GOOD_JSON), ("a.conf", GOOD_HCL)] {
            let mistakes = read_all(&[(name, text)], &[name], |top, mistakes| {
                assert!(top.has("consul"));
                let mut consul = top.block("consul", mistakes).unwrap();
                assert_eq!(consul.string("address", mistakes).as_deref(), Some("127.0.0.1:8500"));
                assert_eq!(consul.secret("token", mistakes).unwrap().expose(), "hunter2");
                assert_eq!(consul.string("absent", mistakes), None);
                assert_eq!(top.duration("leave_timeout", mistakes), Some(Duration::from_secs(10)));
                let mut services = top.blocks("service", true, mistakes);
                services.sort_by_key(|(label, _)| label.clone() != Some("redis".into()));
                let [(_, redis), (label, other)] = &mut services[..] else { panic!("{services:?}") };
                assert_eq!((label.as_deref(), other.path()), (Some("other"), "service.other"));
                assert_eq!(redis.path(), "service.redis");
                assert_eq!(redis.integer("port", 1..=65535, mistakes), Some(6379));
                assert_eq!(redis.strings("tags", mistakes).unwrap(), ["v7", "eu"]);
                assert_eq!(redis.string_map("meta", mistakes).unwrap()["rack"], "7");
                assert_eq!(redis.duration("ttl", mistakes), Some(Duration::from_secs(90)));
                let (kind, mut probe) = redis.labelled_block("probe", mistakes).unwrap();
                assert_eq!((kind.as_str(), probe.path()), ("redis", "service.redis.probe.redis"));
                assert_eq!(probe.duration("interval", mistakes), Some(Duration::from_millis(200)));
            });
            assert!(mistakes.is_empty(), "{mistakes:?}");
        }
    }

    #[test]
    fn every_mistake_of_every_file_is_told() {
        let hcl = r#"leave_timout = "10s"
consul {
  token   = 12345
  address = "a:8500"
}
service "redis" {
  port = 70000
  tags = ["a", 2,
    true]
  ttl     = 10
  enabled = "yes"
  meta { rack = 7 }
  probe "redis" { interval = "soon"  intervall = "1s" }
}
"#;
        let json = r#"{
  "leave_timeout": "1 s",
  "leave_timeout": "2s",
  "consul": 5,
  "service": {
    "db": {
      "port": "5432",
      "tags": "a",
      "meta": {"rack": null},
      "probe": {"redis": {}, "http": {}}
    }
  },
  "x": 1
}"#;
        let mistakes =
            read_all(&[("a.hcl", hcl), ("b.json", json)], &["a.hcl", "b.json", "c.hcl"], take_program);
        let wanted = [
            "a.hcl:1: leave_timout: unknown key; did you mean leave_timeout?",
            "a.hcl:7: service.redis.port: expected a whole number from 1 to 65535, found the number 70000",
            "a.hcl:8: service.redis.tags[1]: expected a string, found the number 2",
            "a.hcl:9: service.redis.tags[2]: expected a string, found the boolean true",
            "a.hcl:10: service.redis.ttl: expected a duration such as \"10s\", found the number 10; the units are ns, us, ms, s, m and h",
            "a.hcl:11: service.redis.enabled: expected true or false, found the string \"yes\"",
            "a.hcl:12: service.redis.meta.rack: expected a string, found the number 7",
            "a.hcl:13: service.redis.probe.redis.interval: expected a duration such as \"10s\" or \"1m30s\", found \"soon\"",
            "a.hcl:13: service.redis.probe.redis.intervall: unknown key; did you mean interval?",
            "b.json:2: leave_timeout: the duration \"1 s\" has the unknown unit \" s\"; units are ns, us, ms, s, m and h",
            "b.json:3: leave_timeout: is set twice, and already in line 2",
            "b.json:4: consul: expected a block, found the number 5",
            "b.json:7: service.db.port: expected a whole number from 1 to 65535, found the string \"5432\"",
            "b.json:8: service.db.tags: expected a list of strings, found the string \"a\"",
            "b.json:9: service.db.meta.rack: expected a string, found null",
            "b.json:10: service.db.probe: may be there only once, and is there already in line 10",
            "b.json:13: x: unknown key",
            "c.hcl: cannot be read: No such file or directory (os error 2)",
        ];
        assert_eq!(mistakes, wanted);
    }

    #[test]
    fn a_wrong_secret_is_not_shown() {
        let mistakes = read_all(&[("a.hcl", "consul {\n  token = 12345\n}")], &["a.hcl"], take_program);
        assert_eq!(mistakes, ["a.hcl:2: consul.token: expected a string, found a number"]);
    }

    #[test]
    fn syntax_errors_have_line_and_column() {
        for (name, text, wanted) in [
            ("a.hcl", "a = 1\nb = = 2\n", "a.hcl:2:5: syntax error: "),
            ("a.hcl", "a { b = 1  c = ] }", "a.hcl:1:16: syntax error: "),
            (
                "a.hcl",
                "b {\n  a = info\n}",
                "a.hcl:2:7: syntax error: expected a value, found info; there are no variables",
            ),
            (
                "a.hcl",
                "a = env(\"X\")",
                "a.hcl:1:5: syntax error: expected a value, found env; there are no variables",
            ),
            (
                "a.hcl",
                "a = 1 + 2",
                "a.hcl:1:7: syntax error: expected a key, found `+`; there are no variables",
            ),
            ("a.hcl", "a = [1 2]", "a.hcl:1:8: syntax error: expected `,` or `]`, found 2"),
            ("a.hcl", "a \"b\" = 1", "a.hcl:1:9: syntax error: expected `{` after a label"),
            ("a.hcl", "a {", "a.hcl:1:4: syntax error: expected `}`, found the end of the file"),
            ("a.hcl", "a =\n}", "a.hcl:1:3: syntax error: expected a value, found `}`"),
            ("a.hcl", "}", "a.hcl:1:1: syntax error: expected a key, found `}`"),
            ("a.json", "{\n  \"a\": 1,\n}", "a.json:2:9: syntax error: trailing commas are not allowed"),
            ("a.json", "{\n  // no\n}", "a.json:2:3: syntax error: comments are not allowed"),
            ("a.json", " [1]", "a.json:1:2: syntax error: expected an object"),
            ("a.json", "", "a.json:1:1: syntax error: expected an object"),
        ] {
            let mistakes = read_all(&[(name, text)], &[name], |_, _| {});
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(wanted), "{mistakes:?}");
        }
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_names_and_later_files_win() {
        let files = [
            ("d/b.json", r#"{"log": {"level": "debug"}, "tags": ["b"], "service": [{"two": {}}]}"#),
            (
                "d/a.hcl",
                "log { level = \"info\"\n format = \"json\" }\ntags = [\"a\", \"c\"]\nservice \"one\" {}\n",
            ),
            ("d/site.cfg.hbs", "not = = configuration"),
            ("d/.hidden.hcl", "not = = configuration"),
            ("d/.hidden/c.hcl", "not = = configuration"),
            ("d/a/0.conf", "tags = [\"deeper, and before a.hcl\"]\nfrom_deep = \"1\""),
            ("d/z", "{\"no_ending\": \"json\"}"),
        ];
        let mistakes = read_all(&files, &["d"], |top, mistakes| {
            let mut log = top.block("log", mistakes).unwrap();
            assert_eq!(log.string("level", mistakes).as_deref(), Some("debug"));
            assert_eq!(log.string("format", mistakes).as_deref(), Some("json"));
            assert_eq!(top.strings("tags", mistakes).unwrap(), ["b"]);
            assert_eq!(top.string("from_deep", mistakes).as_deref(), Some("1"));
            assert_eq!(top.string("no_ending", mistakes).as_deref(), Some("json"));
            let labels = top.blocks("service", true, mistakes).into_iter().map(|(label, _)| label.unwrap());
            assert_eq!(labels.collect::<Vec<_>>(), ["one", "two"]);
        });
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}
