//! The policies of `bedrock-gateway iam` admit the gateway and nothing else, as the stand-in's evaluator decides. The same
//! cases are written to `target/tmp/iam-cases.json`, for the simulator of IAM that `.ci/run` asks.
use bedrock_gateway::attribution::arn::RoleArn;
use bedrock_gateway::config::{Config, Environment};
use bedrock_gateway::iam::{Bundle, Guard, Kind, Options, Policy, RunsOn};
use bedrock_standin::iam::{Caller, Context, Need, Policies, PolicyDocument, decide};
use serde_json::{Value, json};

const GATEWAY: &str = "arn:aws:iam::123456789012:role/BedrockGateway";
const USER: &str = "arn:aws:iam::123456789012:role/BedrockUser";
const EU: &str = "arn:aws:iam::210987654321:role/BedrockEu";
const ADMIN: &str = "arn:aws:iam::123456789012:role/Admin";

const CONFIG: &str = r#"
[listen]
http = "127.0.0.1:8080"

[aws]
region = "us-east-1"
regions = ["eu-central-1"]

[[issuer]]
name = "okta"
url = "https://acme.okta.com"
audiences = ["bedrock-gateway"]

[issuer.session]
name = "claims.email"
source_identity = "claims.email"

[issuer.session.tags]
team = "claims.team"
cost-center = { from = "claims.cc", required = false }

[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
when = "claims.team == 'search'"
external_id = "acme-1"
session_names = ["*@acme.org"]
models = ["*anthropic.claude-*"]
regions = ["us-east-1"]
operations = ["invoke", "converse", "guardrail", "mantle", "list-models"]

[[role]]
arn = "arn:aws:iam::210987654321:role/BedrockEu"
models = ["eu.*"]
regions = ["eu-central-1"]
"#;

/// Condition keys, each with its values.
type Keys = Vec<(String, Vec<String>)>;

/// One decision of IAM, and everything that it depends on.
struct Request {
    principal: String,
    action: &'static str,
    resource: String,
    /// The account of the resource.
    account: String,
    context: Keys,
    identity: Option<Vec<String>>,
    trust: Option<String>,
    scps: Vec<String>,
    endpoint: Option<String>,
}

impl Request {
    /// The decision of the stand-in.
    fn is_allowed(&self) -> bool {
        let identity: Option<Vec<_>> = self
            .identity
            .as_ref()
            .map(|list| list.iter().map(|json| PolicyDocument::identity(json).unwrap()).collect());
        let trust = self.trust.as_ref().map(|json| PolicyDocument::trust(json).unwrap());
        let scps: Option<Vec<_>> = (!self.scps.is_empty())
            .then(|| self.scps.iter().map(|json| PolicyDocument::scp(json).unwrap()).collect());
        let endpoint = self.endpoint.as_ref().map(|json| PolicyDocument::endpoint(json).unwrap());
        let mut context = Context::default();
        for (key, values) in &self.context {
            context = context.with_all(key, values.iter().map(String::as_str));
        }
        let caller = Caller::session(&self.principal, "session");
        let policies = Policies {
            scps: scps.as_deref(),
            endpoint: endpoint.as_ref(),
            identity: identity.as_deref(),
            session: None,
            resource: trust.as_ref(),
            resource_account: trust.as_ref().map(|_| self.account.as_str()),
        };
        decide(&policies, &caller, &Need::new(self.action, &self.resource, context)).is_ok()
    }

    /// For the simulator, in its own form.
    fn json(&self) -> Value {
        let policy = |json: &String| serde_json::from_str::<Value>(json).unwrap();
        let named = |list: &[String]| {
            let named = list.iter().enumerate();
            named
                .map(|(n, json)| json!({ "name": format!("p{n}"), "policy": policy(json) }))
                .collect::<Vec<_>>()
        };
        // The stand-in knows the caller's own keys by the caller.
        let principal = [("aws:PrincipalArn".to_owned(), vec![self.principal.clone()])];
        let context: serde_json::Map<String, Value> = principal
            .iter()
            .chain(&self.context)
            .filter(|(_, values)| !values.is_empty())
            .map(|(key, values)| {
                let one = values.len() == 1 && !key.ends_with("Keys");
                (key.clone(), if one { json!(values[0]) } else { json!(values) })
            })
            .collect();
        let all = full_access();
        let scps: Vec<String> = if self.scps.is_empty() { vec![all.clone()] } else { self.scps.clone() };
        let identity = self.identity.clone().unwrap_or_else(|| vec![all]);
        json!({
            "request": {
                "principal": self.principal,
                "action": self.action,
                "resource": { "resource": self.resource, "accountId": self.account },
                "contextVariables": context,
            },
            "identityPolicies": named(&identity),
            "serviceControlPolicies": [{ "orgIdentifier": "r-acme", "policies": named(&scps) }],
            "resourceControlPolicies": [],
            "resourcePolicy": self.trust.as_ref().map(policy),
            "vpcEndpointPolicies": self.endpoint.as_ref().map(|json| named(std::slice::from_ref(json))),
        })
    }
}

fn full_access() -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] })
        .to_string()
}

