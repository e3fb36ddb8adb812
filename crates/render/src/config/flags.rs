//! consul-template's flags: each gives a key of the configuration, over what files say. One table makes the help, the
//! reading and the documentation.

use config::{Environment, Mistakes, Place, Section, Setting, parse};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `true` or `false`; `true` when nothing is given.
    Bool,
    /// A whole number.
    Number,
    /// Any text, such as a path or a duration.
    Text,
    /// A text, and more of them when it is repeated.
    Texts,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// The dotted key that it gives.
    pub key: &'static str,
    /// A line for people.
    pub help: &'static str,
}

const fn flag(name: &'static str, takes: Takes, key: &'static str, help: &'static str) -> Flag {
    Flag { name, takes, key, help }
}

use Takes::{Bool, Number, Text, Texts};

/// All flags that stand for a key, but for those that `register` has too.
pub const FLAGS: &[Flag] = &[
    flag("once", Bool, "once", "Render each template once, then end"),
    flag("wait", Text, "wait", "Wait for quiet: MIN[:MAX], such as 5s:10s"),
    flag("exit-on-error", Bool, "exit_on_error", "End the process on any failure, as consul-template does"),
    flag("template-error-fatal", Bool, "template_error_fatal", "End the process when a template fails"),
    flag(
        "max-stale",
        Text,
        "max_stale",
        "How old an answer may be that is given without the leader; 0s asks the leader",
    ),
    flag("pid-file", Text, "pid_file", "Write the process id there while running"),
    flag(
        "kill-signal",
        Text,
        "kill_signal",
        "A signal that ends the process gracefully, besides SIGTERM and SIGINT",
    ),
    flag(
        "reload-signal",
        Text,
        "reload_signal",
        "The signal to read configuration and templates again [default: SIGHUP]",
    ),
    flag("default-left-delimiter", Text, "default_delimiters.left", "Left delimiter of Go templates"),
    flag("default-right-delimiter", Text, "default_delimiters.right", "Right delimiter of Go templates"),
    flag("consul-auth", Text, "consul.auth", "User of HTTP basic authentication: USER[:PASSWORD]"),
    flag(
        "consul-token",
        Text,
        "consul.token",
        "ACL token; everybody on this machine can read it here: use a file",
    ),
    flag("consul-retry", Bool, "consul.retry.enabled", "Without effect: rolecall always tries again"),
    flag(
        "consul-retry-attempts",
        Number,
        "consul.retry.attempts",
        "Only with --exit-on-error: give up after so many failures in a row",
    ),
    flag("consul-retry-backoff", Text, "consul.retry.backoff", "Bound of the first pause between tries"),
    flag(
        "consul-retry-max-backoff",
        Text,
        "consul.retry.max_backoff",
        "Bound of the longest pause between tries",
    ),
    flag("retry", Text, "consul.retry.backoff", "The same as --consul-retry-backoff"),
    flag("consul-ssl", Bool, "consul.ssl.enabled", "Speak TLS to Consul"),
    flag("consul-ssl-verify", Bool, "consul.ssl.verify", "Verify Consul's certificate"),
    flag("consul-ssl-ca-cert", Text, "consul.ssl.ca_cert", "Certificates of the authorities to trust"),
    flag("consul-ssl-ca-path", Text, "consul.ssl.ca_path", "A folder of such certificates"),
    flag("consul-ssl-cert", Text, "consul.ssl.cert", "Client certificate"),
    flag("consul-ssl-key", Text, "consul.ssl.key", "Client key"),
    flag("consul-ssl-server-name", Text, "consul.ssl.server_name", "The name in Consul's certificate"),
    flag("consul-transport-dial-keep-alive", Text, "consul.transport.dial_keep_alive", "Without effect"),
    flag("consul-transport-dial-timeout", Text, "consul.transport.dial_timeout", "Without effect"),
    flag(
        "consul-transport-disable-keep-alives",
        Bool,
        "consul.transport.disable_keep_alives",
        "Without effect",
    ),
    flag(
        "consul-transport-max-idle-conns-per-host",
        Number,
        "consul.transport.max_idle_conns_per_host",
        "Without effect",
    ),
    flag(
        "consul-transport-tls-handshake-timeout",
        Text,
        "consul.transport.tls_handshake_timeout",
        "Without effect",
    ),
    flag("dedup", Bool, "deduplicate.enabled", "One render asks Consul for all that have the same template"),
    flag("exec", Text, "exec.command", "A program to run once all is rendered, and to supervise"),
    flag("exec-kill-signal", Text, "exec.kill_signal", "The signal that ends it [default: SIGINT]"),
    flag("exec-kill-timeout", Text, "exec.kill_timeout", "How long it has to end [default: 30s]"),
    flag(
        "exec-reload-signal",
        Text,
        "exec.reload_signal",
        "The signal that tells it of a change; without one it is restarted",
    ),
    flag("exec-splay", Text, "exec.splay", "Wait for a random time up to this before it is told or ended"),
    flag("exec-env-pristine", Bool, "exec.env.pristine", "Give it only the variables of --exec-env-custom"),
    flag("exec-env-custom", Texts, "exec.env.custom", "A variable for it: NAME=VALUE; may be repeated"),
    flag(
        "exec-env-allowlist",
        Texts,
        "exec.env.allowlist",
        "Give it only variables like this pattern; may be repeated",
    ),
    flag(
        "exec-env-denylist",
        Texts,
        "exec.env.denylist",
        "Keep variables like this pattern from it; may be repeated",
    ),
    flag("log-file", Text, "log_file.path", "Log to a file too; NAME.log becomes NAME-NANOSECONDS.log"),
    flag("log-rotate-bytes", Number, "log_file.log_rotate_bytes", "Begin a new one after so many bytes"),
    flag(
        "log-rotate-duration",
        Text,
        "log_file.log_rotate_duration",
        "Begin a new one after this time [default: 24h]",
    ),
    flag(
        "log-rotate-max-files",
        Number,
        "log_file.log_rotate_max_files",
        "Keep so many of those that are over; 0 for all, -1 for none",
    ),
    flag("syslog", Bool, "syslog.enabled", "Log to syslog too"),
    flag("syslog-facility", Text, "syslog.facility", "As which facility [default: LOCAL0]"),
    flag("syslog-name", Text, "syslog.name", "Under which name [default: rolecall]"),
    flag("vault-addr", Text, "vault.address", VAULT),
    flag("vault-token", Text, "vault.token", VAULT),
    flag("vault-agent-token-file", Text, "vault.vault_agent_token_file", VAULT),
    flag("vault-renew-token", Bool, "vault.renew_token", VAULT),
    flag("vault-unwrap-token", Bool, "vault.unwrap_token", VAULT),
    flag("vault-default-lease-duration", Text, "vault.default_lease_duration", VAULT),
    flag("vault-client-user-agent", Text, "vault.client_user_agent", VAULT),
    flag("vault-retry", Bool, "vault.retry.enabled", VAULT),
    flag("vault-retry-attempts", Number, "vault.retry.attempts", VAULT),
    flag("vault-retry-backoff", Text, "vault.retry.backoff", VAULT),
    flag("vault-retry-max-backoff", Text, "vault.retry.max_backoff", VAULT),
    flag("vault-ssl", Bool, "vault.ssl.enabled", VAULT),
    flag("vault-ssl-verify", Bool, "vault.ssl.verify", VAULT),
    flag("vault-ssl-ca-cert", Text, "vault.ssl.ca_cert", VAULT),
    flag("vault-ssl-ca-path", Text, "vault.ssl.ca_path", VAULT),
    flag("vault-ssl-cert", Text, "vault.ssl.cert", VAULT),
    flag("vault-ssl-key", Text, "vault.ssl.key", VAULT),
    flag("vault-ssl-server-name", Text, "vault.ssl.server_name", VAULT),
    flag("vault-transport-dial-keep-alive", Text, "vault.transport.dial_keep_alive", VAULT),
    flag("vault-transport-dial-timeout", Text, "vault.transport.dial_timeout", VAULT),
    flag("vault-transport-disable-keep-alives", Bool, "vault.transport.disable_keep_alives", VAULT),
    flag("vault-transport-max-conns-per-host", Number, "vault.transport.max_conns_per_host", VAULT),
    flag("vault-transport-max-idle-conns-per-host", Number, "vault.transport.max_idle_conns_per_host", VAULT),
    flag("vault-transport-tls-handshake-timeout", Text, "vault.transport.tls_handshake_timeout", VAULT),
];

