//! The two formats in which metrics are told: OpenMetrics, and the text format that is older than it, for those who do
//! not ask for the newer one (`promtool check metrics`, Telegraf, a person with curl).

use std::collections::BTreeMap;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus asks for since 2.5.
    OpenMetrics,
    /// Prometheus' own, which everybody reads.
    Text,
}

impl Format {
    /// What a client takes that sent this `Accept` header.
    #[must_use]
    pub fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Text }
    }

    /// Its name in HTTP.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// An OpenMetrics text in this format.
    #[must_use]
    pub fn of(self, openmetrics: String) -> String {
        match self {
            Format::OpenMetrics => openmetrics,
            Format::Text => plain(&openmetrics),
        }
    }
}

/// Samples are written alike. Descriptions name the metric as its samples do, there is no type `info`, and neither units
/// nor an end are told.
fn plain(openmetrics: &str) -> String {
    let types = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<&str, &str> = types.collect();
    openmetrics.lines().filter_map(|line| plain_line(line, &types)).collect()
}

fn plain_line(line: &str, types: &BTreeMap<&str, &str>) -> Option<String> {
    let Some(description) = line.strip_prefix("# ") else { return Some(format!("{line}\n")) };
    let (kind, rest) = description.split_once(' ')?;
    let (name, said) = rest.split_once(' ')?;
    let ending = match types.get(name) {
        Some(&"counter") => "_total",
        Some(&"info") => "_info",
        _ => "",
    };
    let said = match (kind, said) {
        ("TYPE", "info") => "gauge",
        ("TYPE" | "HELP", said) => said,
        _ => return None,
    };
    Some(format!("# {kind} {name}{ending} {said}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            (prometheus, Format::OpenMetrics),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_metrics_as_their_samples_do() {
        let openmetrics = "\
# HELP build The build.
# TYPE build info
build_info{version=\"1\"} 1
# HELP cpu_seconds Used
# TYPE cpu_seconds counter
# UNIT cpu_seconds seconds
cpu_seconds_total 0.26
# HELP took Time of # TYPE and others
# TYPE took histogram
took_sum{of=\"a # b \\\"c\\\\ \\n\"} 1.5
took_bucket{le=\"+Inf\",of=\"a # b \\\"c\\\\ \\n\"} 1
# HELP none Of which there is none
# TYPE none gauge
# EOF
";
        let text = "\
# HELP build_info The build.
# TYPE build_info gauge
build_info{version=\"1\"} 1
# HELP cpu_seconds_total Used
# TYPE cpu_seconds_total counter
cpu_seconds_total 0.26
# HELP took Time of # TYPE and others
# TYPE took histogram
took_sum{of=\"a # b \\\"c\\\\ \\n\"} 1.5
took_bucket{le=\"+Inf\",of=\"a # b \\\"c\\\\ \\n\"} 1
# HELP none Of which there is none
# TYPE none gauge
";
        assert_eq!(Format::Text.of(openmetrics.into()), text);
        assert_eq!(Format::OpenMetrics.of(openmetrics.into()), openmetrics);
    }
}
