//! Requests whose token the proxy has not seen before.

use super::Bench;
use super::closed::{SETTLE, timed};
use crate::load::{Closed, once};
use crate::machine;
use crate::proxy::{Kind, Wire};
use crate::table::{Row, median, micros};
use crate::upstream::CONVERSE;

/// Requests of a turn.
const NEW_TOKENS: usize = 8_000;
/// Most microseconds of CPU for each request.
const MOST: f64 = 85.0;

pub(super) async fn new_tokens(bench: &Bench<'_>) -> Row {
    let requests = bench.world.with_new_tokens(NEW_TOKENS, CONVERSE, 1024);
    let known = bench.requests(CONVERSE, 1024);
    let mut cpu = Kind::ALL.map(|_| Vec::new());
    for _ in 0..bench.effort.rounds {
        for (kind, cpu) in Kind::ALL.into_iter().zip(&mut cpu) {
            // A new process remembers none of the tokens.
            let proxy = bench.start(kind, Wire::Plain).await;
            let warm = Closed::start(proxy.target(), 16, &known).await;
            warm.watch(SETTLE).await;
            warm.finish().await;
            let before = machine::cpu(proxy.process());
            let answered = Closed::start(proxy.target(), 16, &once(requests.clone())).await.rest().await;
            assert_eq!(answered, NEW_TOKENS as u64);
            let used = machine::cpu(proxy.process()) - before;
            cpu.push(used / NEW_TOKENS as f64);
        }
    }
    let [nginx, floor, gateway] = cpu.map(median);
    let check = check(bench);
    Row::of("a request whose token is new (RS256)", [nginx, floor, gateway].map(micros))
        .figure(micros(gateway))
        .target(format!("≤ {} (the check alone: {})", micros(MOST), micros(check)), gateway <= MOST)
}

/// Microseconds that one check of an RS256 token takes on this machine.
fn check(bench: &Bench<'_>) -> f64 {
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    let token = bench.world.a_token();
    let keys: JwkSet = serde_json::from_value(bench.world.bed.standin.idp.jwks()).unwrap();
    let kid = decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["bedrock-gateway"]);
    timed(1_000, || {
        let claims = decode::<serde_json::Value>(std::hint::black_box(token), &key, &validation);
        std::hint::black_box(claims.expect("a valid token"));
    })
}
