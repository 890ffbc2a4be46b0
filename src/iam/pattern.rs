//! The rest of a pattern with `*` after a text: the patterns of what may follow the text.

use crate::wildcard;

/// The patterns P for which `pattern` matches `text` followed by P; none if `pattern` matches nothing that begins with
/// `text`. A pattern that another one covers is left out.
pub(super) fn after(pattern: &str, text: &str) -> Vec<String> {
    let bytes = pattern.as_bytes();
    let mut places = closure(bytes, vec![0]);
    for byte in text.bytes() {
        let next = places.iter().filter_map(|&place| match bytes.get(place) {
            Some(b'*') => Some(place),
            Some(other) if *other == byte => Some(place + 1),
            _ => None,
        });
        places = closure(bytes, next.collect());
    }
    // Patterns are ASCII, so each place is the beginning of a character.
    widest(places.into_iter().filter_map(|place| pattern.get(place..)).map(str::to_owned).collect())
}

/// The places and those behind a `*`, which may match nothing.
fn closure(pattern: &[u8], mut places: Vec<usize>) -> Vec<usize> {
    let mut at = 0;
    while let Some(&place) = places.get(at) {
        if pattern.get(place) == Some(&b'*') && !places.contains(&(place + 1)) {
            places.push(place + 1);
        }
        at += 1;
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// The patterns without those that another one covers, in their order.
pub(super) fn widest(patterns: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for pattern in patterns {
        // A pattern covers another one if it matches its text: only a star matches a star.
        if !kept.iter().any(|wider| wildcard::matches(wider, &pattern)) {
            kept.retain(|narrower| !wildcard::matches(&pattern, narrower));
            kept.push(pattern);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_follow_a_text() {
        assert_eq!(after("eu.*", "eu."), ["*"]);
        assert_eq!(after("eu.*", "us."), [""; 0]);
        assert_eq!(after("*claude*", "global."), ["*claude*"]);
        assert_eq!(after("*l.anthropic*", "global."), ["*l.anthropic*", "anthropic*"]);
        assert_eq!(after("us.x", "us.x"), [""]);
        assert_eq!(after("arn:*", "arn:aws:bedrock:"), ["*"]);
    }

    proptest! {
        #[test]
        fn the_rest_matches_exactly_what_the_pattern_matches_behind_the_text(
            pattern in "[ab*.]{0,8}", text in "[ab.]{0,5}", end in "[ab.]{0,6}",
        ) {
            let whole = wildcard::matches(&pattern, &format!("{text}{end}"));
            let rests = after(&pattern, &text);
            prop_assert_eq!(whole, rests.iter().any(|rest| wildcard::matches(rest, &end)));
        }
    }
}
