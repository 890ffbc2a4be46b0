//! A module of Terraform or `OpenTofu`. The policies are in heredocs, letter by letter as the JSON form has them.

use std::fmt::Write as _;

use crate::iam::document::Policy;
use crate::iam::form::cloudformation::INLINE_POLICY;
use crate::iam::form::{identifiers, of_gateway};
use crate::iam::{Account, Bundle, permissions};

/// The module of an account.
pub(super) fn module(account: &Account, bundle: &Bundle) -> String {
    let mut text = format!(
        "# The IAM roles of bedrock-gateway in the account {}, written by `bedrock-gateway iam`.\n\n\
         terraform {{\n  required_providers {{\n    aws = {{\n      source = \"hashicorp/aws\"\n    }}\n  }}\n}}\n",
        account.id
    );
    let (trust, permissions_of_gateway) = of_gateway(account);
    let gateway = &bundle.gateway_role;
    if let Some(trust) = trust {
        resource(&mut text, "aws_iam_role", "gateway", |body| {
            attributes(body, &[("name", &quoted(gateway.role_name())), ("path", &quoted(gateway.path()))]);
            document(body, "assume_role_policy", trust);
        });
    }
    if let Some(policy) = permissions_of_gateway {
        let role = if trust.is_some() {
            "aws_iam_role.gateway.name".to_owned()
        } else {
            quoted(gateway.role_name())
        };
        resource(&mut text, "aws_iam_role_policy", "gateway", |body| {
            attributes(body, &[("name", &quoted(INLINE_POLICY)), ("role", &role)]);
            document(body, "policy", policy);
        });
    }
    let ids = identifiers(account.roles.iter().map(|role| role.arn.role_name()));
    for (role, id) in account.roles.iter().zip(ids) {
        let Some(trust_policy) = bundle.trust_of(&role.arn) else { continue };
        let id = format!("role_{id}");
        resource(&mut text, "aws_iam_role", &id, |body| {
            attributes(
                body,
                &[
                    ("name", &quoted(role.arn.role_name())),
                    ("path", &quoted(role.arn.path())),
                    ("max_session_duration", &role.longest_session.to_string()),
                ],
            );
            document(body, "assume_role_policy", trust_policy);
            if trust.is_some() {
                body.push_str("\n  # IAM refuses a trust policy that names a role that does not exist.\n");
                body.push_str("  depends_on = [aws_iam_role.gateway]\n");
            }
        });
        for (index, policy) in bundle.permissions_of(&role.arn).enumerate() {
            let part = (index + 1).to_string();
            let policy_id = format!("{id}_{part}");
            resource(&mut text, "aws_iam_policy", &policy_id, |body| {
                let name = quoted(&permissions::policy_name(&role.arn, &part));
                attributes(body, &[("name", &name), ("path", &quoted(role.arn.path()))]);
                document(body, "policy", policy);
            });
            resource(&mut text, "aws_iam_role_policy_attachment", &policy_id, |body| {
                let (name, arn) =
                    (format!("aws_iam_role.{id}.name"), format!("aws_iam_policy.{policy_id}.arn"));
                attributes(body, &[("role", &name), ("policy_arn", &arn)]);
            });
        }
    }
    text
}

fn resource(text: &mut String, kind: &str, name: &str, body: impl FnOnce(&mut String)) {
    let _written = write!(text, "\nresource \"{kind}\" \"{name}\" {{\n");
    body(text);
    text.push_str("}\n");
}

/// Attributes with aligned equals signs, as `terraform fmt` writes them.
fn attributes(text: &mut String, attributes: &[(&str, &str)]) {
    let width = attributes.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in attributes {
        let _written = writeln!(text, "  {name:width$} = {value}");
    }
}

fn document(text: &mut String, name: &str, policy: &Policy) {
    let _written = write!(text, "\n  {name} = <<-JSON\n");
    for line in policy.pretty().lines() {
        let _written = writeln!(text, "    {}", plain(line));
    }
    text.push_str("  JSON\n");
}

fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", plain(&escaped))
}

/// The text without the two beginnings of an expression.
fn plain(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}