/// The generated policies.
struct World {
    bundle: Bundle,
}

impl World {
    fn new(options: &Options) -> Self {
        let environment: &Environment<'_> = &|_| None;
        let config = Config::parse(CONFIG, "gateway.toml", environment).unwrap();
        Self { bundle: Bundle::generate(&config, options).unwrap() }
    }

    fn trust(&self, role: &str) -> String {
        self.bundle.trust_of(&RoleArn::parse(role).unwrap()).unwrap().compact()
    }

    fn permissions(&self, role: &str) -> Vec<String> {
        self.bundle.permissions_of(&RoleArn::parse(role).unwrap()).map(Policy::compact).collect()
    }

    fn guard(&self, wanted: Guard) -> String {
        let is_it = |kind: &Kind| matches!(kind, Kind::Guard(guard) if *guard == wanted);
        self.bundle.files().find(|file| is_it(&file.kind)).unwrap().policy.compact()
    }

    /// The requests of one `AssumeRole` call.
    fn assume(&self, call: &Assume<'_>) -> Vec<Request> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut tags = Keys::new();
        if !call.tags.is_empty() {
            let keys: Vec<&str> = call.tags.iter().map(|(key, _)| *key).collect();
            tags.push(("aws:TagKeys".to_owned(), texts(&keys)));
            tags.extend(
                call.tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), texts(&[*value]))),
            );
        }
        let source = call.source.map(|name| ("sts:SourceIdentity".to_owned(), texts(&[name])));
        let mut whole = vec![("sts:RoleSessionName".to_owned(), texts(&[call.name]))];
        whole.extend(call.external_id.map(|id| ("sts:ExternalId".to_owned(), texts(&[id]))));
        whole.extend(source.clone());
        whole.extend(tags.clone());
        let mut needs = vec![("sts:AssumeRole", whole)];
        if !call.tags.is_empty() {
            needs.push(("sts:TagSession", tags));
        }
        needs.extend(source.map(|source| ("sts:SetSourceIdentity", vec![source])));
        let gateway = self.bundle.gateway_permissions().unwrap().compact();
        let identity = if call.principal == GATEWAY { gateway } else { full_access() };
        needs
            .into_iter()
            .map(|(action, context)| Request {
                principal: call.principal.to_owned(),
                action,
                resource: call.role.to_owned(),
                account: account(call.role).to_owned(),
                context,
                identity: Some(vec![identity.clone()]),
                trust: Some(self.trust(call.role)),
                scps: Vec::new(),
                endpoint: None,
            })
            .collect()
    }

    /// The requests of one call of Bedrock by a session of `role`, behind the guards.
    fn invoke(&self, role: &str, model: &Model<'_>) -> Vec<Request> {
        let (region, account) = (model.region, account(role));
        let requested = |region: &str| ("aws:RequestedRegion".to_owned(), vec![region.to_owned()]);
        let arns: Vec<(String, String, Keys)> = match model.profile {
            None => vec![(
                format!("arn:aws:bedrock:{region}::foundation-model/{}", model.id),
                String::new(),
                vec![requested(region)],
            )],
            Some(profile) => {
                let arn = format!("arn:aws:bedrock:{region}:{account}:inference-profile/{profile}");
                let of_profile = || ("bedrock:InferenceProfileArn".to_owned(), vec![arn.clone()]);
                let mut arns = vec![(arn.clone(), account.to_owned(), vec![requested(region)])];
                for destination in model.destinations {
                    // Assumption A47: a global profile may run in a region that the request does not name.
                    let named = if destination.is_empty() { "unspecified" } else { destination };
                    arns.push((
                        format!("arn:aws:bedrock:{destination}::foundation-model/{}", model.id),
                        String::new(),
                        vec![requested(named), of_profile()],
                    ));
                }
                arns
            }
        };
        arns.into_iter()
            .map(|(resource, owner, context)| Request {
                principal: role.to_owned(),
                action: "bedrock:InvokeModel",
                resource,
                account: if owner.is_empty() { account.to_owned() } else { owner },
                context,
                identity: Some(self.permissions(role)),
                trust: None,
                scps: vec![full_access(), self.guard(Guard::OnlyThroughTheGateway)],
                endpoint: Some(self.guard(Guard::Endpoint)),
            })
            .collect()
    }

    /// A call that does not come through the gateway, by a principal who may do everything.
    fn around(&self, principal: &str, action: &'static str, resource: &str) -> Vec<Request> {
        vec![Request {
            principal: principal.to_owned(),
            action,
            resource: resource.to_owned(),
            account: account(principal).to_owned(),
            context: vec![("aws:RequestedRegion".to_owned(), vec!["us-east-1".to_owned()])],
            identity: Some(vec![full_access()]),
            trust: None,
            scps: vec![full_access(), self.guard(Guard::OnlyThroughTheGateway)],
            endpoint: None,
        }]
    }
}

