//! From two configurations to what has to be done: nothing, orders to the HAProxy that runs, or a reload. Decided from
//! what the texts say and from what runs, so that who writes a template need not know; where orders would end in
//! another state than a fresh start with the new text, it is a reload.

mod contents;
mod drift;
mod ids;
mod refuse;
mod servers;
mod skeleton;
mod steps;
#[cfg(test)]
mod tests;

pub use drift::{Drift, drift};
pub use refuse::refusal;

use super::{
    capability::Capabilities,
    order::Order,
    outline::{Outline, outline},
    running::Running,
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// A configuration with the content of the files that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The text, read.
    pub outline: Arc<Outline>,
    /// What the files hold. One that is not here is not compared.
    pub files: Files,
}

/// What files hold, by the names that a text uses ([`Outline::files`]); `None` when that is not known, so that what they
/// should hold has to be said.
pub type Files = BTreeMap<String, Option<String>>;

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: HAProxy would run the same.
    Same,
    /// These orders, in this order, end where a fresh start would.
    Steer(Vec<Order>),
    /// A reload, and why.
    Reload(String),
    /// Nothing may be done with this text, and why.
    Refuse(String),
}

impl Configuration {
    /// Of a text alone.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Configuration { outline: Arc::new(outline(text)), files: Files::new() }
    }
}

impl Verdict {
    /// What HAProxy has to be told.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        if let Verdict::Steer(orders) = self { orders } else { &[] }
    }

    /// Whether nothing may be done.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Verdict::Refuse(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Same => f.write_str("nothing to do: HAProxy would run the same"),
            Verdict::Reload(why) => write!(f, "reload: {why}"),
            Verdict::Refuse(why) => write!(f, "refused: {why}"),
            Verdict::Steer(orders) => {
                f.write_str("no reload:")?;
                orders.iter().try_for_each(|order| write!(f, "\n  {order}"))
            }
        }
    }
}

/// Compares the configuration that HAProxy runs with the next one. `running` is what it says that it runs; without an
/// answer, [`Running::fresh`] of the live text comes close.
#[must_use]
pub fn verdict(live: &Configuration, next: &Configuration, running: &Running, can: &Capabilities) -> Verdict {
    if let Some(why) = refusal(&next.outline) {
        return Verdict::Refuse(why);
    }
    match orders(live, next, running, can) {
        Ok(orders) if orders.is_empty() => Verdict::Same,
        Ok(orders) => match orders.iter().find_map(|order| can.refuses(order)) {
            Some(why) => Verdict::Reload(why),
            None => Verdict::Steer(orders),
        },
        Err(why) => Verdict::Reload(why),
    }
}

/// Whether the next configuration says the same as the live one: then there is nothing to tell, whatever runs.
#[must_use]
pub fn says_the_same(live: &Configuration, next: &Configuration) -> bool {
    skeleton::compare(&live.outline, &next.outline).is_ok()
        && servers::same(&live.outline, &next.outline)
        && contents::orders(live, next).is_ok_and(|orders| orders.is_empty())
}

fn orders(
    live: &Configuration,
    next: &Configuration,
    running: &Running,
    can: &Capabilities,
) -> Result<Vec<Order>, String> {
    skeleton::compare(&live.outline, &next.outline)?;
    let contents = contents::orders(live, next)?;
    let servers = servers::steps(&live.outline, &next.outline, running, can)?;
    Ok(contents.into_iter().chain(servers.in_order()).collect())
}
