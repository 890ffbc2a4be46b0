//! `arn` of a role: the IAM role that callers get.

use super::aws::Aws;
use super::diagnostics::{Diagnostics, Span};
use super::raw::Text;
use super::regions;
use crate::attribution::arn::RoleArn;

/// The role's ARN in the partition of the regions; `None` if it is not one, which is reported.
pub(super) fn parsed(text: &Text, aws: &Aws, diagnostics: &mut Diagnostics<'_>) -> Option<RoleArn> {
    let written = text.get_ref();
    let Ok(arn) = RoleArn::parse(written) else {
        let Fault { part, message, help } = fault(written, aws.partition());
        diagnostics.error_inside(text.span(), written, part, message, help);
        return None;
    };
    if arn.partition() != aws.partition() {
        let line =
            diagnostics.line_of("aws.region").map_or_else(String::new, |line| format!(" (line {line})"));
        let message = format!(
            "this role is in {}, but the region {}{line} is in {}",
            named(arn.partition()),
            aws.region,
            named(aws.partition())
        );
        let help = match regions::of_partition(arn.partition()) {
            Some(region) => format!(
                "write a role of an account in {}; or, if this gateway is for {}, set a region of it in [aws], for \
                 example \"{region}\", and use only its roles",
                named(aws.partition()),
                named(arn.partition()),
            ),
            None => format!("write a role of an account in {}", named(aws.partition())),
        };
        diagnostics.error(text.span(), message, help);
    }
    Some(arn)
}

/// The partition as AWS calls it, and as ARNs write it.
fn named(partition: &str) -> String {
    match partition {
        "aws" => "AWS's main partition (arn:aws)".to_owned(),
        "aws-cn" => "AWS China (arn:aws-cn)".to_owned(),
        "aws-us-gov" => "AWS GovCloud (arn:aws-us-gov)".to_owned(),
        other => format!("the partition {other}"),
    }
}

/// The fault of a text that is not the ARN of a role.
struct Fault {
    /// The wrong part of the text; `None` for the whole.
    part: Option<Span>,
    message: String,
    help: String,
}

fn fault(written: &str, partition: &str) -> Fault {
    let example = format!("arn:{partition}:iam::123456789012:role/BedrockUser");
    let parts: Vec<&str> = written.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "sts", "", account, resource] if resource.starts_with("assumed-role/") => {
            let role = resource.split('/').nth(1).unwrap_or_default();
            Fault {
                part: None,
                message: "this is the ARN of a session, not of its role".to_owned(),
                help: format!(
                    "write arn:{partition}:iam::{account}:role/{role}; if the role has a path, add it (aws iam get-role --role-name {role} prints the ARN)"
                ),
            }
        }
        ["arn", partition, "iam", "", account, resource]
            if resource.starts_with("role/") && !is_account(account) =>
        {
            let begins = "arn:".len() + partition.len() + ":iam::".len();
            let message = if account.bytes().all(|byte| byte.is_ascii_digit()) {
                format!("the account \"{account}\" has {} digits, and must have 12", account.len())
            } else {
                format!("\"{account}\" is not an account: that is a number of 12 digits")
            };
            Fault {
                part: Some(begins..begins + account.len()),
                message,
                help: format!("copy the 12 digits from the AWS console, for example {example}"),
            }
        }
        ["arn", partition, "iam", "", account, resource] if resource.starts_with("user/") => Fault {
            part: None,
            message: "this is the ARN of a user, and only a role can be assumed".to_owned(),
            help: format!(
                "write the ARN of a role of the account, for example arn:{partition}:iam::{account}:role/BedrockUser"
            ),
        },
        _ => Fault {
            part: None,
            message: format!("\"{written}\" is not the ARN of a role"),
            help: format!("write, for example, {example}"),
        },
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