const VAULT: &str = "Without effect: Vault is not spoken to";

/// Variables that give a key which neither files nor flags give, as in consul-template.
const VARIABLES: &[(&str, &str)] = &[
    ("CONSUL_HTTP_ADDR", "consul.address"),
    ("CONSUL_NAMESPACE", "consul.namespace"),
    ("CONSUL_PARTITION", "consul.partition"),
    ("CONSUL_HTTP_AUTH", "consul.auth"),
    ("CONSUL_HTTP_SSL", "consul.ssl.enabled"),
    ("CONSUL_HTTP_SSL_VERIFY", "consul.ssl.verify"),
    ("CONSUL_CACERT", "consul.ssl.ca_cert"),
    ("CONSUL_CAPATH", "consul.ssl.ca_path"),
    ("CONSUL_CLIENT_CERT", "consul.ssl.cert"),
    ("CONSUL_CLIENT_KEY", "consul.ssl.key"),
    ("CONSUL_TLS_SERVER_NAME", "consul.ssl.server_name"),
];
/// Any of these keys says who we are, and then no variable does.
const TOKENS: [&str; 3] = ["consul.token", "consul.token_file", "consul.login"];
/// consul-template's names for what Consul itself calls otherwise.
const OLD_NAMES: [(&str, &str); 2] =
    [("CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"), ("CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE")];
