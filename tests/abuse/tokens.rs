//! Many invalid and many valid tokens: the memory that the gateway keeps for them has a limit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bedrock_standin::idp::{Algorithm, Claims};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gate::{CONVERSE, Gate, Growth, HELLO, amount, connect_h2, post};

/// Sends a call with each of `count` tokens over eight connections that stay open, and counts the answers with this
/// status.
async fn call_with_each(
    address: SocketAddr,
    count: usize,
    status: StatusCode,
    token: impl Fn(usize) -> String + Send + Sync + 'static,
) -> usize {
    let (token, next, matching) = (Arc::new(token), Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let mut calling = JoinSet::new();
    for _ in 0..8 {
        let connection = connect_h2(address).await;
        for _ in 0..4 {
            let (mut sender, token, next) = (connection.clone(), Arc::clone(&token), Arc::clone(&next));
            calling.spawn(async move {
                let mut matching = 0;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return matching;
                    }
                    let request = post(address, CONVERSE, &token(n), HELLO);
                    sender.ready().await.unwrap();
                    let mut answer = sender.send_request(request).await.unwrap();
                    matching += usize::from(answer.status() == status);
                    while answer.body_mut().frame().await.is_some() {}
                }
            });
        }
    }
    while let Some(counted) = calling.join_next().await {
        matching.fetch_add(counted.unwrap(), Ordering::Relaxed);
    }
    matching.into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_bad_tokens() {
    let gate = Gate::open().await;
    let opened = Instant::now();
    let count = amount(4_000, 100_000);
    // A token has 12 KiB, and more when parsed. The gateway must keep nothing of it.
    let growth = Growth::mib(16, count as u64 * 12 / 1024);
    gate.survives("distinct bad tokens", growth, async {
        let good = gate.token("mallory");
        let mut parts = good.split('.');
        let (header, claims, signature) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let (signature, known_key) = (signature.to_owned(), header.to_owned());
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let refused = call_with_each(gate.http, count, StatusCode::UNAUTHORIZED, move |n| {
            let mut claims = claims.clone();
            claims["sub"] = json!(format!("mallory{n}"));
            claims["groups"] = json!(vec!["groups-of-mallory"; 400]);
            // Tokens with a known key, and tokens with a key that no issuer has.
            let unknown_key = json!({ "alg": "ES256", "kid": format!("key{n}") }).to_string();
            let header = if n % 4 == 0 { URL_SAFE_NO_PAD.encode(unknown_key) } else { known_key.clone() };
            format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
        })
        .await;
        assert_eq!(refused, count);
        format!("{count} refused, {} fetches of keys", gate.standin.idp.jwks_fetches())
    })
    .await;
    let fetches = gate.standin.idp.jwks_fetches();
    let most = 3 + opened.elapsed().as_secs() / 10;
    assert!(fetches <= most, "{fetches} fetches, more than one in ten seconds after the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_good_users() {
    let gate = Gate::open().await;
    // Claims of 4 KiB of text take 300 KiB when parsed, so they exceed the 64 MiB for callers several times. Entries that
    // the cache is about to drop take memory too. A session takes about 5 KiB, and the number of sessions has a limit.
    let (count, sessions) = (amount(2_000, 100_000), Gate::sessions());
    let of_sessions = sessions.min(count) as u64 * 5 / 1024;
    let growth = Growth::mib(136 + of_sessions, count as u64 * 300 / 1024);
    gate.survives("distinct good users", growth, async {
        let standin = &gate.standin;
        let answered = {
            let tokens: Vec<String> = (0..count)
                .map(|n| {
                    let claims = Claims::of("user").claim("email", format!("user{n}@acme.org"));
                    let groups = vec![json!({ "a": 1 }); 450];
                    standin.idp.mint(claims.claim("groups", groups).algorithm(Algorithm::ES256))
                })
                .collect();
            call_with_each(gate.http, count, StatusCode::OK, move |n| tokens[n].clone()).await
        };
        assert_eq!(answered, count);
        format!("{count} served, {} sessions", standin.sts.calls().len())
    })
    .await;
}
