//! One request from start to finish, with one line for each stage.
//!
//! The order is the design. The gateway calls STS only after the call is authorized and its body is read. It sends
//! nothing to Bedrock except a [`Signed`](crate::sign::Signed) request. Each decision is a value that the next stage
//! needs: without the decision, the code does not compile.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::authorize::authorize;
use crate::authorize::unread::Unread;
use crate::error::Failure;
use crate::headers::Forwarded;
use crate::reason::Reason;
use crate::record::Record;
use crate::relay::Relay;
use crate::request::respond::Reply;
use crate::route::{self, Dialect, Route};
use crate::server::{Handler, Peer};
use crate::state::{ActiveConfig, Gateway};
use crate::telemetry::access::Ended;

mod exchange;
mod respond;

impl Handler for Gateway {
    type Body = Relay;

    async fn call(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Relay> {
        let (head, body) = request.into_parts();
        let config = self.config.load_full();
        let mut record = Record::start(Arc::clone(&self), &config, &head, peer);
        let dialect = Dialect::of(&head.uri, &config.regions);
        // A body that is not read is discarded on drop, wherever the request ends.
        match self.answer(&config, head, Unread::new(body), &mut record).await {
            Ok(reply) => reply.into_response(record),
            Err(failure) => respond::refused(&failure, dialect, record),
        }
    }

    fn unreadable(&self) {
        let outcome = (400, Reason::NotHttp);
        self.metrics.request_finished(None, outcome, Ended::Complete, Duration::ZERO, None);
    }
}

impl Gateway {
    /// The stages of a request.
    async fn answer(
        &self,
        config: &ActiveConfig,
        head: Parts,
        body: Unread<Incoming>,
        record: &mut Record,
    ) -> Result<Reply, Failure> {
        record.admitted(self.limits.enter(config.requests.all)?);
        // The call.
        let Route::Call(call) = route::parse(&head, &config.regions)? else { return Ok(Reply::Probed) };
        record.routed(&call);
        // The caller, and the principal that AWS will see.
        let verified = config.auth.verify(&head.headers).await;
        let caller = verified.inspect_err(|error| record.unverified(error))?;
        record.verified(&caller);
        let caller = config.mapping.resolve_soon(&caller, &head.headers).await?;
        record.identified(&caller);
        // The decision by the head: whether the caller may make the call.
        let cleared = self.revocations.clear(&caller)?;
        let concurrency = config.concurrency(caller.identity());
        let slot = self.limits.enter_as(caller.identity().principal(), concurrency)?;
        let permit = authorize(cleared, call, &config.home, &head.headers)?;
        record.permitted(&permit);
        let headers = Forwarded::of(&head.headers)?;
        // The endpoint, and the decision by the body.
        let call = permit.read_body(&config.endpoints, headers, body, &config.bodies).await?;
        // A body may take minutes; the caller may have been revoked in that time.
        let cleared = self.revocations.clear(&caller)?;
        record.received(&call);
        // The session, the signature, and Bedrock's answer.
        let answer = self.exchange(cleared, call, record).await?;
        Ok(Reply::Answered(answer, slot))
    }
}
