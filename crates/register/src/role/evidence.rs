//! What is known beside the instance's own word: the Sentinels' answers, the catalog's rows and the pointer.

use crate::{
    pointer::Sight,
    sentinel::{Report, hello::Hellos},
};
use consul::{
    Instance,
    election::{Epoch, generation},
    instance::meta,
};

/// Everything that is known beside the instance's own word.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The Sentinels' own answers.
    pub report: Report,
    /// What they tell each other through this Redis.
    pub hellos: Hellos,
    /// The highest epoch in which another instance of the service is registered as master and passing.
    pub rival: Option<Claim>,
    /// The highest epoch in which another instance is or was master, by the catalog (in whatever state it is there) or by
    /// the pointer.
    pub latest: Option<Claim>,
    /// The crown that this instance still has in the catalog, from before this program started: its run id and epoch.
    pub own: Option<(String, Epoch)>,
    /// The highest epoch in which this instance is or was master, there or by the pointer.
    pub mine: Option<Epoch>,
    /// Whether another instance is registered as master and passes.
    pub led: bool,
    /// How often epochs began anew, by the catalog and the pointer.
    pub generation: u64,
    /// The epoch pointer.
    pub pointer: Sight,
    /// By which id the pointer would name this instance.
    pub id: String,
    /// Whether the catalog was not asked yet since [`Belief::doubts`](super::Belief::doubts), nor found to be out of reach.
    pub unread: bool,
}

impl Evidence {
    /// What the catalog's rows and the pointer say, to the instance `id`. Where there may be many masters, nobody's claim
    /// is another's business.
    #[must_use]
    pub fn of(id: &str, many: bool, rows: &[Instance], pointer: Sight) -> Evidence {
        let all = || rows.iter().filter(|_| !many);
        let (own, others) = (|| all().filter(|row| row.id == id), || all().filter(|row| row.id != id));
        let rivals = || others().filter(|row| row.claims_master() && row.status == "passing");
        let claim = |epoch: Option<Epoch>, who: &str| Some(Claim { epoch: epoch?, who: who.to_owned() });
        let named = pointer.pointer().and_then(|pointer| Some((pointer.epoch, &pointer.holder.as_ref()?.id)));
        let (by_me, by_other) =
            (named.filter(|(_, holder)| *holder == id), named.filter(|(_, holder)| *holder != id));
        let former = by_other.and_then(|(epoch, holder)| claim(Some(epoch), holder));
        let crown = |row: &Instance| Some((row.meta.get(meta::RUN_ID)?.clone(), row.epoch()?));
        let generations = rows.iter().map(|row| generation(&row.meta));
        let generation = generations.chain(pointer.pointer().map(|pointer| pointer.epoch.generation)).max();
        Evidence {
            rival: rivals().filter_map(|row| claim(row.epoch(), &row.id)).max(),
            led: rivals().next().is_some(),
            latest: others().filter_map(|row| claim(row.reached(), &row.id)).chain(former).max(),
            own: own().filter(|row| row.claims_master()).find_map(crown),
            mine: own().filter_map(Instance::reached).chain(by_me.map(|(epoch, _)| epoch)).max(),
            generation: generation.unwrap_or_default(),
            pointer,
            id: id.to_owned(),
            ..Evidence::default()
        }
    }

    /// The same, where the catalog was also asked on purpose, and had these rows: what was so once stays known.
    #[must_use]
    pub fn remembers(self, many: bool, asked: &[Instance]) -> Evidence {
        let then = Evidence::of(&self.id, many, asked, Sight::None);
        Evidence {
            latest: self.latest.max(then.latest),
            mine: self.mine.max(then.mine),
            generation: self.generation.max(then.generation),
            ..self
        }
    }
}

/// Somebody's claim to be master.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// In which epoch.
    pub epoch: Epoch,
    /// Who, for people.
    pub who: String,
}
