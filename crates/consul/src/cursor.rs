//! The rules of a blocking query, apart from the network.
//!
//! Consul asks three things of a client: start again from zero when the index goes backwards, never wait on
//! index zero, and never keep an index from an error (every error answer of Consul 1.8 carries index 1).

/// Where a watch stands between two requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The index to wait on; zero asks for an answer at once.
    pub index: u64,
}

/// What an answer amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// The value may have changed.
    News,
    /// The wait ran out with nothing new.
    Nothing,
    /// The index went backwards: this state is from before what was seen, or Consul was restored. Ask again
    /// from zero, and believe that answer.
    Reset,
}

impl Cursor {
    /// Takes in the index of a good answer.
    pub fn hear(self, answered: u64) -> (Cursor, Heard) {
        let index = answered.max(1);
        if index < self.index {
            (Cursor::default(), Heard::Reset)
        } else if index == self.index {
            (self, Heard::Nothing)
        } else {
            (Cursor { index }, Heard::News)
        }
    }

    /// Takes in a failure: a server that failed may have lost its index, so the next answer is not waited for.
    #[must_use]
    pub fn fail(self) -> Cursor {
        Cursor::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_index() {
        let at = |index| Cursor { index };
        for (before, answered, after, heard) in [
            (at(0), 7, at(7), Heard::News),
            (at(7), 7, at(7), Heard::Nothing),
            (at(7), 9, at(9), Heard::News),
            (at(9), 3, at(0), Heard::Reset),
            (at(0), 3, at(3), Heard::News),
            (at(0), 0, at(1), Heard::News),
            (at(1), 0, at(1), Heard::Nothing),
        ] {
            assert_eq!(before.hear(answered), (after, heard), "{before:?} hears {answered}");
        }
        assert_eq!(at(9).fail(), at(0), "an error never keeps an index");
    }
}
