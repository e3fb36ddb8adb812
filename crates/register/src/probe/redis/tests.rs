use super::*;
use crate::probe::link::Address;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

#[test]
fn only_the_first_word_of_a_role_counts() {
    for (bytes, seen) in [
        // Redis, Valkey and KeyDB; then Dragonfly, which tells a master's replicas by address, port and state.
        ("*3\r\n$6\r\nmaster\r\n:79\r\n*0\r\n", Ok(Role::Master)),
        (
            "*2\r\n$6\r\nmaster\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n7002\r\n$11\r\nstable_sync\r\n",
            Ok(Role::Master),
        ),
        ("*2\r\n$6\r\nmaster\r\n*0\r\n", Ok(Role::Master)),
        ("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$7\r\nconnect\r\n:-1\r\n", Ok(Role::Replica)),
        ("*4\r\n$7\r\nreplica\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n$9\r\nfull_sync\r\n", Ok(Role::Replica)),
        ("*1\r\n+replica\r\n", Ok(Role::Replica)),
        // KeyDB with one peer, and with two.
        ("*5\r\n$14\r\nactive-replica\r\n$2\r\nh1\r\n:6379\r\n$9\r\nconnected\r\n:5\r\n", Ok(Role::Master)),
        (
            "*2\r\n*5\r\n$14\r\nactive-replica\r\n$2\r\nh1\r\n:6379\r\n$9\r\nconnected\r\n:5\r\n\
             *5\r\n$14\r\nactive-replica\r\n$2\r\nh2\r\n:6379\r\n$7\r\nconnect\r\n:-1\r\n",
            Ok(Role::Master),
        ),
        ("*2\r\n$8\r\nsentinel\r\n*1\r\n$8\r\nmymaster\r\n", Err(Strange::Sentinel)),
    ] {
        let read = role(&redis::parse_redis_value(bytes.as_bytes()).unwrap());
        assert_eq!(read.map(|(role, _)| role), seen, "{bytes:?}");
    }
    for bytes in ["+OK\r\n", "*0\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n"] {
        assert!(matches!(role(&redis::parse_redis_value(bytes.as_bytes()).unwrap()), Err(Strange::Other(_))));
    }
}

#[test]
fn a_replica_tells_its_link() {
    for (bytes, seen) in [
        ("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$7\r\nconnect\r\n:-1\r\n", Some(LinkState::Down)),
        ("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$9\r\nconnected\r\n:79\r\n", Some(LinkState::Up)),
        ("*4\r\n$7\r\nreplica\r\n$1\r\nh\r\n$4\r\n7001\r\n$9\r\nfull_sync\r\n", Some(LinkState::Sync)),
        ("*3\r\n$6\r\nmaster\r\n:79\r\n*0\r\n", None),
        ("*1\r\n+replica\r\n", None),
        ("+OK\r\n", None),
    ] {
        assert_eq!(link(&redis::parse_redis_value(bytes.as_bytes()).unwrap()), seen, "{bytes:?}");
    }
}

#[test]
fn a_server_may_tell_its_run_or_not() {
    let redis = "# Server\r\nredis_version:7.2.5\r\nserver_name:valkey\r\nrun_id:5f0c\r\ntcp_port:6379\r\n";
    let dragonfly = "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.27\r\ntcp_port:6379\r\n";
    for (info, run_id) in [(redis, Some("5f0c")), (dragonfly, None), ("run_id:\r\n", None), ("", None)] {
        assert_eq!(named_run(info).as_deref(), run_id, "{info}");
    }
}

/// A Redis whose connections each end as told: the words for `ROLE`, one for each time it is asked, and whether the
/// connection ends at the next `INFO` then.
async fn server(scripts: Vec<(Vec<&'static str>, bool)>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for (roles, ends) in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut roles = roles.into_iter();
            'connection: loop {
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
                for command in asked.split('*').skip(1) {
                    let info = |text: &str| format!("${}\r\n{text}\r\n", text.len());
                    let answer = match command {
                        _ if command.contains("HELLO") => "%1\r\n+proto\r\n:3\r\n".into(),
                        _ if command.contains("ROLE") => roles.next().unwrap().into(),
                        _ if ends && roles.len() == 0 => break 'connection,
                        _ if command.contains("replication") => info("role:slave\r\nmaster_replid:77"),
                        _ => info("run_id:5f0c"),
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    });
    Address::Tcp("127.0.0.1".into(), port)
}

#[tokio::test]
async fn a_connection_that_ends_within_a_look_denies_nothing() {
    const MASTER: &str = "*3\r\n$6\r\nmaster\r\n:79\r\n*0\r\n";
    const LINKED: &str = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$9\r\nconnected\r\n:79\r\n";
    const LOOSE: &str = "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7001\r\n$7\r\nconnect\r\n:79\r\n";
    let address = server(vec![(vec![LINKED, LOOSE], true), (vec![MASTER], false)]).await;
    let link = Link { address, username: None, password: None, password_file: None, tls: None };
    let mut probe = RedisProbe::new(link, Duration::from_secs(60), None);
    let first = probe.look().await.unwrap();
    assert_eq!((first.role, first.replication.replid.as_deref()), (Role::Replica, Some("77")));
    // Sentinel closes the connections of one that it promotes: what it was a moment ago is not said any more.
    let second = probe.look().await.unwrap();
    assert_eq!((second.role, second.life.run_id.as_deref()), (Role::Master, Some("5f0c")));
}
