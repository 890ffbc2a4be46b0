//! Whether the bill will have what the gateway stamps on each call: the data export, and the activation of its tags.
//! Both belong to the account that pays.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::signed_call::{CallError, Service, SignedCaller};
use super::{Check, Status};
use crate::attribution::tags::TagKey;
use crate::clock;

/// The columns that a report by person, team and model needs (AWS Data Exports user guide, CUR 2.0 table dictionary).
// Assumption A50.
const COLUMNS: [&str; 17] = [
    "bill_billing_entity",
    "bill_billing_period_start_date",
    "bill_invoice_id",
    "bill_payer_account_id",
    "line_item_iam_principal",
    "line_item_line_item_type",
    "line_item_operation",
    "line_item_product_code",
    "line_item_resource_id",
    "line_item_unblended_cost",
    "line_item_usage_account_id",
    "line_item_usage_amount",
    "line_item_usage_start_date",
    "line_item_usage_type",
    "pricing_unit",
    "product",
    "tags",
];

/// The table of CUR 2.0.
const TABLE: &str = "COST_AND_USAGE_REPORT";
/// The setting of that table which adds `line_item_iam_principal`.
const PRINCIPALS: &str = "INCLUDE_IAM_PRINCIPAL_DATA";
/// AWS refreshes an export up to three times a day; after two days without, something is wrong.
const STALE: Duration = Duration::from_secs(48 * 60 * 60);
/// The most pages of a list that are read.
const PAGES: usize = 50;
/// The most keys of one call of `UpdateCostAllocationTagsStatus` (service model).
const KEYS_AT_ONCE: usize = 20;

const DATA_EXPORTS: Service = Service {
    signing_name: "bcm-data-exports",
    target: "AWSBillingAndCostManagementDataExports",
    variable: "AWS_ENDPOINT_URL_BCM_DATA_EXPORTS",
};
const COST_EXPLORER: Service = Service {
    signing_name: "ce",
    target: "AWSInsightsIndexService",
    variable: "AWS_ENDPOINT_URL_COST_EXPLORER",
};

/// The billing services of one partition. Each has one region.
// Assumption A50.
#[derive(Debug)]
pub(super) struct Billing {
    caller: SignedCaller,
    exports: (&'static str, &'static str),
    explorer: (&'static str, &'static str),
}

/// The state of one cost allocation tag.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Activation {
    Active,
    Inactive,
    /// AWS has not seen it: it lists a tag up to a day after the first call that had it.
    Unknown,
}

impl Billing {
    /// The services of a partition, for example `aws`. `None`: the partition lacks them.
    pub(super) fn of(partition: &str, caller: SignedCaller) -> Option<Self> {
        let (exports, explorer) = match partition {
            "aws" => (
                ("us-east-1", "https://bcm-data-exports.us-east-1.amazonaws.com"),
                ("us-east-1", "https://ce.us-east-1.amazonaws.com"),
            ),
            "aws-cn" => (
                ("cn-northwest-1", "https://bcm-data-exports.cn-northwest-1.amazonaws.com.cn"),
                ("cn-northwest-1", "https://ce.cn-northwest-1.amazonaws.com.cn"),
            ),
            _ => return None,
        };
        Some(Self { caller, exports, explorer })
    }

    /// The checks of the export, then one of each tag.
    pub(super) async fn checks(&self, tags: &[TagKey]) -> Vec<Check> {
        let mut checks = self.export().await;
        checks.extend(self.tags(tags).await);
        checks
    }

    async fn export(&self) -> Vec<Check> {
        let name = "export";
        match self.exports().await {
            Err(error) => {
                vec![failed(name, "bcm-data-exports:ListExports and bcm-data-exports:GetExport", &error)]
            }
            Ok(exports) => {
                let (best, rest) = best(exports);
                let Some(best) = best else {
                    return vec![Check::fail(
                        name,
                        "this account has no export of CUR 2.0, so no bill names the person",
                        format!(
                            "in the account that pays, create a data export of the table {TABLE} with {PRINCIPALS} \
                             and resources; another table cannot name them"
                        ),
                    )];
                };
                let mut checks = best.checks();
                if rest > 0 && checks.iter().any(|check| check.status == Status::Fail) {
                    checks.push(Check::skip(name, format!("{rest} other exports of CUR 2.0 are no better")));
                }
                checks
            }
        }
    }

