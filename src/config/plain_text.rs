//! A constant in the place of an expression: `team = "platform"`.

/// The message and the advice about a source that is a plain text; `None` if it may be an expression. `tag` is the key
/// of the tag that it is for; `None` for a name.
pub(super) fn fault(source: &str, tag: Option<&str>) -> Option<(String, String)> {
    let is_plain = source.starts_with(|c: char| c.is_ascii_alphabetic())
        && source.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c))
        && !["true", "false", "null", "claims", "issuer", "request"].contains(&source)
        && !source.split(' ').any(|word| ["in", "and", "or", "not"].contains(&word));
    if !is_plain {
        return None;
    }
    let is_name = !source.contains(['-', ' ']);
    let message = if is_name {
        format!("\"{source}\" is read as an expression, and there is no `{source}`")
    } else if source.contains(' ') {
        format!("\"{source}\" is read as an expression, and is none")
    } else {
        let words: Vec<&str> = source.split('-').collect();
        format!("\"{source}\" is read as an expression ({})", words.join(" minus "))
    };
    let claim = if is_name { format!("claims.{source}") } else { format!("claims['{source}']") };
    let help = match tag {
        None => format!("write a claim, for example \"{claim}\""),
        Some(key) => {
            let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            let key = if bare { key.to_owned() } else { format!("\"{key}\"") };
            format!(
                "for a constant write {key} = {{ value = \"{source}\" }}; for a claim write {key} = \"{claim}\""
            )
        }
    };
    Some((message, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_are_no_expressions() {
        for plain in ["platform", "platform-team", "Platform Team", "a_b"] {
            let (_, help) = fault(plain, Some("team")).unwrap();
            assert!(help.contains(&format!("team = {{ value = \"{plain}\" }}")), "{help}");
        }
        for other in
            ["claims.team", "'platform'", "claims", "true", "a in b", "a + b", "size(claims)", "", "1 - 2"]
        {
            assert_eq!(fault(other, None), None, "{other}");
        }
    }
}
