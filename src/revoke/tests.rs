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
    Entry {
        selector: Selector::of(words).unwrap(),
        until: None,
        cut_streams: false,
        origin: "a test".into(),
        line: None,
        since: clock::now(),
        refused: RefusedRequests::default(),
    }
}

fn expression(text: &str) -> SelectorInput<'_> {
    SelectorInput { expression: Some(text), ..SelectorInput::default() }
}

fn subject(text: &str) -> SelectorInput<'_> {
    SelectorInput { issuer: Some("okta"), subject: Some(text), ..SelectorInput::default() }
}

#[test]
fn every_kind_of_selector_that_matches_and_that_does_not() {
    let principal = SelectorInput { principal: Some(PRINCIPAL), ..SelectorInput::default() };
    for (words, matches) in [
        (subject("alice"), true),
        (subject("alic"), false),
        (SelectorInput { issuer: Some("entra"), ..subject("alice") }, false),
        (principal, true),
        (expression("claims.team == 'search'"), true),
        (expression("issuer.name == 'okta'"), true),
        (expression("claims.team == 'ads'"), false),
        // A missing claim does not match. An expression that fails matches.
        (expression("claims.cost_center == 'x'"), false),
        (expression("claims.level.startsWith('3')"), true),
    ] {
        let revocations = Revocations::default();
        revocations.of_file(vec![entry(words).into()]);
        assert_eq!(revocations.is_revoked(&caller("alice"), &alice()), matches, "{words:?}");
    }
}

#[test]
fn invalid_selectors_are_rejected() {
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
fn a_verdict_is_cached_until_the_entries_change() {
    let revocations = Revocations::default();
    let (caller, identity) = (caller("alice"), alice());
    assert!(identity.verdict().is_cleared(0), "there has never been an entry");
    revocations.of_file(vec![entry(subject("bob")).into()]);
    assert!(!identity.verdict().is_cleared(1));
    assert!(!revocations.is_revoked(&caller, &identity));
    assert!(identity.verdict().is_cleared(1), "the next check evaluates nothing");

    revocations.tell(entry(subject("alice"))).unwrap();
    assert!(revocations.is_revoked(&caller, &identity));
    assert!(
        identity.verdict().denied(2, clock::now()).is_some(),
        "the verdict of a revoked caller is cached too"
    );
    assert!(revocations.is_revoked(&caller, &identity));

    // A reload of the deny file keeps the entries of the admin port.
    revocations.of_file(Vec::new());
    assert!(revocations.is_revoked(&caller, &identity));
    let expired = Entry { until: Some(SystemTime::UNIX_EPOCH), ..entry(subject("alice")) };
    assert_eq!(revocations.tell(expired), Ok(RevokeOutcome::Removed));
    assert!(!revocations.is_revoked(&caller, &identity), "removed");
    assert!(revocations.is_empty());
    let expired = Entry { until: Some(SystemTime::UNIX_EPOCH), ..entry(subject("alice")) };
    assert_eq!(revocations.tell(expired), Ok(RevokeOutcome::NothingToRemove));
}

#[test]
fn an_entry_expires_and_others_stay() {
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
    assert!(!revocations.cuts(&caller, &identity), "the first entry has expired");
    assert!(revocations.is_revoked(&caller, &identity), "the second has not");
    assert_eq!(revocations.len(), 1);
}

#[test]
fn the_limit_of_the_admin_port_removes_no_entry() {
    let revocations = Revocations::default();
    for n in 0..MOST_OF_ADMIN_PORT {
        revocations.sources().admin_port.push(Arc::new(entry(subject(&n.to_string()))));
    }
    assert_eq!(revocations.tell(entry(subject("alice"))), Err(TooMany));
    assert_eq!(revocations.sources().admin_port.len(), MOST_OF_ADMIN_PORT);
    assert!(revocations.tell(entry(subject("7"))).is_ok(), "it replaces the entry with the same selector");
}

#[test]
fn a_clock_that_jumps_ahead_removes_no_entry() {
    let revocations = Revocations::default();
    let (caller, identity) = (caller("alice"), alice());
    let hour = Duration::from_hours(1);
    let ends = clock::now() + hour;
    assert_eq!(
        revocations.tell(Entry { until: Some(ends), ..entry(subject("alice")) }),
        Ok(RevokeOutcome::Revoked)
    );
    let list = revocations.list.load_full();
    let ahead = list.judge(&caller, &identity, ends + hour);
    assert!(ahead.verdict.is_none() && !ahead.is_final, "it has expired, and that is not cached");
    assert!(list.judge(&caller, &Identity::for_tests("bob@acme.org", |_| {}), ends).verdict.is_none());
    revocations.sources().admin_port[0] =
        Arc::new(Entry { until: Some(clock::now() - hour), ..entry(subject("alice")) });
    revocations.tell(entry(subject("bob"))).unwrap();
    assert_eq!(
        revocations.sources().admin_port.len(),
        2,
        "the clock may be wrong, so an expired entry is kept"
    );
}

#[test]
fn expressions_have_a_lower_limit() {
    let revocations = Revocations::default();
    for n in 0..MOST_EXPRESSIONS {
        revocations.tell(entry(expression(&format!("claims.level == {n}")))).unwrap();
    }
    assert_eq!(revocations.tell(entry(expression("claims.level == 1000"))), Err(TooMany));
    assert_eq!(revocations.tell(entry(subject("alice"))), Ok(RevokeOutcome::Revoked));
}

#[test]
fn an_entry_that_a_reload_does_not_change_keeps_its_time_and_its_count() {
    let revocations = Revocations::default();
    let early = SystemTime::UNIX_EPOCH;
    let alice = Entry { since: early, line: Some(1), ..entry(subject("alice")) };
    let old = revocations.also_of_file(vec![alice.into(), entry(subject("bob")).into()]);
    old[0].refused.add_one();
    let bob = Entry { cut_streams: true, ..entry(subject("bob")) };
    let alice = Entry { line: Some(4), ..entry(subject("alice")) };
    let new = revocations.also_of_file(vec![bob.into(), alice.into()]);
    assert_eq!((new[1].since, new[1].refused.count(), new[1].line), (early, 1, Some(4)));
    assert_eq!(revocations.len(), 3, "both entries about bob, and one about alice");
    revocations.of_file(new);
    assert_eq!(revocations.in_force().len(), 2);
}

/// A caller's first request after a change looks at few of many entries, and misses none that matches.
#[test]
fn a_check_looks_at_the_entries_that_name_the_caller_and_at_expressions() {
    let principal = SelectorInput { principal: Some(PRINCIPAL), ..SelectorInput::default() };
    let entra = SelectorInput { issuer: Some("entra"), ..subject("alice") };
    let others: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
    let words = others.iter().map(|other| subject(other));
    let words = [expression("claims.level == 3"), subject("alice")].into_iter().chain(words);
    let words = words.chain([entra, principal, expression("claims.level == 4"), subject("alice")]);
    let entries: Vec<_> = words.map(|words| Arc::new(entry(words))).collect();
    let places = Index::of(&entries).candidates(&caller("alice"), &alice());
    assert_eq!(places, [0, 1, 10_003, 10_004, 10_005]);
    let unnamed = Verified::for_tests("okta", serde_json::Map::new());
    let places = Index::of(&entries).candidates(&unnamed, &Identity::for_tests("bob@acme.org", |_| {}));
    assert_eq!(places, [0, 10_004]);
}
