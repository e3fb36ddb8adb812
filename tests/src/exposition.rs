//! Metrics, read as strictly as Prometheus and its `promtool` do in either format: a text that breaks a rule is a failure
//! that names the line.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Outcome, Trouble, when};

/// What to ask for to get the newer of the formats.
pub const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// One number with its names.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name, with the ending that its type gives it.
    pub name: String,
    /// Its labels, as they were before they were escaped.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// A metric that was described, and what was read of it so far.
#[derive(Debug, Default)]
struct Family {
    name: String,
    kind: String,
    samples: Vec<Sample>,
}

/// All samples of a text. `newer` is OpenMetrics, else it is the text format.
pub fn read(text: &str, newer: bool) -> Outcome<Vec<Sample>> {
    let body = match (newer, text.strip_suffix("# EOF\n")) {
        (true, None) => return Err(Trouble::new("an OpenMetrics text has to end with `# EOF`")),
        (true, Some(body)) => body,
        (false, _) => text,
    };
    let mut families: Vec<Family> = vec![];
    for line in body.lines() {
        let read = match line.strip_prefix("# ") {
            Some(said) => described(said, newer, &mut families),
            None => sample(line).and_then(|sample| belongs(sample, newer, families.last_mut())),
        };
        read.map_err(|why| why.during(line))?;
    }
    for family in families.iter().filter(|family| family.kind == "histogram") {
        adds_up(family).map_err(|why| why.during(&family.name))?;
    }
    Ok(families.into_iter().flat_map(|family| family.samples).collect())
}

/// `HELP` begins a family, `TYPE` and `UNIT` follow.
fn described(said: &str, newer: bool, families: &mut Vec<Family>) -> Outcome {
    let [what, name, rest] = said.splitn(3, ' ').collect::<Vec<_>>()[..] else {
        return Err(Trouble::new("a description has a name and a text"));
    };
    let known = families.last().filter(|family| family.name == name);
    match (what, known) {
        ("HELP", _) if families.iter().any(|family| family.name == name) => Err(Trouble::new("told twice")),
        ("HELP", _) => {
            families.push(Family { name: name.into(), ..Family::default() });
            Ok(())
        }
        ("TYPE", Some(family)) if family.kind.is_empty() => {
            let kinds = ["gauge", "counter", "histogram"];
            when(kinds.contains(&rest) || newer && rest == "info", || "no such type".into())?;
            let total = name.ends_with("_total");
            when(total == (!newer && rest == "counter"), || "`_total` is the ending of a counter".into())?;
            families.last_mut().map(|family| family.kind = rest.into()).ok_or_else(|| Trouble::new("no HELP"))
        }
        ("UNIT", Some(_)) => when(newer && name.ends_with(&format!("_{rest}")), || "not its unit".into()),
        _ => Err(Trouble::new("it does not follow the HELP of its metric, or is told twice")),
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Outcome<Sample> {
    let wrong = || Trouble::new("a sample is NAME{LABEL=\"VALUE\",…} NUMBER");
    let (head, value) = line.rsplit_once(' ').ok_or_else(wrong)?;
    let value = value.parse().map_err(|_| wrong())?;
    let (name, inside) = match head.split_once('{') {
        Some((name, inside)) => (name, inside.strip_suffix('}').ok_or_else(wrong)?),
        None => (head, ""),
    };
    let mut labels = BTreeMap::new();
    let mut rest = inside;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").ok_or_else(wrong)?;
        when(named(label), || format!("no name of a label: {label}"))?;
        let (value, after) = unescaped(after).ok_or_else(wrong)?;
        when(labels.insert(label.into(), value).is_none(), || format!("{label} stands twice"))?;
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => return Err(wrong()),
        };
    }
    when(named(name), || format!("no name of a metric: {name}"))?;
    Ok(Sample { name: name.into(), labels, value })
}

fn named(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && word.starts_with(|c: char| !c.is_ascii_digit())
}

/// A value up to its quote, and what follows that.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match letters.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            (_, letter) => value.push(letter),
        }
    }
}

/// A sample stands below the description of its metric, once.
fn belongs(sample: Sample, newer: bool, family: Option<&mut Family>) -> Outcome {
    let family = family.ok_or_else(|| Trouble::new("nothing describes it"))?;
    let endings: &[&str] = match (family.kind.as_str(), newer) {
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        ("gauge", _) | ("counter", false) => &[""],
        _ => return Err(Trouble::new("its metric has no type")),
    };
    let ending = sample.name.strip_prefix(&family.name);
    when(ending.is_some_and(|ending| endings.contains(&ending)), || {
        format!("a {} {} has no such sample", family.kind, family.name)
    })?;
    let same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
    when(!family.samples.iter().any(same), || "told twice".into())?;
    when(family.kind == "gauge" || sample.value >= 0.0, || "a count is not below zero".into())?;
    family.samples.push(sample);
    Ok(())
}

/// The buckets of a histogram grow up to the last, which is as large as the count.
fn adds_up(family: &Family) -> Outcome {
    let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeSet::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let most = labels.remove("le");
        match (most.as_deref(), sample.name.ends_with("_count")) {
            (Some(most), false) => buckets.entry(labels).or_default().push((most.parse()?, sample.value)),
            (None, true) => _ = counts.insert((labels, sample.value.to_string())),
            (None, false) => {}
            (Some(_), true) => return Err(Trouble::new("a count has no bound")),
        }
    }
    when(buckets.len() == counts.len(), || "each has its buckets and its count".into())?;
    for (labels, buckets) in buckets {
        let grow = buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1);
        let last = buckets.last().filter(|(most, _)| most.is_infinite()).map(|(_, all)| all.to_string());
        let whole = last.is_some_and(|all| counts.contains(&(labels.clone(), all)));
        when(grow && whole, || format!("{labels:?}: {buckets:?}"))?;
    }
    Ok(())
}
