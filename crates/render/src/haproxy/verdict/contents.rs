//! Files that the configuration names: their content can change while the text stays.

use super::Configuration;
use crate::haproxy::{
    order::{CHUNK, Certificate, Entries, Order, Pem},
    outline::Use,
};

/// HAProxy's own, where the configuration does not set `tune.bufsize`.
const BUFSIZE: usize = 16384;

/// The orders that replace changed content.
pub(super) fn orders(live: &Configuration, next: &Configuration) -> Result<Vec<Order>, String> {
    let bufsize =
        live.outline.global_value("tune.bufsize").and_then(|size| size.parse().ok()).unwrap_or(BUFSIZE);
    let mut orders = vec![];
    for (file, named) in next.outline.files() {
        let (Some(was), Some(Some(is))) = (live.files.get(&file), next.files.get(&file)) else { continue };
        let same = |read: fn(&str) -> Vec<String>| was.as_deref().is_some_and(|was| read(was) == read(is));
        if was.as_ref() == Some(is) {
            continue;
        }
        let order = match named.r#use {
            Use::Map if same(map) => continue,
            Use::Acl if same(acl) => continue,
            Use::Map => entries(Entries::Map, &file, map(is), bufsize)?,
            Use::Acl => entries(Entries::Acl, &file, acl(is), bufsize)?,
            Use::Cert => certificate(Certificate::Cert, &file, is, bufsize)?,
            Use::Ca => certificate(Certificate::Ca, &file, is, bufsize)?,
            Use::Crl => certificate(Certificate::Crl, &file, is, bufsize)?,
            Use::Start => {
                return Err(format!(
                    "{file} changed (line {} names it); HAProxy reads it when it starts",
                    named.line
                ));
            }
        };
        orders.push(order);
    }
    Ok(orders)
}

fn entries(kind: Entries, file: &str, lines: Vec<String>, bufsize: usize) -> Result<Order, String> {
    let chunk = CHUNK.min(bufsize / 2);
    if lines.iter().any(|line| line.len() + file.len() + 64 > chunk) {
        return Err(format!("{file} has a line that is too long for the runtime API"));
    }
    Ok(Order::Entries { kind, file: file.to_owned(), lines, chunk })
}

fn certificate(kind: Certificate, file: &str, text: &str, bufsize: usize) -> Result<Order, String> {
    let pem = Pem::new(text);
    if pem.len() + file.len() + 64 > bufsize {
        return Err(format!("{file} is too long for the runtime API ({} bytes)", pem.len()));
    }
    Ok(Order::Certificate { kind, file: file.to_owned(), pem })
}

/// The entries of a map as HAProxy reads them: a key, a blank, a value.
fn map(text: &str) -> Vec<String> {
    let entry = |line: &str| {
        let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        format!("{key} {}", value.trim_matches([' ', '\t']))
    };
    rows(text).map(entry).collect()
}

/// The patterns of a list: blanks behind them count.
fn acl(text: &str) -> Vec<String> {
    rows(text).map(str::to_owned).collect()
}

fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\r').next().unwrap_or_default().trim_start_matches([' ', '\t']))
        .filter(|line| !line.is_empty())
}
