//! The surroundings of every stage: an issuer and STS on loopback, a configuration like an operator's, one caller, and
//! the requests of the caller's SDK.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwap;
use bedrock_bed::{Bed, Setup, until};
use bedrock_gateway::auth::{Authenticator, CacheLimits, Caller};
use bedrock_gateway::authorize::body::Bodies;
use bedrock_gateway::authorize::unread::Unread;
use bedrock_gateway::authorize::{Authorized, Permit, authorize};
use bedrock_gateway::config;
use bedrock_gateway::endpoint::{Endpoint, Endpoints};
use bedrock_gateway::headers::Forwarded;
use bedrock_gateway::identity::{Identified, IdentityMemo};
use bedrock_gateway::limits::requests::Limits;
use bedrock_gateway::proxy::Proxy;
use bedrock_gateway::record::Record;
use bedrock_gateway::revoke::{Clearance, Revocations};
use bedrock_gateway::route::{self, Call, Route, Service};
use bedrock_gateway::server::Peer;
use bedrock_gateway::server::connections::Connections;
use bedrock_gateway::sessions::own_credentials::OwnCredentials;
use bedrock_gateway::sessions::sts::StsClient;
use bedrock_gateway::sessions::{Ready, Sessions, StsSettings};
use bedrock_gateway::state::{ActiveConfig, Gateway};
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_gateway::telemetry::log::{LogFormat, LogSettings};
use bedrock_gateway::telemetry::metrics::Metrics;
use bedrock_gateway::telemetry::unfinished::Unfinished;
use bedrock_gateway::upstream::skew::Skew;
use bedrock_gateway::upstream::{Upstream, pool};
use bedrock_standin::idp::{Algorithm, Claims};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::runtime::Runtime;

pub(crate) const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-6-v1%3A0/converse";
pub(crate) const INVOKE_ARN: &str = "/us-west-2/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012%3A\
                                     application-inference-profile%2Fabcdefghijkl/invoke";
pub(crate) const CHAT: &str = "/openai/v1/chat/completions";
pub(crate) const MODEL: &str = "us.anthropic.claude-sonnet-4-6-v1:0";

const MAPPING: &str = r#"
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.team"
cost-center = "claims.cost_center"
"#;

const ROLES: &str = r#"
[[role]]
when = "'bedrock-admins' in claims.groups"
arn = "arn:aws:iam::123456789012:role/BedrockAdmin"
[[role]]
when = "claims.team in ['search', 'ads']"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
models = ["*anthropic.claude-*"]
"#;

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::start);

