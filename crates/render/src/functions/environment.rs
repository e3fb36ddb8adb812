//! Functions of rolecall's own environment, which was read once at the start (Consul's token is not in it), and of
//! the machine that it runs on.

use super::{Function, Pass, open_row, row, text_at};
use crate::parts;
use gotemplate::{Type, Value};

const TEXT: Type = Type::Str;

pub(super) const TABLE: &[Function] = &[
    row(
        "env",
        &[TEXT],
        TEXT,
        "an environment variable of rolecall; empty when it is not set",
        (r#"{{ env "HOSTNAME" }}"#, ""),
        env,
    ),
    row(
        "envOrDefault",
        &[TEXT, TEXT],
        TEXT,
        "an environment variable; the default when it is not set (one that is set and empty stays empty)",
        (r#"{{ envOrDefault "NOT_SET" "d" }}"#, "d"),
        env_or_default,
    ),
    row(
        "mustEnv",
        &[TEXT],
        TEXT,
        "an environment variable; an error when it is not set or empty",
        (r#"{{ mustEnv "HOSTNAME" }}"#, ""),
        must_env,
    ),
    row(
        "file",
        &[TEXT],
        TEXT,
        "the text of a file, as it is when the template is filled",
        (r#"{{ file "/etc/hostname" }}"#, ""),
        file,
    ),
    row(
        "toFile",
        &[TEXT],
        TEXT,
        "begins a file below the template's `directory`: what follows is its text, up to the next `toFile`",
        (r#"{{ range services }}{{ toFile (print .Name ".conf") }}{{ .Name }}{{ end }}"#, ""),
        to_file,
    ),
    open_row(
        "plugin",
        (&[TEXT], TEXT),
        TEXT,
        "what a program prints; off unless `plugins = true`, and run once for each list of arguments",
        (r#"{{ plugin "/usr/bin/uname" "-n" }}"#, ""),
        plugin,
    ),
    row(
        "sockaddr",
        &[TEXT],
        TEXT,
        "an address of this machine: `GetPrivateIP`, `GetPublicIP`, `GetInterfaceIP \"eth0\"`, and the plural of each",
        (r#"{{ sockaddr "GetPrivateIP" }}"#, ""),
        sockaddr,
    ),
];

/// Returns the mark that the text is cut at.
fn to_file(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let name = text_at(arguments, 0);
    if !pass.setting.many {
        return Err("it needs `directory` in the template {} block, in place of `destination`".into());
    }
    parts::allow(name)?;
    pass.files.push(name.to_owned());
    Ok(parts::mark(name).into())
}

fn env(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    Ok(pass.setting.env.get(text_at(arguments, 0)).cloned().unwrap_or_default().into())
}

fn env_or_default(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let value = pass.setting.env.get(text_at(arguments, 0));
    Ok(value.cloned().unwrap_or_else(|| text_at(arguments, 1).into()).into())
}

fn must_env(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let name = text_at(arguments, 0);
    match pass.setting.env.get(name).filter(|value| !value.is_empty()) {
        Some(value) => Ok(value.clone().into()),
        None => Err(format!("required environment variable {name} is empty")),
    }
}

fn file(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let path = text_at(arguments, 0).trim();
    if path.is_empty() {
        return Ok("".into());
    }
    let outside = &pass.setting.outside;
    if let Some(sandbox) = &pass.setting.sandbox {
        let real = outside.real_path(path).unwrap_or_else(|_| path.to_owned());
        let inside = outside.real_path(sandbox).unwrap_or_else(|_| sandbox.clone());
        let inside = std::path::Path::new(&inside);
        if path.split('/').any(|part| part == "..") || !std::path::Path::new(&real).starts_with(inside) {
            return Err(format!("'{path}' is outside of sandbox"));
        }
    }
    outside.file(path).map(Value::from)
}

fn plugin(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    if !pass.setting.plugins {
        return Err("programs are not run: set plugins = true in the template {} block to allow it".into());
    }
    let words = arguments.iter().filter_map(Value::as_str).map(str::trim).filter(|word| !word.is_empty());
    let argv: Vec<String> = words.map(str::to_owned).collect();
    pass.setting.outside.plugin(&argv).map(|text| text.trim().into())
}

fn sockaddr(pass: &mut Pass, arguments: &[Value]) -> Result<Value, String> {
    let asked = text_at(arguments, 0);
    let mut words = asked.split_whitespace();
    let function = words.next().unwrap_or_default();
    let interface = words.next().map(|name| name.trim_matches(['"', '`', '\'']));
    let addresses = pass.setting.outside.addresses();
    let private = |ip: &std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        std::net::IpAddr::V6(ip) => ip.segments()[0] & 0xfe00 == 0xfc00,
    };
    let wanted = |(name, ip): &&(String, std::net::IpAddr)| match function {
        "GetPrivateIP" | "GetPrivateIPs" => private(ip) && ip.is_ipv4(),
        "GetPublicIP" | "GetPublicIPs" => ip.is_ipv4() && !private(ip) && !ip.is_loopback(),
        _ => interface == Some(name),
    };
    let found: Vec<String> = addresses.iter().filter(wanted).map(|(_, ip)| ip.to_string()).collect();
    match (function, interface) {
        ("GetPrivateIP" | "GetPublicIP", None) | ("GetInterfaceIP", Some(_)) => {
            Ok(found.into_iter().next().unwrap_or_default().into())
        }
        ("GetPrivateIPs" | "GetPublicIPs", None) | ("GetInterfaceIPs", Some(_)) => Ok(found.join(" ").into()),
        _ => Err(format!(
            "unable to parse template \"{{{{ {asked} }}}}\": function {} not defined",
            gotemplate::quote(function, false)
        )),
    }
}
