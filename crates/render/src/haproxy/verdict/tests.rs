//! What is decided about pairs of texts.

use super::*;
use crate::haproxy::capability::capabilities;

const HEAD: &str = "frontend f\n  bind :1\n  default_backend b\n";

fn decide(live: &str, next: &str, version: &str) -> Verdict {
    let [live, next] = [live, next].map(|text| Configuration::new(&format!("{HEAD}{text}")));
    verdict(&live, &next, &Running::fresh(&live.outline), &capabilities(version).unwrap())
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same => "same".into(),
        Verdict::Steer(orders) => orders.iter().flat_map(Order::commands).collect::<Vec<_>>().join("; "),
        Verdict::Reload(why) => format!("reload: {why}"),
        Verdict::Refuse(why) => format!("refuse: {why}"),
    }
}

#[test]
fn a_change_of_servers_is_steered() {
    const CUTS: &str = "  default-server check on-marked-down shutdown-sessions init-addr libc,none\n";
    for (live, next, expected) in [
        ("  server a 10.0.0.1:1\n", "  # moved\n\n\tserver  a  10.0.0.1:1 # x\n", "same"),
        ("  server a 10.0.0.1:1\n", "  server a 10.0.0.2:1\n", "set server b/a addr 10.0.0.2 port 1"),
        (
            "  server a 10.0.0.1:1 check\n",
            "  server a [::1]:2 check\n",
            "set server b/a addr ::1 port 2; set server b/a health up",
        ),
        ("  server a 10.0.0.1:1\n", "  server a 10.0.0.1:1 weight 9\n", "set server b/a weight 9"),
        ("  server a 10.0.0.1:1 maxconn 9\n", "  server a 10.0.0.1:1\n", "set maxconn server b/a 0"),
        ("  server a 10.0.0.1:1\n", "  server a 10.0.0.1:1 disabled\n", "set server b/a state maint"),
        ("  server a 10.0.0.1:1 disabled\n", "  server a 10.0.0.1:1\n", "set server b/a state ready"),
        (
            "  server a 10.0.0.1:1\n",
            "  server z 10.0.0.9:1 weight 3\n",
            "add server b/z 10.0.0.9:1 weight 3; set server b/z state ready; set server b/a state maint; del server b/a",
        ),
        (
            &format!("{CUTS}  server a 10.0.0.1:1\n"),
            &format!("{CUTS}  server z 10.0.0.9:1 maxconn 7\n"),
            "add server b/z 10.0.0.9:1 check on-marked-down shutdown-sessions maxconn 7; enable health b/z; \
             set server b/a state maint; set server b/z state ready; shutdown sessions server b/a; del server b/a",
        ),
        (
            &format!("{CUTS}  server a 10.0.0.1:1\n"),
            &format!("{CUTS}  server a 10.0.0.9:1\n"),
            "set server b/a addr 10.0.0.9 port 1; set server b/a health up; shutdown sessions server b/a",
        ),
        (
            "  balance first\n  server a 10.0.0.1:1\n",
            "  balance first\n  server z 10.0.0.9:1 disabled\n",
            "add server b/z 10.0.0.9:1 id 2; set server b/a state maint; del server b/a",
        ),
    ] {
        let (live, next) = (format!("backend b\n{live}"), format!("backend b\n{next}"));
        assert_eq!(told(&decide(&live, &next, "2.6.12")), expected, "{live}{next}");
    }
}
