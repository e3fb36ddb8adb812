use super::*;

fn load(text: &str, env: &[(&str, &str)]) -> Result<RegisterConfig, String> {
    let mut mistakes = Mistakes::default();
    let top = config::parse("F", text, &mut mistakes);
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let read = RegisterConfig::read(top, &env, &RegisterFlags::default(), &mut mistakes);
    mistakes.into_result(read).map_err(|mistakes| mistakes.to_string())
}

const FULL: &str = r#"
consul { address = "127.0.0.1:8500" token = "t0ken" }
admin { address = "127.0.0.1:9500" }
leave_timeout = "5s"
service "redis" {
  id = "redis-7"
  address = "10.1.2.3"
  port = 6380
  tags = ["v7"]
  meta { team = "data" }
  ttl = "15s"
  deregister_critical_after = "2m"
  probe "redis" {
    address = "127.0.0.1:6379"
    username = "reg"
    password = "pa55"
    interval = "100ms"
    timeout = "50ms"
    max_lag = "12s"
    tls { ca_cert = "/ca.pem" server_name = "redis.local" }
    sentinel {
      master = "mymaster"
      addresses = ["127.0.0.1:26379", "127.0.0.1:26380", "127.0.0.1:26381"]
      password = "5entinel"
    }
  }
}
service "cache" {
  probe "redis" { address = "127.0.0.1:7000" }
}
"#;

#[test]
fn every_key_of_the_example_is_read() {
    let config = load(FULL, &[("POD_NAME", "redis-0"), ("POD_IP", "10.0.0.5")]).unwrap();
    let [redis, cache] = config.services.as_slice() else { panic!() };
    assert_eq!(
        (redis.id.as_str(), redis.address.given().map(String::as_str), redis.port),
        ("redis-7", Some("10.1.2.3"), 6380)
    );
    assert_eq!(
        (redis.ttl, redis.deregister_critical_after),
        (Duration::from_secs(15), Duration::from_secs(120))
    );
    assert_eq!((redis.meta["team"].as_str(), redis.meta["pod"].as_str()), ("data", "redis-0"));
    let sentinel = redis.probe.sentinel().unwrap();
    assert_eq!((sentinel.master.as_str(), sentinel.sentinels.len(), sentinel.quorum), ("mymaster", 3, 2));
    assert_eq!(
        (cache.id.as_str(), cache.address.given().map(String::as_str), cache.port),
        ("cache-redis-0", Some("10.0.0.5"), 7000)
    );
    assert_eq!(cache.probe.timeout, Duration::from_millis(150));
    let max_lag = |service: &ServiceConfig| service.probe.redis().unwrap().max_lag;
    assert_eq!((max_lag(redis), max_lag(cache)), (Some(Duration::from_secs(12)), None));
}

#[test]
fn the_printed_configuration_holds_no_secret_and_can_be_read_again() {
    let config = load(FULL, &[("HOSTNAME", "vm1")]).unwrap();
    let value = config.show();
    let shown = value.to_string();
    for secret in ["t0ken", "pa55", "5entinel"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!format!("{config:?}").contains(secret));
    }
    assert_eq!(shown.matches("[redacted]").count(), 3, "{shown}");
    let probe = &value["service"][0]["redis"]["probe"]["redis"];
    assert_eq!((&probe["interval"], &probe["sentinel"]["quorum"]), (&"100ms".into(), &2.into()));
    assert_eq!(probe["max_lag"], "12s");
    assert_eq!(value["service"][1]["cache"]["address"], "(the local address that routes to Consul)");
}

