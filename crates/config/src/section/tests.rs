use super::*;
use crate::parse;

#[test]
fn strings_of_every_form() {
    for (file, text, wanted) in [
        ("hcl", "a = \"x\\n\\\"y\\\"\"", "x\n\"y\""),
        ("hcl", "a = \"${x} %{y} $5 100%\"", "${x} %{y} $5 100%"),
        ("hcl", "a = <<EOT\none\n  two ${x}\nEOT\n", "one\n  two ${x}\n"),
        ("hcl", "b {\n  a = <<-EOT\n    one\n      two\n    EOT\n}\na = \"after\"", "after"),
        ("a.json", r#"{"a": "x\n${y}\u00e9"}"#, "x\n${y}é"),
    ] {
        let mut mistakes = Mistakes::default();
        let found = parse(file, text, &mut mistakes).string("a", &mut mistakes);
        assert_eq!(found.as_deref(), Some(wanted), "{mistakes}");
    }
}

#[test]
fn numbers_in_and_out_of_range() {
    for (text, wanted) in [
        ("a = 5", Ok(5)),
        ("a = -5", Ok(-5)),
        ("a = 0x1f", Ok(31)),
        ("a = 0077", Ok(63)),
        ("a = 0", Ok(0)),
        ("a = 09", Err("a whole number from -5 to 100, found the number 09")),
        ("a = 0xg", Err("a whole number from -5 to 100, found the number 0xg")),
        ("a = 101", Err("a whole number from -5 to 100, found the number 101")),
        ("a = 1.5", Err("a whole number from -5 to 100, found the number 1.5")),
        ("a = \"5\"", Err("a whole number from -5 to 100, found the string \"5\"")),
        ("a {}", Err("a whole number from -5 to 100, found a block")),
    ] {
        let mut mistakes = Mistakes::default();
        let found = parse("hcl", text, &mut mistakes).integer("a", -5..=100, &mut mistakes);
        let wanted = wanted.map_err(|why| format!("hcl:1: a: expected {why}"));
        assert_eq!(found.ok_or_else(|| mistakes.to_string()), wanted);
    }
}

#[test]
fn only_nothing_is_a_duration_without_a_unit() {
    for (text, wanted) in [
        ("a = 0", Ok(Duration::ZERO)),
        ("a = \"0\"", Ok(Duration::ZERO)),
        ("a = \"5s\"", Ok(Duration::from_secs(5))),
        ("a = 5", Err("found the number 5; the units are ns, us, ms, s, m and h")),
    ] {
        let mut mistakes = Mistakes::default();
        let found = parse("hcl", text, &mut mistakes).duration("a", &mut mistakes);
        let wanted = wanted.map_err(|why| format!("hcl:1: a: expected a duration such as \"10s\", {why}"));
        assert_eq!(found.ok_or_else(|| mistakes.to_string()), wanted, "{text}");
    }
}

#[test]
fn blocks_with_and_without_labels() {
    for (file, text, labelled, wanted) in [
        ("hcl", "s \"a\" {}\ns b {}", true, "a b"),
        ("hcl", "s = { a = {}, b = {} }", true, "a b"),
        ("hcl", "s {}\ns {}", false, "- -"),
        ("a.json", r#"{"s": {"a": {}, "b": {}}}"#, true, "a b"),
        ("a.json", r#"{"s": [{"a": {}}, {"b": {}}]}"#, true, "a b"),
        ("a.json", r#"{"s": {"a": [{}, {}]}}"#, true, "a a"),
        ("a.json", r#"{"s": [{}, {}]}"#, false, "- -"),
        ("a.json", r#"{"s": {}}"#, false, "-"),
        ("hcl", "s {}", true, "hcl:1: s: needs a label: s \"NAME\" { … }"),
        ("hcl", "s \"a\" \"b\" {}", true, "hcl:1: s.a.b: a block has at most one label"),
        ("hcl", "s \"a\" {}", false, "hcl:1: s: has no label: s { … }"),
        ("a.json", r#"{"s": {"a": 1}}"#, true, "a.json:1: s.a: expected a block, found the number 1"),
    ] {
        let mut mistakes = Mistakes::default();
        let found = parse(file, text, &mut mistakes).blocks("s", labelled, &mut mistakes);
        let labels: Vec<_> = found.iter().map(|(label, _)| label.as_deref().unwrap_or("-")).collect();
        let shown = if mistakes.is_empty() { labels.join(" ") } else { mistakes.to_string() };
        assert_eq!(shown, wanted, "{text}");
    }
}

#[test]
fn a_block_may_be_said_in_parts_and_a_key_in_any_case() {
    for (file, text, wanted) in [
        ("f", "b { x = 1 }\nb { Y = 2 }", ""),
        ("f.json", r#"{"b": [{"x": 1}, {"Y": 2}]}"#, ""),
        ("f", "b { x = 1, y = 2 }\nb { y = 3 }", "f:2: b.y: is set twice, and already in line 1"),
    ] {
        let mut mistakes = Mistakes::default();
        let mut block = parse(file, text, &mut mistakes).block("b", &mut mistakes).unwrap();
        let (x, y) = (block.integer("x", 0..=9, &mut mistakes), block.integer("y", 0..=9, &mut mistakes));
        block.finish(&mut mistakes);
        assert_eq!((x, y, mistakes.to_string()), (Some(1), Some(2), wanted.to_owned()));
    }
}

#[test]
fn what_is_laid_goes_before_what_is_there() {
    let mut mistakes = Mistakes::default();
    let mut top = parse("f", "a {\n b { c = 1 }\n D = [\"x\"]\n}\nw = \"1s\"", &mut mistakes);
    let flag = Place::of("--flag");
    assert!(top.has_at(&["a", "b", "c"]) && top.has_at(&["a", "d"]) && !top.has_at(&["a", "c"]));
    top.lay(&["a", "b", "c"], flag.clone(), Setting::Number("12".into()));
    top.lay(&["a", "d"], flag.clone(), Setting::Texts(vec!["y".into()]));
    top.lay(&["w", "min"], flag.clone(), Setting::Text("2s".into()));
    top.lay(&["e"], flag, Setting::Bool(true));
    let mut part = top.part(&["a", "b"], &["c", "absent"]);
    part.integer("c", 0..=9, &mut mistakes);
    assert!(!top.has_at(&["a", "b", "c"]));
    let mut here = top.part(&[], &["A", "x"]);
    assert!(here.pass("a") && !here.pass("x") && !top.has("a"));
    let mut other = parse("f", "a = true", &mut Mistakes::default());
    assert!(!other.part(&["a"], &["b"]).has("b") && other.has("a"), "what is no block is left alone");
    top.lay(&["a", "d"], Place::of("--again"), Setting::Texts(vec!["y".into()]));
    assert_eq!(top.block("a", &mut mistakes).unwrap().strings("d", &mut mistakes).unwrap(), ["y"]);
    let min = top.block("w", &mut mistakes).unwrap().duration("min", &mut mistakes);
    assert_eq!((min, top.bool("e", &mut mistakes)), (Some(Duration::from_secs(2)), Some(true)));
    let wanted = "--flag: a.b.c: expected a whole number from 0 to 9, found the number 12";
    assert_eq!(mistakes.to_string(), wanted);
}

proptest::proptest! {
    /// Any text is read or refused: no panic, no hang, no mistake without a place in it.
    #[test]
    fn any_text_is_read_or_refused(text in "([a-c]{1,2}|[ \n=:,{}\\[\\]\"$<#/*\\\\-]|<<-?E\n|\nE\n|0x?[0-9]|true|\\PC){0,60}") {
        for name in ["f", "f.json"] {
            let mut mistakes = Mistakes::default();
            let mut section = parse(name, &text, &mut mistakes);
            section.block("a", &mut mistakes);
            section.strings("b", &mut mistakes);
            section.finish(&mut mistakes);
            let lines = text.matches('\n').count() + 1;
            assert!(mistakes.iter().all(|mistake| mistake.place.line() <= lines));
        }
    }
}

#[test]
fn braces_and_brackets_have_a_limit() {
    for text in ["a {".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "{\"a\":".repeat(100_000)] {
        let mut mistakes = Mistakes::default();
        parse("f", &text, &mut mistakes);
        assert_eq!(mistakes.iter().count(), 1);
    }
}

#[test]
fn own_mistakes_stand_where_the_key_is_or_would_be() {
    let mut mistakes = Mistakes::default();
    let mut top = parse("f", "b {\n\n  c = 1\n}\n", &mut mistakes);
    let mut block = top.block("b", &mut mistakes).unwrap();
    assert_eq!(format!("{block:?}"), r#"Section { path: "b", keys: ["c"], .. }"#);
    block.integer("c", 0..=9, &mut mistakes);
    block.mistake("c", "is odd", &mut mistakes);
    block.mistake("d", "is missing", &mut mistakes);
    top.mistake("e", "is missing", &mut mistakes);
    assert_eq!(mistakes.to_string(), "f: e: is missing\nf:1: b.d: is missing\nf:3: b.c: is odd");
}
