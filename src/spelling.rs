//! The word that was probably intended where an unknown one is written.

/// Nothing is suggested for shorter words: everything is similar to them.
const SHORTEST: usize = 3;

/// The candidate that is most similar to `word`, if any is similar enough.
pub fn similar<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    let most = word.len() / 4 + 1;
    candidates
        .into_iter()
        .map(|candidate| {
            let plain = plain(candidate);
            let begins = word.len() >= SHORTEST && plain.starts_with(&word);
            (if begins { 0 } else { strsim::damerau_levenshtein(&word, &plain) }, candidate)
        })
        .filter(|(distance, _)| *distance == 0 || *distance <= most && word.len() >= SHORTEST)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_words_are_found_and_others_are_not() {
        let keys = ["audiences", "audience_claim", "ca", "request_headers", "url"];
        for (word, intended) in [
            ("audience", Some("audiences")),
            ("Audiences", Some("audiences")),
            ("request-headers", Some("request_headers")),
            ("requets_headers", Some("request_headers")),
            ("ulr", Some("url")),
            ("CA", Some("ca")),
            ("aud", Some("audiences")),
            ("cb", None),
            ("threads", None),
            ("", None),
        ] {
            assert_eq!(similar(word, keys), intended, "{word}");
        }
    }
}
