//! The keywords of server lines: how many values follow each, and since when `add server` takes it.

use crate::haproxy::capability::Version;

/// What is known of a keyword.
pub(super) struct Keyword {
    /// How many words follow.
    pub values: usize,
    /// The first version that takes it in `add server`; `None` for never.
    pub dynamic: Option<Version>,
}

/// `None` for what is not known here: such a line is kept as it is, and never steered.
pub(super) fn keyword(name: &str) -> Option<Keyword> {
    let at = KEYWORDS.binary_search_by_key(&name, |row| row.0).ok()?;
    let (_, values, dynamic) = KEYWORDS[at];
    Some(Keyword { values, dynamic })
}

const V26: Option<Version> = Some(Version(2, 6, 0));
const V27: Option<Version> = Some(Version(2, 7, 0));
const V29: Option<Version> = Some(Version(2, 9, 0));
const V30: Option<Version> = Some(Version(3, 0, 0));
const V31: Option<Version> = Some(Version(3, 1, 0));
const V32: Option<Version> = Some(Version(3, 2, 0));
const V33: Option<Version> = Some(Version(3, 3, 0));
const V34: Option<Version> = Some(Version(3, 4, 0));

/// By name, as HAProxy 2.6 to 3.4 register them. `enabled` is left out for `add server`: it corrupts the count of
/// active servers before 3.0 (haproxy#2497) and is refused since.
#[rustfmt::skip]
const KEYWORDS: [(&str, usize, Option<Version>); 122] = [
    ("addr", 1, V26),
    ("agent-addr", 1, V26),
    ("agent-check", 0, V26),
    ("agent-inter", 1, V26),
    ("agent-port", 1, V26),
    ("agent-send", 1, V26),
    ("allow-0rtt", 0, V26),
    ("alpn", 1, V26),
    ("backup", 0, V26),
    ("ca-file", 1, V26),
    ("cc", 1, None),
    ("check", 0, V26),
    ("check-alpn", 1, V26),
    ("check-pool-conn-name", 1, V32),
    ("check-proto", 1, V26),
    ("check-reuse-pool", 0, V32),
    ("check-send-proxy", 0, V26),
    ("check-sni", 1, V26),
    ("check-sni-auto", 0, None),
    ("check-ssl", 0, V26),
    ("check-via-socks4", 0, V26),
    ("ciphers", 1, V26),
    ("ciphersuites", 1, V26),
    ("client-sigalgs", 1, V29),
    ("cookie", 1, V30),
    ("crl-file", 1, V26),
    ("crt", 1, V26),
    ("curves", 1, V29),
    ("disabled", 0, V26),
    ("downinter", 1, V26),
    ("enabled", 0, None),
    ("error-limit", 1, V26),
    ("fall", 1, V26),
    ("fastinter", 1, V26),
    ("force-sslv3", 0, V26),
    ("force-tlsv10", 0, V26),
    ("force-tlsv11", 0, V26),
    ("force-tlsv12", 0, V26),
    ("force-tlsv13", 0, V26),
    ("guid", 1, V30),
    ("hash-key", 1, V30),
    ("id", 1, V26),
    ("idle-ping", 1, V32),
    ("init-addr", 1, None),
    ("init-state", 1, V31),
    ("inter", 1, V26),
    ("ktls", 1, V33),
    ("log-bufsize", 1, None),
    ("log-proto", 1, None),
    ("max-reuse", 1, None),
    ("maxconn", 1, V26),
    ("maxqueue", 1, V26),
    ("minconn", 1, V26),
    ("namespace", 1, None),
    ("no-agent-check", 0, None),
    ("no-backup", 0, V26),
    ("no-check", 0, None),
    ("no-check-reuse-pool", 0, None),
    ("no-check-send-proxy", 0, None),
    ("no-check-sni-auto", 0, V34),
    ("no-check-ssl", 0, None),
    ("no-renegotiate", 0, V33),
    ("no-send-proxy", 0, V26),
    ("no-send-proxy-v2", 0, V26),
    ("no-send-proxy-v2-ssl", 0, None),
    ("no-send-proxy-v2-ssl-cn", 0, None),
    ("no-sni-auto", 0, V34),
    ("no-ssl", 0, None),
    ("no-ssl-reuse", 0, V26),
    ("no-sslv3", 0, V26),
    ("no-tfo", 0, V26),
    ("no-tls-tickets", 0, V26),
    ("no-tlsv10", 0, V26),
    ("no-tlsv11", 0, V26),
    ("no-tlsv12", 0, V26),
    ("no-tlsv13", 0, V26),
    ("non-stick", 0, None),
    ("npn", 1, V26),
    ("observe", 1, V26),
    ("on-error", 1, V26),
    ("on-marked-down", 1, V26),
    ("on-marked-up", 1, V26),
    ("pool-conn-name", 1, V30),
    ("pool-low-conn", 1, V26),
    ("pool-max-conn", 1, V26),
    ("pool-purge-delay", 1, V26),
    ("port", 1, V26),
    ("proto", 1, V26),
    ("proxy-v2-options", 1, V26),
    ("redir", 1, None),
    ("renegotiate", 0, V33),
    ("resolve-net", 1, None),
    ("resolve-opts", 1, None),
    ("resolve-prefer", 1, None),
    ("resolvers", 1, None),
    ("rise", 1, V26),
    ("send-proxy", 0, V26),
    ("send-proxy-v2", 0, V26),
    ("send-proxy-v2-ssl", 0, V26),
    ("send-proxy-v2-ssl-cn", 0, V26),
    ("set-proxy-v2-tlv-fmt", 0, V29),
    ("shard", 1, V27),
    ("sigalgs", 1, V29),
    ("slowstart", 1, V26),
    ("sni", 1, V26),
    ("sni-auto", 0, None),
    ("socks4", 1, None),
    ("ssl", 0, V26),
    ("ssl-max-ver", 1, V26),
    ("ssl-min-ver", 1, V26),
    ("ssl-reuse", 0, None),
    ("stick", 0, None),
    ("strict-maxconn", 0, V32),
    ("tcp-md5sig", 1, None),
    ("tcp-ut", 1, None),
    ("tfo", 0, V26),
    ("tls-tickets", 0, V26),
    ("track", 1, V26),
    ("verify", 1, V26),
    ("verifyhost", 1, V26),
    ("weight", 1, V26),
    ("ws", 1, V26),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found() {
        assert!(KEYWORDS.is_sorted_by_key(|row| row.0));
        assert!(KEYWORDS.iter().all(|row| keyword(row.0).is_some()));
        assert!(keyword("source").is_none(), "what it takes is of many forms");
        assert!(keyword("enabled").is_some_and(|enabled| enabled.dynamic.is_none()));
    }
}
