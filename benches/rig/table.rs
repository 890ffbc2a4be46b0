//! The table that the rig prints.

use std::fmt;

/// One line of the table of targets.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// With its unit; empty if there is no value to compare.
    pub(crate) nginx: String,
    pub(crate) floor: String,
    pub(crate) gateway: String,
    /// The figure that the target limits.
    pub(crate) figure: String,
    pub(crate) target: String,
    pub(crate) met: bool,
}

/// Printed in Markdown.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | nginx | bare hyper | gateway | figure | target | result |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for row in &self.0 {
            let met = if row.met { "met" } else { "**missed**" };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} | {met} |",
                row.what, row.nginx, row.floor, row.gateway, row.figure, row.target
            )?;
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
