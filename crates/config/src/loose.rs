//! One-line blocks, as consul-template's users write them: `wait { min = "1s"  max = "5s" }`.
//!
//! HCL 2, which the parser speaks, wants each key on its own line. This room puts in the line ends that are
//! missing and remembers where, so that places are still those of the file.

/// Text with line ends added.
#[derive(Debug)]
pub(crate) struct Loosened {
    pub(crate) text: String,
    /// Where line ends were added, as offsets into the original text.
    added: Vec<usize>,
}

impl Loosened {
    /// The original offset of an offset into [`Loosened::text`].
    pub(crate) fn original(&self, offset: usize) -> usize {
        let before = self.added.iter().enumerate().take_while(|(i, at)| **at + i < offset).count();
        offset - before
    }
}

/// What was last seen within a brace or bracket.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Key,
    Equals,
    Value,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Block,
    Object,
    List,
}

/// Adds a line end between a key and what stands before it, and around the body of a block.
pub(crate) fn loosened(text: &str) -> Loosened {
    let mut reader = Reader { inside: Inside::Block, before: Before::Nothing, outer: vec![], added: vec![] };
    let mut at = 0;
    while at < text.len() {
        let end = at + token(&text[at..]);
        reader.read(at, &text[at..end]);
        at = end;
    }
    Loosened { text: with_line_ends(text, &reader.added), added: reader.added }
}

struct Reader {
    inside: Inside,
    before: Before,
    /// What the open braces and brackets are inside of.
    outer: Vec<Inside>,
    added: Vec<usize>,
}

impl Reader {
    fn read(&mut self, at: usize, token: &str) {
        let first = token.chars().next().unwrap_or('\n');
        let in_block = self.inside == Inside::Block;
        match first {
            '\n' if self.before == Before::Value => self.before = Before::Nothing,
            // The brace of a block counts as a value: what follows it begins a line.
            '{' if in_block && self.before == Before::Key => self.open(Inside::Block, Before::Value),
            '{' => self.open(Inside::Object, Before::Nothing),
            '[' | '(' => self.open(Inside::List, Before::Nothing),
            '}' | ']' | ')' => self.close(at),
            '=' | ':' => self.before = Before::Equals,
            ',' if self.inside == Inside::Object => self.before = Before::Nothing,
            '#' | '\n' | '\r' | ' ' | '\t' | ',' => {}
            '/' if token.len() > 1 => {}
            '<' if token.len() > 1 => self.before = Before::Value,
            _ if is_word(first) => self.word(at),
            _ => self.before = Before::Equals,
        }
    }

    fn word(&mut self, at: usize) {
        self.before = match self.before {
            Before::Equals => Before::Value,
            Before::Value if self.inside == Inside::List => Before::Value,
            Before::Value => {
                self.added.push(at);
                Before::Key
            }
            Before::Nothing | Before::Key => Before::Key,
        };
    }

    fn open(&mut self, inside: Inside, before: Before) {
        self.outer.push(self.inside);
        (self.inside, self.before) = (inside, before);
    }

    fn close(&mut self, at: usize) {
        let Some(outer) = self.outer.pop() else { return };
        if self.inside == Inside::Block && self.before == Before::Value {
            self.added.push(at);
        }
        (self.inside, self.before) = (outer, Before::Value);
    }
}

fn is_word(c: char) -> bool {
    c == '"' || c == '_' || c.is_alphanumeric()
}

fn with_line_ends(text: &str, added: &[usize]) -> String {
    let mut out = String::with_capacity(text.len() + added.len());
    let mut from = 0;
    for at in added {
        out.push_str(&text[from..*at]);
        out.push('\n');
        from = *at;
    }
    out + &text[from..]
}

/// The length of the token a non-empty text begins with: comment, string, heredoc, word or character.
fn token(text: &str) -> usize {
    let until = |end: &str| text.find(end).unwrap_or(text.len());
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with('#') || text.starts_with("//") {
        until("\n")
    } else if let Some(comment) = text.strip_prefix("/*") {
        comment.find("*/").map_or(text.len(), |at| at + 4)
    } else if text.starts_with('"') {
        string(text)
    } else if text.starts_with("<<") {
        heredoc(text)
    } else if text.starts_with(is_word) {
        text.find(|c: char| !is_word(c) && !"-.".contains(c) || c == '"').unwrap_or(text.len())
    } else {
        first
    }
}

/// The length of a quoted string; quotes within `${…}` and `%{…}` do not end it.
fn string(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped, mut last) = (0usize, false, false, '"');
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => return at + 1,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' if depth > 0 || "$%".contains(last) && !doubled(&text[..at]) => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = c;
    }
    text.len()
}

/// True for `$$` and `%%`, which take the meaning from the brace that follows.
fn doubled(before_brace: &str) -> bool {
    before_brace.ends_with("$$") || before_brace.ends_with("%%")
}

/// The length of a heredoc up to the end of its last line, the line end not counted.
fn heredoc(text: &str) -> usize {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next() else { return 0 };
    let name = first.trim_start_matches("<<").trim_start_matches('-').trim();
    let mut end = first.len();
    for line in lines {
        end += line.len();
        if line.trim() == name {
            return end - (line.len() - line.trim_end_matches(['\r', '\n']).len());
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_line_ends_that_are_missing() {
        for (loose, strict) in [
            ("a = 1\nb {\n  c = 2\n}\n", "a = 1\nb {\n  c = 2\n}\n"),
            ("wait { min = \"1s\"  max = \"5s\" }\n", "wait { \nmin = \"1s\"  \nmax = \"5s\" \n}\n"),
            ("a \"x\" {b=[1, 2] c={d=\"e\" f=true}}", "a \"x\" {\nb=[1, 2] \nc={d=\"e\" \nf=true}\n}"),
            ("a { b { c = -1 } d = 2 }", "a { \nb { \nc = -1 \n} \nd = 2 \n}"),
            ("a {} b { }", "a {\n} \nb { \n}"),
            (
                "a { # why = 1\n  b = 1 /* c = 2 */ d = 3 // e = 4\n}",
                "a { # why = 1\n  b = 1 /* c = 2 */ \nd = 3 // e = 4\n}",
            ),
            (
                "a { b = \"${c(\"}\")} \\\" \" d = \"$${\" e = 1 }",
                "a { \nb = \"${c(\"}\")} \\\" \" \nd = \"$${\" \ne = 1 \n}",
            ),
            ("a = <<-EOT\n  b = 1 c = 2\n  EOT\nd = 1", "a = <<-EOT\n  b = 1 c = 2\n  EOT\nd = 1"),
            ("a = [\n  \"b\",\n  \"c\"\n]\nd = 1.5 e = 1", "a = [\n  \"b\",\n  \"c\"\n]\nd = 1.5 \ne = 1"),
            ("a = \"unterminated\nb = {", "a = \"unterminated\nb = {"),
            ("}}} a", "}}} a"),
        ] {
            let loosened = loosened(loose);
            assert_eq!(loosened.text, strict);
            let back: Vec<_> = strict.match_indices('=').map(|(at, _)| loosened.original(at)).collect();
            assert_eq!(back, loose.match_indices('=').map(|(at, _)| at).collect::<Vec<_>>(), "{loose}");
        }
    }
}
