//! What an instance is where no Sentinel speaks of it: its own word, with the epoch pointer in Consul where there is one.

use super::{Belief, Claim, Evidence, Standing};
use crate::pointer::{Pointer, Sight};
use consul::{Role, election::Epoch};

impl Belief {
    /// Its own word, the epoch that it tells, or the epoch that the pointer gives it.
    pub(super) fn by_own_word(self, evidence: &Evidence) -> Belief {
        match (self.role, &evidence.pointer, self.told) {
            (None, ..) => self.stands(Standing::Unknown, "it never answered"),
            (Some(Role::Replica), ..) => {
                let why = format!("it says {}", self.word);
                Belief { epoch: None, risen: None, seeks: None, ..self }.stands(Standing::Replica, why)
            }
            (_, Sight::None, None) => {
                let why = format!(
                    "it says {}, and nothing confirms it: there is no sentinel {{}} and no lock {{}}",
                    self.word
                );
                self.stands(Standing::Master, why)
            }
            (_, _, Some(told)) => self.by_own_epoch(told, evidence),
            (_, Sight::Unread, None) if self.failure.is_none() => Belief { settled: false, ..self },
            (_, Sight::Unread, None) => {
                let (standing, why) = (self.standing, self.why.clone());
                self.stands(standing, why)
            }
            (_, Sight::Trouble(why), None) => {
                let why = format!("the epoch pointer is not known: {why}");
                let standing = if self.epoch.is_some() { Standing::Master } else { Standing::Candidate };
                self.stands(standing, why)
            }
            (_, Sight::Read(pointer, index), None) => self.by_pointer(pointer.as_ref(), *index, evidence),
        }
    }

    /// It tells its epoch itself: another in a later one fences it.
    fn by_own_epoch(self, told: u64, evidence: &Evidence) -> Belief {
        let epoch = Epoch { generation: self.generation, number: told };
        if evidence.unread && self.failure.is_none() {
            // The catalog may name another in a later epoch.
            return Belief { settled: false, ..self };
        }
        // That stays so when the other dies: what it took in the meantime is missing here.
        let other = evidence.latest.clone().max(self.other.clone());
        let later = other.clone().filter(|other| other.epoch > epoch);
        let (standing, why) = match later {
            Some(Claim { who, epoch }) => {
                (Standing::Fenced, format!("{who} became {} in epoch {epoch}", Role::Master))
            }
            None => (Standing::Master, format!("it says {}", self.word)),
        };
        Belief { epoch: Some(epoch), other, ..self }.stands(standing, why)
    }

    /// The pointer gives epochs: to whom it names, or to one that was just seen to become master, or to the first when it
    /// names nobody. Exactly one gets each, since it is written by compare-and-set.
    fn by_pointer(self, pointer: Option<&Pointer>, index: u64, evidence: &Evidence) -> Belief {
        let present = pointer.map(|pointer| pointer.epoch);
        let risen = if self.rises { Some(present) } else { self.risen };
        let this = Belief { rises: false, risen, seeks: None, ..self };
        let holder = pointer.and_then(|pointer| pointer.holder.as_ref());
        let last = present.max(evidence.mine).max(evidence.latest.as_ref().map(|claim| claim.epoch));
        let last = last.unwrap_or_default();
        let next = Epoch { number: last.number + 1, ..last };
        let rival = evidence.rival.as_ref().filter(|rival| Some(rival.epoch) > present);
        match (holder, rival) {
            (_, Some(rival)) => {
                let why = format!("{} became {} in epoch {}", rival.who, Role::Master, rival.epoch);
                this.stands(Standing::Fenced, why)
            }
            (Some(holder), _) if holder.id == evidence.id => Belief { epoch: present, risen: None, ..this }
                .stands(Standing::Master, "the epoch pointer names it"),
            (Some(holder), _) if this.risen != Some(present) => {
                let why = format!("the epoch pointer names {} in epoch {}", holder.id, last);
                let standing = if this.epoch.is_some() { Standing::Fenced } else { Standing::Candidate };
                this.stands(standing, why)
            }
            _ => {
                let why = format!("it became master, and takes epoch {next} from the pointer");
                Belief { seeks: Some((next, index)), ..this }.stands(Standing::Candidate, why)
            }
        }
    }

    /// The epoch that it has to take from the pointer, and at which index of it.
    #[must_use]
    pub fn seeks(&self) -> Option<(Epoch, u64)> {
        self.seeks.filter(|_| self.role == Some(Role::Master) && self.failure.is_none())
    }
}
