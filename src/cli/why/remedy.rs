//! The remedy for each reason, read from `docs/TROUBLESHOOTING.md`, so that command and document say the same.

use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../../docs/TROUBLESHOOTING.md");

/// One row of the document's tables of reasons.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remedy {
    pub(super) cause: String,
    /// The person who must act: the caller, the operator, or the administrator of the issuer or of AWS.
    pub(super) who: String,
    pub(super) action: String,
}

impl Remedy {
    /// The remedy for a reason, by its word in the access log.
    pub(super) fn of(reason: &str) -> Option<Self> {
        let beginning = format!("| `{reason}` | ");
        let row = DOCUMENT.lines().find_map(|line| line.strip_prefix(&beginning))?;
        let mut cells = row.trim_end_matches(['|', ' ']).splitn(4, " | ").skip(1).map(plain);
        Some(Self { cause: cells.next()?, who: cells.next()?, action: cells.next()? })
    }
}

/// The text of a cell without links, comments and signs for bold and code.
fn plain(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some(at) = rest.find(['[', '<', '*', '`']) {
        let (before, marked) = rest.split_at(at);
        text.push_str(before);
        rest = marked;
        let link = rest.strip_prefix('[').and_then(|link| link.split_once("]("));
        if let Some(after) = rest.strip_prefix("<!--").and_then(|comment| comment.split_once("-->")) {
            rest = after.1;
        } else if let Some((words, target)) = link
            && let Some((_, after)) = target.split_once(')')
        {
            text.push_str(&words.replace('`', ""));
            rest = after;
        } else {
            let (sign, after) = rest.split_at(1);
            text.push_str(sign.trim_matches(['*', '`']));
            rest = after;
        }
    }
    text + rest
}

/// The story with the remedy of its reason.
pub(super) fn added_to(mut story: Value) -> Value {
    if let Some(Remedy { cause, who, action }) = story["request"]["reason"].as_str().and_then(Remedy::of) {
        story["remedy"] = json!({ "cause": cause, "who": who, "action": action });
    }
    story
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn every_reason_has_a_remedy() {
        for reason in Reason::ALL {
            let Remedy { cause, who, action } = Remedy::of(reason.as_str()).unwrap();
            for cell in [&cause, &who, &action] {
                assert!(
                    !cell.is_empty() && !cell.contains("](") && !cell.contains("<!--"),
                    "{reason}: {cell}"
                );
            }
            let known = ["caller", "operator", "issuer", "AWS", "–"];
            assert!(who.split(", ").all(|who| known.contains(&who)), "{reason}: {who}");
        }
        assert_eq!(Remedy::of("unheard_of"), None);
    }

    #[test]
    fn a_cell_becomes_plain_text() {
        let cell = "**both** `a` and [`b`](x.md#y), 15 s<!-- = a.rs:B --> or [c](d) in a[0]";
        assert_eq!(plain(cell), "both a and b, 15 s or c in a[0]");
    }
}
