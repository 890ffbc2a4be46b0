//! The memory of a cached session, measured in a process that holds only sessions, each of a different user.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bedrock_bed::{Setup, memory};
use bedrock_gateway::auth::{Authenticator, CacheLimits};
use bedrock_gateway::authorize::authorize;
use bedrock_gateway::authorize::body::Bodies;
use bedrock_gateway::authorize::unread::Unread;
use bedrock_gateway::config::{self, Config};
use bedrock_gateway::endpoint::{Endpoint, Endpoints};
use bedrock_gateway::headers::Forwarded;
use bedrock_gateway::identity::{IdentityMemo, Mapping};
use bedrock_gateway::limits::memory::MemoryLimits;
use bedrock_gateway::proxy::Proxy;
use bedrock_gateway::revoke::Revocations;
use bedrock_gateway::route::{self, Route, Service};
use bedrock_gateway::sessions::own_credentials::OwnCredentials;
use bedrock_gateway::sessions::sts::StsClient;
use bedrock_gateway::sessions::{Sessions, StsSettings};
use bedrock_gateway::telemetry::metrics::Metrics;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, Request};
use http_body_util::Full;
use tokio::task::JoinSet;

use crate::machine::on_proxy_core;
use crate::upstream::CONVERSE;
use crate::world::World;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[arg(long)]
    config: PathBuf,
    #[arg(long)]
    token: String,
    #[arg(long)]
    count: usize,
}

/// Concurrent calls to STS.
const AT_ONCE: usize = 64;
/// Sessions in the cache before memory is measured for the first time.
const WARM: usize = 500;

/// Bytes of memory for each of `count` cached sessions, and how many of them are the session token itself.
pub(crate) fn measure(world: &World, count: usize) -> (f64, f64) {
    let setup = Setup {
        sessions: "max_sts_rate = 100000",
        issuer: "request_headers = [\"x-user\"]",
        mapping: "[issuer.session]\nname = \"request.headers['x-user']\"\n[issuer.session.tags]\nteam = \"claims.department\"\n",
        ..Setup::default()
    };
    let file = world.bed.write_as("sessions.toml", &setup);
    let mut command = on_proxy_core(std::env::current_exe().unwrap());
    command
        .args(["fill-sessions", "--token", world.a_token(), "--count", &count.to_string(), "--config"])
        .arg(&file)
        .stderr(Stdio::inherit());
    let ran = world.bed.lend_credentials(&mut command).output().unwrap();
    assert!(ran.status.success(), "{}", ran.status);
    let each = String::from_utf8(ran.stdout).unwrap().trim().parse().unwrap();
    let sessions = world.bed.standin.credentials.sessions();
    let tokens: usize = sessions.iter().map(|session| session.session_token.len()).sum();
    (each, tokens as f64 / sessions.len() as f64)
}

/// Fills a cache and prints how many bytes each session took.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(settings: &Settings) {
    let config = config::load(&settings.config).unwrap_or_else(|problems| panic!("{problems}"));
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
    let source = OwnCredentials::from_environment(&sts).unwrap();
    let sessions =
        Sessions::new(&config.sessions, StsClient::new(&sts, source).unwrap(), Arc::clone(&metrics));
    let Config { issuers, mapping, .. } = config;
    let auth: Authenticator<IdentityMemo> =
        Authenticator::new(issuers, CacheLimits::default(), metrics).unwrap();
    auth.start();
    let mut endpoints = Endpoints::default();
    let endpoint = Endpoint::of(Service::Runtime, "us-east-1", None, false, false).await.unwrap();
    endpoints.insert("us-east-1".into(), Service::Runtime, Arc::new(endpoint.unwrap()));
    let (revocations, bodies) = (Revocations::default(), Bodies::new(1024, MemoryLimits::default()));
    let calls = Calls { auth, mapping, revocations, endpoints, bodies, token: settings.token.clone() };
    let calls = Arc::new(calls);

    fill(&calls, &sessions, 0..WARM).await;
    let before = memory("self", "VmRSS");
    fill(&calls, &sessions, WARM..settings.count).await;
    assert_eq!(sessions.len(), settings.count as u64);
    let taken = memory("self", "VmRSS").saturating_sub(before);
    println!("{}", taken as f64 / (settings.count - WARM) as f64);
}

struct Calls {
    auth: Authenticator<IdentityMemo>,
    mapping: Mapping,
    revocations: Revocations,
    endpoints: Endpoints,
    bodies: Bodies,
    token: String,
}

async fn fill(calls: &Arc<Calls>, sessions: &Arc<Sessions>, users: std::ops::Range<usize>) {
    let mut tasks = JoinSet::new();
    for user in users {
        let (calls, sessions) = (Arc::clone(calls), Arc::clone(sessions));
        tasks.spawn(async move { calls.session_of(user, &sessions).await });
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

impl Calls {
    /// The stages of a request up to its session.
    async fn session_of(&self, user: usize, sessions: &Arc<Sessions>) {
        let request = Request::post(CONVERSE)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-user", format!("user{user:06}@acme.example"));
        let (head, body) = request.body(Full::new(Bytes::from_static(b"{}"))).unwrap().into_parts();
        let caller = self.auth.verify(&head.headers).await.unwrap();
        let caller = self.mapping.resolve(&caller, &head.headers).unwrap();
        let Ok(Route::Call(call)) = route::parse(&head, &[]) else { panic!("{CONVERSE} is a call") };
        let clear = || self.revocations.clear(&caller).unwrap();
        let permit = authorize(clear(), call, &"us-east-1".into(), &head.headers).unwrap();
        let headers = Forwarded::of(&HeaderMap::new()).unwrap();
        let call = permit.read_body(&self.endpoints, headers, Unread::new(body), &self.bodies).await.unwrap();
        sessions.get(clear(), call).await.unwrap();
    }
}
