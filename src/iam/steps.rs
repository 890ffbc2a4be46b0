//! The steps of an administrator by hand, in Markdown: the order in which to apply the files, the steps that no policy
//! can replace, and what the guards do not stop.

use std::fmt::Write as _;

use crate::iam::{Account, Bundle, Format, Kind, RunsOn, permissions, size};

/// The steps for one account.
pub(super) fn of(account: &Account, bundle: &Bundle, format: Format) -> String {
    let mut text = format!("# Steps for the account {}\n\n", account.id);
    text.push_str(
        "Written by `bedrock-gateway iam` from the gateway's configuration. Generate it again when roles, tags, models or\n\
         operations change. The order matters: IAM refuses a trust policy that names a role that does not exist.\n",
    );
    let mut steps: Vec<String> = vec![gateway(account, bundle, format)];
    steps.extend(roles(account, bundle, format));
    steps.extend(models(account));
    if let Some(output) = bundle.options.async_output.as_ref().filter(|_| !account.roles.is_empty()) {
        steps.push(format!(
            "**Async results.** Create the bucket of `{}` if it is missing. If it is in another account or encrypted with a \
             key of yours, allow the invocation roles there as well.",
            output.objects(&account.partition)
        ));
    }
    steps.push(
        "**Try it.** `bedrock-gateway doctor` assumes each role as the gateway will, and names what is missing.".to_owned(),
    );
    steps.push(
        "**Guards.** Apply them last, when the gateway serves its callers: see below. Try a service control policy on \
         one account before you attach it above several."
            .to_owned(),
    );
    for (index, step) in steps.iter().enumerate() {
        push_item(&mut text, &format!("{}. ", index + 1), step, "\n");
    }
    guards(&mut text, account);
    text
}

