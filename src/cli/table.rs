//! Tables on a terminal: they fit its width. A narrow one gets fewer columns and truncated cells.

use crate::style::legible;

/// The least width to which a cell is truncated.
const NARROWEST: usize = 12;
/// The least width to which the later columns are truncated before the first one.
const NARROW: usize = 18;
const GAP: usize = 2;

/// A column, and the place that it gets when there is little.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Always there, never truncated.
    Fixed(&'static str),
    /// Always there; truncated in the middle if the table is too wide.
    Flexible(&'static str),
    /// There if it fits. The first of them are the most important.
    Optional(&'static str),
}

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Fixed(head) | Self::Flexible(head) | Self::Optional(head) => head,
        }
    }
}

/// The width of the terminal at standard output. `None`: it is not a terminal, so nothing limits the width.
pub(super) fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// The table as text, one line for each row. A token's text is made legible: it must not command the terminal.
pub(super) fn render(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| legible(cell)).collect()).collect();
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| length(cell));
            cells.chain([length(column.head())]).max().unwrap_or_default()
        })
        .collect();
    let shown = fitting(columns, &mut widths, width.unwrap_or(usize::MAX));
    let heads: Vec<String> = columns.iter().map(|column| column.head().to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&heads).chain(&rows) {
        let mut line = String::new();
        for at in &shown {
            let cell = truncated(row.get(*at).map_or("", String::as_str), widths[*at]);
            let room = " ".repeat(widths[*at] + GAP - length(&cell));
            line.extend([cell, room]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The places of the columns that fit into `width`. Narrows flexible columns.
fn fitting(columns: &[Column], widths: &mut [usize], width: usize) -> Vec<usize> {
    let is_optional = |at: usize| matches!(columns[at], Column::Optional(_));
    let mut shown: Vec<usize> = (0..columns.len()).filter(|at| !is_optional(*at)).collect();
    let mut total = shown.iter().map(|at| widths[*at] + GAP).sum::<usize>().saturating_sub(GAP);
    for at in (0..columns.len()).filter(|at| is_optional(*at)) {
        if total + GAP + widths[at] > width {
            break;
        }
        total += GAP + widths[at];
        shown.push(at);
    }
    while total > width {
        let flexible = || shown.iter().copied().filter(|at| matches!(columns[*at], Column::Flexible(_)));
        let later = flexible().skip(1).filter(|at| widths[*at] > NARROW).last();
        match later.or_else(|| flexible().max_by_key(|at| widths[*at])) {
            Some(widest) if widths[widest] > NARROWEST => {
                widths[widest] -= 1;
                total -= 1;
            }
            _ => break,
        }
    }
    shown.sort_unstable();
    shown
}

/// The beginning and the end of a text that is longer than `width`.
fn truncated(text: &str, width: usize) -> String {
    let length = length(text);
    if length <= width {
        return text.to_owned();
    }
    let start = (width - 1) / 2;
    let end = width - 1 - start;
    text.chars().take(start).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::Column::{Fixed, Flexible, Optional};
    use super::*;

    const COLUMNS: [Column; 4] = [Flexible("WHO"), Fixed("USED"), Optional("TAGS"), Optional("KEY")];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        vec![
            row(["BedrockUser/alice@acme.org", "3 s", "team=search", "ASIA1"]),
            row(["bob", "1 min", "", ""]),
        ]
    }

    #[test]
    fn a_wide_terminal_shows_every_column_and_a_narrow_one_truncates() {
        let all = "WHO                         USED   TAGS         KEY\n\
                   BedrockUser/alice@acme.org  3 s    team=search  ASIA1\n\
                   bob                         1 min\n";
        assert_eq!(render(&COLUMNS, &rows(), None), all);
        assert_eq!(render(&COLUMNS, &rows(), Some(53)), all);
        assert_eq!(
            render(&COLUMNS, &rows(), Some(50)),
            "WHO                         USED   TAGS\n\
             BedrockUser/alice@acme.org  3 s    team=search\n\
             bob                         1 min\n"
        );
        assert_eq!(
            render(&COLUMNS, &rows(), Some(24)),
            "WHO                USED\n\
             BedrockU…acme.org  3 s\n\
             bob                1 min\n"
        );
        assert!(render(&COLUMNS, &rows(), Some(1)).lines().all(|line| line.chars().count() <= 19));
    }

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped() {
        let text = render(&[Fixed("WHO")], &[vec!["a\u{1b}[2J\u{202e}b\u{2028}c".to_owned()]], None);
        assert_eq!(text, "WHO\na\\u{1b}[2J\\u{202e}b\\u{2028}c\n");
    }
}
