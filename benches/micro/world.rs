//! What every part needs: an issuer and STS on loopback, a configuration as operators have it, one
//! caller, and the requests of their SDK.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bedrock_bed::{Bed, Setup, until};
use bedrock_gateway::auth::{Authenticator, CacheLimits, Caller};
use bedrock_gateway::authorize::body::Bodies;
use bedrock_gateway::authorize::{Authorized, Permit, authorize};
use bedrock_gateway::config;
use bedrock_gateway::identity::{Identity, Mapping, IdentityMemo};
use bedrock_gateway::limits::Limits;
use bedrock_gateway::meter::{Books, Meter};
use bedrock_gateway::revoke::Revocations;
use bedrock_gateway::route::{self, Call, Route, Service};
use bedrock_gateway::sessions::own_credentials::OwnCredentials;
use bedrock_gateway::sessions::sts::{StsClient, StsSettings};
use bedrock_gateway::sessions::{Session, Sessions};
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_gateway::telemetry::metrics::Metrics;
use bedrock_gateway::telemetry::unfinished::Unfinished;
use bedrock_gateway::headers;
use bedrock_standin::idp::{Algorithm, Claims};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
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
    pub(crate) auth: Authenticator<IdentityMemo>,
    pub(crate) mapping: Mapping,
    pub(crate) limits: Limits,
    pub(crate) bodies: Bodies,
    pub(crate) sessions: Arc<Sessions>,
    /// AWS's own: its name is part of what is signed, and nothing is sent.
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) regions: Vec<Arc<str>>,
    metrics: Arc<Metrics>,
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
        drop(inside);
        Self {
            auth,
            mapping: config.mapping,
            limits: Limits::default(),
            bodies: Bodies::new(config.listen.max_body),
            sessions: Sessions::new(&config.sessions, sts, Arc::clone(&metrics)),
            endpoint: endpoint.unwrap().unwrap().into(),
            regions: config.aws.all_regions().map(Arc::from).collect(),
            metrics,
            bed,
            runtime,
        }
    }

    pub(crate) fn home(&self) -> &Arc<str> {
        &self.regions[0]
    }

    /// A token that nobody has seen, of the same caller each time.
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
        at_once(self.auth.verify(headers)).unwrap()
    }

    pub(crate) fn resolve(&self, caller: &Caller<IdentityMemo>, headers: &HeaderMap) -> Arc<Identity> {
        self.mapping.resolve(&caller.verified, &caller.memo, headers).unwrap()
    }

    pub(crate) fn call(&self, uri: &Uri) -> Call {
        match route::parse(&Method::POST, uri, &self.regions) {
            Ok(Route::Call(call)) => call,
            other => panic!("no call: {other:?}"),
        }
    }

    pub(crate) fn permit(&self, identity: Arc<Identity>, call: Call, headers: &HeaderMap) -> Permit {
        authorize(identity, call, self.home(), headers).unwrap()
    }

    /// The body arrives in one piece.
    pub(crate) fn read(&self, permit: Permit, headers: HeaderMap, body: &Bytes) -> Authorized {
        let _timers = self.runtime.enter();
        at_once(permit.read_body(headers, &mut Full::new(body.clone()), &self.bodies)).unwrap()
    }

    /// A call that may be signed, with a body of this size.
    pub(crate) fn authorized(&self, kib: usize) -> Authorized {
        let headers = self.known(Algorithm::RS256);
        let identity = self.resolve(&self.verify(&headers), &headers);
        let permit = self.permit(identity, self.call(&CONVERSE.parse().unwrap()), &headers);
        self.read(permit, headers::to_bedrock(&headers).unwrap(), &body(kib))
    }

    /// Its session, of STS or remembered.
    pub(crate) fn session(&self, call: &Authorized) -> Session {
        self.runtime.block_on(self.sessions.get(call)).unwrap()
    }

    /// The books of a gateway with this access log.
    pub(crate) fn books(&self, log: AccessLog) -> Arc<Books> {
        let metrics = Arc::clone(&self.metrics);
        Arc::new(Books {
            log: Arc::new(log),
            metrics,
            cut: Cut::default(),
            revocations: Revocations::default(),
        })
    }
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

/// The record of a request that has just come.
pub(crate) fn meter(books: &Arc<Books>, headers: &HeaderMap) -> Meter {
    let id = uuid::Uuid::new_v4().to_string();
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    Meter::start(Arc::clone(books), id, client, headers, "h2")
}

/// A request in the form of a chat of this size, which names its model as well.
pub(crate) fn body(kib: usize) -> Bytes {
    let head = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":""#);
    let tail = r#""}],"max_tokens":1024}"#;
    let line = "The quick brown fox jumps over the lazy dog.\\n";
    let words: String = line.chars().cycle().take(kib * 1024 - head.len() - tail.len()).collect();
    // An escape cut in half would be no JSON.
    Bytes::from(format!("{head}{}{tail}", words.trim_end_matches('\\')))
}

/// The outcome of a future that waits for nothing; a runtime would cost more than what is measured.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}
