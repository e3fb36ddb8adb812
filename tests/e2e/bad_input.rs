//! Mistakes of the user: all of them told at once, with file, line and key, before anything runs. Exit code 64.

use std::{fs, path::Path, process::Command};

use tempfile::tempdir;
use tests::{Outcome, binary};

fn rolecall(home: &Path, arguments: &[&str]) -> Outcome<(Option<i32>, String)> {
    let out = Command::new(binary()?).args(arguments).current_dir(home).env_clear().output()?;
    let text = [out.stdout, out.stderr].concat();
    Ok((out.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

/// Each file with each program's mistakes, and what must be said of them.
const CASES: [(&str, &str, &[&str]); 6] = [
    (
        "register.hcl",
        "consul {\n  adress = \"127.0.0.1:8500\"\n}\nservice \"redis\" {\n  port = 99999\n  ttl = \"10\"\n  \
         probe \"redis\" {\n    intervall = \"200ms\"\n    timeout = \"fast\"\n  }\n}\n",
        &[
            "register.hcl:2: consul.adress: unknown key; did you mean address?",
            "register.hcl:5: service.redis.port:",
            "register.hcl:6: service.redis.ttl:",
            "register.hcl:8: service.redis.probe.redis.intervall: unknown key; did you mean interval?",
            "register.hcl:9: service.redis.probe.redis.timeout:",
        ],
    ),
    (
        "register.json",
        "{\n  \"service\": {\n    \"redis\": {\n      \"port\": \"x\",\n      \"probe\": {\"mongo\": {}}\n    }\n  }\n}\n",
        &["register.json:4: service.redis.port:", "register.json:5: service.redis.probe"],
    ),
    (
        "render.hcl",
        "template {\n  source = \"t.hbs\"\n  destination = \"out\"\n  wait {\n    min = \"5\"\n  }\n  haproxy {\n    \
         master_socket = \"relative\"\n  }\n  vault = true\n}\n",
        &[
            "render.hcl:5: template.wait.min:",
            "render.hcl:8: template.haproxy.master_socket:",
            "render.hcl:10: template.vault: unknown key",
        ],
    ),
    ("broken.hcl", "service \"redis\" {\n  port = \n}\n", &["broken.hcl:2:", "syntax"]),
    ("neither.hcl", "admin {\n  address = \"127.0.0.1:1\"\n}\n", &["holds neither a service"]),
    (
        "template.hcl",
        "template {\n  source = \"broken.hbs\"\n  destination = \"out\"\n}\n",
        &["broken.hbs:4:1: "],
    ),
];

#[test]
fn every_mistake_is_told_with_its_place() -> Outcome {
    let home = tempdir()?;
    fs::write(home.path().join("t.hbs"), "x\n")?;
    fs::write(home.path().join("broken.hbs"), "x\n{{#each (service \"redis\")}}\ny\n")?;
    for (file, text, told) in CASES {
        fs::write(home.path().join(file), text)?;
        let (code, said) = rolecall(home.path(), &["check", "-c", file])?;
        assert_eq!(code, Some(64), "{file}: {said}");
        for words in told {
            assert!(said.contains(words), "{file}: `{words}` is not in:\n{said}");
        }
    }
    assert!(!home.path().join("out").exists(), "check writes nothing");
    Ok(())
}

/// For `render`, Consul's variables only say what files leave open, as in consul-template.
#[test]
fn a_flag_beats_environment_and_file_and_these_each_other() -> Outcome {
    let home = tempdir()?;
    fs::write(home.path().join("t.hbs"), "x\n")?;
    let consul = "consul {\n  address = \"10.0.0.1:8500\"\n  token = \"s3cret-token\"\n}\n";
    for (program, what) in [
        ("render", "template {\n  source = \"t.hbs\"\n  destination = \"out\"\n}\n"),
        (
            "register",
            "service \"redis\" {\n  id = \"a\"\n  port = 1\n  address = \"10.0.0.9\"\n  probe \"static\" {\n    role = \"primary\"\n  }\n}\n",
        ),
    ] {
        fs::write(home.path().join(format!("{program}.hcl")), format!("{consul}{what}"))?;
    }
    for (program, env, flag, address) in [
        ("render", None, None, "http://10.0.0.1:8500"),
        ("render", Some("10.0.0.2:8500"), None, "http://10.0.0.1:8500"),
        ("render", Some("10.0.0.2:8500"), Some("10.0.0.3:8500"), "http://10.0.0.3:8500"),
        ("register", None, None, "http://10.0.0.1:8500"),
        ("register", Some("10.0.0.2:8500"), None, "http://10.0.0.2:8500"),
        ("register", Some("10.0.0.2:8500"), Some("10.0.0.3:8500"), "http://10.0.0.3:8500"),
    ] {
        let mut command = Command::new(binary()?);
        command.args([program, "-c", &format!("{program}.hcl"), "--print-config"]);
        command.current_dir(home.path()).env_clear();
        command.envs(env.map(|env| ("CONSUL_HTTP_ADDR", env)));
        command.args(flag.into_iter().flat_map(|flag| ["--consul-addr", flag]));
        let out = command.output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && said.contains(address), "{address} is not in:\n{said}");
        assert!(!said.contains("s3cret") && said.contains("redacted"), "a secret is shown:\n{said}");
    }
    Ok(())
}

#[test]
fn wrong_usage_is_code_64_and_help_is_not() -> Outcome {
    let home = tempdir()?;
    for (arguments, code, words) in [
        (&["--version"][..], 0, concat!("rolecall ", env!("CARGO_PKG_VERSION"))),
        (&["render", "--help"], 0, "--template <SRC:DST[:CMD]>"),
        (&["render", "--nope"], 64, "--nope"),
        (&["render"], 64, "nothing to render"),
        (&["register"], 64, "nothing to register"),
        (&["render", "-c", "missing.hcl"], 64, "missing.hcl"),
        (&["render", "--template", "missing.hbs:out"], 64, "missing.hbs: the template cannot be read"),
        (&["check"], 64, "--config"),
    ] {
        let (exit, said) = rolecall(home.path(), arguments)?;
        assert_eq!(exit, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: `{words}` is not in:\n{said}");
    }
    Ok(())
}
