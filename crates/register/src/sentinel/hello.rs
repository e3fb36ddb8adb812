//! What Sentinels tell each other through every Redis that they watch: `__sentinel__:hello`, every two seconds and at
//! once when something changed. Whoever hears it on its own Redis needs no way to any Sentinel.

use super::Place;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The channel.
pub const CHANNEL: &str = "__sentinel__:hello";

/// One Sentinel's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Whom it holds to be master.
    pub address: Place,
    /// The epoch in which that server was named.
    pub epoch: u64,
    /// When it was heard.
    pub at: Instant,
}

/// Sentinels speak every two seconds; a word that was not repeated for so long is that of a Sentinel that is gone.
pub const FRESH: Duration = Duration::from_secs(10);

/// The last word of each Sentinel, by its run id.
pub type Hellos = BTreeMap<String, Hello>;

/// Reads `ip,port,runid,current_epoch,name,master_ip,master_port,config_epoch`; `None` when it is about another
/// master, or no such message.
#[must_use]
pub fn hello(text: &str, master: &str, at: Instant) -> Option<(String, Hello)> {
    let words: Vec<&str> = text.split(',').collect();
    let [_, _, run_id, _, name, host, port, epoch] = words.as_slice() else { return None };
    let address = ((*host).to_owned(), port.parse().ok()?);
    (*name == master).then_some(((*run_id).to_owned(), Hello { address, epoch: epoch.parse().ok()?, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read() {
        let text = "127.0.0.1,27003,addb2c,1,mymaster,127.0.0.1,17003,1";
        let at = Instant::now();
        let word = Hello { address: ("127.0.0.1".into(), 17003), epoch: 1, at };
        assert_eq!(hello(text, "mymaster", at), Some(("addb2c".into(), word)));
        for (text, master) in [
            (text, "other"),
            ("", "mymaster"),
            ("a,b", "mymaster"),
            (&text.replace("17003", "x"), "mymaster"),
        ] {
            assert_eq!(hello(text, master, at), None, "{text}");
        }
    }
}
