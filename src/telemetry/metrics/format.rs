//! The two text formats of the metrics. The library writes `OpenMetrics`; this module derives the older text format of
//! Prometheus from it, which more tools read.

use std::fmt::Write as _;

/// A format of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4 of Prometheus: the one that is sent unless the client prefers the other.
    Prometheus,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that the header `Accept` prefers. The first media type of the highest quality counts; without a known
    /// one, the format of Prometheus.
    pub fn accepted(accept: &str) -> Self {
        let mut preferred = (0.0, Self::Prometheus);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().map(str::to_ascii_lowercase).as_deref() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => Self::Prometheus,
                _ => continue,
            };
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
            if let Some(quality) = quality.filter(|quality| *quality > preferred.0) {
                preferred = (quality, format);
            }
        }
        preferred.1
    }

    /// The `Content-Type` of a page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The page in the format of Prometheus. There a counter is called as its sample is, with `_total`; units and the end of
/// the page are not marked. `page` has no exemplars, and no other types than counters, gauges and histograms.
pub(super) fn prometheus(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap_or((help, ""));
            // The library writes the type behind the help.
            let kind =
                lines.peek().and_then(|next| next.strip_prefix("# TYPE ")?.strip_prefix(name)).map(str::trim);
            let total = if kind == Some("counter") { "_total" } else { "" };
            // Writing to a String does not fail.
            let _written = writeln!(text, "# HELP {name}{total} {help}");
            if let Some(kind) = kind {
                let _written = writeln!(text, "# TYPE {name}{total} {kind}");
                lines.next();
            }
        } else if line != "# EOF" && !line.starts_with("# UNIT ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_format() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, format) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/plain", Prometheus),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", OpenMetrics),
            ("text/plain;version=0.0.4,application/openmetrics-text;q=0.5", Prometheus),
            // Prometheus 3 with its default protocols, and 2.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=0", Prometheus),
            ("application/openmetrics-text;q=high", Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn only_counters_are_renamed_and_marks_are_left_out() {
        let page = "# HELP a_seconds Some help.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                    a_seconds_bucket{le=\"+Inf\"} 1\na_seconds_count 1\na_seconds_sum 0.5\n\
                    # HELP b Some help.\n# TYPE b counter\nb_total{x=\"# HELP\"} 2\n\
                    # HELP c Some help.\n# TYPE c gauge\nc 3\n# EOF\n";
        let expected = "# HELP a_seconds Some help.\n# TYPE a_seconds histogram\n\
                        a_seconds_bucket{le=\"+Inf\"} 1\na_seconds_count 1\na_seconds_sum 0.5\n\
                        # HELP b_total Some help.\n# TYPE b_total counter\nb_total{x=\"# HELP\"} 2\n\
                        # HELP c Some help.\n# TYPE c gauge\nc 3\n";
        assert_eq!(prometheus(page), expected);
    }
}
