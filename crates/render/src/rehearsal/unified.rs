//! How two texts differ, as `diff -u` shows it.

use std::fmt::Write;

/// So many lines around a change are shown.
const CONTEXT: usize = 3;
/// Beyond so many pairs of lines, a stretch that differs is shown as replaced as a whole.
const PAIRS: usize = 4_000_000;

/// A line of both texts, or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Both(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The difference between two texts with their names; empty when they are equal.
#[must_use]
pub fn unified((old_name, old): (&str, &str), (new_name, new): (&str, &str)) -> String {
    if old == new {
        return String::new();
    }
    let lines = lines(&split(old), &split(new));
    let mut out = format!("--- {old_name}\n+++ {new_name}\n");
    for (begin, end) in hunks(&lines) {
        hunk(&lines, begin, end, &mut out);
    }
    out
}

/// Lines with their ends, so that a missing last one is a difference.
fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn lines<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_old, middle_new) = (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let mut out: Vec<Line> = old[..head].iter().map(|line| Line::Both(line)).collect();
    out.extend(middle(middle_old, middle_new));
    out.extend(old[old.len() - tail..].iter().map(|line| Line::Both(line)));
    out
}

/// The longest common sequence, by the table that every book has.
fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let width = new.len() + 1;
    if (old.len() + 1).saturating_mul(width) > PAIRS {
        let gone = old.iter().map(|line| Line::Old(line));
        return gone.chain(new.iter().map(|line| Line::New(line))).collect();
    }
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, vec![]);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            out.push(Line::Both(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            out.push(Line::Old(old[i]));
            i += 1;
        } else {
            out.push(Line::New(new[j]));
            j += 1;
        }
    }
    out
}

/// Stretches of lines to show: changes with what is around them, joined where they touch.
fn hunks(lines: &[Line]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = vec![];
    for (n, _) in lines.iter().enumerate().filter(|(_, line)| !matches!(line, Line::Both(_))) {
        let (begin, end) = (n.saturating_sub(CONTEXT), (n + 1 + CONTEXT).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if begin <= last.1 => last.1 = end,
            _ => hunks.push((begin, end)),
        }
    }
    hunks
}

fn hunk(lines: &[Line], begin: usize, end: usize, out: &mut String) {
    let count = |lines: &[Line], other: fn(&Line) -> bool| lines.iter().filter(|line| !other(line)).count();
    let is_new = |line: &Line| matches!(line, Line::New(_));
    let is_old = |line: &Line| matches!(line, Line::Old(_));
    let range = |other: fn(&Line) -> bool| {
        let (before, here) = (count(&lines[..begin], other), count(&lines[begin..end], other));
        format!("{},{here}", if here == 0 { before } else { before + 1 })
    };
    let _ = writeln!(out, "@@ -{} +{} @@", range(is_new), range(is_old));
    for line in &lines[begin..end] {
        let (sign, text) = match line {
            Line::Both(text) => (' ', text),
            Line::Old(text) => ('-', text),
            Line::New(text) => ('+', text),
        };
        let _ = write!(out, "{sign}{text}");
        if !text.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> String {
        unified(("a", old), ("b", new))
    }

    #[test]
    fn differences_are_shown_as_diff_shows_them() {
        for (old, new, shown) in [
            ("x\n", "x\n", ""),
            ("a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"),
            ("a\n", "a", "@@ -1,1 +1,1 @@\n-a\n+a\n\\ No newline at end of file\n"),
            ("", "a\n", "@@ -0,0 +1,1 @@\n+a\n"),
            (
                "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
                "0\n1\n2\n3\n4\n5\n6\n7\n8\n",
                "@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -6,4 +7,3 @@\n 6\n 7\n 8\n-9\n",
            ),
        ] {
            let found = diff(old, new);
            let body = found.strip_prefix("--- a\n+++ b\n").unwrap_or(&found);
            assert_eq!(body, shown, "{old:?} {new:?}");
        }
    }

    #[test]
    fn long_texts_are_shown_as_replaced() {
        let old: String = (0..3000).map(|n| format!("a{n}\n")).collect();
        let new: String = (0..3000).map(|n| format!("b{n}\n")).collect();
        assert_eq!(diff(&old, &new).lines().count(), 3 + 6000);
    }
}
