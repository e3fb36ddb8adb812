//! Configurations of consul-template, as they are found in the field.

use super::{Flags, RenderConfig};
use config::{Environment, Mistakes, parse};
use serde_json::{Value, json};

/// A configuration, its mistakes and its warnings.
fn read(text: &str, env: &[(&str, &str)], over: &[(&str, &str)]) -> (RenderConfig, String, String) {
    let mut mistakes = Mistakes::default();
    let top = parse("c.hcl", text, &mut mistakes);
    let env: Environment = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let over = over.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let config = RenderConfig::read(top, &env, &Flags { over, ..Flags::default() }, &mut mistakes);
    let warnings: Vec<String> = mistakes.warnings().iter().map(ToString::to_string).collect();
    (config, mistakes.to_string(), warnings.join("\n"))
}

const TEMPLATE: &str = "template { source = \"t.ctmpl\", destination = \"/run/t\" }\n";

/// Every key that consul-template documents, with the values of its documentation.
const WHOLE: &str = r#"
consul {
  address = "10.0.0.1:8500"
  namespace = "ns"
  auth { enabled = true  username = "test"  password = "test" }
  token = "abcd1234"
  retry { enabled = true  attempts = 12  backoff = "250ms"  max_backoff = "1m" }
  ssl { enabled = true  verify = false  cert = "/c.pem"  key = "/k.pem"  ca_cert = "/ca.pem"  ca_path = "/ca.d"  server_name = "s" }
  transport { dial_keep_alive = "30s"  dial_timeout = "30s"  disable_keep_alives = false  max_idle_conns_per_host = 100
    tls_handshake_timeout = "10s"  idle_conn_timeout = "5s"  max_idle_conns = 0  max_conns_per_host = 0 }
}
reload_signal = "SIGHUP"
kill_signal = "SIGTERM"
max_stale = "10m"
block_query_wait = "60s"
log_level = "WARN"
log_file { path = "/tmp/ct.log"  log_rotate_bytes = 1024000  log_rotate_duration = "3h"  log_rotate_max_files = 10 }
pid_file = "/tmp/ct.pid"
wait { min = "5s"  max = "10s" }
vault { address = "https://vault:8200"  renew_token = true  retry { attempts = 5 }  ssl { verify = true } }
nomad { address = "http://nomad:4646" }
syslog { enabled = true  facility = "LOCAL5"  name = "ct" }
deduplicate { enabled = true  prefix = "consul-template/dedup/"  TTL = "15s"  max_stale = "2s"  block_query_wait = "60s" }
default_delimiters { left = "<<"  right = ">>" }
template_error_fatal = true
err_on_failed_lookup = true
once = false
exec {
  command = ["/usr/bin/app", "-x"]
  enabled = true
  splay = "5s"
  env { pristine = false  custom = ["PATH=$PATH:/etc/myapp/bin"]  allowlist = ["CONSUL_*"]  denylist = ["VAULT_*"] }
  reload_signal = "SIGUSR1"
  kill_signal = "SIGINT"
  kill_timeout = "2s"
  timeout = "0s"
}
template {
  source = "/path/on/disk/to/template.ctmpl"
  destination = "/path/on/disk/where/template/will/render.txt"
  create_dest_dirs = true
  command = "restart service foo"
  command_timeout = "60s"
  error_on_missing_key = true
  error_fatal = false
  perms = 0600
  user = "haproxy"
  gid = 12
  backup = true
  left_delimiter = "{{"
  right_delimiter = "}}"
  function_blacklist = ["plugin"]
  sandbox_path = "/etc"
  wait = "2s:10s"
}
template {
  contents = <<EOH
log-format "%{+Q}r ${x}" {{ keyOrDefault "maintenance" "false" }}
EOH
  destination = "/b"
  wait { enabled = false  min = "1s" }
  exec { command = ["systemctl", "reload", "b"]  timeout = "0s"  kill_signal = "SIGHUP"
    env { pristine = true  custom = "A=b" } }
}
"#;

