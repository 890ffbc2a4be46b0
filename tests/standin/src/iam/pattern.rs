//! Patterns with `*` (any run of characters) and `?` (one character).

/// Whether `pattern` matches the whole of `text`.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // matched[t]: the pattern so far matches the first t characters.
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    for symbol in pattern {
        let before = matched.clone();
        for t in 0..=text.len() {
            matched[t] = match symbol {
                '*' => before[t] || (t > 0 && matched[t - 1]),
                '?' => t > 0 && before[t - 1],
                literal => t > 0 && before[t - 1] && text[t - 1] == literal,
            };
        }
    }
    matched[text.len()]
}

/// Whether each of the six parts of an ARN matches the part of the pattern. A text that is no ARN matches nothing.
pub(super) fn arn(pattern: &str, text: &str) -> bool {
    match (parts(pattern), parts(text)) {
        (Some(patterns), Some(texts)) => {
            patterns.into_iter().zip(texts).all(|(pattern, text)| glob(pattern, text))
        }
        _ => false,
    }
}

/// `arn`, partition, service, region, account and resource.
pub(super) fn parts(arn: &str) -> Option<[&str; 6]> {
    let parts: [&str; 6] = arn.splitn(6, ':').collect::<Vec<_>>().try_into().ok()?;
    (parts[0] == "arn").then_some(parts)
}
