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
            "add server b/z 10.0.0.9:1 weight 3 id 2; set server b/z state ready; set server b/a state maint; del server b/a",
        ),
        (
            &format!("{CUTS}  server a 10.0.0.1:1\n"),
            &format!("{CUTS}  server z 10.0.0.9:1 maxconn 7\n"),
            "add server b/z 10.0.0.9:1 check on-marked-down shutdown-sessions maxconn 7 id 2; enable health b/z; \
             set server b/a state maint; set server b/z state ready; shutdown sessions server b/a; del server b/a",
        ),
        (
            &format!("{CUTS}  server a 10.0.0.1:1\n"),
            &format!("{CUTS}  server a 10.0.0.9:1\n"),
            "set server b/a addr 10.0.0.9 port 1; set server b/a health up; shutdown sessions server b/a",
        ),
        (
            "  server-template t 1-2 h:1\n",
            "  server-template t 1-2 h:1\n  server z 10.0.0.9:1\n",
            "add server b/z 10.0.0.9:1; set server b/z state ready",
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

#[test]
fn what_cannot_be_steered_is_a_reload_with_its_reason() {
    for (live, next, why) in [
        (
            "  server a 10.0.0.1:1\n",
            "  server a 10.0.0.1:1 check\n",
            "server b/a (line 5): its `check` changed",
        ),
        (
            "  server a 10.0.0.1:1\n",
            "  server a db:1\n",
            "server b/a (line 5): its address changed, which only a start can read",
        ),
        (
            "  server a db:1\n",
            "  server a 10.0.0.1:1\n",
            "server b/a (line 5): its address was of another kind",
        ),
        (
            "  server a 10.0.0.1:1 resolvers r\n",
            "  server a 10.0.0.2:1 resolvers r\n",
            "server b/a (line 5): its address changed, and it has `resolvers`",
        ),
        (
            "  server a 10.0.0.1:1 minconn 2 maxconn 9\n",
            "  server a 10.0.0.1:1 minconn 2 maxconn 8\n",
            "server b/a (line 5): its `maxconn` changed, and `minconn` goes by it",
        ),
        ("", "  server a db:1\n", "server b/a (line 5) is new, and its address can be read by a start only"),
        (
            "",
            "  server a 10.0.0.1:1 cookie x\n",
            "server b/a (line 5) is new, and HAProxy 2.6.12 does not take `cookie` then",
        ),
        (
            "",
            "  server a 10.0.0.1:1 ssl verify required ca-file /x.pem\n",
            "server b/a (line 5) is new, and HAProxy has not read /x.pem",
        ),
        (
            "",
            "  server a 10.0.0.1:1 agent-check agent-send \"a\\n\"\n",
            "server b/a (line 5) is new, and its line cannot be said in the runtime API",
        ),
        (
            "  server a 10.0.0.1:1\n",
            "  server a 10.0.0.1:1 source 1.1.1.1\n",
            "backend b: `server a` is new (line 5)",
        ),
        ("  server a \"$A:1\"\n", "  server a \"$B:1\"\n", "backend b: `server a` changed (line 5)"),
        (
            "  mode http\n",
            "  mode http\n  server a 10.0.0.1:1\n",
            "server b/a (line 6) is new, and HAProxy 2.6.12 never reuses the connections of an added HTTP server",
        ),
        (
            "  balance source\n",
            "  balance source\n  server a 10.0.0.1:1\n",
            "the servers of b (line 4) changed, and its balance algorithm is laid down at the start",
        ),
        (
            "  balance source\n  hash-type consistent\n",
            "  balance source\n  hash-type consistent\n  server a 10.0.0.1:1\n",
            "server b/a (line 7) is new, and HAProxy gives an added server a wrong place in a hash ring (haproxy#3413)",
        ),
        (
            "  balance static-rr\n  server a 10.0.0.1:1\n",
            "  balance static-rr\n  server a 10.0.0.1:1 weight 5\n",
            "server b/a (line 6): its `weight` changed, which `balance` allows at a start only",
        ),
        (
            "  balance first\n  server a 10.0.0.1:1\n  server c 10.0.0.3:1\n",
            "  balance first\n  server c 10.0.0.3:1\n  server a 10.0.0.1:1\n",
            "server b/a (line 7) stands elsewhere, and `balance first` goes by the order",
        ),
        (
            "  balance first\n  server a 10.0.0.1:1\n  server c 10.0.0.3:1\n",
            "  balance first\n  server a 10.0.0.1:1\n  server b 10.0.0.2:1\n  server c 10.0.0.3:1\n",
            "server b/b (line 7) is new between others, and `balance first` goes by the order",
        ),
        (
            "  stick on src\n  server a 10.0.0.1:1\n  server c 10.0.0.3:1\n",
            "  stick on src\n  server c 10.0.0.3:1\n",
            "server b/c (line 6) gets another id by its place, and ids decide who serves there",
        ),
        (
            "  server a 10.0.0.1:1 backup\n  server c 10.0.0.3:1 backup\n",
            "  server c 10.0.0.3:1 backup\n  server a 10.0.0.1:1 backup\n",
            "the backup servers of b (line 4) would stand in another order, and only the first one is used",
        ),
        (
            "  disabled\n",
            "  disabled\n  server a 10.0.0.1:1\n",
            "the servers of b (line 4) changed, and it is `disabled` itself",
        ),
        ("", "  retries 2\n", "backend b: `retries` is new (line 5)"),
        ("  retries 2\n", "", "backend b: `retries` is gone"),
        ("  timeout server 1s\n", "  timeout server 2s\n", "backend b: `timeout server` changed (line 5)"),
        (
            "  tcp-check send A\n  tcp-check send B\n",
            "  tcp-check send B\n  tcp-check send A\n",
            "backend b: `tcp-check send` stands elsewhere (line 5)",
        ),
        ("", "backend c\n", "backend c is new (line 5)"),
        ("backend c\n", "", "backend c is gone"),
    ] {
        let (live, next) = (format!("backend b\n{live}"), format!("backend b\n{next}"));
        assert_eq!(told(&decide(&live, &next, "2.6.12")), format!("reload: {why}"), "{live}{next}");
    }
    let add = |version| {
        told(&decide(
            "backend b\n  mode http\n",
            "backend b\n  mode http\n  server a 10.0.0.1:1 cookie x\n",
            version,
        ))
    };
    assert_eq!(add("3.0.11"), "add server b/a 10.0.0.1:1 cookie x id 1; set server b/a state ready");
    assert_eq!(
        told(&decide("backend b\n", "backend b\n  server a 10.0.0.1:1\n", "2.4.9")),
        "reload: HAProxy 2.4.9 cannot add server b/a at 10.0.0.1:1; 2.6 was the first that can"
    );
}

#[test]
fn a_text_that_would_close_or_misdirect_everything_is_refused() {
    let none = Configuration::new("");
    for (text, why) in [
        ("", "the text is empty"),
        ("\n # only words\n\n", "the text is empty"),
        ("global\nbackend b\n server a 10.0.0.1:1\n", "no section listens"),
        ("listen b\n bind :1\n server a :6379\n", "server b/a has no address (line 3)"),
    ] {
        let verdict =
            verdict(&none, &Configuration::new(text), &Running::default(), &capabilities("2.6").unwrap());
        assert!(matches!(&verdict, Verdict::Refuse(said) if said.starts_with(why)), "{text}: {verdict}");
    }
    let anywhere = Configuration::new("listen b\n bind :1\n server a *:6379\n");
    let (running, can) = (Running::fresh(&anywhere.outline), capabilities("2.6").unwrap());
    let same = verdict(&anywhere, &anywhere, &running, &can);
    assert_eq!(same, Verdict::Same, "who writes it out means it");
}

#[test]
fn secrets_stay_out_of_reasons() {
    let text = |secret: &str| {
        format!(
            "userlist u\n user x password {secret}\nbackend b\n tcp-check send AUTH\\ {secret}\n \
             server a 10.0.0.1:1 agent-check agent-send {secret}\n"
        )
    };
    for (live, next) in
        [(text("s3cret"), text("hidden")), (text("s3cret"), text("s3cret").replace("agent-send s3cret", ""))]
    {
        let told = told(&decide(&live, &next, "2.6.12"));
        assert!(
            told.starts_with("reload: ") && !told.contains("s3cret") && !told.contains("hidden"),
            "{told}"
        );
    }
}

#[test]
fn content_of_files_is_steered() {
    let text = format!(
        "{HEAD}  use_backend %[src,map_ip(/n.map,b)]\n  acl x src -f /x.lst\n  bind :2 ssl crt /c.pem\n  errorfile 503 /e.http\nbackend b\n"
    );
    let with = |files: [(&str, &str); 4]| Configuration {
        files: files.into_iter().map(|(name, text)| (name.into(), Some(text.into()))).collect(),
        ..Configuration::new(&text)
    };
    let was =
        with([("/n.map", "# x\na  b\n"), ("/x.lst", "10.0.0.0/8\n"), ("/c.pem", "ONE\n"), ("/e.http", "a")]);
    for (files, expected) in [
        (
            [
                ("/n.map", "a b \n\n"),
                ("/x.lst", "# y\n\t10.0.0.0/8\n"),
                ("/c.pem", "ONE\n"),
                ("/e.http", "a"),
            ],
            "same",
        ),
        (
            [
                ("/n.map", "a b\nc\nd e  f\n"),
                ("/x.lst", "x y;z\n"),
                ("/c.pem", "ONE\n\nTWO"),
                ("/e.http", "a"),
            ],
            "set ssl cert /c.pem <<\nONE\nTWO\n\n; commit ssl cert /c.pem; prepare map /n.map; \
             add map @? /n.map <<\na b\nc \nd e  f\n\n; commit map @? /n.map; prepare acl /x.lst; \
             add acl @? /x.lst x\\ y\\;z; commit acl @? /x.lst",
        ),
        (
            [("/n.map", "a b"), ("/x.lst", "10.0.0.0/8"), ("/c.pem", "ONE\n"), ("/e.http", "b")],
            "reload: /e.http changed (line 7 names it); HAProxy reads it when it starts",
        ),
    ] {
        let verdict =
            verdict(&was, &with(files), &Running::fresh(&was.outline), &capabilities("2.6.12").unwrap());
        assert_eq!(told(&verdict), expected);
        assert!(!format!("{verdict:?}{verdict}").contains("TWO"), "keys stay out of logs");
    }
    // What HAProxy holds is not known: it is told.
    let mut unknown = was.clone();
    for name in ["/n.map", "/x.lst", "/c.pem"] {
        unknown.files.insert(name.into(), None);
    }
    let verdict_then =
        verdict(&unknown, &was, &Running::fresh(&was.outline), &capabilities("2.6.12").unwrap());
    assert_eq!(
        told(&verdict_then),
        "set ssl cert /c.pem <<\nONE\n\n; commit ssl cert /c.pem; prepare map /n.map; \
         add map @? /n.map <<\na b\n\n; commit map @? /n.map; prepare acl /x.lst; \
         add acl @? /x.lst 10.0.0.0/8; commit acl @? /x.lst"
    );
    let long = with([
        ("/n.map", &"key value\n".repeat(3000)),
        ("/x.lst", "10.0.0.0/8\n"),
        ("/c.pem", "ONE\n"),
        ("/e.http", "a"),
    ]);
    let Verdict::Steer(orders) =
        verdict(&was, &long, &Running::fresh(&was.outline), &capabilities("2.6.12").unwrap())
    else {
        panic!("steered")
    };
    let commands = orders[0].commands();
    assert!(commands.len() == 6 && commands.iter().all(|command| command.len() < 8300), "{}", commands.len());
}

#[test]
fn a_server_that_still_runs_makes_room_for_its_name() {
    let [live, next] =
        ["", "  server a 10.0.0.2:1\n"].map(|rest| Configuration::new(&format!("{HEAD}backend b\n{rest}")));
    let mut running = Running::fresh(
        &Configuration::new(&format!("{HEAD}backend b\n  server a 10.0.0.1:1 disabled\n")).outline,
    );
    let can = capabilities("2.6.12").unwrap();
    assert_eq!(
        told(&verdict(&live, &next, &running, &can)),
        "del server b/a; add server b/a 10.0.0.2:1 id 1; set server b/a state ready"
    );
    // Repaired by the way: what live and next say alike, and HAProxy does not run.
    running = Running::default();
    assert_eq!(
        told(&verdict(&next, &next, &running, &can)),
        "add server b/a 10.0.0.2:1 id 1; set server b/a state ready"
    );
}

#[test]
fn drift_is_named_and_repaired() {
    let want = outline(
        "backend b\n server a 10.0.0.1:1 check\n server c 10.0.0.3:1 weight 5\n server d 10.0.0.4:1 disabled\n",
    );
    let can = capabilities("2.6.12").unwrap();
    let fresh = Running::fresh(&want);
    assert_eq!(drift(&fresh, &want, &can), []);
    let name = |server: &str| ("b".to_owned(), server.to_owned());
    let changed = |server: &str, change: fn(&mut super::super::running::Runs)| {
        let mut running = fresh.clone();
        change(running.servers.get_mut(&name(server)).unwrap());
        running
    };
    let mut more = fresh.clone();
    more.servers.insert(name("x"), fresh.servers[&name("a")].clone());
    let mut less = fresh.clone();
    less.servers.remove(&name("c"));
    for (running, what, commands) in [
        (
            changed("a", |runs| runs.port = 9),
            "server b/a is at 10.0.0.1:9 and should be at 10.0.0.1:1",
            "set server b/a addr 10.0.0.1 port 1; set server b/a health up",
        ),
        (
            changed("a", |runs| runs.maint = true),
            "server b/a is out of use and should not be",
            "set server b/a state ready",
        ),
        (
            changed("a", |runs| runs.drain = true),
            "server b/a takes nothing new and should",
            "set server b/a state ready",
        ),
        (
            changed("a", |runs| runs.checks = false),
            "server b/a is not checked and should be",
            "enable health b/a",
        ),
        (
            changed("c", |runs| runs.weight = 0),
            "server b/c has the weight 0 and should have 5",
            "set server b/c weight 5",
        ),
        (
            changed("d", |runs| runs.maint = false),
            "server b/d is in use and should not be",
            "set server b/d state maint",
        ),
        (
            more,
            "server b/x runs and is not in the configuration",
            "set server b/x state maint; del server b/x",
        ),
        (
            less,
            "server b/c does not run",
            "add server b/c 10.0.0.3:1 weight 5 id 2; set server b/c state ready",
        ),
    ] {
        let found = drift(&running, &want, &can);
        let said: Vec<_> = found.iter().map(|drift| drift.what.as_str()).collect();
        assert_eq!(said, [what]);
        let repair: Vec<_> = found[0].orders.iter().flat_map(Order::commands).collect();
        assert_eq!(repair.join("; "), commands, "{what}");
    }
}

#[test]
fn a_text_that_says_the_same_is_told_without_a_look() {
    const LIVE: &str = "  balance first\n  server a 10.0.0.1:1 weight 2\n  server c 10.0.0.2:1\n";
    for (next, same) in [
        ("  # moved\n\n  balance  first # x\n  server a 10.0.0.1:1 weight 2\n\tserver c 10.0.0.2:1\n", true),
        ("  balance first\n  default-server weight 2\n  server a 10.0.0.1:1\n  server c 10.0.0.2:1\n", false),
        ("  balance first\n  server c 10.0.0.2:1\n  server a 10.0.0.1:1 weight 2\n", false),
        ("  balance first\n  server a 10.0.0.1:1 weight 3\n  server c 10.0.0.2:1\n", false),
        ("  balance first\n  server a 10.0.0.1:1 weight 2\n", false),
        ("  server a 10.0.0.1:1 weight 2\n  server c 10.0.0.2:1\n", false),
    ] {
        let [live, next] = [LIVE, next].map(|text| Configuration::new(&format!("{HEAD}backend b\n{text}")));
        assert_eq!(says_the_same(&live, &next), same, "{}", next.outline);
    }
    let text = format!("{HEAD}  use_backend %[src,map(/n.map,b)]\nbackend b\n");
    let [one, mut other] = ["1 a\n", "1 a\n"].map(|entries| Configuration {
        files: [("/n.map".to_owned(), Some(entries.to_owned()))].into(),
        ..Configuration::new(&text)
    });
    assert!(says_the_same(&one, &other));
    other.files.insert("/n.map".into(), Some("1 b\n".into()));
    assert!(!says_the_same(&one, &other));
}
