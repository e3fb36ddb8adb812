//! Whom a file belongs to.

use std::{fs, io};

/// Who shall own a file, by name or number; whoever is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
}

impl Owner {
    /// Their numbers.
    pub(super) fn ids(&self) -> io::Result<(Option<u32>, Option<u32>)> {
        let id = |name: &Option<String>, list| name.as_ref().map(|name| id(name, list)).transpose();
        Ok((id(&self.user, "/etc/passwd")?, id(&self.group, "/etc/group")?))
    }
}

/// The number of a name in a list of `NAME:…:NUMBER:…`; a number stands for itself.
fn id(name: &str, list: &str) -> io::Result<u32> {
    match name.parse() {
        Ok(number) => Ok(number),
        Err(_) => listed(name, &fs::read_to_string(list)?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no {name} in {list}"))),
    }
}

fn listed(name: &str, list: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\n# comment\nhaproxy:x:107:113::/:\nbroken\n";
        for (name, number) in [("root", Some(0)), ("haproxy", Some(107)), ("x", None), ("broken", None)] {
            assert_eq!(listed(name, list), number, "{name}");
        }
        assert_eq!(id("4711", "/no/such/list").unwrap(), 4711);
        assert_eq!(
            Owner { user: Some("no such user".into()), group: None }.ids().unwrap_err().to_string(),
            "there is no no such user in /etc/passwd"
        );
    }
}
