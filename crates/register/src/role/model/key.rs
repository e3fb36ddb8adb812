//! When two worlds are one: what no rule can tell apart is left out, and names are given in one order.

use super::*;
use std::hash::{DefaultHasher, Hasher};

/// The ways to name three instances.
const NAMES: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl World {
    /// 128 bits of it.
    pub(super) fn key(&self) -> (u64, u64) {
        // Where two may be in one epoch, the order of their names decides which of them is told.
        let names = if self.left.twice { &NAMES[..1] } else { &NAMES[..] };
        let bytes = names.iter().map(|names| self.bytes(names)).min().unwrap_or_default();
        let hash = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&bytes);
            hasher.finish()
        };
        (hash(0), hash(1))
    }

    /// All of it, where instance `n` is called `names[n]` and Sentinels stand in the order of what is said of them.
    fn bytes(&self, names: &[usize; 3]) -> Vec<u8> {
        let Chance { failovers, deaths, restarts, pauses, cuts, flights, slow, .. } = self.left;
        let mut out = Vec::with_capacity(192);
        out.extend([failovers, deaths, restarts, pauses, cuts, flights, u8::from(self.cut)]);
        epoch(&mut out, self.shown);
        epoch(&mut out, self.followed);
        let mut columns = ALL.map(|sentinel| {
            let Sentinel { word: said, current, dead } = self.sentinels[sentinel];
            let mut column = Vec::with_capacity(48);
            column.extend([u8::from(dead), current as u8, u8::from(self.cut && sentinel == 0)]);
            word(&mut column, Some(said), names);
            column
        });
        for place in ALL {
            let one = ALL.into_iter().find(|one| names[*one] == place).unwrap_or_default();
            out.extend([self.roles[one] as u8, u8::from(self.cut && one == 0), u8::from(slow == Some(one))]);
            row(&mut out, self.catalog[one]);
            self.agent(one, names, &mut out, &mut columns);
        }
        columns.sort_unstable();
        columns.iter().for_each(|column| out.extend(column));
        out
    }

    fn agent(&self, one: usize, names: &[usize; 3], out: &mut Vec<u8>, columns: &mut [Vec<u8>; 3]) {
        let agent = &self.agents[one];
        let belief = &agent.belief;
        // Answers are only ever compared with these moments.
        let moments = [belief.stint, belief.fenced, belief.woke, belief.mine.map(|(_, since)| since)];
        let rank = |moment: Instant| {
            let before: BTreeSet<Instant> =
                moments.iter().flatten().copied().filter(|m| *m < moment).collect();
            1 + 2 * before.len() as u8 + u8::from(moments.contains(&Some(moment)))
        };
        out.extend(moments.map(|moment| moment.map_or(0, rank)));
        let stalled = belief.seen.is_some_and(|seen| self.now - seen > STALL - TICK);
        let flags = [stalled, belief.failure.is_some(), belief.confirmed, belief.reborn.is_some()];
        out.extend(flags.map(u8::from));
        out.extend([belief.rises, belief.settled, belief.seen.is_some()].map(u8::from));
        out.push(agent.read.map_or(0, |(_, asked)| rank(asked)));
        out.extend([
            belief.role.map_or(2, |role| role as u8),
            belief.standing as u8,
            belief.generation as u8,
        ]);
        out.push(belief.floor.map_or(0, |floor| floor as u8 + 1));
        for known in [belief.epoch, belief.lapsed, belief.crowned, belief.mine.map(|(epoch, _)| epoch)] {
            epoch(out, known);
        }
        claim(out, belief.successor.as_ref().map(|(claim, _)| claim), names);
        claim(out, belief.other.as_ref(), names);
        let seen = agent.read.map_or([Row::default(); 3], |(rows, _)| rows);
        NAMES[0]
            .iter()
            .filter_map(|place| ALL.into_iter().find(|one| names[*one] == *place))
            .for_each(|other| row(out, seen[other]));
        for (sentinel, column) in columns.iter_mut().enumerate() {
            let answer = agent.answers[sentinel];
            column.push(answer.map_or(0, |(asked, _)| rank(asked)));
            word(column, answer.and_then(|(_, said)| said), names);
            let flight = self.flight.filter(|(to, from, ..)| (*to, *from) == (one, sentinel));
            column.push(flight.map_or(0, |(_, _, asked, _)| rank(asked)));
            word(column, flight.map(|(.., said)| said), names);
            let hello =
                agent.hellos[sentinel].map_or([0; 2], |(of, epoch)| [names[of] as u8 + 1, epoch as u8]);
            column.extend(hello);
        }
    }
}

fn epoch(out: &mut Vec<u8>, epoch: Option<Epoch>) {
    out.extend(epoch.map_or([0; 2], |epoch| [epoch.generation as u8 + 1, epoch.number as u8]));
}

fn row(out: &mut Vec<u8>, row: Row) {
    out.extend([
        row.standing.map_or(0, |standing| standing as u8 + 1),
        row.generation as u8,
        u8::from(row.passes),
    ]);
    epoch(out, row.epoch);
}

fn word(out: &mut Vec<u8>, word: Option<Word>, names: &[usize; 3]) {
    let Some(Word { master, epoch, promotes }) = word else { return out.push(0) };
    out.extend([1 + names[master] as u8, epoch as u8]);
    out.extend(promotes.map_or([0; 3], |Promotion { to, epoch, elected, done }| {
        [1 + names[to] as u8, epoch as u8, u8::from(elected) + 2 * u8::from(done)]
    }));
}

/// Whom it names, by address or by id, ends in the instance's digit.
fn claim(out: &mut Vec<u8>, of: Option<&Claim>, names: &[usize; 3]) {
    epoch(out, of.map(|claim| claim.epoch));
    if let Some(who) = of.map(|claim| claim.who.as_bytes()) {
        let digit = who.last().map_or(0, |digit| usize::from(digit - b'0'));
        out.extend([names[digit] as u8, who[0]]);
    }
}
