//! The permissions of invocation roles: the actions of a rule's operations, on what its model patterns match.

use crate::attribution::arn::RoleArn;
use crate::iam::document::{Operator, Policy, Statement};
use crate::iam::models::Models;
use crate::iam::trust::numbered;
use crate::iam::{IamError, Invoked, Options, RoleRule, size};
use crate::route::Operation;

const INVOKE: &str = "bedrock:InvokeModel";
const INVOKE_STREAM: &str = "bedrock:InvokeModelWithResponseStream";
/// The region in a request that Bedrock routes by a global profile (user guide, "global cross-region inference").
// Assumption A47.
const NO_REGION: &str = "unspecified";

/// The permissions of a role: the union of what its rules allow, in parts that IAM accepts.
///
/// # Errors
/// When a model pattern matches nothing, or the policies are larger than IAM accepts.
pub(super) fn of(
    role: &Invoked<'_>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Vec<Policy>, IamError> {
    let mut statements: Vec<Statement> = Vec::new();
    for (index, rule) in role.rules.iter().enumerate() {
        let mut draft = Draft::of(rule, options)?;
        notes.append(&mut draft.notes);
        for statement in draft.statements {
            if !statements.iter().any(|known| known.says_the_same(&statement)) {
                let name = numbered(statement.sid(), index);
                statements.push(statement.named(name));
            }
        }
    }
    if statements.is_empty() {
        // IAM accepts no policy without a statement.
        notes.push(format!(
            "{} gets no permissions: IAM can express none of what its rules allow",
            role.arn.as_str()
        ));
        return Ok(Vec::new());
    }
    size::parts(statements, || format!("the permissions of {}", role.arn.as_str()))
}

/// The statements of one rule.
struct Draft<'a> {
    rule: &'a RoleRule<'a>,
    models: Models,
    /// The actions of all operations of the rule.
    actions: Vec<&'static str>,
    statements: Vec<Statement>,
    notes: Vec<String>,
}

impl<'a> Draft<'a> {
    fn of(rule: &'a RoleRule<'a>, options: &Options) -> Result<Self, IamError> {
        let operations = operations(rule);
        let mut actions: Vec<&'static str> = Vec::new();
        for action in operations.iter().flat_map(|operation| operation.iam_actions()) {
            if !actions.contains(action) {
                actions.push(action);
            }
        }
        let models = Models::of(rule)?;
        let mut draft = Self { rule, models, actions, statements: Vec::new(), notes: Vec::new() };
        draft.invoke();
        draft.own_models();
        draft.runtime(&operations);
        draft.lists();
        draft.mantle();
        draft.async_jobs(&operations, options);
        draft.note_what_needs_bare_models(&operations);
        Ok(draft)
    }

