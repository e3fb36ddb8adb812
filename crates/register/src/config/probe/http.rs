//! The `probe "http"` block.

use super::{codes, redis::tls};
use crate::probe::http::{
    Ask, HttpConfig, Login, Proof,
    answer::{Reading, Sign, pointer},
};
use config::{Mistakes, Secret, Section};
use reqwest::{
    Method, Url,
    header::{HeaderName, HeaderValue},
};
use std::path::PathBuf;

pub(super) fn read(probe: &mut Section, mistakes: &mut Mistakes) -> Option<HttpConfig> {
    let there = probe.has("url");
    let base = probe.parsed("url", url, mistakes);
    if !there {
        probe.mistake("url", "is needed: \"http://127.0.0.1:8008\", or https://…", mistakes);
    }
    let tls = tls(probe, mistakes);
    if tls.is_some() && base.as_ref().is_some_and(|base| base.scheme() != "https") {
        probe.mistake("tls", "is there, but url does not begin with https://", mistakes);
    }
    let headers = headers(probe, mistakes);
    let login = login(probe, mistakes);
    let blocks = probe.blocks("request", false, mistakes);
    if blocks.is_empty() {
        probe.mistake("request", "is needed: what to ask, and how the answer shows the role", mistakes);
    }
    let requests: Vec<_> = blocks.into_iter().map(|(_, block)| ask(block, mistakes)).collect();
    let requests = requests.into_iter().collect::<Option<Vec<Ask>>>()?;
    Some(HttpConfig { base: base?, tls, headers, login, requests })
}

fn url(text: &str) -> Result<Url, String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("expected http://HOST:PORT or https://HOST:PORT, {why}");
    let url = Url::parse(text).map_err(|why| wrong(&why))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong(&format!("found {text:?}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user or a password; write them as username and password".into());
    }
    Ok(url)
}

fn headers(probe: &mut Section, mistakes: &mut Mistakes) -> Vec<(HeaderName, Secret)> {
    let mut headers = vec![];
    for (name, value) in probe.string_map("headers", mistakes).unwrap_or_default() {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(_) if HeaderValue::from_str(&value).is_err() => {
                probe.mistake("headers", format!("\"{name}\" has a value that cannot be sent"), mistakes);
            }
            Ok(header) => headers.push((header, Secret::new(value))),
            Err(_) => probe.mistake("headers", format!("\"{name}\" is no name of a header"), mistakes),
        }
    }
    headers
}

fn login(probe: &mut Section, mistakes: &mut Mistakes) -> Login {
    let username = probe.string("username", mistakes);
    let password = proof("password", "password_file", probe, mistakes);
    let token = proof("token", "token_file", probe, mistakes);
    match (username, password, token) {
        (None, None, None) => Login::None,
        (Some(user), Some(password), None) => Login::Basic(user, password),
        (None, None, Some(token)) => Login::Bearer(token),
        _ => {
            let why =
                "only username with password (or password_file), or token (or token_file) alone, is a login";
            probe.mistake("username", why, mistakes);
            Login::None
        }
    }
}

fn proof(key: &str, file: &str, probe: &mut Section, mistakes: &mut Mistakes) -> Option<Proof> {
    let here = probe.secret(key, mistakes).map(Proof::Here);
    let path = probe.string(file, mistakes).map(|path| Proof::File(PathBuf::from(path)));
    if here.is_some() && path.is_some() {
        probe.mistake(file, format!("is set beside {key}; keep one of them"), mistakes);
    }
    here.or(path)
}

fn ask(mut block: Section, mistakes: &mut Mistakes) -> Option<Ask> {
    let body = block.string("body", mistakes);
    let method = |text: &str| {
        let known = text.bytes().all(|letter| letter.is_ascii_uppercase());
        Method::from_bytes(text.as_bytes())
            .ok()
            .filter(|_| known)
            .ok_or_else(|| format!("{text:?} is no method, such as \"GET\""))
    };
    let default = if body.is_some() { Method::POST } else { Method::GET };
    let method = block.parsed("method", method, mistakes).unwrap_or(default);
    let path = block.parsed("path", path, mistakes).unwrap_or_else(|| "/".into());
    let statuses = block.block("status", mistakes).map(|status| codes(status, 100..=599, mistakes));
    let json = block.block("json", mistakes);
    let place = block.place().clone();
    let (word, same, epoch) = json.map_or((None, None, None), |json| read_json(json, mistakes));
    let sign = match (statuses, word, same) {
        (Some(codes), None, None) => Some(Sign::Status(codes)),
        (None, Some(word), None) => Some(Sign::Word(word)),
        (None, None, Some((one, other))) => Some(Sign::Same(one, other)),
        _ => {
            let why = "needs one sign of the role: status { primary = [\"200\"] }, or json { role = \"/role\" }, or json { same = [\"/leader\", \"/me\"] }";
            mistakes.note(place, block.path(), why);
            None
        }
    };
    block.finish(mistakes);
    Some(Ask { method, path, body, reading: Reading { sign: sign?, epoch } })
}

/// It is put behind the url, and must not lead elsewhere.
fn path(text: &str) -> Result<String, String> {
    if text.contains("://") || text.starts_with("//") {
        return Err(format!("expected a path such as \"/primary\", found {text:?}"));
    }
    Ok(text.to_owned())
}

type Pointers = (Option<String>, Option<(String, String)>, Option<String>);

fn read_json(mut json: Section, mistakes: &mut Mistakes) -> Pointers {
    let role = json.parsed("role", pointer, mistakes);
    let epoch = json.parsed("epoch", pointer, mistakes);
    let mut same = None;
    if json.has("same") {
        let texts = json.strings("same", mistakes).unwrap_or_default();
        match texts.iter().map(|text| pointer(text)).collect::<Result<Vec<_>, _>>().as_deref() {
            Ok([one, other]) => same = Some((one.clone(), other.clone())),
            Ok(_) => json.mistake("same", "expected two JSON pointers", mistakes),
            Err(why) => json.mistake("same", why.clone(), mistakes),
        }
    }
    json.finish(mistakes);
    (role, same, epoch)
}
