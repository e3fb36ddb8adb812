//! Two machines and the wire between them, in network namespaces: the wire can be cut, and both sides live on.
//!
//! A story that needs them runs itself again where it may make networks; no root is needed, but a kernel that lets
//! plain users have namespaces.

use std::{
    env,
    net::Ipv4Addr,
    process::{Command, Output},
    time::Duration,
};

use crate::{Outcome, Recipe, Trouble, binary, when};

/// Set where networks may be made.
const APART: &str = "ROLECALL_APART";
/// Ends with whoever started it, with everything in it.
const ALONE: [&str; 8] =
    ["--user", "--map-root-user", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"];
const REMEDY: &str = "this story needs network namespaces of its own. Allow them to plain users (sysctl \
    kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above \
    0), or run the tests as root; in a container, give it CAP_SYS_ADMIN (docker run --privileged)";
const LIMIT: Duration = Duration::from_secs(600);
/// A card that nobody has: what is sent to it is lost without a word.
const NOBODY: &str = "02:00:00:00:00:99";
const FAR: &str = "far";

/// Where a part runs, and how others reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its address on the wire.
    pub address: Ipv4Addr,
    /// Where the story reaches it, also when the wire is cut.
    pub side: Ipv4Addr,
    namespace: Option<&'static str>,
}

impl Host {
    /// This machine's loopback, where most stories live.
    pub const LOOPBACK: Host =
        Host { address: Ipv4Addr::LOCALHOST, side: Ipv4Addr::LOCALHOST, namespace: None };
    /// The story's own side of the wire.
    pub const NEAR: Host = Host { address: Ipv4Addr::new(10, 77, 0, 1), ..Host::LOOPBACK };
    /// The other side.
    pub const FAR: Host = Host {
        address: Ipv4Addr::new(10, 77, 0, 2),
        side: Ipv4Addr::new(10, 78, 0, 2),
        namespace: Some(FAR),
    };

    /// All addresses that a server there listens on; the first is the one that others know.
    pub fn addresses(self) -> Vec<Ipv4Addr> {
        let mut all = vec![self.address];
        all.extend([self.side, Ipv4Addr::LOCALHOST].into_iter().filter(|one| *one != self.address));
        all.dedup();
        all
    }

    /// The recipe, followed there.
    pub fn runs(self, recipe: Recipe) -> Recipe {
        let Some(namespace) = self.namespace else { return recipe };
        let mut arguments = vec!["netns".into(), "exec".into(), namespace.into(), recipe.program];
        arguments.extend(recipe.arguments);
        Recipe { program: "ip".into(), arguments, ..recipe }
    }
}

/// The wire. It goes with the namespaces, when the story ends.
#[derive(Debug)]
pub struct Wire;

impl Wire {
    /// Lays it. `None`: the story was told elsewhere, and went well. `story` is its full name, `file::function`.
    pub async fn lay(story: &str) -> Outcome<Option<Wire>> {
        if env::var_os(APART).is_none() {
            tell_apart(story).await?;
            return Ok(None);
        }
        run("mount", &["-t", "tmpfs", "none", "/run"])?;
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["netns", "add", FAR])?;
        run("ip", &["-n", FAR, "link", "set", "lo", "up"])?;
        for (name, network) in [("wire", "10.77.0"), ("side", "10.78.0")] {
            run("ip", &["link", "add", name, "type", "veth", "peer", "name", name, "netns", FAR])?;
            for (number, at) in [("1", &[][..]), ("2", &["-n", FAR][..])] {
                let own = format!("{network}.{number}/24");
                run("ip", &[at, &["address", "add", &own, "dev", name]].concat())?;
                run("ip", &[at, &["link", "set", name, "up"]].concat())?;
            }
        }
        Ok(Some(Wire))
    }

    /// From now on each side's packets get lost.
    pub fn cut(&self) -> Outcome {
        let to = |host: Host| host.address.to_string();
        let lose = ["lladdr", NOBODY, "dev", "wire", "nud", "permanent"];
        run("ip", &[&["neigh", "replace", &to(Host::FAR)], &lose[..]].concat())?;
        run("ip", &[&["-n", FAR, "neigh", "replace", &to(Host::NEAR)], &lose[..]].concat())
    }

    /// And from now on they arrive again.
    pub fn mend(&self) -> Outcome {
        run("ip", &["neigh", "del", &Host::FAR.address.to_string(), "dev", "wire"])?;
        run("ip", &["-n", FAR, "neigh", "del", &Host::NEAR.address.to_string(), "dev", "wire"])
    }
}

/// Runs one story of this very executable in namespaces of its own.
async fn tell_apart(story: &str) -> Outcome {
    let probe = output("unshare", &[&ALONE[..], &["true"]].concat())?;
    when(probe.status.success(), || {
        format!("{REMEDY}. unshare says: {}", String::from_utf8_lossy(&probe.stderr).trim())
    })?;
    let home = tempfile::tempdir()?;
    let (program, binary) = (env::current_exe()?, binary()?);
    let tell = [program.as_os_str(), "--exact".as_ref(), story.as_ref(), "--nocapture".as_ref()];
    let arguments = ALONE.iter().map(AsRef::as_ref).chain(tell);
    let mut recipe = Recipe::new("story", "unshare", home.path(), arguments);
    recipe.environment = vec![
        (APART.into(), "1".into()),
        ("ROLECALL_BINARY".into(), binary.display().to_string()),
        ("TMPDIR".into(), env::temp_dir().display().to_string()),
    ];
    let mut told = recipe.start()?;
    let ended = told.end(LIMIT).await?;
    // A name that fits no story is told with success, too.
    let log = told.log();
    eprintln!("{log}");
    when(ended.success() && log.contains("1 passed"), || format!("{story}, in namespaces of its own:\n{log}"))
}

fn run(program: &str, arguments: &[&str]) -> Outcome {
    let output = output(program, arguments)?;
    let said = || format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    when(output.status.success(), said)
}

fn output(program: &str, arguments: &[&str]) -> Outcome<Output> {
    let output = Command::new(crate::found(program.as_ref())?).args(arguments).output();
    output.map_err(|e| Trouble::from(e).during(program))
}
