use super::*;

/// Answers that are valid.
fn answers(issuer: &str) -> Answers {
    Answers {
        issuer: Some(issuer.to_owned()),
        account: Some("123456789012".to_owned()),
        regions: vec!["eu-central-1".to_owned()],
        ..Answers::default()
    }
}

/// The faults of these answers with one more.
fn faults(mut answers: Answers, question: Question, text: &str) -> Vec<Fault> {
    answers.set(question, text).unwrap();
    answers.faults()
}

#[test]
fn answers_are_checked_with_the_words_of_check() {
    for (question, text, words) in [
        (
            Question::Region,
            "eu-centrl-1",
            "AWS has no region \"eu-centrl-1\"; did you mean \"eu-central-1\"?",
        ),
        (Question::Region, "eu-central-1 us-gov-west-1", "run one gateway for each partition"),
        (Question::Account, "123", "the account \"123\" has 3 digits, and must have 12"),
        (Question::Account, "acme", "\"acme\" is not an account"),
        (Question::Role, "Bedrock User", "is not the ARN of a role"),
        (Question::Role, "arn:aws-cn:iam::123456789012:role/X", "this role is in AWS China"),
        (Question::Role, "X=claims.groups in", "end"),
        (Question::Tag, "aws:x=team", "cannot be a tag key"),
        (Question::Tag, "team=claims.(", "claims"),
        (Question::IssuerUrl, "acme.okta.com", "it is not a URL"),
        (Question::IssuerUrl, "http://acme.okta.com", "https"),
        (Question::Listen, "0.0.0.0:80", "has no scheme"),
        (Question::Listen, "http://localhost:80", "\"localhost\" is a name"),
        (Question::Probe, "127.0.0.1", "has no port"),
        (Question::Endpoint, "s3=https://x", "is not an endpoint"),
        (Question::Owner, "acme", "pins no owner"),
    ] {
        let faults = faults(answers("okta"), question, text);
        let about = faults.iter().find(|fault| fault.question == Some(question));
        assert!(about.is_some_and(|fault| fault.text.contains(words)), "{text}: {words}: {faults:?}");
    }
    assert_eq!(answers("okta").faults(), []);
}

#[test]
fn an_owner_is_the_value_that_the_starting_point_pins() {
    let fault = faults(answers("google"), Question::Owner, "acme.org' || true || '");
    assert!(fault[0].text.contains("is not an owner; write your Google Workspace domain"), "{fault:?}");
    let fault =
        faults(answers("entra"), Question::IssuerUrl, "https://login.microsoftonline.com/common/v2.0");
    assert!(fault[0].text.contains("is not the URL of one tenant"), "{fault:?}");
    let mut entra = answers("entra");
    let tenant = "11111111-2222-3333-4444-555555555555";
    entra.issuer_url = Some(format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    assert_eq!(entra.owner().as_deref(), Some(tenant));
    assert!(Draft::of(&entra).requirements[0].contains(&format!("claims.tid == '{tenant}'")));
    assert_eq!(answers("aws").owner().as_deref(), Some("123456789012"));
    assert_eq!(answers("okta").owner(), None);
}

#[test]
fn claims_are_named_or_expressions() {
    for (claim, expression) in [
        ("department", "claims.department"),
        ("acme.team", "claims.acme.team"),
        ("cognito:groups", "claims['cognito:groups']"),
        ("cost-center", "claims['cost-center']"),
        ("https://acme.org/team", "claims['https://acme.org/team']"),
        ("claims.groups[0]", "claims.groups[0]"),
        ("lowerAscii(claims.team)", "lowerAscii(claims.team)"),
    ] {
        assert_eq!(super::super::draft::expression(claim), expression);
    }
}

#[test]
fn roles_with_a_condition_come_before_the_role_of_all_others() {
    let mut answers = answers("okta");
    answers.roles =
        ["BedrockUser", "BedrockMl='ml' in claims.groups"].map(|text| text.parse().unwrap()).into();
    assert_eq!(answers.faults(), []);
    let text = Draft::of(&answers).text(&answers);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
    assert!(at("when = \"'ml' in claims.groups\"") < at("role/BedrockMl"));
    assert!(at("role/BedrockMl") < at("role/BedrockUser"));
    assert!(!text.contains("To give some callers another role"));
}
