//! The models of a role rule as ARNs: what its patterns are in the words of IAM.
//!
//! A pattern of a rule and a pattern of IAM mean the same by `*`, and no pattern of a rule contains `?` or `$`. So a
//! pattern is written into an ARN as it is, and IAM never allows a model that the gateway refuses.

use crate::attribution::arn::RoleArn;
use crate::iam::pattern::{after, widest};
use crate::iam::{IamError, RoleRule};
use crate::identity::models::{GEOGRAPHIES, ModelPattern, PROVIDERS};

/// The geography of the profiles that Bedrock may serve in any region of the world.
const GLOBAL: &str = "global.";

/// Kinds of the resources that an account owns and that can be invoked, besides application inference profiles and
/// prompt routers.
const OTHER_KINDS: [&str; 3] = ["provisioned-model", "custom-model-deployment", "imported-model"];
const ROUTER_KINDS: [&str; 2] = ["prompt-router", "default-prompt-router"];

/// The resources that a role rule allows to invoke. Each is an ARN, with `*`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Models {
    /// System inference profiles, in the regions of the rule.
    pub(super) profiles: Vec<String>,
    /// Those of them that are global.
    pub(super) global_profiles: Vec<String>,
    /// Foundation models in the regions of the rule, without a profile.
    pub(super) bare: Vec<String>,
    /// Application inference profiles.
    pub(super) applications: Vec<String>,
    pub(super) routers: Vec<String>,
    /// Provisioned, imported and deployed models.
    pub(super) others: Vec<String>,
    /// The patterns of bare ids.
    pub(super) ids: Vec<String>,
    /// Patterns of endpoints of `SageMaker`, which need permissions of that service too.
    pub(super) endpoints: Vec<String>,
}

impl Models {
    /// # Errors
    /// When a pattern matches nothing, or only ARNs of another partition.
    pub(super) fn of(rule: &RoleRule<'_>) -> Result<Self, IamError> {
        let mut models = Self::default();
        match &rule.role.models {
            // The gateway permits everything then, the account's own resources included.
            None => {
                models.add_ids("*", rule);
                models.add_arns("arn:*", rule);
            }
            Some(patterns) => {
                for pattern in patterns {
                    models.add(pattern, rule)?;
                }
            }
        }
        for list in [
            &mut models.profiles,
            &mut models.global_profiles,
            &mut models.bare,
            &mut models.applications,
            &mut models.routers,
            &mut models.others,
            &mut models.ids,
        ] {
            *list = widest(std::mem::take(list));
        }
        Ok(models)
    }

    fn add(&mut self, pattern: &ModelPattern, rule: &RoleRule<'_>) -> Result<(), IamError> {
        let text = pattern.as_str();
        let before = self.len();
        if text.starts_with("arn:") {
            check_partition(text, &rule.role.arn)?;
            self.add_arns(text, rule);
        } else if pattern.can_match() {
            self.add_ids(text, rule);
        }
        if self.len() > before {
            return Ok(());
        }
        Err(IamError::NoModel {
            rule: rule.place,
            pattern: text.to_owned(),
            regions: rule.regions.join(", "),
        })
    }

    fn len(&self) -> usize {
        [&self.profiles, &self.bare, &self.applications, &self.routers, &self.others, &self.endpoints]
            .into_iter()
            .map(Vec::len)
            .sum()
    }

    /// Adds what a pattern of ids matches.
    fn add_ids(&mut self, pattern: &str, rule: &RoleRule<'_>) {
        let begins_with = |first: &&str| !after(pattern, &format!("{first}.")).is_empty();
        let (partition, account) = (rule.role.arn.partition(), rule.role.arn.account());
        let is_profile = GEOGRAPHIES.iter().any(begins_with);
        let is_bare = PROVIDERS.iter().any(begins_with);
        for region in &rule.regions {
            let profile =
                |id: &str| format!("arn:{partition}:bedrock:{region}:{account}:inference-profile/{id}");
            if is_profile {
                self.profiles.push(profile(pattern));
            }
            self.global_profiles
                .extend(after(pattern, GLOBAL).iter().map(|rest| profile(&format!("{GLOBAL}{rest}"))));
            if is_bare {
                self.bare.push(format!("arn:{partition}:bedrock:{region}::foundation-model/{pattern}"));
            }
        }
        if is_bare {
            self.ids.push(pattern.to_owned());
        }
    }

    /// Adds what a pattern of ARNs matches: the part that is in the regions of the rule, and in the account of the role
    /// unless the pattern names another one.
    fn add_arns(&mut self, pattern: &str, rule: &RoleRule<'_>) {
        let partition = rule.role.arn.partition();
        let account = named_account(pattern).unwrap_or_else(|| rule.role.arn.account());
        for region in &rule.regions {
            let found = |account: &str, kind: &str| -> Vec<String> {
                let start = format!("arn:{partition}:bedrock:{region}:{account}:{kind}/");
                // No id behind these kinds contains a slash.
                let rests = after(pattern, &start);
                rests
                    .into_iter()
                    .filter(|rest| !rest.is_empty() && !rest.contains('/'))
                    .map(|rest| start.clone() + &rest)
                    .collect()
            };
            self.bare.extend(found("", "foundation-model"));
            self.profiles.extend(found(account, "inference-profile"));
            self.applications.extend(found(account, "application-inference-profile"));
            self.routers.extend(ROUTER_KINDS.iter().flat_map(|kind| found(account, kind)));
            self.others.extend(OTHER_KINDS.iter().flat_map(|kind| found(account, kind)));
            let profiles = format!("arn:{partition}:bedrock:{region}:{account}:inference-profile/{GLOBAL}");
            let rests = after(pattern, &profiles).into_iter().filter(|rest| !rest.contains('/'));
            self.global_profiles.extend(rests.map(|rest| profiles.clone() + &rest));
            if pattern.contains(":sagemaker:") {
                self.endpoints.push(pattern.to_owned());
            }
        }
    }
}

/// The account that a pattern of ARNs names in its fifth part.
fn named_account(pattern: &str) -> Option<&str> {
    let account = pattern.split(':').nth(4)?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

/// Whether a pattern names the partition of the role, or leaves it open.
fn check_partition(pattern: &str, role: &RoleArn) -> Result<(), IamError> {
    let partition = pattern.split(':').nth(1).unwrap_or_default();
    if partition.contains('*') || partition == role.partition() {
        return Ok(());
    }
    Err(IamError::Partition {
        what: "the model pattern",
        arn: pattern.to_owned(),
        partition: role.partition().to_owned(),
    })
}
