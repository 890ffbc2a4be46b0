//! A template of `CloudFormation`, in JSON. The names of roles and policies are fixed, so that the configuration of the
//! gateway and the guards can name them; deploy it with `CAPABILITY_NAMED_IAM`.

use serde::Serialize;
use serde_json::{Value, json};

use crate::iam::document::Policy;
use crate::iam::form::{identifiers, of_gateway};
use crate::iam::{Account, Bundle, permissions};

#[derive(Serialize)]
struct Template<'a> {
    #[serde(rename = "AWSTemplateFormatVersion")]
    version: &'static str,
    #[serde(rename = "Description")]
    description: &'static str,
    #[serde(rename = "Resources", serialize_with = "in_order")]
    resources: Vec<(String, Resource<'a>)>,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(rename = "DependsOn", skip_serializing_if = "Option::is_none")]
    depends_on: Option<&'static str>,
    #[serde(rename = "Properties", serialize_with = "in_order")]
    properties: Vec<(&'static str, Property<'a>)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Property<'a> {
    Policy(&'a Policy),
    Value(Value),
    /// Inline policies of a role: name and document.
    Inline(Vec<Inline<'a>>),
}

#[derive(Serialize)]
struct Inline<'a> {
    #[serde(rename = "PolicyName")]
    name: &'static str,
    #[serde(rename = "PolicyDocument")]
    document: &'a Policy,
}

/// An object whose members are in the order of the list.
fn in_order<K: Serialize, V: Serialize, S: serde::Serializer>(
    members: &[(K, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().map(|(key, value)| (key, value)))
}

/// The logical id of the gateway's role.
const GATEWAY: &str = "GatewayRole";
/// The name of its inline policy.
pub(super) const INLINE_POLICY: &str = "assume-the-roles-of-callers";

/// The template of an account.
pub(super) fn template(account: &Account, bundle: &Bundle) -> String {
    let mut resources: Vec<(String, Resource<'_>)> = Vec::new();
    let text = |text: &str| Property::Value(text.into());
    let (trust, permissions_of_gateway) = of_gateway(account);
    let gateway = &bundle.gateway_role;
    if let Some(document) = permissions_of_gateway {
        let (id, kind, properties) = match trust {
            Some(trust) => (
                GATEWAY,
                "AWS::IAM::Role",
                vec![
                    ("RoleName", text(gateway.role_name())),
                    ("Path", text(gateway.path())),
                    ("AssumeRolePolicyDocument", Property::Policy(trust)),
                    ("Policies", Property::Inline(vec![Inline { name: INLINE_POLICY, document }])),
                ],
            ),
            None => (
                "GatewayPolicy",
                "AWS::IAM::RolePolicy",
                vec![
                    ("RoleName", text(gateway.role_name())),
                    ("PolicyName", text(INLINE_POLICY)),
                    ("PolicyDocument", Property::Policy(document)),
                ],
            ),
        };
        resources.push((id.to_owned(), Resource { kind, depends_on: None, properties }));
    }
    let ids = identifiers(account.roles.iter().map(|role| role.arn.role_name()));
    for (role, id) in account.roles.iter().zip(ids) {
        let mut managed = Vec::new();
        for (index, document) in bundle.permissions_of(&role.arn).enumerate() {
            let part = (index + 1).to_string();
            let policy_id = format!("Policy{part}{id}");
            managed.push(json!({ "Ref": policy_id }));
            let properties = vec![
                ("ManagedPolicyName", text(&permissions::policy_name(&role.arn, &part))),
                ("Path", text(role.arn.path())),
                ("PolicyDocument", Property::Policy(document)),
            ];
            resources.push((
                policy_id,
                Resource { kind: "AWS::IAM::ManagedPolicy", depends_on: None, properties },
            ));
        }
        let Some(trust_policy) = bundle.trust_of(&role.arn) else { continue };
        let properties = vec![
            ("RoleName", text(role.arn.role_name())),
            ("Path", text(role.arn.path())),
            ("MaxSessionDuration", Property::Value(role.longest_session.into())),
            ("AssumeRolePolicyDocument", Property::Policy(trust_policy)),
            ("ManagedPolicyArns", Property::Value(managed.into())),
        ];
        let depends_on = trust.map(|_| GATEWAY);
        resources.push((format!("Role{id}"), Resource { kind: "AWS::IAM::Role", depends_on, properties }));
    }
    let template = Template {
        version: "2010-09-09",
        description: "The IAM roles of bedrock-gateway, written by bedrock-gateway iam",
        resources,
    };
    serde_json::to_string_pretty(&template).unwrap_or_default() + "\n"
}