/// Appends an item of a list in lines of at most 100 columns.
fn push_item(text: &mut String, mark: &str, item: &str, before: &str) {
    const COLUMNS: usize = 100;
    text.push_str(before);
    text.push_str(mark);
    let mut column = mark.len();
    let mut is_first = true;
    for word in item.split(' ').filter(|word| !word.is_empty()) {
        let width = word.chars().count();
        if !is_first && column + 1 + width > COLUMNS {
            text.push('\n');
            text.push_str(&" ".repeat(mark.len()));
            column = mark.len();
        } else if !is_first {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
        is_first = false;
    }
    text.push('\n');
}

fn gateway(account: &Account, bundle: &Bundle, format: Format) -> String {
    let role = &bundle.gateway_role;
    if role.account() != account.id {
        return format!(
            "**The gateway's account first.** Finish the steps of {}: the trust policies here name `{}`.",
            role.account(),
            role.as_str()
        );
    }
    let name = role.role_name();
    let mut step = match (format, &bundle.options.runs_on) {
        (Format::Json, Some(_)) => format!(
            "**The gateway's role.** Create `{name}` with `gateway-role.trust.json`, and give it \
             `gateway-role.json` as an inline policy."
        ),
        (Format::Json, None) => format!(
            "**The gateway's role.** Give `{name}` the inline policy `gateway-role.json`. If the role does not \
             exist, create it first; `--runs-on` writes its trust policy too."
        ),
        (_, Some(_)) => format!("**The gateway's role.** The {} creates `{name}` first.", format.deployed()),
        (_, None) => format!(
            "**The gateway's role.** The {} gives `{name}` its policy. The role must exist; with `--runs-on` it would \
             be created.",
            format.deployed()
        ),
    };
    step.push_str(match &bundle.options.runs_on {
        Some(RunsOn::PodIdentity) if bundle.options.no_session_tags => {
            " Associate it with the pod's service account (EKS Pod Identity), with `disableSessionTags`: the trust \
             policies of the invocation roles do not accept EKS's tags."
        }
        Some(RunsOn::PodIdentity) => {
            " Associate it with the pod's service account (EKS Pod Identity). Its six tags reach every session of a \
             caller, and the trust policies accept them. Set `disableSessionTags` and generate with \
             `--no-session-tags` to keep them out of the bill."
        }
        Some(RunsOn::Irsa { .. }) => " Name it in the annotation `eks.amazonaws.com/role-arn` of the service account.",
        Some(RunsOn::Ecs) => " Name it as `taskRoleArn` of the task definition.",
        Some(RunsOn::Ec2) => " Put it into the instance profile.",
        None => "",
    });
    step
}

fn roles(account: &Account, bundle: &Bundle, format: Format) -> Vec<String> {
    let mut steps = Vec::new();
    if account.roles.is_empty() {
        return steps;
    }
    match format {
        Format::Json => {
            for role in &account.roles {
                let name = role.arn.role_name();
                let parts = bundle.permissions_of(&role.arn).count();
                let policies = (1..=parts)
                    .map(|part| format!("`{}`", permissions::policy_name(&role.arn, &part.to_string())))
                    .collect::<Vec<_>>()
                    .join(", ");
                let mut step = format!(
                    "**`{name}`.** Create it with the path `{}` and `{name}-trust.json`.",
                    role.arn.path()
                );
                if parts > 0 {
                    let _written = write!(
                        step,
                        " Create the managed policies {policies} from `{name}-permissions*.json` with the same path, and \
                         attach them."
                    );
                }
                if role.longest_session > 3600 {
                    let _written = write!(step, " Set its `MaxSessionDuration` to {}.", role.longest_session);
                }
                steps.push(step);
            }
        }
        Format::CloudFormation => steps.push(
            "**The invocation roles.** `aws cloudformation deploy --template-file template.json --stack-name \
             bedrock-gateway-roles --capabilities CAPABILITY_NAMED_IAM`."
                .to_owned(),
        ),
        Format::Terraform => steps.push(
            "**The invocation roles.** Use this folder as a module, or copy `main.tf` into one; `terraform` and `tofu` \
             both read it."
                .to_owned(),
        ),
    }
    for role in &account.roles {
        let size = bundle.trust_of(&role.arn).map_or(0, size::of);
        if size > size::TRUST_WITHOUT_REQUEST {
            steps.push(format!(
                "**A raised quota.** The trust policy of `{}` has {size} characters. Raise the quota \"Role trust policy \
                 length\" of IAM first: it is {} without a request, and 4,096 at most.",
                role.arn.role_name(),
                size::TRUST_WITHOUT_REQUEST
            ));
        }
    }
    steps
}

/// Done once by an administrator. The permissions for it are no caller's.
fn models(account: &Account) -> Vec<String> {
    if account.roles.is_empty() {
        return Vec::new();
    }
    vec![
        "**Models.** Once for this account, as an administrator: open the models in each region of the configuration. A \
         model of the AWS Marketplace is subscribed to at its first call, if the caller of that call has \
         `aws-marketplace:Subscribe`, `aws-marketplace:ViewSubscriptions` and `aws-marketplace:Unsubscribe`. Make that \
         call yourself: the invocation roles never get these permissions."
            .to_owned(),
        "**Anthropic.** Once for this account or its organization, submit the first-use form (Bedrock console, model \
         catalog, or `aws bedrock put-use-case-for-model-access`). Until then Claude models refuse every call."
            .to_owned(),
    ]
}

fn guards(text: &mut String, account: &Account) {
    text.push_str("\n## The guards, and what they do not stop\n");
    for file in &account.files {
        let Kind::Guard(guard) = &file.kind else { continue };
        let _written = write!(text, "\n### `guards/{}.json`\n\n", guard.file_stem());
        let mut sentence = guard.use_of_it().chars();
        let first: String = sentence.next().into_iter().flat_map(char::to_uppercase).collect();
        push_item(text, "", &(first + sentence.as_str()), "");
        text.push_str("\nIt does not stop\n\n");
        for gap in guard.gaps() {
            push_item(text, "- ", gap, "");
        }
    }
}