#[test]
fn a_name_that_an_agent_would_not_find_again_is_refused() {
    for (service, wanted) in [
        (r#"service "re\tdis" { id = "x" probe "redis" {} }"#, r#""re\tdis" has control characters"#),
        (r#"service "redis" { id = "a\nb" probe "redis" {} }"#, r#"id: "a\nb" has control characters"#),
    ] {
        let mistakes = load(service, &[]).unwrap_err();
        assert!(mistakes.contains(wanted), "{wanted}\n---\n{mistakes}");
    }
}

#[test]
fn a_service_chooses_its_words_and_how_many_may_write() {
    let config = load(
        r#"
service "pg" {
  id = "pg-0"
  port = 5432
  roles { primary = "rw" }
  cardinality = "many"
  probe "static" { role = "Leader" epoch = 4 }
}
service "redis" {
  id = "redis-0"
  probe "redis" {}
}
"#,
        &[],
    )
    .unwrap();
    let [pg, redis] = config.services.as_slice() else { panic!() };
    assert_eq!((pg.words.primary.as_str(), pg.words.replica.as_str(), pg.many), ("rw", "replica", true));
    assert!(matches!(&pg.probe.kind, Kind::Fixed(said) if said.word == "Leader" && said.epoch == Some(4)));
    assert_eq!((redis.words.clone(), redis.many), (Words::of_redis(), false));
    let shown = config.show();
    assert_eq!(shown["service"][0]["pg"]["probe"]["static"]["role"], "Leader");
    assert_eq!(shown["service"][1]["redis"]["roles"]["primary"], "master");

    let mistakes = load(
        r#"
service "pg" {
  id = "pg-0"
  tags = ["rw", "leader"]
  roles {
    primary = "rw"
    replica = "master"
  }
  cardinality = "some"
  probe "static" {
    role = "boss"
    interval = "1ms"
  }
}
service "redis" {
  id = "redis-0"
  cardinality = "many"
  probe "redis" { sentinel { master = "m" addresses = ["a:1"] } }
}
"#,
        &[],
    )
    .unwrap_err();
    for wanted in [
        "F:7: service.pg.roles.replica: \"master\" is what the field calls a primary",
        "F:4: service.pg.tags: \"leader\" says a role",
        "F:4: service.pg.tags: \"rw\" says a role",
        "F:9: service.pg.cardinality: expected \"one\" or \"many\"",
        "F:11: service.pg.probe.static.role: \"boss\" is no role",
        "F:12: service.pg.probe.static.interval: must be 10ms or more",
        "F:17: service.redis.cardinality: is \"many\", yet Sentinel keeps one master",
    ] {
        assert!(mistakes.lines().any(|line| line.starts_with(wanted)), "{wanted}\n---\n{mistakes}");
    }
    let portless = load("service \"pg\" {\n id = \"a\"\n probe \"static\" { role = \"primary\" }\n}", &[]);
    assert!(portless.unwrap_err().contains("port: is needed, since the probe connects to none"));
}

const KINDS: &str = r#"
admin { address = "127.0.0.1:9500" }
service "patroni" {
  id = "a"
  port = 5432
  probe "http" {
    url = "https://127.0.0.1:8008"
    headers { X-Shop = "he4der" }
    token = "t0ken"
    tls {
      ca_cert = "/ca.pem"
      server_name = "pg"
    }
    request {
      path = "/primary"
      status { primary = ["200"] }
      json { epoch = "/timeline" }
    }
    request {
      path = "/replica"
      status { replica = ["200", "210-219"] }
    }
  }
}
service "etcd" {
  id = "b"
  probe "http" {
    url = "http://127.0.0.1:2379"
    username = "u"
    password = "pa55"
    request {
      path = "/v3/maintenance/status"
      body = "{}"
      json {
        same = ["/leader", "/header/member_id"]
        epoch = "/raftTerm"
      }
    }
  }
}
service "exec" {
  id = "c"
  port = 1
  probe "exec" {
    command = ["pg-role", "-q"]
    exit {
      primary = ["0"]
      replica = ["1-3"]
    }
    timeout = "2s"
  }
}
service "stream" {
  id = "d"
  port = 1
  probe "stream" {
    command = ["watch-role"]
    stale_after = "1m"
  }
}
service "zookeeper" {
  id = "e"
  probe "tcp" {
    address = "127.0.0.1:2181"
    send = "srvr\n"
    expect {
      primary = "Mode: leader"
      replica = "^Mode: \\x66ollower"
    }
  }
}
service "file" {
  id = "f"
  port = 1
  probe "file" {
    path = "/run/role"
    stale_after = "1m"
  }
}
service "push" {
  id = "g"
  port = 1
  probe "push" { keep = "/var/lib/role" }
}
"#;

#[test]
fn every_kind_of_probe_is_read_and_shown_again() {
    let config = load(KINDS, &[]).unwrap();
    let ports: Vec<u16> = config.services.iter().map(|service| service.port).collect();
    assert_eq!(ports, [5432, 2379, 1, 1, 2181, 1, 1], "a port that is connected to is the default");
    let shown = config.show();
    for (pointer, wanted) in [
        ("/service/0/patroni/probe/http/url", serde_json::json!("https://127.0.0.1:8008/")),
        ("/service/0/patroni/probe/http/headers/x-shop", "[redacted]".into()),
        ("/service/0/patroni/probe/http/token", "[redacted]".into()),
        ("/service/0/patroni/probe/http/tls/server_name", "pg".into()),
        ("/service/0/patroni/probe/http/request/0/json/epoch", "/timeline".into()),
        ("/service/0/patroni/probe/http/request/1/status/replica", serde_json::json!(["200", "210-219"])),
        ("/service/1/etcd/probe/http/request/0/method", "POST".into()),
        ("/service/1/etcd/probe/http/password", "[redacted]".into()),
        ("/service/2/exec/probe/exec/exit/replica/0", "1-3".into()),
        ("/service/2/exec/probe/exec/timeout", "2s".into()),
        ("/service/3/stream/probe/stream/stale_after", "1m".into()),
        ("/service/4/zookeeper/probe/tcp/send", "srvr\\n".into()),
        ("/service/4/zookeeper/probe/tcp/expect/replica", "^Mode: follower".into()),
        ("/service/5/file/probe/file/path", "/run/role".into()),
        ("/service/6/push/probe/push/keep", "/var/lib/role".into()),
    ] {
        assert_eq!(shown.pointer(pointer), Some(&wanted), "{pointer}");
    }
    assert_eq!(shown.pointer("/service/6/push/probe/push/timeout"), None, "nobody is waited for");
    for secret in ["he4der", "t0ken", "pa55"] {
        assert!(!shown.to_string().contains(secret) && !format!("{config:?}").contains(secret));
    }
}

#[test]
fn the_examples_of_the_handbook_are_good() {
    let text = include_str!("../../README.md").split("\n## Probes\n").nth(1).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let examples: Vec<&str> =
        text.split("```hcl\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), text.matches("```hcl").count());
    for example in examples {
        let config = load(example, &[("HOSTNAME", "vm1")]).unwrap_or_else(|why| panic!("{example}\n{why}"));
        for service in &config.services {
            assert!(service.port > 0, "{example}");
        }
    }
}

#[test]
fn mistakes_in_every_kind_of_probe() {
    for (probe, wanted) in [
        (r#""http" {}"#, "http.url: is needed"),
        (r#""http" {}"#, "http.request: is needed"),
        (r#""http" { url = "127.0.0.1:80" }"#, "http.url: expected http://HOST:PORT"),
        (r#""http" { url = "http://u:p4ss@h" }"#, "http.url: holds a user or a password"),
        (r#""http" { url = "http://h" tls {} }"#, "http.tls: is there, but url does not begin with https"),
        (r#""http" { request {} }"#, "http.request: needs one sign of the role"),
        (
            r#""http" { request { status {} json { role = "/r" } } }"#,
            "http.request: needs one sign of the role",
        ),
        (r#""http" { request { json { role = "r" } } }"#, "json.role: expected a JSON pointer"),
        (r#""http" { request { json { same = ["/r"] } } }"#, "json.same: expected two"),
        (r#""http" { request { status { primary = ["2xx"] } } }"#, "status.primary: expected a number"),
        (r#""http" { request { path = "http://h" } }"#, "request.path: expected a path"),
        (r#""http" { username = "u" }"#, "http.username: only username with password"),
        (r#""http" { token = "u" token_file = "f" }"#, "http.token_file: is set beside token"),
        (r#""exec" {}"#, "exec.command: is needed"),
        (r#""exec" { command = "ls -l" }"#, "exec.command: expected a list of strings"),
        (
            r#""exec" { command = ["x"] exit { primary = ["1"] replica = ["0-2"] } }"#,
            "exit.replica: names a number that means primary too",
        ),
        (r#""stream" { stale_after = "0s" }"#, "stream.stale_after: must be more than zero"),
        (r#""tcp" {}"#, "tcp.address: is needed"),
        (r#""tcp" { address = "h:1" expect {} }"#, "tcp.expect: needs primary or replica"),
        (r#""tcp" { send = "\\q" }"#, "tcp.send: \\q means nothing"),
        (r#""push" { timeout = "1s" }"#, "push.timeout: unknown key"),
        (r#""push" {}"#, "admin.address: is needed: probe \"push\" is told the role there"),
    ] {
        let text = format!("service \"s\" {{ id = \"s\" port = 1 probe {probe} }}");
        let mistakes = load(&text, &[]).unwrap_err();
        assert!(mistakes.contains(wanted), "{probe}: {wanted}\n---\n{mistakes}");
        assert!(!mistakes.contains("p4ss"), "{mistakes}");
    }
}

#[test]
fn an_address_is_written_down_or_searched_for() {
    let service =
        |keys: &str| format!("service \"redis\" {{\n id = \"x\"\n {keys}\n probe \"redis\" {{}}\n}}");
    let found = load(
        &service("address_interface = \"eth0\"\n address_cidr = \"10.0.0.0/8\"\n address_family = \"ipv4\""),
        &[("POD_IP", "10.1.1.1")],
    );
    let shown = found.unwrap().show()["service"][0]["redis"].clone();
    assert_eq!((&shown["address_interface"], &shown["address_cidr"]), (&"eth0".into(), &"10.0.0.0/8".into()));
    assert_eq!((&shown["address_family"], &shown["address"]), (&"ipv4".into(), &serde_json::Value::Null));
    for (keys, wanted) in [
        ("address_cidr = \"10.0.0.0\"", "address_cidr: expected a network such as"),
        ("address_family = \"ip4\"", "address_family: expected \"ipv4\" or \"ipv6\""),
        ("address_interface = \" \"", "address_interface: must not be empty"),
        (
            "address = \"h\"\n address_family = \"ipv4\"",
            "address: is written down, so that it is not searched for",
        ),
        (
            "address_cidr = \"10.0.0.0/8\"\n address_family = \"ipv6\"",
            "address_cidr: is a network of the other family",
        ),
    ] {
        let mistakes = load(&service(keys), &[]).unwrap_err();
        assert!(mistakes.contains(wanted), "{keys}: {mistakes}");
    }
}

#[test]
fn all_mistakes_are_told_together() {
    let text = r#"
service "redis" {
  port = 70000
  address = "0.0.0.0"
  tags = ["master"]
  meta { role = "x" }
  ttl = 10
  ttll = "5s"
  probe "redis" {
    address = "nowhere"
    username = "u"
    max_lag = "1s"
    tls { cert = "/c" }
    sentinel {
      addresses = ["a:1", "a:1"]
      quorum = 0
    }
  }
}
service "other" {
  id = "x"
  probe "mysql" {}
}
service "again" {
  id = "x"
}
"#;
    let mistakes = load(text, &[]).unwrap_err();
    for wanted in [
        "F:3: service.redis.port: ",
        "F:4: service.redis.address: is no address that clients can reach",
        "F:5: service.redis.tags: \"master\" says a role, and is written by rolecall itself",
        "F:6: service.redis.meta: \"role\" is written by rolecall itself",
        "F:7: service.redis.ttl: expected a duration",
        "F:8: service.redis.ttll: unknown key; did you mean ttl?",
        "F:10: service.redis.probe.redis.address: expected HOST:PORT",
        "F:11: service.redis.probe.redis.username: is set without password",
        "F:12: service.redis.probe.redis.max_lag: must be 2s or more",
        "F:13: service.redis.probe.redis.tls.cert: is set without key",
        "F:14: service.redis.probe.redis.sentinel.master: is needed",
        "F:15: service.redis.probe.redis.sentinel.addresses: \"a:1\" is there twice",
        "F:16: service.redis.probe.redis.sentinel.quorum: expected a whole number",
        "F:22: service.other.probe.mysql: there is no probe \"mysql\"; the kinds are redis, http, exec, stream, tcp, file, push, static",
        "F:24: service.again.id: another service block has the id \"x\" too",
        "F:24: service.again.probe: is needed to learn the role",
    ] {
        assert!(mistakes.lines().any(|line| line.starts_with(wanted)), "{wanted}\n---\n{mistakes}");
    }
    assert_eq!(mistakes.lines().count(), 16, "{mistakes}");
    assert!(load("", &[]).unwrap_err().contains("there is no service block"));
}
