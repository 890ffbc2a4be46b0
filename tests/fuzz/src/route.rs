//! Routing and signing of an arbitrary path and query: the path of a known operation arrives unchanged, and the
//! stand-in computes the same signature from the bytes that it receives.

use std::sync::LazyLock;

use bedrock_gateway::route::{self, Call, Route, Service};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Full;

use crate::world::{RUNTIME, World};

static WORLD: LazyLock<World> = LazyLock::new(|| World::start(None));

const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

pub(crate) fn check(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    if uri.path_and_query().is_none() || uri.authority().is_some() {
        return;
    }
    for method in [Method::GET, Method::POST] {
        let head = Request::builder().method(&method).uri(&uri).header("host", "gateway").body(()).unwrap();
        if let Ok(Route::Call(call)) = route::parse(&head.into_parts().0, &["us-west-2".into()]) {
            path_is_kept(&call, &uri);
            signature_holds(&method, &uri);
        }
    }
}

fn path_is_kept(call: &Call, uri: &Uri) {
    let region = call.region().map_or(String::new(), |region| format!("/{region}"));
    let prefix = if call.service() == Service::Mantle { "/mantle" } else { "" };
    assert_eq!(format!("{region}{prefix}{}", call.target().path()), uri.path(), "the path must not change");
}

fn signature_holds(method: &Method, uri: &Uri) {
    let body = if method == Method::POST { BODY } else { "" };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "gateway")
        .header("authorization", format!("Bearer {}", WORLD.token))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let (head, _body) = RUNTIME.block_on(WORLD.send(request)).unwrap();
    assert!(head.status != 500, "{uri}: {head:?}");
    for service in [&WORLD.bed.standin.bedrock, &WORLD.bed.standin.control, &WORLD.bed.standin.mantle] {
        assert!(service.signature_refusals().is_empty(), "{uri}: {:?}", service.signature_refusals());
        assert!(service.violations().is_empty(), "{uri}: {:?}", service.violations());
    }
}
