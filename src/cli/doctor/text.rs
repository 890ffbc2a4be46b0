//! The checks of `doctor` for people: a mark, the name and the finding, then the next step below.

use crate::config::counted;
use crate::doctor::{Check, Status};
use crate::style::{BAD, DIM, GOOD, WARNING, columns, legible, push};

/// Columns of a line. Narrow terminals and logs of build servers have 80.
const WIDTH: usize = 80;

/// One check, with a line break at its end.
pub(super) fn of(check: &Check, colour: bool) -> String {
    let (mark, style) = match check.status {
        Status::Ok => ("✓", GOOD),
        Status::Warn => ("!", WARNING),
        Status::Fail => ("✗", BAD),
        Status::Skip => ("-", DIM),
    };
    let mut text = String::new();
    push(&mut text, colour, style, mark);
    text.push(' ');
    let sentence = format!("{}: {}", check.name, check.message);
    text.push_str(&wrapped(&legible(&sentence), 2));
    text.push('\n');
    for line in check.fix.iter().flat_map(|fix| fix.lines()) {
        text.push_str("    ");
        // A line of a document keeps its form.
        if line.starts_with([' ', '{', '}']) {
            text.push_str(&legible(line));
        } else {
            text.push_str(&wrapped(&legible(line), 4));
        }
        text.push('\n');
    }
    text
}

/// The last line: how many checks had each outcome.
pub(super) fn summary(checks: &[Check]) -> String {
    let of = |status: Status| checks.iter().filter(|check| check.status == status).count();
    let (failed, warned, skipped) = (of(Status::Fail), of(Status::Warn), of(Status::Skip));
    let mut parts = vec![format!("{} passed", counted(of(Status::Ok), "check"))];
    if warned > 0 {
        parts.push(counted(warned, "warning"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if skipped > 0 {
        parts.push(format!("{skipped} not tried"));
    }
    format!("\n{}\n", parts.join(", "))
}

/// The text in lines of at most [`WIDTH`] columns where its words allow it. All lines begin after `indent` columns; the
/// caller has written those of the first.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if indent + columns(line) + 1 + columns(word) <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_wrapped_and_its_fix_is_below() {
        let message = "STS denies it ".repeat(8);
        let fix = "one of these is the cause:\n(1) the role does not exist\n  \"Sid\": \"Assume\"";
        let text = of(&Check::fail("role BedrockUser", message.trim(), fix), false);
        assert!(text.starts_with("✗ role BedrockUser: STS denies it "), "{text}");
        assert!(text.lines().all(|line| columns(line) <= WIDTH), "{text}");
        assert!(
            text.contains("\n  STS denies it") || text.contains("\n  denies it") || text.contains("\n  it")
        );
        assert!(text.ends_with("    (1) the role does not exist\n      \"Sid\": \"Assume\"\n"), "{text}");
    }

    #[test]
    fn colours_and_what_a_terminal_would_act_on() {
        let check = Check::ok("issuer \u{1b}[2J", "1 signing key");
        assert_eq!(of(&check, false), "✓ issuer \\u{1b}[2J: 1 signing key\n");
        assert!(of(&check, true).starts_with("\u{1b}["));
    }

    #[test]
    fn the_summary_counts_what_there_is() {
        let checks = [Check::ok("a", ""), Check::fail("b", "", ""), Check::skip("c", "")];
        assert_eq!(summary(&checks), "\n1 check passed, 1 failed, 1 not tried\n");
    }
}