    /// The actions of the rule among these.
    fn used(&self, wanted: &[&str]) -> Vec<&'static str> {
        self.actions.iter().copied().filter(|action| wanted.contains(action)).collect()
    }

    /// Adds a statement, unless it would have no action or no resource.
    fn allow(&mut self, sid: &str, wanted: &[&str], resources: Vec<String>) {
        self.allow_when(sid, wanted, resources, |statement| statement);
    }

    fn allow_when(
        &mut self,
        sid: &str,
        wanted: &[&str],
        resources: Vec<String>,
        conditions: impl FnOnce(Statement) -> Statement,
    ) {
        let actions = self.used(wanted);
        if !actions.is_empty() && !resources.is_empty() {
            self.statements.push(conditions(Statement::allow(sid, actions).on(resources)));
        }
    }

    /// The ARNs of `resource` in each region of the rule, and in the account of the role.
    fn in_regions(&self, service: &str, resource: &str) -> Vec<String> {
        let (partition, account) = (self.rule.role.arn.partition(), self.rule.role.arn.account());
        let arn = |region: &&str| format!("arn:{partition}:{service}:{region}:{account}:{resource}");
        self.rule.regions.iter().map(arn).collect()
    }

    /// Foundation models of any region: the source region decides about the profile, and the profile about the regions
    /// that Bedrock serves it in.
    fn foundation_models(&self, region: &str) -> Vec<String> {
        vec![format!("arn:{}:bedrock:{region}::foundation-model/*", self.rule.role.arn.partition())]
    }

    fn invoke(&mut self) {
        let invoke = [INVOKE, INVOKE_STREAM];
        let profiles: Vec<String> =
            self.models.profiles.iter().chain(&self.models.applications).cloned().collect();
        let global = self.models.global_profiles.clone();
        self.allow("InvokeProfiles", &invoke, profiles.clone());
        if !profiles.is_empty() {
            self.allow_when("InvokeModelsOfProfiles", &invoke, self.foundation_models("*"), |statement| {
                statement.when(Operator::ArnLike, "bedrock:InferenceProfileArn", profiles)
            });
        }
        if !global.is_empty() {
            self.allow_when(
                "InvokeModelsOfGlobalProfiles",
                &invoke,
                self.foundation_models(""),
                |statement| {
                    statement.when(Operator::StringEquals, "aws:RequestedRegion", [NO_REGION]).when(
                        Operator::ArnLike,
                        "bedrock:InferenceProfileArn",
                        global,
                    )
                },
            );
        }
        self.allow("InvokeModels", &invoke, self.models.bare.clone());
        // CountTokens has no profile: neither as its resource nor as its condition.
        self.allow("CountTokens", &["bedrock:CountTokens"], self.models.bare.clone());
    }

    /// The account's own resources.
    fn own_models(&mut self) {
        let invoke = [INVOKE, INVOKE_STREAM];
        self.allow("InvokeOwnModels", &invoke, self.models.others.clone());
        let routers = self.models.routers.clone();
        self.allow("InvokePromptRouters", &invoke, routers.clone());
        if !routers.is_empty() {
            let mut targets = self.foundation_models("*");
            targets.extend(self.in_regions("bedrock", "inference-profile/*"));
            self.allow_when("InvokeModelsOfPromptRouters", &invoke, targets, |statement| {
                statement.when(Operator::ArnLike, "bedrock:PromptRouterArn", routers)
            });
        }
        if !self.models.endpoints.is_empty() {
            self.notes.push(format!(
                "[[role]] number {}: endpoints of SageMaker are not in the policy; they need \
                 sagemaker:InvokeEndpoint besides, which an administrator must add",
                self.rule.place
            ));
        }
    }

    fn runtime(&mut self, operations: &[Operation]) {
        if operations.contains(&Operation::Responses) {
            // A response belongs to a project, which Bedrock asks for as well.
            self.allow("CreateResponses", &[INVOKE], self.in_regions("bedrock", "project/*"));
        }
        let stored = ["bedrock:GetInvoke", "bedrock:CancelInvoke", "bedrock:DeleteInvoke"];
        self.allow("StoredResponses", &stored, self.in_regions("bedrock", "project/*"));
        let mut guardrails = self.in_regions("bedrock", "guardrail/*");
        let (partition, account) = (self.rule.role.arn.partition(), self.rule.role.arn.account());
        // A guardrail profile is asked for in each region that it may run in.
        guardrails.push(format!("arn:{partition}:bedrock:*:{account}:guardrail-profile/*"));
        self.allow("ApplyGuardrails", &["bedrock:ApplyGuardrail"], guardrails);
    }

    /// Actions that have no resource: the region is a condition instead.
    fn anywhere(&mut self, sid: &str, wanted: &[&str]) {
        let regions: Vec<String> = self.rule.regions.iter().map(|region| (*region).to_owned()).collect();
        self.allow_when(sid, wanted, vec!["*".to_owned()], |statement| {
            statement.when(Operator::StringEquals, "aws:RequestedRegion", regions)
        });
    }

    fn lists(&mut self) {
        self.anywhere(
            "WithoutResource",
            &[
                "bedrock:ListFoundationModels",
                "bedrock:ListInferenceProfiles",
                "bedrock:GetFoundationModelAvailability",
                "bedrock:ListAsyncInvokes",
                "bedrock:InvokeGuardrailChecks",
            ],
        );
        let partition = self.rule.role.arn.partition();
        let models = self.rule.regions.iter();
        let models =
            models.map(|region| format!("arn:{partition}:bedrock:{region}::foundation-model/*")).collect();
        self.allow("DescribeModels", &["bedrock:GetFoundationModel"], models);
        let mut profiles = self.in_regions("bedrock", "inference-profile/*");
        profiles.extend(self.in_regions("bedrock", "application-inference-profile/*"));
        self.allow("DescribeProfiles", &["bedrock:GetInferenceProfile"], profiles);
        let applications = self.models.applications.clone();
        if !applications.is_empty() && self.used(&["bedrock:GetInferenceProfile"]).is_empty() {
            // Clients read which model is behind an application inference profile.
            let statement = Statement::allow("DescribeApplicationProfiles", ["bedrock:GetInferenceProfile"]);
            self.statements.push(statement.on(applications));
        }
    }

    /// The projects that callers may charge. The gateway compares them as texts, so only ids without `*` become ARNs.
    fn projects(&mut self) -> Vec<String> {
        let projects = &self.rule.role.projects;
        if projects.is_empty() {
            // The gateway refuses every named project, and AWS does not document the id of the one that has no name.
            return self.in_regions("bedrock-mantle", "project/*");
        }
        let is_id = |project: &&str| {
            project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let (ids, others): (Vec<&str>, Vec<&str>) = projects.iter().map(String::as_str).partition(is_id);
        if !others.is_empty() {
            self.notes.push(format!(
                "[[role]] number {}: the policy does not have the projects {}, because only ids such as proj_search \
                 become ARNs",
                self.rule.place,
                others.join(", ")
            ));
        }
        // A call that names no project belongs to the default one.
        let all = std::iter::once("default").chain(ids);
        all.flat_map(|project| self.in_regions("bedrock-mantle", &format!("project/{project}"))).collect()
    }

    fn mantle(&mut self) {
        let resources = self.projects();
        let inference = ["bedrock-mantle:CreateInference", "bedrock-mantle:CountTokens"];
        let ids = self.models.ids.clone();
        if ids.iter().any(|id| id == "*") {
            self.allow("Mantle", &inference, resources.clone());
        } else if !ids.is_empty() {
            self.allow_when("Mantle", &inference, resources.clone(), |statement| {
                statement.when(Operator::StringLike, "bedrock-mantle:Model", ids)
            });
        }
        self.allow(
            "DescribeMantle",
            &[
                "bedrock-mantle:GetModel",
                "bedrock-mantle:GetProject",
                "bedrock-mantle:ListModels",
                "bedrock-mantle:ListProjects",
            ],
            resources.clone(),
        );
        self.allow(
            "StoredMantleResponses",
            &[
                "bedrock-mantle:GetInference",
                "bedrock-mantle:CancelInference",
                "bedrock-mantle:DeleteInference",
            ],
            resources,
        );
    }

    fn note_what_needs_bare_models(&mut self, operations: &[Operation]) {
        for operation in [Operation::CountTokens, Operation::Mantle] {
            if self.models.bare.is_empty() && operations.contains(&operation) {
                self.notes.push(format!(
                    "[[role]] number {}: {} works with bare models only, and `models` has none",
                    self.rule.place,
                    operation.as_str()
                ));
            }
        }
    }

    fn async_jobs(&mut self, operations: &[Operation], options: &Options) {
        let jobs = self.in_regions("bedrock", "async-invoke/*");
        self.allow("DescribeAsyncJobs", &["bedrock:GetAsyncInvoke"], jobs.clone());
        if !operations.contains(&Operation::AsyncStart) {
            return;
        }
        let Some(output) = &options.async_output else {
            self.notes.push(format!(
                "[[role]] number {} allows async-start, but its callers cannot write results anywhere; pass \
                 --async-output s3://BUCKET/PREFIX, or leave the operation out of `operations`",
                self.rule.place
            ));
            return;
        };
        self.allow("StartAsyncJobs", &[INVOKE], jobs);
        let objects = output.objects(self.rule.role.arn.partition());
        self.statements.push(Statement::allow("WriteAsyncResults", ["s3:PutObject"]).on([objects]));
    }
}

/// The name of the managed policy with a part of the permissions.
pub(super) fn policy_name(role: &RoleArn, part: &str) -> String {
    format!("{}-bedrock-{part}", role.role_name())
}

/// The ARN of the managed policy with a part of the permissions. It has the path of its role.
pub(super) fn policy_arn(role: &RoleArn, part: &str) -> String {
    let (partition, account, path) = (role.partition(), role.account(), role.path());
    format!("arn:{partition}:iam::{account}:policy{path}{}", policy_name(role, part))
}

/// The operations that the rule allows.
pub(super) fn operations(rule: &RoleRule<'_>) -> Vec<Operation> {
    match &rule.role.operations {
        Some(operations) => operations.clone(),
        None => Operation::ALL.into_iter().filter(|operation| !operation.is_shared()).collect(),
    }
}