    /// The exports of CUR 2.0.
    async fn exports(&self) -> Result<Vec<Export>, CallError> {
        let mut found = Vec::new();
        let mut next = Value::Null;
        for _page in 0..PAGES {
            let input = if next.is_null() { json!({}) } else { json!({ "NextToken": next }) };
            let page = self.caller.call(DATA_EXPORTS, self.exports, "ListExports", &input).await?;
            for reference in page["Exports"].as_array().into_iter().flatten() {
                let input = json!({ "ExportArn": reference["ExportArn"] });
                let export = self.caller.call(DATA_EXPORTS, self.exports, "GetExport", &input).await?;
                found.extend(Export::read(&export, &reference["ExportStatus"]));
            }
            next = page["NextToken"].clone();
            if next.is_null() {
                break;
            }
        }
        Ok(found)
    }

    async fn tags(&self, tags: &[TagKey]) -> Vec<Check> {
        if tags.is_empty() {
            return vec![Check::warn(
                "cost allocation tags",
                "the configuration maps no tag, so the bill has no team and no cost center",
                "add [issuer.session.tags]",
            )];
        }
        let states = match self.activations(tags).await {
            Ok(states) => states,
            Err(error) => return vec![failed("cost allocation tags", "ce:ListCostAllocationTags", &error)],
        };
        let activate = "run doctor --billing --activate; rows before the activation stay without the tag";
        let check = |(key, state): (String, Activation)| {
            let name = format!("tag {key}");
            match state {
                Activation::Active => Check::ok(name, "active: the bill has it"),
                Activation::Inactive => Check::fail(name, "AWS knows it, and it is not active", activate),
                Activation::Unknown => Check::warn(
                    name,
                    "AWS does not list it; that takes up to 24 hours after the first call",
                    "call Bedrock through the gateway once, wait a day, and run doctor again",
                ),
            }
        };
        states.into_iter().map(check).collect()
    }

    /// The state of each tag. The bill names the tags of a session `iamPrincipal/KEY`; a resource may have a tag of the
    /// same key, which is another one.
    // Assumption A2.
    async fn activations(&self, tags: &[TagKey]) -> Result<BTreeMap<String, Activation>, CallError> {
        let mut states: BTreeMap<String, Activation> =
            tags.iter().map(|key| (in_bill(key), Activation::Unknown)).collect();
        let keys: Vec<&String> = states.keys().collect();
        let mut input = json!({ "TagKeys": keys });
        for _page in 0..PAGES {
            let page =
                self.caller.call(COST_EXPLORER, self.explorer, "ListCostAllocationTags", &input).await?;
            for tag in page["CostAllocationTags"].as_array().into_iter().flatten() {
                let state = match tag["Status"].as_str() {
                    Some("Active") => Activation::Active,
                    _ => Activation::Inactive,
                };
                if let Some(known) = tag["TagKey"].as_str().and_then(|key| states.get_mut(key)) {
                    *known = state;
                }
            }
            if page["NextToken"].is_null() {
                break;
            }
            input["NextToken"] = page["NextToken"].clone();
        }
        Ok(states)
    }

    /// The tags that [`Billing::activate`] would activate.
    ///
    /// # Errors
    /// When AWS refuses the list.
    pub(super) async fn inactive(&self, tags: &[TagKey]) -> Result<Vec<String>, CallError> {
        let states = self.activations(tags).await?;
        Ok(states
            .into_iter()
            .filter(|(_, state)| *state == Activation::Inactive)
            .map(|(key, _)| key)
            .collect())
    }

    /// Activates these tags, and says for each whether AWS did. An answer with status 200 may have errors.
    pub(super) async fn activate(&self, keys: &[String]) -> Vec<Check> {
        let mut checks = Vec::new();
        for some in keys.chunks(KEYS_AT_ONCE) {
            let list: Vec<_> = some.iter().map(|key| json!({ "TagKey": key, "Status": "Active" })).collect();
            let input = json!({ "CostAllocationTagsStatus": list });
            let operation = "UpdateCostAllocationTagsStatus";
            let answer = self.caller.call(COST_EXPLORER, self.explorer, operation, &input).await;
            for key in some {
                let name = format!("activate {key}");
                checks.push(match &answer {
                    Err(error) => failed(&name, "ce:UpdateCostAllocationTagsStatus", error),
                    Ok(answer) => match fault_of(answer, key) {
                        Some(fault) => Check::fail(name, fault, "wait an hour, and try again"),
                        None => Check::ok(name, "activated; new rows have it within 24 hours"),
                    },
                });
            }
        }
        checks
    }
}

