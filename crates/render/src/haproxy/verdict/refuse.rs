//! Texts that must never reach HAProxy, though it would take them.

use crate::haproxy::outline::{Address, Outline};

/// Why a text is not to be used; `None` when nothing speaks against it.
#[must_use]
pub fn refusal(next: &Outline) -> Option<String> {
    let lines = || next.sections().iter().flat_map(|section| &section.lines);
    if !lines().any(|line| line.speaks()) {
        return Some("the text is empty; HAProxy would take it and close every port".into());
    }
    if let Some(server) = next.servers().find(|server| server.address == Address::Blank) {
        return Some(format!(
            "server {}/{} has no address (line {}); HAProxy would take it and connect anywhere",
            server.proxy, server.name, server.line
        ));
    }
    let conditional = next.sections().iter().any(|section| section.conditional);
    let listens = lines().any(|line| {
        matches!(line.roughly().first(), Some(&("bind" | "dgram-bind" | "peer")))
            || line.raw.contains(".include")
    });
    (!conditional && !listens)
        .then(|| "no section listens (no `bind` line); HAProxy would take it and close every port".into())
}