/// An `AssumeRole` call.
#[derive(Clone, Copy)]
struct Assume<'a> {
    principal: &'a str,
    role: &'a str,
    name: &'a str,
    external_id: Option<&'a str>,
    tags: &'a [(&'a str, &'a str)],
    source: Option<&'a str>,
}

/// The call that the gateway makes for alice.
const ALICE: Assume<'_> = Assume {
    principal: GATEWAY,
    role: USER,
    name: "alice@acme.org",
    external_id: Some("acme-1"),
    tags: &[("team", "search"), ("cost-center", "4711")],
    source: Some("alice@acme.org"),
};

/// A model in a region, alone or by an inference profile that serves it in other regions.
#[derive(Clone, Copy)]
struct Model<'a> {
    id: &'a str,
    region: &'a str,
    profile: Option<&'a str>,
    destinations: &'a [&'a str],
}

const BARE: Model<'_> =
    Model { id: "anthropic.claude-sonnet-4-6-v1:0", region: "us-east-1", profile: None, destinations: &[] };
const US: Model<'_> = Model {
    profile: Some("us.anthropic.claude-sonnet-4-6-v1:0"),
    destinations: &["us-east-1", "us-east-2", "us-west-2"],
    ..BARE
};
const GLOBAL: Model<'_> = Model {
    profile: Some("global.anthropic.claude-sonnet-4-6-v1:0"),
    destinations: &["us-east-1", ""],
    ..BARE
};
const EUROPE: Model<'_> = Model {
    region: "eu-central-1",
    profile: Some("eu.anthropic.claude-sonnet-4-6-v1:0"),
    destinations: &["eu-central-1", "eu-west-1"],
    ..BARE
};

/// The tags of EKS that every session of a gateway with Pod Identity inherits.
const EKS: [(&str, &str); 6] = [
    ("eks-cluster-arn", "arn:aws:eks:us-east-1:123456789012:cluster/prod"),
    ("eks-cluster-name", "prod"),
    ("kubernetes-namespace", "bedrock"),
    ("kubernetes-service-account", "bedrock-gateway"),
    ("kubernetes-pod-name", "bedrock-gateway-0"),
    ("kubernetes-pod-uid", "7b9d"),
];

struct Case {
    name: &'static str,
    admitted: bool,
    requests: Vec<Request>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, admitted, requests| cases.push(Case { name, admitted, requests });
    let options = || Options {
        break_glass: vec!["arn:aws:iam::*:role/BreakGlass".parse().unwrap()],
        gateway_role: Some(RoleArn::parse(GATEWAY).unwrap()),
        ..Options::default()
    };
    let world = World::new(&options());

    let assume = |call: Assume<'_>| world.assume(&call);
    case("the gateway for a caller", true, assume(ALICE));
    case(
        "the gateway, without a tag that may be missing",
        true,
        assume(Assume { tags: &[("team", "search")], ..ALICE }),
    );
    case(
        "the gateway, with a name that it replaced",
        true,
        assume(Assume { name: "Zo==0123456789abcdef", ..ALICE }),
    );
    case("another principal", false, assume(Assume { principal: ADMIN, ..ALICE }));
    case("another external id", false, assume(Assume { external_id: Some("acme-2"), ..ALICE }));
    case("no external id", false, assume(Assume { external_id: None, ..ALICE }));
    case("an extra tag", false, assume(Assume { tags: &[("team", "search"), ("project", "x")], ..ALICE }));
    case("a required tag is missing", false, assume(Assume { tags: &[("cost-center", "4711")], ..ALICE }));
    case("no tag", false, assume(Assume { tags: &[], ..ALICE }));
    case("a foreign session name", false, assume(Assume { name: "alice@example.com", ..ALICE }));
    case("no source identity", false, assume(Assume { source: None, ..ALICE }));
    case("a foreign source identity", false, assume(Assume { source: Some("bob@example.com"), ..ALICE }));
    let eu = Assume { role: EU, external_id: None, ..ALICE };
    case("the gateway in another account", true, assume(eu));
    case("another principal in another account", false, assume(Assume { principal: ADMIN, ..eu }));

