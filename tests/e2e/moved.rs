//! A machine whose address changes: the entry follows, and nobody ever sees it missing or failing.

use std::process::Command;

use serde_json::json;
use tests::{
    Outcome, PATIENCE, Part, Recipe, Trouble, binary,
    consul::{Access, Agent},
    stack::SERVICE,
    until, when,
};
use tokio::time::timeout;

/// `ip addr …` in the network that this program alone has.
fn change(register: &Part, what: &[&str]) -> Outcome {
    let pid = register.pid().to_string();
    let mut change = Command::new("nsenter");
    change.args(["--preserve-credentials", "--user", "--net", "--target", &pid, "ip", "addr"]);
    let done = change.args(what).args(["dev", "lo"]).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output()?;
    when(done.status.success(), || String::from_utf8_lossy(&done.stderr).into_owned())
}

/// Where clients are sent, by the catalog, which shows the entry all the time.
async fn told(server: &Agent, address: &str) -> Outcome {
    let mut index = 0;
    let follow = async {
        loop {
            let (entries, next) = server.entries_after(SERVICE, index).await?;
            index = next;
            when(entries.len() == 1 && entries[0].passing, || format!("{entries:?}"))?;
            let rows = server.get(&format!("health/service/{SERVICE}")).await?;
            if rows[0]["Service"]["Address"] == address {
                return Ok(());
            }
        }
    };
    timeout(PATIENCE, follow).await.unwrap_or_else(|_| Err(Trouble::new(format!("{address} was not told"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entry_follows_the_address() -> Outcome {
    let directory = tempfile::tempdir()?;
    let home = directory.path();
    let server = Agent::server(home, Access::Open)?;
    let socket = home.join("consul.sock");
    let http = format!("127.0.0.1 unix://{}", socket.display());
    let own = json!({ "addresses": { "http": http } });
    let agent = Agent::client_as("consul-client", home, &server, Access::Open, own)?;
    tokio::try_join!(server.ready(), agent.ready())?;
    let config = format!(
        "consul {{\n  address = \"unix://{}\"\n}}\nservice \"{SERVICE}\" {{\n  id = \"redis-0\"\n  port = 6379\n  \
         address_interface = \"lo\"\n  address_cidr = \"10.9.0.0/16\"\n  probe \"static\" {{\n    \
         role = \"replica\"\n  }}\n}}\n",
        socket.display()
    );
    let file = home.join("register.hcl");
    std::fs::write(&file, config)?;
    let script = format!(
        "set -e; PATH=$PATH:/usr/sbin:/sbin; ip link set lo up; ip addr add 10.9.8.1/32 dev lo; exec {} register -c {}",
        binary()?.display(),
        file.display()
    );
    // A network of its own, where the program's user may change addresses; Consul is reached over its socket.
    let arguments = ["--user", "--map-root-user", "--net", "sh", "-c", &script];
    let register = Recipe::new("register", "unshare", home, arguments).start()?;
    let there = until("the first address", PATIENCE, async || {
        let entries = server.entries(SERVICE).await?;
        when(entries.iter().any(|entry| entry.passing), || format!("{entries:?}"))
    });
    register.explain(there.await)?;
    register.explain(told(&server, "10.9.8.1").await)?;

    change(&register, &["add", "10.9.8.2/32"])?;
    change(&register, &["del", "10.9.8.1/32"])?;
    register.explain(told(&server, "10.9.8.2").await)?;

    // Without any, the last one stays until there is another.
    change(&register, &["del", "10.9.8.2/32"])?;
    let missed = until("it to miss the address", PATIENCE, async || {
        when(register.log().contains("this machine has no address of interface lo in 10.9.0.0/16"), || {
            register.tail()
        })
    });
    missed.await?;
    told(&server, "10.9.8.2").await?;
    change(&register, &["add", "10.9.7.3/32"])?;
    register.explain(told(&server, "10.9.7.3").await)
}
