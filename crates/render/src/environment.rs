//! Which variables the programs that render starts may see. Consul's token is never among them, unless somebody writes
//! it there by hand.

use config::Environment;
use daemon::child::SECRETS;

/// What of the environment is passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Nothing but `custom`.
    pub pristine: bool,
    /// Variables that are added last.
    pub custom: Vec<(String, String)>,
    /// Only variables like these, if there are any; `*` stands for anything.
    pub allowed: Vec<String>,
    /// No variables like these.
    pub denied: Vec<String>,
}

impl Filter {
    /// What a program sees of `env`.
    #[must_use]
    pub fn pass(&self, env: &Environment) -> Environment {
        let alike = |patterns: &[String], name: &str| patterns.iter().any(|pattern| like(pattern, name));
        let passes = |name: &str| {
            !self.pristine
                && !SECRETS.contains(&name)
                && (self.allowed.is_empty() || alike(&self.allowed, name))
                && !alike(&self.denied, name)
        };
        let passed =
            env.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone()));
        passed.chain(self.custom.iter().cloned()).collect()
    }
}

/// Whether a name is like a pattern: `*` stands for any text, `?` for one character.
fn like(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[n] => (p, n) = (p + 1, n + 1),
            // The last star takes one character more.
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_sees() {
        let env = ["PATH", "HOME", "AWS_KEY", "AWS_REGION", "CONSUL_HTTP_TOKEN"];
        let env: Environment = env.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect();
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let custom = vec![("HOME".to_owned(), "c".to_owned())];
        for (filter, wanted) in [
            (Filter::default(), "AWS_KEY AWS_REGION HOME PATH"),
            (Filter { pristine: true, ..Filter::default() }, ""),
            (Filter { allowed: list(&["AWS_*", "CONSUL_*"]), ..Filter::default() }, "AWS_KEY AWS_REGION"),
            (
                Filter { allowed: list(&["AWS_*"]), denied: list(&["*_K?Y"]), ..Filter::default() },
                "AWS_REGION",
            ),
            (Filter { pristine: true, custom: custom.clone(), ..Filter::default() }, "HOME"),
        ] {
            let seen = filter.pass(&env);
            assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>().join(" "), wanted);
        }
        let added = Filter { custom, ..Filter::default() }.pass(&env);
        assert_eq!(added["HOME"], "c", "what is added goes last");
    }

    #[test]
    fn names_like_a_pattern() {
        for (pattern, name, alike) in [
            ("*", "", true),
            ("A*", "AB", true),
            ("*B", "AB", true),
            ("A*C*E", "ABCDE", true),
            ("A*C", "ABCD", false),
            ("A?", "A", false),
            ("", "A", false),
            ("A", "A", true),
            ("*a*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(like(pattern, name), alike, "{pattern} {name}");
        }
    }
}
