//! The table that the rig prints.

use std::fmt;

/// One line of the table of targets.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    /// Of nginx, bare hyper and the gateway, each with its unit; empty if there is no value to compare.
    values: [String; 3],
    /// The figure that the target limits.
    figure: String,
    /// The target, and whether the figure meets it. `None`: the line is there to be read beside others.
    target: Option<(String, bool)>,
}

impl Row {
    /// A line with the values of nginx, bare hyper and the gateway.
    pub(crate) fn of(what: impl Into<String>, values: [String; 3]) -> Self {
        Self { what: what.into(), values, figure: String::new(), target: None }
    }

    /// A line that only the gateway has a value for.
    pub(crate) fn of_gateway(what: impl Into<String>, value: String) -> Self {
        Self::of(what, [String::new(), String::new(), value])
    }

    pub(crate) fn figure(self, figure: impl Into<String>) -> Self {
        Self { figure: figure.into(), ..self }
    }

    pub(crate) fn target(self, target: impl Into<String>, met: bool) -> Self {
        Self { target: Some((target.into(), met)), ..self }
    }
}

/// Printed in Markdown.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | nginx | bare hyper | gateway | figure | target | result |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for Row { what, values: [nginx, floor, gateway], figure, target } in &self.0 {
            let (target, result) = match target {
                Some((target, true)) => (target.as_str(), "met"),
                Some((target, false)) => (target.as_str(), "**missed**"),
                None => ("", ""),
            };
            writeln!(f, "| {what} | {nginx} | {floor} | {gateway} | {figure} | {target} | {result} |")?;
        }
        Ok(())
    }
}

/// The middle value; of an even number of values, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The value below which the share `part` of all values lies.
pub(crate) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = (values.len() as f64 * part) as usize;
    values[at.min(values.len() - 1)]
}

pub(crate) fn micros(value: f64) -> String {
    format!("{value:.1} µs")
}

pub(crate) fn times(value: f64) -> String {
    format!("{value:.2} ×")
}

pub(crate) fn per_second(value: f64) -> String {
    format!("{value:.0}")
}

pub(crate) fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}
