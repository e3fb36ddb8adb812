//! What a course of advertised masters amounts to. Times are milliseconds after the fault.

use std::collections::BTreeSet;

/// Who was advertised from when on, oldest first, until the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Adverts {
    /// Each change, and the ports from then on; the first is what held when the fault happened.
    pub changes: Vec<(f64, BTreeSet<u16>)>,
    /// When the run ended.
    pub end: f64,
}

impl Adverts {
    /// When that port was advertised first.
    pub fn shown(&self, port: u16) -> Option<f64> {
        self.changes.iter().find(|(_, ports)| ports.contains(&port)).map(|(at, _)| *at)
    }

    /// When that port was advertised no longer.
    pub fn withdrawn(&self, port: u16) -> Option<f64> {
        self.changes.iter().find(|(_, ports)| !ports.contains(&port)).map(|(at, _)| *at)
    }

    /// How often that port was advertised again.
    pub fn returns(&self, port: u16) -> usize {
        let there: Vec<bool> = self.changes.iter().map(|(_, ports)| ports.contains(&port)).collect();
        there.windows(2).filter(|pair| !pair[0] && pair[1]).count()
    }

    /// How long several were advertised.
    pub fn several(&self) -> f64 {
        self.lasted(|count| count > 1)
    }

    /// How long nobody was.
    pub fn nobody(&self) -> f64 {
        self.lasted(|count| count == 0)
    }

    fn lasted(&self, which: impl Fn(usize) -> bool) -> f64 {
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let stretches = self.changes.iter().zip(ends).filter(|((_, ports), _)| which(ports.len()));
        // Not `sum`, whose zero is -0.
        stretches.fold(0.0, |all, ((from, _), to)| all + to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_summed_up() {
        // The old master is 1, the new one 2.
        for (what, changes, expected) in [
            ("handed over", vec![(0.0, &[1][..]), (5.0, &[2])], (Some(5.0), Some(5.0), 0, 0.0, 0.0)),
            (
                "withdrawn, then shown",
                vec![(0.0, &[1]), (5.0, &[]), (90.0, &[2])],
                (Some(90.0), Some(5.0), 0, 0.0, 85.0),
            ),
            (
                "both for a while",
                vec![(0.0, &[1]), (5.0, &[1, 2]), (9.0, &[2])],
                (Some(5.0), Some(9.0), 0, 4.0, 0.0),
            ),
            (
                "back again, to the end",
                vec![(0.0, &[1]), (5.0, &[2]), (8.0, &[1, 2])],
                (Some(5.0), Some(5.0), 1, 92.0, 0.0),
            ),
            ("nothing happens", vec![(0.0, &[1])], (None, None, 0, 0.0, 0.0)),
        ] {
            let changes = changes.into_iter().map(|(at, ports)| (at, ports.iter().copied().collect()));
            let adverts = Adverts { changes: changes.collect(), end: 100.0 };
            let summed = (
                adverts.shown(2),
                adverts.withdrawn(1),
                adverts.returns(1),
                adverts.several(),
                adverts.nobody(),
            );
            assert_eq!(summed, expected, "{what}");
        }
    }
}