/// consul-template's variables for the least important events that are logged.
const LOG_LEVELS: [&str; 3] = ["CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"];
/// A whole configuration in one variable, over the files.
const LOCAL: &str = "CT_LOCAL_CONFIG";

/// Lays `$CT_LOCAL_CONFIG` and the flags over what files say, and returns the environment without what they decide.
pub(super) fn layer(
    top: &mut Section,
    env: &Environment,
    flags: &[(String, String)],
    mistakes: &mut Mistakes,
) -> Environment {
    if let Some(text) = env.get(LOCAL).filter(|text| !text.is_empty()) {
        let local = parse(&format!("${LOCAL}"), text, mistakes);
        top.merge(local, &super::REPEATABLE);
    }
    for (name, text) in flags {
        if let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) {
            lay(top, flag, text, flags);
        }
    }
    log_level(top, env);
    below(top, env)
}

/// The first variable that gives a level decides, where no file does.
fn log_level(top: &mut Section, env: &Environment) {
    let given = LOG_LEVELS
        .iter()
        .find_map(|name| env.get(*name).filter(|text| !text.is_empty()).map(|text| (name, text)));
    if let Some((name, text)) = given.filter(|_| !top.has("log_level") && !top.has_at(&["log", "level"])) {
        top.lay(&["log", "level"], Place::of(format!("${name}")), Setting::Text(text.clone()));
    }
}

fn lay(top: &mut Section, flag: &Flag, text: &str, all: &[(String, String)]) {
    let place = Place::of(format!("--{}", flag.name));
    let path: Vec<&str> = flag.key.split('.').collect();
    if flag.name == "consul-auth" {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        top.lay(&["consul", "auth", "enabled"], place.clone(), Setting::Bool(true));
        top.lay(&["consul", "auth", "username"], place.clone(), Setting::Text(user.into()));
        return top.lay(&["consul", "auth", "password"], place, Setting::Text(password.into()));
    }
    let setting = match (flag.takes, truth(text)) {
        (Bool, Some(value)) => Setting::Bool(value),
        (Number, _) => Setting::Number(text.into()),
        (Texts, _) => {
            let same = all.iter().filter(|(name, _)| *name == flag.name);
            Setting::Texts(same.map(|(_, text)| text.clone()).collect())
        }
        (Bool | Text, _) => Setting::Text(text.into()),
    };
    top.lay(&path, place.clone(), setting);
    match flag.name {
        // Another source of the token that a file names would be a second opinion.
        "consul-token" => TOKENS[1..].iter().for_each(|key| _ = dropped(top, key)),
        "exec" => top.lay(&["exec", "enabled"], place, Setting::Bool(true)),
        _ => {}
    }
}

fn dropped(top: &mut Section, key: &str) -> Option<Section> {
    let (outer, key) = key.rsplit_once('.')?;
    Some(top.part(&[outer], &[key]))
}

/// The environment without variables whose key is given.
fn below(top: &Section, env: &Environment) -> Environment {
    let given = |key: &str| top.has_at(&key.split('.').collect::<Vec<_>>());
    let mut below = env.clone();
    for (old, name) in OLD_NAMES {
        if let Some(value) = env.get(old).filter(|_| env.get(name).is_none_or(String::is_empty)) {
            below.insert(name.into(), value.clone());
        }
    }
    below.retain(|name, _| !VARIABLES.iter().any(|(known, key)| known == name && given(key)));
    if TOKENS.iter().any(|key| given(key)) {
        OLD_NAMES.iter().for_each(|(_, name)| _ = below.remove(*name));
    }
    below
}

/// A truth value as Go's flags take it.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