pub(crate) struct World {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) config: Arc<ActiveConfig>,
    bed: Bed,
    runtime: Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let inside = runtime.enter();
        let bed = Bed::start();
        let file = bed.write(&Setup { mapping: MAPPING, roles: ROLES, ..Setup::default() });
        let config = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = Metrics::new();
        let sts = StsSettings {
            region: config.aws.region.clone(),
            endpoint: config.aws.endpoints.sts.clone(),
            ca: None,
            fips: false,
            dual_stack: false,
            timeout: config.aws.timeouts.sts,
            proxy: Proxy::default(),
        };
        let sts = StsClient::new(&sts, OwnCredentials::new(bed.credentials())).unwrap();
        let auth = Authenticator::new(config.issuers, CacheLimits::default(), Arc::clone(&metrics)).unwrap();
        auth.start();
        let endpoint = Endpoint::of(Service::Runtime, &config.aws.region, None, false, false);
        let endpoint = runtime.block_on(async {
            let loaded = async || auth.status().iter().all(|issuer| issuer.keys_loaded);
            until("the issuer's keys", loaded).await;
            endpoint.await
        });
        let home: Arc<str> = config.aws.region.as_str().into();
        // AWS's own endpoint: the signature covers its name, and the benchmark sends nothing.
        let mut endpoints = Endpoints::default();
        endpoints.insert(Arc::clone(&home), Service::Runtime, Arc::new(endpoint.unwrap().unwrap()));
        let active = ActiveConfig {
            auth,
            mapping: Arc::new(config.mapping),
            bodies: Bodies::new(config.listen.max_body, config.limits.memory),
            regions: config.aws.all_regions().map(Arc::from).collect(),
            endpoints,
            home,
            upstream_messages: config.upstream_messages,
            since: bedrock_gateway::clock::now(),
            requests: config.limits.requests,
        };
        let gateway = Gateway {
            config: ArcSwap::from_pointee(active),
            connections: Connections::new(config.limits.connections),
            limits: Limits::default(),
            revocations: Revocations::default(),
            sessions: Sessions::new(&config.sessions, sts, Arc::clone(&metrics)),
            upstream: Upstream::new(
                pool::connector(&[], config.aws.timeouts.connect, Proxy::default()).unwrap(),
            ),
            skew: Skew::default(),
            log: Arc::new(thread_log()),
            metrics,
            unfinished: Unfinished::default(),
        };
        drop(inside);
        Self { config: gateway.config.load_full(), gateway: Arc::new(gateway), bed, runtime }
    }

    /// A token that the gateway has not seen before, of the same caller each time.
    pub(crate) fn token(&self, algorithm: Algorithm) -> String {
        let groups: Vec<String> = (0..8).map(|n| format!("3f2504e0-4f89-41d3-9a0c-0305e82c330{n}")).collect();
        let claims = Claims::of("248289761001")
            .claim("email", "alice@acme.org")
            .claim("name", "Alice Liddell")
            .claim("team", "search")
            .claim("cost_center", "4711")
            .claim("groups", groups)
            .claim("scope", "openid email profile");
        self.bed.standin.idp.mint(claims.algorithm(algorithm))
    }

    /// The headers of a request whose token is remembered.
    pub(crate) fn known(&self, algorithm: Algorithm) -> HeaderMap {
        let headers = request_headers(&self.token(algorithm));
        self.verify(&headers);
        headers
    }

    pub(crate) fn verify(&self, headers: &HeaderMap) -> Arc<Caller<IdentityMemo>> {
        at_once(self.config.auth.verify(headers)).unwrap()
    }

    pub(crate) fn resolve(&self, caller: &Arc<Caller<IdentityMemo>>, headers: &HeaderMap) -> Identified {
        self.config.mapping.resolve(caller, headers).unwrap()
    }

    pub(crate) fn clear(&self, caller: &Identified) -> Clearance {
        self.gateway.revocations.clear(caller).unwrap()
    }

    pub(crate) fn call(&self, head: &Parts) -> Call {
        match route::parse(head, &self.config.regions) {
            Ok(Route::Call(call)) => call,
            other => panic!("no call: {other:?}"),
        }
    }

    pub(crate) fn permit(&self, caller: &Identified, call: Call, headers: &HeaderMap) -> Permit {
        authorize(self.clear(caller), call, &self.config.home, headers).unwrap()
    }

    /// The body arrives in one piece.
    pub(crate) fn read(&self, permit: Permit, headers: Forwarded, body: &Bytes) -> Authorized {
        let _timers = self.runtime.enter();
        let body = Unread::new(Full::new(body.clone()));
        at_once(permit.read_body(&self.config.endpoints, headers, body, &self.config.bodies)).unwrap()
    }

    /// A call that may be signed, with a body of this size.
    pub(crate) fn authorized(&self, kib: usize) -> Authorized {
        let head = head(CONVERSE, self.known(Algorithm::RS256));
        let caller = self.resolve(&self.verify(&head.headers), &head.headers);
        let permit = self.permit(&caller, self.call(&head), &head.headers);
        self.read(permit, Forwarded::of(&head.headers).unwrap(), &body(kib))
    }

    /// The call with its session, which is fetched from STS or remembered.
    pub(crate) fn ready(&self, call: Authorized) -> Ready {
        let cleared = self.clear(call.caller());
        self.runtime.block_on(self.gateway.sessions.get(cleared, call)).unwrap()
    }

    /// The record of a request that has just arrived.
    pub(crate) fn record(&self, head: &Parts) -> Record {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        Record::start(
            Arc::clone(&self.gateway),
            &self.gateway.config.load(),
            head,
            Peer { address, tls: true },
        )
    }
}

/// The head of a POST.
pub(crate) fn head(path: &str, headers: HeaderMap) -> Parts {
    let request = Request::builder().method(Method::POST).uri(path).body(()).unwrap();
    let mut head = request.into_parts().0;
    head.headers = headers;
    head
}

/// A log like that of `serve`, which discards its lines.
pub(crate) fn thread_log() -> AccessLog {
    let file = Some("/dev/null".into());
    AccessLog::open(&LogSettings { format: LogFormat::Json, file, level: "info".to_owned() }, None).unwrap()
}

/// A request's headers as boto3 sends them with this token.
pub(crate) fn request_headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "bedrock.acme.org"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        (
            "user-agent",
            "Boto3/1.43.5 md/Botocore#1.43.5 ua/2.1 os/linux#6.8.0 md/arch#x86_64 lang/python#3.13.2 \
             md/pyimpl#CPython m/Z,b,D cfg/retry-mode#standard Botocore/1.43.5",
        ),
        ("amz-sdk-invocation-id", "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"),
        ("amz-sdk-request", "attempt=1"),
        ("content-length", "10240"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

/// The body of a chat request of this size, which also names its model.
pub(crate) fn body(kib: usize) -> Bytes {
    let head = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":""#);
    let tail = r#""}],"max_tokens":1024}"#;
    let line = "The quick brown fox jumps over the lazy dog.\\n";
    let words: String = line.chars().cycle().take(kib * 1024 - head.len() - tail.len()).collect();
    // Half an escape sequence would not be valid JSON.
    Bytes::from(format!("{head}{}{tail}", words.trim_end_matches('\\')))
}

/// The output of a future that never waits. A runtime would cost more than the code that is measured.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}
