//! Equal templates on several hosts: one render asks Consul for all of them, and tells the others.

use crate::{
    config::Deduplicate,
    facts::Facts,
    questions::Asked,
    template::{Dialect, Partial},
};
use consul::{
    Client,
    shared::{
        Member, Place,
        document::{Answered, Answers},
    },
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Where each group of equal templates stands, by its name.
pub type Places = BTreeMap<String, Place>;

/// What the templates share; nothing by default.
#[derive(Debug)]
pub struct Sharing {
    ttl: Duration,
    groups: Vec<Group>,
    places: watch::Receiver<Places>,
    /// What is known of them now.
    now: Places,
}

/// Templates that are equal.
#[derive(Debug)]
struct Group {
    name: String,
    positions: BTreeSet<usize>,
    mine: watch::Sender<Arc<Answers>>,
}

/// Where what is said of it comes from.
#[derive(Clone, Debug)]
pub struct Shown {
    names: Vec<String>,
    places: watch::Receiver<Places>,
}

impl Sharing {
    /// Nothing is shared.
    #[must_use]
    pub fn none() -> Sharing {
        let places = watch::channel(Places::new()).1;
        Sharing { ttl: Duration::ZERO, groups: vec![], places, now: Places::new() }
    }

    /// Joins the groups that the templates of these names are of, in their order.
    #[must_use]
    pub fn join(client: &Client, choice: &Deduplicate, names: &[String]) -> (Sharing, Vec<Member>) {
        let client = client.clone().doubt_for(Duration::ZERO);
        let client = client.allow_stale(choice.max_stale).wait_for(choice.block_query_wait);
        let (told, places) = watch::channel(Places::new());
        let mut groups: BTreeMap<&String, BTreeSet<usize>> = BTreeMap::new();
        for (position, name) in names.iter().enumerate() {
            groups.entry(name).or_default().insert(position);
        }
        let join = |(name, positions): (&String, BTreeSet<usize>)| {
            let (mine, heard) = watch::channel(Arc::default());
            let (told, folder, group) = (told.clone(), format!("{}{name}", choice.prefix), name.clone());
            let tell = move |place| told.send_modify(|places| _ = places.insert(group.clone(), place));
            let member = Member::join(client.clone(), folder, choice.ttl, heard, tell);
            (Group { name: name.clone(), positions, mine }, member)
        };
        let (groups, members) = groups.into_iter().map(join).unzip();
        (Sharing { ttl: choice.ttl, groups, places, now: Places::new() }, members)
    }

    /// For the status page, of the templates of these names.
    #[must_use]
    pub fn shown(&self, names: Vec<String>) -> Shown {
        Shown { names, places: self.places.clone() }
    }

    /// After so long without a word, a leader is gone.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Where the template at this position stands; none where it shares nothing.
    #[must_use]
    pub fn place(&self, position: usize) -> Option<&Place> {
        let group = self.groups.iter().find(|group| group.positions.contains(&position))?;
        Some(self.now.get(&group.name).unwrap_or(&Place::Unknown))
    }

    /// Whether any answer is asked for others too.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.now.values().any(|place| *place == Place::Leads)
    }

    /// Waits until a place changed, and takes it in; for ever where nothing is shared.
    pub async fn changed(&mut self) {
        match self.places.changed().await {
            Ok(()) => self.now = self.places.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands what was asked here to the groups that this render leads.
    pub fn publish(&self, asked: &Asked, facts: &Facts) {
        for group in &self.groups {
            let leads = self.now.get(&group.name) == Some(&Place::Leads);
            let mine = if leads { group.answers(asked, facts) } else { Answers::new() };
            group.mine.send_if_modified(|known| {
                let news = !same(known, &mine);
                if news {
                    *known = Arc::new(mine);
                }
                news
            });
        }
    }
}

impl Group {
    /// What Consul answered here to what these templates ask. What it gives no good answer to now, each has to find out.
    fn answers(&self, asked: &Asked, facts: &Facts) -> Answers {
        let queries =
            self.positions.iter().filter_map(|position| asked.get(position)).flat_map(|asked| asked.iter());
        let answered = queries.filter(|query| query.is_shareable()).filter_map(|query| {
            let watched = facts.get(query).filter(|known| known.trouble.is_none() && !known.shared)?;
            let value = Arc::clone(watched.value.as_ref()?);
            Some((query.to_string(), Answered { index: watched.index, value }))
        });
        answered.collect()
    }
}

/// Whether the values are the same; an index alone is no news.
fn same(known: &Answers, next: &Answers) -> bool {
    let equal = |((a, one), (b, other)): ((&String, &Answered), (&String, &Answered))| {
        a == b && (Arc::ptr_eq(&one.value, &other.value) || one.value == other.value)
    };
    known.len() == next.len() && known.iter().zip(next).all(equal)
}

impl Shown {
    /// Where each template's group stands, in the order of the templates.
    #[must_use]
    pub fn places(&self) -> Vec<Option<Place>> {
        let places = self.places.borrow();
        self.names.iter().map(|name| Some(places.get(name).cloned().unwrap_or_default())).collect()
    }
}

/// What equal templates have in common: text, and all that decides what it asks. Where the text goes is of no matter.
#[must_use]
pub fn name(text: &str, dialect: &Dialect, denied: &[String], scope: [&Option<String>; 2]) -> String {
    let unplaced = |partial: &Partial| Partial { file: String::new(), ..partial.clone() };
    let partials = dialect.partials.iter().map(unplaced).collect();
    let dialect = Dialect { partials, ..dialect.clone() };
    let mut sum = Sha256::new();
    for part in [format!("{dialect:?}"), format!("{denied:?}"), format!("{scope:?}"), text.to_owned()] {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::{Query, Watched};
    use serde_json::json;
    use tokio::time::Instant;

    #[test]
    fn what_decides_the_questions_decides_the_name() {
        let (plain, strict) = (Dialect::default(), Dialect { strict: true, ..Dialect::default() });
        let team = Some("team".to_owned());
        let one = name("a", &plain, &[], [&None, &None]);
        assert_eq!(one, name("a", &plain, &[], [&None, &None]));
        assert_eq!(one.len(), 64);
        let with = |file: &str, text: &str| {
            let partials = vec![Partial { name: "p".into(), file: file.into(), text: text.into() }];
            name("a", &Dialect { partials, ..Dialect::default() }, &[], [&None, &None])
        };
        assert_eq!(with("/a/p", "x"), with("/b/p", "x"), "where they lie is of no matter");
        assert_ne!(with("/a/p", "x"), with("/a/p", "y"));
        for other in [
            name("b", &plain, &[], [&None, &None]),
            name("a", &strict, &[], [&None, &None]),
            name("a", &plain, &["key".into()], [&None, &None]),
            name("a", &plain, &[], [&team, &None]),
            name("a", &plain, &[], [&None, &team]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn only_what_was_asked_here_and_is_well_is_told_and_only_by_who_leads() {
        let (mine, told) = watch::channel(Arc::<Answers>::default());
        let group = Group { name: "g".into(), positions: [0].into(), mine };
        let mut sharing = Sharing { groups: vec![group], ..Sharing::none() };
        let query = |name| Query::health(name, true);
        let well = Watched { value: Some(Arc::new(json!([1]))), index: 7, ..Watched::default() };
        let facts = Facts::new(BTreeMap::from([
            (query("well"), well.clone()),
            (query("ill"), Watched { trouble: Some("x".into()), ..well.clone() }),
            (query("told"), Watched { shared: true, ..well.clone() }),
            (query("unanswered"), Watched::default()),
            (query("of another"), well.clone()),
            (Query::CaRoots, well),
        ]));
        let asks = facts.keys().filter(|asked| **asked != query("of another")).cloned().collect();
        let asked = Asked::from([(0, Arc::new(asks)), (1, Arc::new([query("of another")].into()))]);
        let names = |told: &watch::Receiver<Arc<Answers>>| told.borrow().keys().cloned().collect::<Vec<_>>();
        sharing.publish(&asked, &facts);
        assert!(names(&told).is_empty(), "nobody is known to lead");
        sharing.now.insert("g".into(), Place::Leads);
        sharing.publish(&asked, &facts);
        assert_eq!(names(&told), ["health/service/well?passing=1"]);
        assert_eq!((sharing.place(0), sharing.place(1)), (Some(&Place::Leads), None));
        sharing.now.insert("g".into(), Place::Follows(Arc::default(), Instant::now()));
        sharing.publish(&asked, &facts);
        assert!(names(&told).is_empty(), "it does not lead any more");
    }
}