/// The key of a session tag in the bill.
fn in_bill(key: &TagKey) -> String {
    format!("iamPrincipal/{key}", key = key.as_str())
}

fn fault_of(answer: &Value, key: &str) -> Option<String> {
    let error = answer["Errors"].as_array()?.iter().find(|error| error["TagKey"] == key)?;
    let text = |member: &str| error[member].as_str().unwrap_or_default().to_owned();
    Some(format!("{}: {}", text("Code"), text("Message")))
}

fn failed(name: &str, actions: &str, error: &CallError) -> Check {
    let fix = if error.is_denied() {
        format!("use credentials of the account that pays (--profile) which allow {actions}")
    } else {
        match error {
            CallError::NoAnswer(_) => {
                "check the network, or run it where the service can be reached".to_owned()
            }
            CallError::Refused { .. } | CallError::Garbage(_) => {
                "use credentials of the account that pays (--profile)".to_owned()
            }
        }
    };
    Check::fail(name, error.to_string(), fix)
}

/// An export of CUR 2.0.
#[derive(Debug)]
struct Export {
    name: String,
    principals: bool,
    missing: Vec<&'static str>,
    /// Why AWS cannot deliver it.
    unhealthy: Option<String>,
    /// Seconds since it was delivered last.
    age: Option<Duration>,
}

impl Export {
    /// `None`: it is of another table.
    fn read(answer: &Value, listed: &Value) -> Option<Self> {
        let export = &answer["Export"];
        let query = &export["DataQuery"];
        let table = query["TableConfigurations"].get(TABLE);
        let statement = query["QueryStatement"].as_str().unwrap_or_default().to_ascii_lowercase();
        if table.is_none() && !statement.contains(&TABLE.to_ascii_lowercase()) {
            return None;
        }
        let principals = table.and_then(|table| table[PRINCIPALS].as_str());
        let status = if answer["ExportStatus"].is_object() { &answer["ExportStatus"] } else { listed };
        let unhealthy = (status["StatusCode"] == "UNHEALTHY")
            .then(|| status["StatusReason"].as_str().unwrap_or("no reason given").to_owned());
        Some(Self {
            name: export["Name"].as_str().unwrap_or("?").to_owned(),
            principals: principals.is_some_and(|value| value.eq_ignore_ascii_case("true")),
            missing: missing(&statement),
            unhealthy,
            age: seconds(&status["LastRefreshedAt"])
                .map(|at| clock::now().duration_since(at).unwrap_or_default()),
        })
    }

    fn faults(&self) -> usize {
        usize::from(!self.principals)
            + usize::from(!self.missing.is_empty())
            + usize::from(self.unhealthy.is_some())
            + usize::from(self.age.is_none_or(|age| age > STALE))
    }

    fn checks(&self) -> Vec<Check> {
        let name = format!("export {}", self.name);
        let mut checks = Vec::new();
        if !self.principals {
            checks.push(Check::fail(
                &name,
                "it leaves out who called (IAM principal data)",
                format!(
                    "edit the export: include caller identity ({PRINCIPALS}=TRUE); earlier rows stay without"
                ),
            ));
        }
        if !self.missing.is_empty() {
            checks.push(Check::fail(
                &name,
                format!("its query has no {}", self.missing.join(", ")),
                "edit the export, and add these columns to its query",
            ));
        }
        if let Some(reason) = &self.unhealthy {
            checks.push(Check::fail(
                &name,
                format!("AWS cannot deliver it: {reason}"),
                "check the policy of the bucket; INSUFFICIENT_PERMISSION means that it lacks \
                 bcm-data-exports.amazonaws.com",
            ));
        }
        match self.age {
            None => checks.push(Check::warn(
                &name,
                "it was not delivered yet",
                "wait: the first delivery takes up to 24 hours",
            )),
            Some(age) if age > STALE => checks.push(Check::warn(
                &name,
                format!("it was delivered last {} hours ago", age.as_secs() / 3600),
                "check the export in the billing console",
            )),
            Some(age) if checks.is_empty() => checks.push(Check::ok(
                &name,
                format!(
                    "CUR 2.0 with IAM principals and every column, delivered {} hours ago",
                    age.as_secs() / 3600
                ),
            )),
            Some(_) => {}
        }
        checks
    }
}

