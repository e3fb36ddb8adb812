use super::*;
use serde_json::json;

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";

fn status() -> Value {
    serde_json::from_str(include_str!("status.json")).unwrap()
}

/// What a reader sees: tags are gone, cells stay apart.
fn read(page: &str) -> String {
    let mut words = String::new();
    for piece in page.split('<') {
        words += " ";
        words += piece.split_once('>').map_or(piece, |(_, text)| text);
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn people_see_roles_servers_and_changes() {
    let words = read(&page(&status()));
    for what in [
        "rolecall render ready 0.1.0 · process 7 · Consul at http://127.0.0.1:8500",
        "What blocks Nothing.",
        "redis redis-1 primary 7 of generation 1 passing [fd00::2]:6379 n2",
        "redis redis-2 primary, not believed 6 of generation 1 critical 10.0.0.3:6379 n3",
        "redis redis-0 replica passing 10.0.0.1:6379 n1",
        "web: no instance",
        "/run/haproxy.cfg applied from a.hbs",
        "by orders 2 reloads 1",
        "HAProxy blue applied by orders 2 reloads 1 failed reloads 0 version 2.6.12 worker 42",
        "HAProxy green applied by orders 0 reloads 0 failed reloads 0 version 3.2.26 worker 43 reloads seen 0 old workers 1 leaving servers 3",
        "out/b 10.0.0.2:6379 10.0.0.9:6379 weight 5 maint differs",
        "out/a 10.0.0.1:6379 10.0.0.1:6379 same",
        "out/c not there 10.0.0.3:6379 maint leaving",
        "2026-09-21 14:13:21.000 by orders 1.8 ms orders 1.2 ms, then check 30 ms",
        "2026-09-21 14:13:20.123 by a reload in blue 140 ms check 30 ms, reload 107 ms, 4 old sessions cut",
        "1 frontend f: bind",
        "evaluated (UTC) 2026-09-21 14:13:23.000 changed (UTC) 2026-09-21 14:13:22.000 times evaluated 9",
        "health/service/redis?passing=1 42 3 s ago 2026-09-21 14:13:20.123 2026-09-21 14:13:20.123 it was away",
    ] {
        assert!(words.contains(what), "{what}\n{words}");
    }
    let place = |what: &str| words.find(what).unwrap();
    assert!(place("redis-1") < place("redis-2") && place("redis-2") < place("redis-0"), "masters come first");
    assert!(place("out/b") < place("out/a"), "what differs comes first");
    assert!(place("21.000") < place("20.123"), "the newest change comes first");
}

#[test]
fn all_that_blocks_is_told() {
    for (path, value, told) in [
        ("/ready/awaited", json!(["first text"]), "ready waits for first text"),
        (
            "/queries/0/trouble",
            json!("Consul answered 500"),
            "health/service/redis?passing=1 Consul answered 500",
        ),
        ("/templates/0/missing", json!(["kv/a"]), "/run/haproxy.cfg waits for kv/a"),
        ("/templates/0/error", json!("no room"), "/run/haproxy.cfg no room"),
        ("/templates/0/warnings", json!(["two masters"]), "/run/haproxy.cfg two masters"),
        ("/templates/0/held_back", json!("no server left"), "/run/haproxy.cfg no server left"),
        (
            "/templates/0/haproxies/1/drift",
            json!(["b runs"]),
            "/run/haproxy.cfg green: ran otherwise than the file says: b runs",
        ),
        (
            "/templates/0/haproxies/0/reload_needed",
            json!("bind"),
            "blue: somebody has to reload HAProxy: bind",
        ),
        (
            "/templates/0/haproxies/1/processes/trouble",
            json!("it hangs"),
            "green: HAProxy cannot be looked at: it hangs",
        ),
        ("/templates/0/haproxies/1/error", json!("it fails"), "green: it fails"),
        ("/templates/0/haproxies/0/state", json!("pending"), "blue: the newest text is on its way"),
        (
            "/templates/0/haproxies/0",
            json!({"name": "blue", "state": "pending", "processes": {"running": false}}),
            "blue: written; HAProxy does not run",
        ),
    ] {
        let mut status = status();
        *status.pointer_mut(path).unwrap() = value;
        let words = read(&page(&status));
        assert!(words.contains(told), "{told}\n{words}");
        assert!(!words.contains("Nothing."), "{path}");
    }
}

/// Each text of the status, whatever it is, stays a text.
#[test]
fn no_name_becomes_code() {
    fn poison(value: &mut Value) {
        match value {
            Value::String(text) => *text = HOSTILE.into(),
            Value::Array(all) => all.iter_mut().for_each(poison),
            Value::Object(all) => all.values_mut().for_each(poison),
            Value::Null => *value = HOSTILE.into(),
            _ => {}
        }
    }
    let mut status = status();
    poison(&mut status);
    let page = page(&status);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    let tags = page.split('<').skip(1).map(|piece| piece.split('>').next().unwrap());
    for tag in tags {
        let attributes = tag.split_once(' ').map_or("", |(_, rest)| rest);
        assert!(
            ["", "class=", "data-is="]
                .iter()
                .any(|known| attributes.starts_with(known) && (known.is_empty() == attributes.is_empty())),
            "{tag}"
        );
    }
}

#[test]
fn haproxies_are_shown_as_they_come() {
    let mut status = status();
    status["templates"][0]["haproxies"].as_array_mut().unwrap().pop();
    // One that has no name is the only one, and needs none.
    status["templates"][0]["haproxies"][0]["name"] = json!("");
    status["templates"][0]["haproxies"][0]["drift"] = json!(["b runs"]);
    let words = read(&page(&status));
    assert!(words.contains("times evaluated 9 HAProxy version 2.6.12"), "{words}");
    assert!(words.contains("/run/haproxy.cfg ran otherwise than the file says: b runs"), "{words}");
    status["templates"][0]["haproxies"][0]["processes"] = json!({"running": false, "servers": []});
    let page_of_none = page(&status);
    assert!(!page_of_none.contains("HAProxy runs"), "{page_of_none}");
    assert!(read(&page_of_none).contains("times evaluated 9 HAProxy does not run"), "{page_of_none}");
    status["templates"][0]["haproxies"] = json!([]);
    assert!(!page(&status).contains("<h3>HAProxy"));
    assert!(read(&page(&Value::Null)).contains("not ready"));
}
