//! Flag before environment before file.

use crate::{Mistakes, Place, Section};

/// A value of the section's `key`, unless `over` gives one: pairs such as `("--admin-addr", flag)` and
/// `("$CONSUL_HTTP_ADDR", variable)`, first given first taken; an empty text gives nothing. What was given is
/// checked everywhere, also where it is overridden.
pub fn layered<T>(
    section: &mut Section,
    key: &str,
    over: &[(&str, Option<&str>)],
    parse: impl Fn(&str) -> Result<T, String>,
    mistakes: &mut Mistakes,
) -> Option<T> {
    let in_file = section.parsed(key, &parse, mistakes);
    let path = section.path_of(key);
    let given = over.iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)));
    let mut parsed = given.map(|(name, text)| {
        let refused = |why| mistakes.note(Place::of(*name), path.clone(), why);
        parse(text).map_err(refused).ok()
    });
    let first = parsed.next();
    parsed.for_each(drop);
    first.unwrap_or(in_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_given_is_taken_and_all_are_checked() {
        let number = |text: &str| text.parse::<u8>().map_err(|_| format!("{text:?} is no number"));
        for (flag, variable, wanted) in [
            (None, None, Ok(None)),
            (None, Some("2"), Ok(Some(2))),
            (Some("1"), Some("2"), Ok(Some(1))),
            (Some(""), Some("2"), Ok(Some(2))),
            (Some("1"), Some("x"), Err("$N: top.n: \"x\" is no number")),
            (Some("x"), Some("y"), Err("$N: top.n: \"y\" is no number\n--n: top.n: \"x\" is no number")),
        ] {
            let mut mistakes = Mistakes::default();
            let over = [("--n", flag), ("$N", variable)];
            let found = layered(&mut Section::empty("top"), "n", &over, number, &mut mistakes);
            let found = mistakes.into_result(found).map_err(|mistakes| mistakes.to_string());
            assert_eq!(found, wanted.map_err(str::to_owned));
        }
    }
}
