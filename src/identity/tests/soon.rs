//! Evaluations that take long leave the thread that serves callers.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::HeaderMap;

use super::*;

/// A mapping whose only condition compares each group with each other.
fn nested() -> Arc<Mapping> {
    let mut mapping = mapping();
    mapping.roles = vec![role("Same", Some("claims.groups.all(x, claims.groups.all(y, x == y))"))];
    Arc::new(mapping)
}

fn caller(groups: usize) -> Arc<Caller<IdentityMemo>> {
    let claims = json!({ "email": "a@b.c", "groups": vec!["ml"; groups] });
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    Arc::new(Caller::for_tests("acme", claims))
}

#[tokio::test]
async fn only_a_long_evaluation_leaves_the_thread() {
    let (mapping, headers) = (nested(), HeaderMap::new());
    for (groups, at_once) in [(40, true), (100, false)] {
        let caller = caller(groups);
        let mut resolving = pin!(mapping.resolve_soon(&caller, &headers));
        let first = resolving.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(first.is_ready(), at_once, "{groups}");
        let resolved = match first {
            Poll::Ready(resolved) => resolved,
            Poll::Pending => resolving.await,
        };
        let identified = resolved.unwrap();
        assert_eq!(
            identified.identity().session().role_arn().as_str(),
            "arn:aws:iam::123456789012:role/Same"
        );
        // The memo has the same outcome for the next request.
        let again = mapping.resolve(&caller, &headers).unwrap();
        assert!(Arc::ptr_eq(again.identity(), identified.identity()));
        let mut known = pin!(mapping.resolve_soon(&caller, &headers));
        assert!(known.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
