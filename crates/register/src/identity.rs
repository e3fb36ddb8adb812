//! Who and where this instance is: pod variables, host name, and the local address that routes to Consul.

use crate::address::{Local, Wanted, choose};
use config::Environment;
use consul::instance::meta;
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::timeout,
};

const NAME_LIMIT: Duration = Duration::from_secs(5);

/// A variable that is set to something.
#[must_use]
pub fn set<'a>(env: &'a Environment, name: &str) -> Option<&'a str> {
    env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// What tells this instance from its siblings: the pod's name, else the host's.
#[must_use]
pub fn own_name(env: &Environment) -> Option<String> {
    set(env, "POD_NAME").map(str::to_owned).or_else(|| host_name(env))
}

/// The host's name, from the environment or the kernel.
#[must_use]
pub fn host_name(env: &Environment) -> Option<String> {
    let told = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = set(env, "HOSTNAME").map(str::to_owned).or_else(told)?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What Meta says of the place: those of pod, its UID, namespace and node that are known, and who writes it.
#[must_use]
pub fn place(env: &Environment) -> BTreeMap<String, String> {
    let known = |name| set(env, name).map(str::to_owned);
    let facts = [
        (meta::POD, known("POD_NAME")),
        (meta::POD_UID, known("POD_UID")),
        (meta::NAMESPACE, known("POD_NAMESPACE")),
        (
            meta::NODE,
            known("NODE_NAME").or_else(|| known("POD_NAME").is_none().then(|| host_name(env)).flatten()),
        ),
        (meta::REGISTRAR, Some(format!("rolecall/{}", env!("CARGO_PKG_VERSION")))),
    ];
    facts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// The local address from which packets to `url` would be sent. Nothing is sent.
pub async fn route_to(url: &str) -> io::Result<IpAddr> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or(authority);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let nowhere = || io::Error::new(io::ErrorKind::NotFound, format!("{target} has no address"));
    let there: SocketAddr = lookup_host(&target).await?.next().ok_or_else(nowhere)?;
    let any: IpAddr =
        if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(there).await?;
    Ok(socket.local_addr()?.ip())
}

/// The address that clients are told, where it is not written down; the present one as long as it is right.
pub async fn find(wanted: &Wanted, consul: &str, present: Option<IpAddr>) -> Result<IpAddr, String> {
    if wanted.is_anything() {
        // A name server that does not answer must not hold this up for ever.
        let found = timeout(NAME_LIMIT, route_to(consul)).await;
        let found = found.unwrap_or_else(|slow| Err(slow.into()));
        return found
            .map_err(|error| format!("no local address routes to Consul at {consul}: {error}; set address"));
    }
    let all = if_addrs::get_if_addrs()
        .map_err(|error| format!("this machine's addresses cannot be read: {error}"))?;
    let up = all.into_iter().filter(if_addrs::Interface::is_oper_up);
    let all: Vec<Local> = up.map(|one| Local { ip: one.ip(), interface: one.name }).collect();
    choose(&all, wanted, present)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_pod_is_named_before_its_host() {
        let pod = env(&[("POD_NAME", "redis-0"), ("HOSTNAME", "h"), ("POD_UID", "u"), ("NODE_NAME", "n1")]);
        assert_eq!(own_name(&pod).as_deref(), Some("redis-0"));
        let facts = place(&pod);
        assert_eq!(
            (facts["pod"].as_str(), facts["pod_uid"].as_str(), facts["node"].as_str()),
            ("redis-0", "u", "n1")
        );
        assert!(!facts.contains_key("namespace"), "what is not known is not said");
        let vm = env(&[("HOSTNAME", "vm1"), ("POD_NAME", "")]);
        assert_eq!(own_name(&vm).as_deref(), Some("vm1"));
        assert_eq!(place(&vm)["node"], "vm1");
    }

    #[tokio::test]
    async fn this_machine_has_the_addresses_that_it_says() {
        let wanted = Wanted { network: "127.0.0.0/8".parse().ok(), ..Wanted::default() };
        let found = find(&wanted, "", None).await;
        assert_eq!(found, Ok(Ipv4Addr::LOCALHOST.into()));
        let nowhere = Wanted { interface: Some("no-such-0".into()), ..Wanted::default() };
        let why = find(&nowhere, "", None).await.unwrap_err();
        assert!(why.contains("no address of interface no-such-0; it has lo 127.0.0.1"), "{why}");
    }

    #[tokio::test]
    async fn loopback_routes_over_loopback() {
        for url in ["http://127.0.0.1:8500", "http://127.0.0.1", "https://127.0.0.1:8501/proxy"] {
            assert_eq!(route_to(url).await.unwrap(), IpAddr::from(Ipv4Addr::LOCALHOST), "{url}");
        }
    }
}
