use jsonwebtoken::Algorithm;

use super::*;
use crate::auth::issuer::KeySource;

const EC: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"KID",
"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x0ZrNcdDjG4VSjHiXH0A0FcKqwJgVpQVBm_bM0AN7Gc"}]}"#;

/// An issuer whose keys stand in a file.
fn issuer(file: &std::path::Path) -> Arc<Issuer> {
    let settings = Settings {
        name: "acme".into(),
        url: "https://acme.example".to_owned(),
        keys: KeySource::JwksFile(file.to_owned()),
        audiences: vec!["gateway".to_owned()],
        audience_claim: None,
        algorithms: vec![Algorithm::ES256],
        types: vec!["jwt".to_owned()],
        max_token_age: None,
        leeway: crate::auth::issuer::LEEWAY,
        ca: None,
    };
    Arc::new(Issuer::new(settings, Metrics::new()).unwrap())
}

fn knows(issuer: &Issuer, id: &str) -> bool {
    issuer.keys().is_some_and(|keys| keys.knows(Some(id)))
}

async fn soon(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_made_up_for_soon_and_the_last_good_keys_are_used_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    let issuer = issuer(&file);
    let refreshing = tokio::spawn(Issuer::keep_fresh(Arc::downgrade(&issuer)));
    soon("keys at the start", RETRY, || knows(&issuer, "one")).await;

    std::fs::write(&file, "broken").unwrap();
    soon("a refresh without being asked", EVERY, || issuer.status().last_error.is_some()).await;
    assert!(knows(&issuer, "one"), "the last good set is kept");
    std::fs::write(&file, EC.replace("KID", "two")).unwrap();
    soon("the new keys", 2 * RETRY, || knows(&issuer, "two")).await;
    assert!(!knows(&issuer, "one") && issuer.status().last_error.is_none());
    refreshing.abort();
}

#[tokio::test(start_paused = true)]
async fn strangers_cause_one_refresh_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let issuer = issuer(&file);
    assert!(issuer.refresh_for_unknown_key().await, "it failed, but it was one");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    assert!(!issuer.refresh_for_unknown_key().await && issuer.keys().is_none());
    tokio::time::advance(COOL_DOWN).await;
    assert!(issuer.refresh_for_unknown_key().await && knows(&issuer, "one"));
}

#[tokio::test]
async fn a_refresh_that_broke_down_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&folder.path().join("jwks.json"));
    let (over, flight) = watch::channel(());
    issuer.state().flight = Some(flight);
    assert!(issuer.state().under_way().is_some());
    drop(over);
    assert!(issuer.state().under_way().is_none());
}
