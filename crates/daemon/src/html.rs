//! HTML from plain values. Names of elements and classes are literals of the program, every other text is escaped: no
//! name that stands in Consul becomes part of a page's code.

use std::fmt::{Display, Write};

/// A piece of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// The text of the page's source.
    #[must_use]
    pub fn source(self) -> String {
        self.0
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<T: IntoIterator<Item = Html>>(pieces: T) -> Html {
        Html(pieces.into_iter().map(Html::source).collect())
    }
}

/// Something to be read, whatever characters it has. A carriage return would end a line of an event stream.
#[must_use]
pub fn text(words: impl Display) -> Html {
    let mut out = String::new();
    for letter in words.to_string().chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\r' => out.push_str("&#13;"),
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    Html(out)
}

/// An element, without a class when that is empty.
#[must_use]
pub fn element(name: &'static str, class: &'static str, inside: impl IntoIterator<Item = Html>) -> Html {
    let mut out = format!("<{name}");
    if !class.is_empty() {
        _ = write!(out, " class=\"{class}\"");
    }
    out.push('>');
    out.extend(inside.into_iter().map(Html::source));
    _ = write!(out, "</{name}>");
    Html(out)
}

/// An element around a text.
#[must_use]
pub fn worded(name: &'static str, class: &'static str, words: impl Display) -> Html {
    element(name, class, [text(words)])
}

/// A table with the names of its columns. Each cell carries its column's name, which a narrow screen shows beside it;
/// the first one names the row.
#[must_use]
pub fn table(columns: &[&'static str], rows: impl IntoIterator<Item = Vec<Html>>) -> Html {
    let heads = columns.iter().map(|name| element("th", "", [text(name)]));
    let cell = |(column, inside): (&&str, Html)| {
        Html(format!("<td data-is=\"{}\">{}</td>\n", text(column).source(), inside.source()))
    };
    let row = |cells: Vec<Html>| element("tr", "", columns.iter().zip(cells).map(cell));
    let body: Html = rows.into_iter().map(row).collect();
    element(
        "table",
        "",
        [element("thead", "", [element("tr", "", heads)]), Html("\n".into()), element("tbody", "", [body])],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_cannot_become_code() {
        for (words, source) in [
            ("redis-0", "redis-0"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\"><img src=x onerror='x()'>", "&quot;&gt;&lt;img src=x onerror=&#39;x()&#39;&gt;"),
            ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
            ("a\r\nb\0", "a&#13;\nb\u{fffd}"),
            ("grün – 緑", "grün – 緑"),
        ] {
            assert_eq!(text(words).source(), source);
            assert_eq!(worded("b", "bad", words).source(), format!("<b class=\"bad\">{source}</b>"));
            let table = table(&["What"], [vec![text(words)]]).source();
            assert!(table.contains(&format!("<td data-is=\"What\">{source}</td>")), "{table}");
        }
    }

    #[test]
    fn a_table_has_a_head_and_rows() {
        let shown = table(&["A", "B"], [vec![text(1), text(2)], vec![text(3), text(4)]]).source();
        assert_eq!(
            shown.replace('\n', ""),
            "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody>\
             <tr><td data-is=\"A\">1</td><td data-is=\"B\">2</td></tr>\
             <tr><td data-is=\"A\">3</td><td data-is=\"B\">4</td></tr></tbody></table>"
        );
    }
}