#[test]
fn every_key_is_taken_and_what_has_no_effect_is_said() {
    let (config, mistakes, warnings) =
        read(WHOLE, &[("HOME", "/root"), ("CONSUL_HTTP_ADDR", "other:1")], &[]);
    assert_eq!(mistakes, "");
    let shown = config.show();
    let expected = json!({
        "max_stale": "10m", "pid_file": "/tmp/ct.pid", "kill_signal": "SIGTERM", "reload_signal": "SIGHUP",
        "exit_on_error": false, "once": false,
        "log": {"level": "warn", "format": "text"},
        "log_file": {
            "path": "/tmp/ct.log", "log_rotate_bytes": 1_024_000, "log_rotate_duration": "3h",
            "log_rotate_max_files": 10,
        },
        "syslog": {"facility": 21, "name": "ct"},
        "exec": {
            "command": ["/usr/bin/app", "-x"], "kill_signal": "SIGINT", "kill_timeout": "2s",
            "reload_signal": "SIGUSR1", "splay": "5s", "env": ["CONSUL_HTTP_ADDR", "PATH"],
        },
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let consul = &shown["consul"];
    let consul: Vec<&Value> =
        ["address", "namespace", "block_query_wait", "token"].map(|key| &consul[key]).to_vec();
    assert_eq!(json!(consul), json!(["https://10.0.0.1:8500", "ns", "1m", "[redacted]"]));
    let keys = [
        "perms",
        "user",
        "group",
        "backup",
        "command",
        "command_timeout",
        "error_fatal",
        "wait",
        "command_env",
        "function_denylist",
        "error_on_missing_key",
        "dialect",
    ];
    let template = |n: usize| json!(keys.map(|key| shown["template"][n][key].clone()));
    assert_eq!(
        template(0),
        json!([
            "0600", "haproxy", "12", true, ["restart service foo"], "1m", false, {"min": "2s", "max": "10s"},
            ["CONSUL_HTTP_ADDR", "HOME"], ["plugin"], true, "go",
        ])
    );
    assert_eq!(
        template(1),
        json!([
            null, null, null, false, ["systemctl", "reload", "b"], "0s", true, {"min": "0s", "max": "0s"}, ["A"],
            [], false, "go",
        ])
    );
    assert_eq!(config.templates[1].dialect.left, "<<");
    let shared = &config.show()["deduplicate"];
    assert_eq!(
        *shared,
        json!({"prefix": "consul-template/dedup/", "ttl": "15s", "max_stale": "2s", "block_query_wait": "1m"})
    );
    let contents = config.templates[1].contents.as_deref().unwrap();
    assert!(contents.starts_with("log-format \"%{+Q}r ${x}\" {{ key"), "{contents}");
    for warned in [
        "c.hcl:7: consul.retry.attempts: without effect",
        "c.hcl:9: consul.transport.dial_timeout: without effect",
        "c.hcl:20: vault: without effect: Vault is not spoken to",
        "c.hcl:21: nomad: without effect: Nomad",
        "c.hcl:26: err_on_failed_lookup: without effect",
        "template.exec.kill_signal: without effect",
    ] {
        assert!(warnings.contains(warned), "{warned} is not in:\n{warnings}");
    }
    assert_eq!(warnings.matches("Vault").count(), 1, "{warnings}");
}

#[test]
fn old_and_short_forms() {
    for (text, mistakes, warnings) in [
        ("consul = \"h:1\"", "", "c.hcl:1: consul: is a block since long: consul { address = \"…\" }"),
        ("wait = \"5s\"", "", ""),
        ("wait = \"\"", "c.hcl:1: wait.min: expected a duration", ""),
        ("wait = \"5s:1s\"", "c.hcl:1: wait.max: must not be less than min", ""),
        ("wait { bool = true }", "", ""),
        ("exec { command = [\"\"] }", "", ""),
        ("exec { command = \"x\"  reload_signal = \"\" }", "", ""),
        (
            "exec { command = \"x\"  kill_signal = \"SIGFOO\" }",
            "c.hcl:1: exec.kill_signal: \"SIGFOO\" is no signal",
            "",
        ),
        ("kill_signal = \"SIGKILL\"", "c.hcl:1: kill_signal: cannot be listened for", ""),
        ("kill_signal = \"SIGHUP\"", "c.hcl:1: kill_signal: is the reload_signal too", ""),
        ("reload_signal = \"SIGNULL\"", "", ""),
        ("reload_signal = \"SIGTERM\"", "c.hcl:1: reload_signal: ends the process", ""),
        ("exec { env { custom = [\"x\"] } }", "c.hcl:1: exec.env.custom: holds an entry", ""),
        ("vaullt {}", "c.hcl:1: vaullt: unknown key; did you mean vault?", ""),
        ("consul { transport { dial = 1 } }", "c.hcl:1: consul.transport.dial: unknown key", ""),
        (
            "deduplicate { prefx = \"a\" }",
            "c.hcl:1: deduplicate.prefx: unknown key; did you mean prefix?",
            "",
        ),
        ("deduplicate { ttl = \"1s\" }", "c.hcl:1: deduplicate.ttl: must be 3s at least", ""),
        ("log_file { pth = \"a\" }", "c.hcl:1: log_file.pth: unknown key; did you mean path?", ""),
        ("syslog { facility = \"LOCAL9\" }", "c.hcl:1: syslog.facility: \"LOCAL9\" is no facility", ""),
        ("once = true\nlog_level = \"ERR\"", "", ""),
        ("log_level = \"loud\"", "c.hcl:1: log.level: expected error, warn", ""),
        ("retry { attempts = 0 }", "c.hcl:1: retry: unknown key", ""),
        ("consul { retry { attempts = 0  backoff = \"1m\"  max_backoff = \"0s\" } }", "", ""),
    ] {
        let (_, found, warned) = read(&format!("{text}\n{TEMPLATE}"), &[], &[]);
        let all = if mistakes.is_empty() { found.is_empty() } else { found.contains(mistakes) };
        assert!(all, "{text}: {found}");
        assert_eq!(warned, warnings, "{text}");
    }
}

#[test]
fn a_flag_goes_before_local_configuration_before_files_before_the_environment() {
    let file = format!("consul {{ address = \"file:1\" }}\nmax_stale = \"3s\"\n{TEMPLATE}");
    let seen = |env: &[(&str, &str)], over: &[(&str, &str)]| {
        let (config, mistakes, _) = read(&file, env, over);
        assert_eq!(mistakes, "");
        format!(
            "{} {} {:?}",
            config.consul.address,
            config.max_stale.as_secs(),
            config.consul.token.map(|t| t.expose().to_owned())
        )
    };
    let env = ("CONSUL_HTTP_ADDR", "env:1");
    let token = ("CONSUL_TOKEN", "t-env");
    let local = ("CT_LOCAL_CONFIG", "consul { address = \"local:1\" }\nmax_stale = \"4s\"");
    for (env, over, wanted) in [
        (&[env][..], &[][..], "http://file:1 3 None"),
        (&[env, token], &[], "http://file:1 3 Some(\"t-env\")"),
        (&[local], &[], "http://local:1 4 None"),
        (
            &[local, token],
            &[("max-stale", "5s"), ("consul-token", "t-flag")],
            "http://local:1 5 Some(\"t-flag\")",
        ),
        (
            &[("CT_LOCAL_CONFIG", "consul { token = \"t-local\" }"), token],
            &[],
            "http://file:1 3 Some(\"t-local\")",
        ),
    ] {
        assert_eq!(seen(env, over), wanted, "{env:?} {over:?}");
    }
    let level = |text: &str| read(text, &[("CT_LOG", "DEBUG")], &[]).0.admin.level.to_string();
    assert_eq!(
        (level(TEMPLATE), level(&format!("log_level = \"ERR\"\n{TEMPLATE}"))),
        ("DEBUG".into(), "ERROR".into())
    );
    let (_, mistakes, _) =
        read(&file, &[("CT_LOCAL_CONFIG", "x = = 1")], &[("wait", "soon"), ("once", "true")]);
    assert!(mistakes.contains("$CT_LOCAL_CONFIG:1:5: syntax error"), "{mistakes}");
    assert!(mistakes.contains("--wait: wait.min: expected a duration"), "{mistakes}");
}

#[test]
fn what_fails_is_fatal_only_where_that_is_said() {
    let fatal = |text: &str, over: &[(&str, &str)]| {
        let (config, mistakes, _) = read(text, &[], over);
        assert_eq!(mistakes, "");
        (config.templates[0].error_fatal, config.process.exit_on_error, config.process.attempts)
    };
    let own = "template { source = \"a\", destination = \"b\", error_fatal = false }";
    for (text, over, wanted) in [
        (TEMPLATE.to_owned(), &[][..], (false, false, 0)),
        (format!("template_error_fatal = true\n{TEMPLATE}"), &[], (true, false, 0)),
        (format!("template_error_fatal = true\n{own}"), &[], (false, false, 0)),
        (own.to_owned(), &[("template-error-fatal", "true")], (true, false, 0)),
        (format!("exit_on_error = true\n{TEMPLATE}"), &[], (true, true, 12)),
        (TEMPLATE.to_owned(), &[("exit-on-error", "true"), ("consul-retry-attempts", "3")], (true, true, 3)),
        (
            format!("exit_on_error = true\nconsul {{ retry {{ enabled = false }} }}\n{TEMPLATE}"),
            &[],
            (true, true, 1),
        ),
    ] {
        assert_eq!(fatal(&text, over), wanted, "{text} {over:?}");
    }
}

#[test]
fn a_program_without_a_command_is_not_there() {
    for (exec, over, warned) in [
        ("exec { enabled = true }", &[][..], "c.hcl:2: exec.enabled: without effect: there is no command"),
        ("exec { command = \"\" }", &[], ""),
        ("exec { splay = \"5s\" }", &[], ""),
        ("", &[("exec", "")], "--exec: exec.enabled: without effect: there is no command"),
    ] {
        let (config, mistakes, warnings) = read(&format!("{TEMPLATE}{exec}\n"), &[], over);
        assert!(config.exec.is_none() && mistakes.is_empty(), "{exec}: {mistakes}");
        assert!(
            warnings.starts_with(warned) && warnings.is_empty() == warned.is_empty(),
            "{exec}: {warnings}"
        );
    }
    let (_, mistakes, _) = read(&format!("{TEMPLATE}exec {{ command = \" \" }}\n"), &[], &[]);
    assert!(mistakes.starts_with("c.hcl:2: exec.command: has nothing but blanks"), "{mistakes}");
}

proptest::proptest! {
    /// Whatever a configuration says, it is read or refused.
    #[test]
    fn any_configuration_is_read_or_refused(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "consul", "template", "wait", "exec", "env", "retry", "ssl", "auth", "vault", "source", "destination", "perms",
            "command", "contents", "splay", "kill_signal", "transport", "default_delimiters", "left", "once", "custom",
            "{", "}", "=", "[", "]", ",", "\"1s:2s\"", "\"\"", "\"a=b\"", "0644", "-1", "true", "null", "\n",
        ]), 0..60,
    )) {
        read(&words.join(" "), &[], &[("wait", "1s"), ("exec", "x"), ("vault-addr", "v")]);
    }
}
