//! The new text, piece by piece: tags leave the line ends around them as they were.

/// A piece of the new text.
#[derive(Debug)]
enum Piece {
    Text(String),
    /// Prints something, or nothing.
    Value(String),
    /// A tag that leaves no line behind where it stands alone.
    Block(String),
    /// The same, that shall stand alone on its line.
    Alone(String),
}

/// How the tags of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Amid other text.
    Inline,
    /// Each on a line of its own, as the bodies are whole lines.
    Lines,
    /// The same after the line end that each body and the text behind begins with is moved before the tags.
    Turned,
}

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    pub(super) fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    /// Prints what stands between the braces.
    pub(super) fn value(&mut self, text: String) {
        self.0.push(Piece::Value(format!("{{{{{text}}}}}")));
    }

    /// A tag that stands amid other text.
    pub(super) fn block(&mut self, tag: String) {
        self.0.push(Piece::Block(tag));
    }

    /// Whether what comes next begins a line.
    pub(super) fn is_at_line_start(&self) -> bool {
        match self.0.last() {
            None | Some(Piece::Alone(_)) => true,
            Some(Piece::Text(text)) => text.ends_with('\n'),
            _ => false,
        }
    }

    /// A tag of a block.
    pub(super) fn tag(&mut self, style: Style, tag: String) {
        match style {
            Style::Inline => self.0.push(Piece::Block(tag)),
            Style::Lines => self.0.push(Piece::Alone(tag)),
            Style::Turned => {
                // The line end that the bodies and the rest begin with stands before the tag instead.
                self.text("\n");
                self.0.push(Piece::Alone(tag));
            }
        }
    }

    /// A tag right within another one: among whole lines it is a line too.
    pub(super) fn within(&mut self, style: Style, tag: String) {
        self.0.push(if style == Style::Lines { Piece::Alone(tag) } else { Piece::Block(tag) });
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes away the line end that the piece begins with that came after so many.
    pub(super) fn strip_line_end(&mut self, from: usize) {
        if let Some(Piece::Text(text)) = self.0.get_mut(from)
            && let Some(rest) = text.strip_prefix('\n')
        {
            *text = rest.to_owned();
        }
    }

    /// The text, in which each tag leaves the line ends around it as they were.
    pub(super) fn assemble(&self) -> String {
        let mut out = String::new();
        for (n, piece) in self.0.iter().enumerate() {
            let next = self.0.get(n + 1);
            match piece {
                Piece::Text(text) => {
                    out.push_str(&escaped(text, next.is_some_and(|next| !matches!(next, Piece::Text(_)))))
                }
                Piece::Value(value) => out.push_str(value),
                Piece::Alone(tag) => {
                    out.push_str(tag);
                    out.push('\n');
                }
                Piece::Block(tag) => {
                    let line = out.rsplit('\n').next().unwrap_or_default();
                    let ends = match next {
                        None => true,
                        Some(Piece::Text(text)) => {
                            let rest = text.trim_start_matches([' ', '\t']);
                            rest.starts_with('\n')
                                || rest.starts_with("\r\n")
                                || (rest.is_empty() && n + 2 == self.0.len())
                        }
                        _ => false,
                    };
                    if line.trim().is_empty() && ends {
                        out.push_str(NOTHING);
                    }
                    out.push_str(tag);
                }
            }
        }
        out
    }
}

/// Prints nothing; beside it, a tag does not stand alone on its line.
const NOTHING: &str = "{{print \"\"}}";

/// Text in which nothing looks like a tag, also together with one that follows.
fn escaped(text: &str, before_tag: bool) -> String {
    let mut out = text.replace("\\{{", "\\\\{{").replace("{{", "\\{{");
    if before_tag && out.ends_with('\\') {
        out.push('\\');
    }
    if before_tag && out.ends_with('{') {
        out.pop();
        out.push_str("{{print \"{\"}}");
    }
    out
}
