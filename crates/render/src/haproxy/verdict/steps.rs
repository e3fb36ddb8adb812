//! Orders by when they are due, so that no client meets a gap, or a server that was left, in between.

use crate::haproxy::order::Order;

/// The orders of all backends, by phase.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Deletes what is in the way, then makes the new servers, which serve nobody yet.
    pub prepare: Vec<Order>,
    /// Takes servers out of use, and puts others in: new traffic moves.
    pub switch: Vec<Order>,
    /// Ends sessions, once nothing new gets there.
    pub cut: Vec<Order>,
    /// Removes what is out of use.
    pub tidy: Vec<Order>,
}

/// The switch of one backend.
#[derive(Debug, Default)]
pub(super) struct Switch {
    /// What takes a server out of use, server by server.
    pub leave: Vec<Vec<Order>>,
    /// What puts one into use, or changes it.
    pub enter: Vec<Vec<Order>>,
}

impl Switch {
    /// Where sessions are cut, nothing may reach the old server once the new one serves: each new one enters right
    /// after an old one left. Elsewhere the new ones come first, and there is no gap at all.
    pub(super) fn orders(self, cuts: bool) -> Vec<Order> {
        if !cuts {
            return self.enter.into_iter().chain(self.leave).flatten().collect();
        }
        let (mut leave, mut enter) = (self.leave.into_iter(), self.enter.into_iter());
        let mut out = vec![];
        loop {
            match (leave.next(), enter.next()) {
                (None, None) => return out,
                (left, entered) => out.extend(left.into_iter().chain(entered).flatten()),
            }
        }
    }
}

impl Steps {
    /// In the order of their execution.
    pub(super) fn in_order(self) -> impl Iterator<Item = Order> {
        self.prepare.into_iter().chain(self.switch).chain(self.cut).chain(self.tidy)
    }
}
