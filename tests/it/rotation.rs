//! A new signing key of an issuer is soon accepted, even if clients without a valid token send many requests.

use std::sync::Arc;
use std::time::Duration;

use bedrock_standin::idp::{Claims, DocumentFault, Idp};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{CONVERSE, HELLO, Setup, World, post};

/// Forged tokens of one issuer take all slots for requests that wait for keys.
#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_of_one_issuer_do_not_delay_the_new_key_of_another() {
    let second = Idp::start(None);
    let mapping = format!(
        r#"
[issuer.session]
name = "issuer.name + '=' + claims.sub"
[[issuer]]
name = "second"
url = "{}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "issuer.name + '=' + claims.sub"
"#,
        second.issuer()
    );
    let roles =
        "[[role]]\nissuers = [\"acme\", \"second\"]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n";
    let world = Arc::new(World::with(&Setup { mapping: mapping.leak(), roles, ..Setup::default() }).await);

    world.standin.idp.rotate();
    let new = world.token("alice");
    let forged_token = |n| second.mint(Claims::of("eve").header("kid", format!("unknown-{n}")));
    let tokens: Vec<_> = (0..280).map(forged_token).collect();
    second.jwks_faults().always(DocumentFault::Hang);
    let mut forged = JoinSet::new();
    for token in tokens {
        let world = Arc::clone(&world);
        forged.spawn(async move { world.send(post(CONVERSE, &token, HELLO)).await.status.as_u16() });
    }
    for _ in 0..24 {
        assert_eq!(forged.join_next().await.unwrap().unwrap(), 503, "only 256 may wait");
    }

    let asked = Instant::now();
    loop {
        let status = world.send(post(CONVERSE, &new, HELLO)).await.status;
        if status == 200 {
            break;
        }
        assert_eq!(status, 503, "no slot is free to wait for the keys");
        assert!(asked.elapsed() < Duration::from_secs(2), "the keys are not fetched");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
