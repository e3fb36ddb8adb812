//! The HTTP template: requests are routed by the map, and followed without a reload where HAProxy can.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Outcome, PATIENCE, Port, Scene, Scripted, until, when};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Front, Node, Shipped, entry};

/// Who answers a request for this host: the status, and the node's name.
async fn asked(port: &Port, host: &str, cookie: &str) -> Outcome<(u16, String, String)> {
    let mut stream = TcpStream::connect(port.address()).await?;
    let request =
        format!("GET /who HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let given =
        answer.lines().find_map(|line| line.to_lowercase().strip_prefix("set-cookie: ").map(str::to_owned));
    let (_, name) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status, name.to_owned(), given.unwrap_or_default()))
}

/// Consul's answers: the nodes of `web` and of `api`, and the hosts with their services.
fn says(index: u64, port: u16, [web, api]: [&[&Node]; 2], routes: &[(&str, &str)]) -> Scene {
    let rows =
        |nodes: &[&Node]| Value::from_iter(nodes.iter().map(|node| entry(node, port, "x", &json!({}))));
    let pair = |(host, service): &(&str, &str)| {
        let value = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, service);
        json!({ "Key": format!("http/routes/{host}"), "Value": value, "Flags": 0 })
    };
    let routes = Value::from_iter(routes.iter().map(pair));
    let bodies =
        [("health/service/web", rows(web)), ("health/service/api", rows(api)), ("kv/http/routes", routes)];
    let bodies: BTreeMap<String, String> = bodies.map(|(path, body)| (path.into(), body.to_string())).into();
    Scene::Changing { index, bodies }
}

async fn leads(front: &Front, host: &str, to: Option<&Node>) -> Outcome {
    let expected = to.map_or((404, String::new()), |node| (200, node.address.to_string()));
    let leads = until(format!("{host} to lead to {expected:?}"), PATIENCE, async || {
        let (status, name, _) = asked(&front.write, host, "").await?;
        when(status == expected.0 && (to.is_none() || name == expected.1), || format!("{status} {name}"))
    });
    front.render.part.explain(leads.await)
}

fn shipped<'a>(more: &'a [(&'a str, String)]) -> Shipped<'a> {
    let map = Some(("http-routes.map.hbs", "ROLECALL_ROUTES_MAP"));
    Shipped { template: "haproxy-http.cfg.hbs", map, more, ..Shipped::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_routed_by_the_map() -> Outcome {
    let port = Port::lease()?;
    let at = async |number| Node::start(number, port.number(), 200).await;
    let (one, two, three) = (at(2).await?, at(3).await?, at(4).await?);
    let number = port.number();
    let routes = [("www.example.com", "web"), ("api.example.com", "api"), ("gone.example.com", "gone")];
    let consul = Scripted::start(says(1, number, [&[&one], &[&two]], &routes)).await?;
    let more = [("ROLECALL_SERVICES", "web,api".to_owned())];
    let front = Front::with(consul.address(), shipped(&more)).await?;
    let worker = front.worker().await?;
    leads(&front, "www.example.com", Some(&one)).await?;
    leads(&front, "API.example.com:8080", Some(&two)).await?;
    for host in ["example.com", "www.example.com.evil", "gone.example.com", "no-route"] {
        leads(&front, host, None).await?;
    }
    // Another host, and one that moves.
    consul.play(says(
        2,
        number,
        [&[&one], &[&two]],
        &[("www.example.com", "api"), ("new.example.com", "web")],
    ));
    leads(&front, "www.example.com", Some(&two)).await?;
    leads(&front, "new.example.com", Some(&one)).await?;
    leads(&front, "api.example.com", None).await?;
    assert_eq!(front.worker().await?, worker, "a map took a reload");

    // Other servers: HAProxy 3.0 and later are told of them.
    consul.play(says(
        3,
        number,
        [&[&one], &[&three]],
        &[("www.example.com", "api"), ("new.example.com", "web")],
    ));
    leads(&front, "www.example.com", Some(&three)).await?;
    let told = front
        .says("show info")
        .await?
        .lines()
        .any(|line| line.starts_with("Version: ") && !line.contains(" 2."));
    assert_eq!(front.worker().await? == worker, told, "{:#}", front.render.status().await?);
    // Their own word counts.
    three.is(503);
    let out = until("an unhealthy server to be left out", PATIENCE, async || {
        let (status, ..) = asked(&front.write, "www.example.com", "").await?;
        when(status == 503, || status.to_string())
    });
    front.render.part.explain(out.await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_keeps_a_client_with_its_server() -> Outcome {
    let port = Port::lease()?;
    let at = async |number| Node::start(number, port.number(), 200).await;
    let (one, two, three) = (at(2).await?, at(3).await?, at(4).await?);
    let (number, routes) = (port.number(), [("www.example.com", "web")]);
    let consul = Scripted::start(says(1, number, [&[&one, &two], &[]], &routes)).await?;
    let more = [("ROLECALL_STICKY", "cookie".into()), ("ROLECALL_COOKIE_KEY", "a-long-word".to_owned())];
    let front = Front::with(consul.address(), shipped(&more)).await?;
    let ask = async |cookie: &str| asked(&front.write, "www.example.com", cookie).await;
    let (_, first, given) = ask("").await?;
    let cookie = given.split(';').next().unwrap_or_default().to_uppercase().replacen("SERVER=", "", 1);
    assert!(!cookie.is_empty(), "{given:?}");
    let cookie = format!("SERVER={}", cookie.to_lowercase());
    let stays = async || -> Outcome {
        for _ in 0..6 {
            assert_eq!(ask(&cookie).await?.1, first);
        }
        Ok(())
    };
    stays().await?;
    // Another server comes; by the same cookie the client is still known.
    consul.play(says(2, number, [&[&one, &two, &three], &[]], &routes));
    let seen = until("the new server to answer", PATIENCE, async || {
        let (_, name, _) = ask("").await?;
        when(name == three.address.to_string(), || name.clone())
    });
    front.render.part.explain(seen.await)?;
    stays().await?;
    // Its own server leaves: another one answers, and says so.
    let (left, stay) = if first == one.address.to_string() { (&one, &two) } else { (&two, &one) };
    consul.play(says(3, number, [&[stay, &three], &[]], &routes));
    let moved = until("the client to move", PATIENCE, async || {
        let (status, name, given) = ask(&cookie).await?;
        when(status == 200 && name != left.address.to_string() && !given.is_empty(), || {
            format!("{status} {name}")
        })
    });
    front.render.part.explain(moved.await)
}
