use jsonwebtoken::Algorithm;

use super::*;
use crate::auth::issuer::KeySource;

const EC: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"KID",
"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x0ZrNcdDjG4VSjHiXH0A0FcKqwJgVpQVBm_bM0AN7Gc"}]}"#;

/// An issuer whose keys are in a file.
fn issuer(file: &std::path::Path) -> Arc<Issuer> {
    Arc::new(Issuer::new(settings(file), &Proxy::default(), Metrics::new()).unwrap())
}

fn settings(file: &std::path::Path) -> IssuerSettings {
    IssuerSettings {
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
    }
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

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "not PEM").unwrap();
    let settings = IssuerSettings { ca: Some(ca), ..settings(&file) };
    let fault = Issuer::new(settings, &Proxy::default(), Metrics::new()).err().unwrap().to_string();
    assert!(fault.starts_with("issuer acme: the CA file") && fault.contains("ca.pem"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_is_retried_soon_and_earlier_keys_are_used_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    let issuer = issuer(&file);
    let refreshing = tokio::spawn(Issuer::keep_fresh(Arc::downgrade(&issuer)));
    soon("keys at the start", RETRY, || knows(&issuer, "one")).await;

    std::fs::write(&file, "broken").unwrap();
    soon("a scheduled refresh", EVERY, || issuer.status().last_error.is_some()).await;
    assert!(knows(&issuer, "one"), "the earlier keys are kept");
    std::fs::write(&file, EC.replace("KID", "two")).unwrap();
    soon("the new keys", 2 * RETRY, || knows(&issuer, "two")).await;
    assert!(!knows(&issuer, "one") && issuer.status().last_error.is_none());
    refreshing.abort();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_long_outage_is_noticed_within_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let issuer = issuer(&file);
    let refreshing = tokio::spawn(Issuer::keep_fresh(Arc::downgrade(&issuer)));
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert!(issuer.status().last_error.is_some());
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    soon("keys after the outage", Duration::from_secs(10), || knows(&issuer, "one")).await;
    assert!(issuer.status().last_error.is_none());
    refreshing.abort();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_that_an_unknown_key_met_is_noticed_within_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    let issuer = issuer(&file);
    let refreshing = tokio::spawn(Issuer::keep_fresh(Arc::downgrade(&issuer)));
    soon("keys at the start", RETRY, || knows(&issuer, "one")).await;
    std::fs::write(&file, "broken").unwrap();
    assert!(ask(&issuer).await && issuer.status().last_error.is_some());
    tokio::time::sleep(Duration::from_secs(60)).await;
    std::fs::write(&file, EC.replace("KID", "two")).unwrap();
    soon("the end", Duration::from_secs(10), || issuer.status().last_error.is_none()).await;
    assert!(knows(&issuer, "two"));
    refreshing.abort();
}

#[tokio::test(start_paused = true)]
async fn changed_settings_do_not_end_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    let issuer = issuer(&file);
    done(issuer.refresh()).await;
    std::fs::write(&file, "broken").unwrap();
    done(issuer.refresh()).await;
    let changed = IssuerSettings { max_token_age: Some(Duration::from_secs(60)), ..settings(&file) };
    let successor = Issuer::with_keys_of(&issuer, changed).unwrap();
    assert_eq!(successor.status().last_error, issuer.status().last_error);
    assert!(successor.status().last_error.is_some());
}

/// Requests a refresh, like a token with an unknown key. Returns whether there was one.
async fn ask(issuer: &Arc<Issuer>) -> bool {
    match issuer.refresh_for_unknown_key() {
        Some(refreshed) => {
            refreshed.await;
            true
        }
        None => false,
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_cause_at_most_six_refreshes_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let issuer = issuer(&file);
    assert!(ask(&issuer).await, "a refresh that fails counts too");
    std::fs::write(&file, EC.replace("KID", "one")).unwrap();
    assert!(!ask(&issuer).await && issuer.keys().is_none());
    tokio::time::advance(COOL_DOWN).await;
    assert!(ask(&issuer).await && knows(&issuer, "one"));

    tokio::time::advance(COOL_DOWN).await;
    let start = Instant::now();
    let mut begun = Vec::new();
    while start.elapsed() < Duration::from_secs(60) {
        if ask(&issuer).await {
            begun.push(start.elapsed().as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(begun, [0, 10, 20, 30, 40, 50], "seconds of a minute");
}

/// A slow refresh, which ends with the keys that the issuer had when it began.
fn slow_refresh(issuer: &Issuer) {
    let (ended, flight) = watch::channel(());
    issuer.state().flight = Some(flight);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(ended);
    });
}

/// The last refresh of the gateway before the rotation.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Refreshed,
    Failed,
    SlowForUnknownKey,
    SlowBySchedule,
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_known_within_fifteen_seconds_despite_made_up_keys() {
    for before in [
        Before::Nothing,
        Before::Refreshed,
        Before::Failed,
        Before::SlowForUnknownKey,
        Before::SlowBySchedule,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jwks.json");
        let issuer = issuer(&file);
        std::fs::write(&file, EC.replace("KID", "old")).unwrap();
        done(issuer.refresh()).await;
        assert!(knows(&issuer, "old"));
        match before {
            Before::Nothing => {}
            Before::Refreshed => assert!(ask(&issuer).await),
            Before::Failed => {
                std::fs::write(&file, "broken").unwrap();
                assert!(ask(&issuer).await);
            }
            Before::SlowForUnknownKey => {
                issuer.state().asked = Some(Instant::now());
                slow_refresh(&issuer);
            }
            Before::SlowBySchedule => slow_refresh(&issuer),
        }

        std::fs::write(&file, EC.replace("KID", "new")).unwrap();
        let rotated = Instant::now();
        while !knows(&issuer, "new") {
            let waited = rotated.elapsed();
            assert!(waited < Duration::from_secs(15), "{before:?}: {waited:?}");
            // A token with a made-up key and a token with the new key request the same refresh.
            ask(&issuer).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn no_request_waits_for_a_refresh_that_panicked() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&folder.path().join("jwks.json"));
    let (ended, flight) = watch::channel(());
    issuer.state().flight = Some(flight);
    assert!(issuer.state().in_flight().is_some());
    drop(ended);
    assert!(issuer.state().in_flight().is_none());
}
