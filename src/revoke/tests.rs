use std::time::Duration;

use super::*;

const PRINCIPAL: &str = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";

fn caller(subject: &str) -> Verified {
    let claims = serde_json::json!({ "sub": subject, "team": "search", "level": 3 });
    Verified::for_tests("okta", claims.as_object().cloned().unwrap_or_default())
}

fn alice() -> Identity {
    Identity::for_tests("alice@acme.org", |_| {})
}

fn entry(words: SelectorInput<'_>) -> Entry {
    Entry { selector: Selector::of(words).unwrap(), until: None, cut_streams: false, origin: "a test".into() }
}

fn expression(text: &str) -> SelectorInput<'_> {
    SelectorInput { expression: Some(text), ..SelectorInput::default() }
}

fn subject(text: &str) -> SelectorInput<'_> {
    SelectorInput { issuer: Some("okta"), subject: Some(text), ..SelectorInput::default() }
}

#[test]
fn each_way_to_be_meant_and_not_to_be() {
    let principal = SelectorInput { principal: Some(PRINCIPAL), ..SelectorInput::default() };
    for (words, meant) in [
        (subject("alice"), true),
        (subject("alic"), false),
        (SelectorInput { issuer: Some("entra"), ..subject("alice") }, false),
        (principal, true),
        (expression("claims.team == 'search'"), true),
        (expression("issuer.name == 'okta'"), true),
        (expression("claims.team == 'ads'"), false),
        // What is missing is not true; what cannot be evaluated lets nobody in.
        (expression("claims.cost_center == 'x'"), false),
        (expression("claims.level.startsWith('3')"), true),
    ] {
        let revocations = Revocations::default();
        revocations.of_file(vec![entry(words).into()]);
        assert_eq!(revocations.is_revoked(&caller("alice"), &alice()), meant, "{words:?}");
    }
}

#[test]
fn what_is_no_entry() {
    for words in [
        SelectorInput::default(),
        SelectorInput { issuer: Some("okta"), ..SelectorInput::default() },
        subject(""),
        SelectorInput { principal: Some(PRINCIPAL), ..subject("alice") },
    ] {
        assert_eq!(Selector::of(words), Err(SelectorError::Unclear), "{words:?}");
    }
    let arn = SelectorInput { principal: Some("alice"), ..SelectorInput::default() };
    assert_eq!(Selector::of(arn), Err(SelectorError::NotAPrincipal));
    assert!(matches!(
        Selector::of(expression("request.headers['x'] == 'y'")),
        Err(SelectorError::Expression(_))
    ));
}

#[test]
fn a_verdict_is_remembered_until_an_entry_comes_or_goes() {
    let revocations = Revocations::default();
    let (caller, identity) = (caller("alice"), alice());
    assert!(identity.verdict().is_cleared(0), "there never was an entry");
    revocations.of_file(vec![entry(subject("bob")).into()]);
    assert!(!identity.verdict().is_cleared(1));
    assert!(!revocations.is_revoked(&caller, &identity));
    assert!(identity.verdict().is_cleared(1), "nothing is evaluated the next time");

    revocations.tell(entry(subject("alice"))).unwrap();
    assert!(revocations.is_revoked(&caller, &identity));
    assert!(identity.verdict().denied(2, clock::now()).is_some(), "nor for those who are cut off");
    assert!(revocations.is_revoked(&caller, &identity));

    // A file that is loaded again keeps what was told.
    revocations.of_file(Vec::new());
    assert!(revocations.is_revoked(&caller, &identity));
    let over = Entry { until: Some(SystemTime::UNIX_EPOCH), ..entry(subject("alice")) };
    assert_eq!(revocations.tell(over), Ok(RevokeOutcome::TakenBack));
    assert!(!revocations.is_revoked(&caller, &identity), "taken back");
    assert!(revocations.is_empty());
    let over = Entry { until: Some(SystemTime::UNIX_EPOCH), ..entry(subject("alice")) };
    assert_eq!(revocations.tell(over), Ok(RevokeOutcome::Nothing));
}

#[test]
fn an_entry_ends_by_itself_and_others_stay() {
    let revocations = Revocations::default();
    let (caller, identity) = (caller("alice"), alice());
    let soon = clock::now() + Duration::from_millis(50);
    revocations.of_file(vec![
        Entry { until: Some(soon), cut_streams: true, ..entry(subject("alice")) }.into(),
        entry(expression("claims.team == 'search'")).into(),
    ]);
    assert!(revocations.cuts(&caller, &identity));
    while clock::now() < soon {
        std::thread::yield_now();
    }
    assert!(!revocations.cuts(&caller, &identity), "the first is over");
    assert!(revocations.is_revoked(&caller, &identity), "the second is not");
    assert_eq!(revocations.len(), 1);
}

#[test]
fn only_so_many_are_told_and_none_is_lost_for_it() {
    let revocations = Revocations::default();
    for n in 0..MOST_TOLD {
        revocations.sources().told.push(Arc::new(entry(subject(&n.to_string()))));
    }
    assert_eq!(revocations.tell(entry(subject("alice"))), Err(TooMany));
    assert_eq!(revocations.sources().told.len(), MOST_TOLD);
    assert!(revocations.tell(entry(subject("7"))).is_ok(), "in place of the same");
}

#[test]
fn a_clock_that_jumped_ahead_ends_nothing_for_good() {
    let revocations = Revocations::default();
    let (caller, identity) = (caller("alice"), alice());
    let hour = Duration::from_hours(1);
    let ends = clock::now() + hour;
    assert_eq!(
        revocations.tell(Entry { until: Some(ends), ..entry(subject("alice")) }),
        Ok(RevokeOutcome::CutOff)
    );
    let list = revocations.list.load_full();
    let ahead = list.judge(&caller, &identity, ends + hour);
    assert!(ahead.verdict.is_none() && !ahead.for_good, "it is over, and not noted for ever");
    assert!(list.judge(&caller, &Identity::for_tests("bob@acme.org", |_| {}), ends).verdict.is_none());
    revocations.sources().told[0] =
        Arc::new(Entry { until: Some(clock::now() - hour), ..entry(subject("alice")) });
    revocations.tell(entry(subject("bob"))).unwrap();
    assert_eq!(revocations.sources().told.len(), 2, "what is over may have been so by a wrong clock");
}

#[test]
fn expressions_are_few() {
    let revocations = Revocations::default();
    for n in 0..MOST_EXPRESSIONS {
        revocations.tell(entry(expression(&format!("claims.level == {n}")))).unwrap();
    }
    assert_eq!(revocations.tell(entry(expression("claims.level == 1000"))), Err(TooMany));
    assert_eq!(revocations.tell(entry(subject("alice"))), Ok(RevokeOutcome::CutOff));
}