/// The export with the fewest faults, and the number of others.
fn best(exports: Vec<Export>) -> (Option<Export>, usize) {
    let others = exports.len().saturating_sub(1);
    (exports.into_iter().min_by_key(Export::faults), others)
}

/// The columns that a query does not select. AWS writes each with its name.
fn missing(statement: &str) -> Vec<&'static str> {
    let selected: Vec<&str> = statement
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '*')
        .filter(|word| !word.is_empty())
        .collect();
    if selected.contains(&"*") {
        return Vec::new();
    }
    COLUMNS.into_iter().filter(|column| !selected.contains(column)).collect()
}

/// A time of the JSON protocol: seconds, or RFC 3339.
fn seconds(value: &Value) -> Option<std::time::SystemTime> {
    if let Some(text) = value.as_str() {
        return clock::parse_rfc3339(text);
    }
    let seconds = value.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    std::time::UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(query: &str, table: &Value, status: &Value) -> Option<Export> {
        let answer = json!({
            "Export": {
                "Name": "cur",
                "DataQuery": { "QueryStatement": query, "TableConfigurations": table },
            },
            "ExportStatus": status,
        });
        Export::read(&answer, &Value::Null)
    }

    fn full() -> String {
        format!("SELECT {} FROM {TABLE}", COLUMNS.join(", "))
    }

    #[test]
    fn an_export_names_its_faults() {
        let with = |principals: &str| json!({ TABLE: { PRINCIPALS: principals } });
        let fresh = clock::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let healthy = json!({ "StatusCode": "HEALTHY", "LastRefreshedAt": fresh - 7200.0 });
        let statuses = |export: Option<Export>| {
            let checks = export.unwrap().checks();
            checks.into_iter().map(|check| (check.status, check.message)).collect::<Vec<_>>()
        };
        let good = statuses(export(&full(), &with("TRUE"), &healthy));
        assert_eq!(
            good,
            [(Status::Ok, "CUR 2.0 with IAM principals and every column, delivered 2 hours ago".to_owned())]
        );
        let without = statuses(export(&full(), &with("FALSE"), &healthy));
        assert_eq!(without, [(Status::Fail, "it leaves out who called (IAM principal data)".to_owned())]);
        let short = full().replace("line_item_iam_principal, ", "").replace(", tags", "");
        let short = statuses(export(&short, &with("TRUE"), &healthy));
        assert_eq!(short, [(Status::Fail, "its query has no line_item_iam_principal, tags".to_owned())]);
        let sick = json!({ "StatusCode": "UNHEALTHY", "StatusReason": "INSUFFICIENT_PERMISSION",
            "LastRefreshedAt": "2020-01-01T00:00:00Z" });
        let sick = statuses(export(&full(), &with("TRUE"), &sick));
        assert_eq!(sick[0], (Status::Fail, "AWS cannot deliver it: INSUFFICIENT_PERMISSION".to_owned()));
        assert_eq!(sick[1].0, Status::Warn);
        let new = statuses(export(&full(), &with("TRUE"), &json!({ "StatusCode": "HEALTHY" })));
        assert_eq!(new, [(Status::Warn, "it was not delivered yet".to_owned())]);
    }

    #[test]
    fn an_export_of_another_table_does_not_count() {
        assert!(
            export("SELECT BilledCost FROM FOCUS_1_2_AWS", &json!({ "FOCUS_1_2_AWS": {} }), &json!({}))
                .is_none()
        );
    }

    #[test]
    fn an_error_within_a_success_is_read() {
        let answer = json!({ "Errors": [{ "TagKey": "iamPrincipal/team", "Code": "TagKeysNotFoundException",
            "Message": "no such tag" }] });
        assert_eq!(
            fault_of(&answer, "iamPrincipal/team"),
            Some("TagKeysNotFoundException: no such tag".to_owned())
        );
        assert_eq!(fault_of(&answer, "iamPrincipal/user"), None);
        assert_eq!(fault_of(&json!({}), "iamPrincipal/user"), None);
    }
}