    let pods = World::new(&Options { runs_on: Some(RunsOn::PodIdentity), ..options() });
    let counted: Vec<_> = ALICE.tags.iter().copied().chain(EKS).collect();
    case("inherited tags that count", true, pods.assume(&Assume { tags: &counted, ..ALICE }));
    case("inherited tags that do not count", true, pods.assume(&ALICE));
    case("inherited tags without Pod Identity", false, assume(Assume { tags: &counted, ..ALICE }));

    let invoke = |role, model| world.invoke(role, &model);
    case("a bare model of the role", true, invoke(USER, BARE));
    case("a profile of the role", true, invoke(USER, US));
    case("a global profile of the role", true, invoke(USER, GLOBAL));
    case("another model", false, invoke(USER, Model { id: "amazon.nova-lite-v1:0", ..BARE }));
    case(
        "another model's profile",
        false,
        invoke(USER, Model { id: "amazon.nova-lite-v1:0", profile: Some("us.amazon.nova-lite-v1:0"), ..US }),
    );
    case("another region", false, invoke(USER, Model { region: "us-west-2", ..BARE }));
    case("a profile in another region", false, invoke(USER, Model { region: "us-west-2", ..US }));
    case("a profile of the geography", true, invoke(EU, EUROPE));
    case("a profile of another geography", false, invoke(EU, Model { region: "eu-central-1", ..US }));
    case(
        "a global profile beside data residency",
        false,
        invoke(EU, Model { region: "eu-central-1", ..GLOBAL }),
    );
    case("a bare model beside data residency", false, invoke(EU, Model { region: "eu-central-1", ..BARE }));

    let model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6-v1:0";
    case("a call around the gateway", false, world.around(ADMIN, "bedrock:InvokeModel", model));
    case(
        "a break-glass call",
        true,
        world.around("arn:aws:iam::123456789012:role/BreakGlass", "bedrock:InvokeModel", model),
    );
    case("an API key", false, world.around(ADMIN, "bedrock:CallWithBearerToken", "*"));
    case("an API key of a role of callers", false, {
        let mut requests = world.around(USER, "bedrock:CallWithBearerToken", "*");
        requests[0].identity = Some(world.permissions(USER));
        requests
    });
    cases
}

/// The account in the ARN of a role.
fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap()
}

/// A reload tries changed roles with canary sessions. Policies of `iam` must not deny those.
#[test]
fn the_generated_policies_admit_the_canaries_of_a_reload() {
    let environment: &Environment<'_> = &|_| None;
    let of = |text: &str| Config::parse(text, "gateway.toml", environment).unwrap().mapping;
    let canaries = of(CONFIG).canaries_since(&of(&CONFIG.replace(":role/", ":role/earlier/")));
    assert_eq!(canaries.len(), 2);
    let options = Options { gateway_role: Some(RoleArn::parse(GATEWAY).unwrap()), ..Options::default() };
    let world = World::new(&options);
    for canary in canaries {
        let session = canary.session();
        let tags: Vec<_> = session.tags().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let requests = world.assume(&Assume {
            principal: GATEWAY,
            role: session.role_arn().as_str(),
            name: session.name().as_str(),
            external_id: session.external_id(),
            tags: &tags,
            source: session.source_identity(),
        });
        for request in requests {
            assert!(request.is_allowed(), "{} {:?}", request.action, request.context);
        }
    }
}

#[test]
fn the_generated_policies_admit_the_gateway_and_nothing_else() {
    let cases = cases();
    let mut list = Vec::new();
    for Case { name, admitted, requests } in &cases {
        let decisions: Vec<_> = requests
            .iter()
            .map(|request| (request.action, &request.resource, request.is_allowed()))
            .collect();
        let allowed = decisions.iter().all(|(_, _, allowed)| *allowed);
        assert_eq!(allowed, *admitted, "{name}: {decisions:#?}");
        // The simulator knows no ARN of a model without a region.
        let known = requests.iter().filter(|request| !request.resource.contains(":bedrock:::"));
        let requests: Vec<_> = known.map(Request::json).collect();
        let expect = if *admitted { "allow" } else { "deny" };
        list.push(json!({ "name": name, "expect": expect, "requests": requests }));
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("iam-cases.json");
    std::fs::write(file, serde_json::to_string_pretty(&list).unwrap()).unwrap();
}
