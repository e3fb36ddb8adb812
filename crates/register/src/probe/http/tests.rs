use super::{answer::Sign, *};
use crate::probe::{codes::tests::codes, tcp::tests::nobody};
use consul::Role;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const LONG: Duration = Duration::from_secs(20);

/// A small server that answers by path, and remembers what it was asked.
async fn server(answers: &[(&'static str, u16, &'static str)]) -> (Url, Arc<Mutex<Vec<String>>>) {
    // As the program does when it begins.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let answers: BTreeMap<_, _> = answers.iter().map(|(path, code, body)| (*path, (*code, *body))).collect();
    let heard = Arc::new(Mutex::new(vec![]));
    let hearing = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            hearing.lock().unwrap().push(text);
            let (code, body) = answers.get(path.as_str()).copied().unwrap_or((404, "no such page"));
            let head =
                format!("HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
    });
    (url, heard)
}

/// A server that answers the first request of each connection, and closes it over the second.
async fn forgetful() -> Url {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.read(&mut request).await;
            }
        }
    });
    url
}

fn get(path: &str, sign: Sign, epoch: Option<&str>) -> Ask {
    let reading = Reading { sign, epoch: epoch.map(str::to_owned) };
    Ask { method: Method::GET, path: path.into(), body: None, reading }
}

fn only(primary: &[&str], replica: &[&str]) -> Sign {
    Sign::Status(codes(primary, replica))
}

fn probe(base: Url, requests: Vec<Ask>) -> HttpProbe {
    let config = HttpConfig { base, tls: None, headers: vec![], login: Login::None, requests };
    HttpProbe::new(config, LONG)
}

fn patroni() -> Vec<Ask> {
    vec![get("/primary", only(&["200"], &[]), Some("/timeline")), get("/replica", only(&[], &["200"]), None)]
}

#[tokio::test]
async fn the_first_request_that_shows_a_role_wins() {
    let body = r#"{"role": "primary", "timeline": 4}"#;
    for (answers, seen, asked) in [
        ([("/primary", 200, body), ("/replica", 503, body)], Ok((Role::Master, Some(4))), 1),
        ([("/primary", 503, body), ("/replica", 200, body)], Ok((Role::Replica, None)), 2),
        (
            [("/primary", 503, body), ("/replica", 503, body)],
            Err("shows no role: GET /primary is answered with 503, GET /replica is answered with 503"),
            2,
        ),
        ([("/primary", 200, "{}"), ("/replica", 200, body)], Err("there is nothing at /timeline"), 1),
    ] {
        let (url, heard) = server(&answers).await;
        let look = probe(url, patroni()).look().await;
        match (look, &seen) {
            (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{why}"),
            (look, seen) => assert_eq!(look.ok().map(|l| (l.role, l.epoch)).as_ref(), seen.as_ref().ok()),
        }
        assert_eq!(heard.lock().unwrap().len(), asked);
    }
}

#[tokio::test]
async fn a_request_carries_what_is_configured() {
    let (base, heard) = server(&[("/db/v3/status?x=1", 200, r#"{"leader": 7, "me": 7}"#)]).await;
    let base = base.join("/db/").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "t0ken\n").unwrap();
    let sign = Sign::Same("/leader".into(), "/me".into());
    let ask = Ask { method: Method::POST, body: Some("{}".into()), ..get("v3/status?x=1", sign, None) };
    for (login, sent) in [
        (Login::Bearer(Proof::File(file)), "authorization: Bearer t0ken"),
        (Login::Basic("u".into(), Proof::Here(Secret::new("p"))), "authorization: Basic dTpw"),
        (Login::None, "x-shop: 7"),
    ] {
        let headers = vec![(HeaderName::from_static("x-shop"), Secret::new("7"))];
        let config =
            HttpConfig { base: base.clone(), tls: None, headers, login, requests: vec![ask.clone()] };
        assert!(!format!("{config:?}").contains("\"p\""));
        let look = HttpProbe::new(config, LONG).look().await.unwrap();
        assert_eq!((look.role, look.epoch), (Role::Master, None));
        let asked = heard.lock().unwrap().pop().unwrap();
        assert!(asked.starts_with("POST /db/v3/status?x=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(sent) && asked.contains("x-shop: 7"), "{asked}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let deaf = nobody();
    let base = Url::parse(&format!("http://{}", deaf.local_addr().unwrap())).unwrap();
    let why = probe(base.clone(), patroni()).look().await.unwrap_err().to_string();
    assert!(why.starts_with(&format!("{base} cannot be asked: ")) && why.contains("refused"), "{why}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
    let mut slow = HttpProbe { limit: Duration::from_millis(30), ..probe(base.clone(), patroni()) };
    assert_eq!(slow.look().await.unwrap_err().to_string(), format!("{base} did not answer within 30ms"));
}

#[tokio::test]
async fn a_kept_connection_that_is_closed_says_nothing_against_the_server() {
    let mut probe = probe(forgetful().await, vec![get("/", only(&["200"], &[]), None)]);
    for look in 1..=4 {
        let seen = probe.look().await.map(|look| look.role);
        assert_eq!(seen.map_err(|error| error.to_string()), Ok(Role::Master), "look {look}");
    }
}

#[tokio::test]
async fn what_follows_a_question_mark_is_not_told() {
    let (mut url, _) = server(&[]).await;
    url.set_query(Some("token=secret"));
    let mut probe = probe(url, vec![get("/role?key=secret", only(&["200"], &[]), None)]);
    let why = probe.look().await.unwrap_err().to_string();
    assert!(why.ends_with("/ shows no role: GET /role is answered with 404"), "{why}");
}
