//! Conditions: operators, their negations, `IfExists`, and the operators of sets.
//!
//! Rules from the IAM User Guide, `reference_policies_elements_condition_operators` and
//! `reference_policies_condition-single-vs-multi-valued-context-keys`.

use serde_json::Value;

use super::document::PolicyError;
use super::{Context, pattern};

/// Keys with one value. A key that ends in `/` is followed by the key of a tag.
const KEYS: [&str; 29] = [
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalServiceName",
    "aws:PrincipalTag/",
    "aws:PrincipalType",
    "aws:RequestTag/",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:ResourceTag/",
    "aws:SecureTransport",
    "aws:SourceIdentity",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:ViaAWSService",
    "bedrock-mantle:BearerTokenType",
    "bedrock-mantle:Model",
    "bedrock-mantle:ServiceTier",
    "bedrock:BearerTokenType",
    "bedrock:GuardrailIdentifier",
    "bedrock:InferenceProfileArn",
    "bedrock:ModelArn",
    "bedrock:ProjectArn",
    "bedrock:ServiceTier",
    "iam:PolicyARN",
    "sts:ExternalId",
    "sts:RoleSessionName",
    "sts:SourceIdentity",
];
/// Keys with many values.
const SETS: [&str; 4] =
    ["aws:TagKeys", "sts:TransitiveTagKeys", "aws:PrincipalServiceNamesList", "aws:CalledVia"];

/// One key of a condition block with its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    key: String,
    values: Vec<String>,
    quantifier: Quantifier,
    if_exists: bool,
    operator: Operator,
    negated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Arn,
    Bool,
    NumericEquals,
    NumericLessThan,
    NumericLessThanEquals,
    NumericGreaterThan,
    NumericGreaterThanEquals,
    Null,
}

impl Operator {
    /// The operator, and whether it is a negated one.
    fn parse(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "StringEquals" => (Self::StringEquals, false),
            "StringNotEquals" => (Self::StringEquals, true),
            "StringEqualsIgnoreCase" => (Self::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Self::StringEqualsIgnoreCase, true),
            "StringLike" => (Self::StringLike, false),
            "StringNotLike" => (Self::StringLike, true),
            // Both behave the same.
            "ArnEquals" | "ArnLike" => (Self::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Self::Arn, true),
            "Bool" => (Self::Bool, false),
            "NumericEquals" => (Self::NumericEquals, false),
            "NumericNotEquals" => (Self::NumericEquals, true),
            "NumericLessThan" => (Self::NumericLessThan, false),
            "NumericLessThanEquals" => (Self::NumericLessThanEquals, false),
            "NumericGreaterThan" => (Self::NumericGreaterThan, false),
            "NumericGreaterThanEquals" => (Self::NumericGreaterThanEquals, false),
            "Null" => (Self::Null, false),
            _ => return None,
        })
    }

    fn is_numeric(self) -> bool {
        Self::NumericEquals as u8 <= self as u8 && self as u8 <= Self::NumericGreaterThanEquals as u8
    }

    fn matches(self, wanted: &str, actual: &str) -> bool {
        let numbers = || Some((actual.parse::<f64>().ok()?, wanted.parse::<f64>().ok()?));
        let compare = |holds: fn(&f64, &f64) -> bool| numbers().is_some_and(|(a, w)| holds(&a, &w));
        match self {
            Self::StringEquals => wanted == actual,
            Self::StringEqualsIgnoreCase => wanted.to_lowercase() == actual.to_lowercase(),
            Self::StringLike => pattern::glob(wanted, actual),
            Self::Arn => pattern::arn(wanted, actual),
            Self::Bool => wanted.eq_ignore_ascii_case(actual),
            Self::NumericEquals => compare(|a, w| (a - w).abs() < f64::EPSILON),
            Self::NumericLessThan => compare(f64::lt),
            Self::NumericLessThanEquals => compare(f64::le),
            Self::NumericGreaterThan => compare(f64::gt),
            Self::NumericGreaterThanEquals => compare(f64::ge),
            Self::Null => false,
        }
    }
}

impl Condition {
    /// The conditions of a `Condition` block. All of them must hold.
    pub(super) fn parse_block(block: &Value) -> Result<Vec<Self>, PolicyError> {
        let operators = block.as_object().ok_or_else(|| PolicyError::new("Condition is not an object"))?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let keys = keys.as_object().filter(|keys| !keys.is_empty());
            let keys = keys.ok_or_else(|| PolicyError::new(format!("{operator} has no keys")))?;
            for (key, values) in keys {
                conditions.push(Self::parse(operator, key, values)?);
            }
        }
        Ok(conditions)
    }

    fn parse(operator: &str, key: &str, values: &Value) -> Result<Self, PolicyError> {
        let fault = |what: &str| Err(PolicyError::new(format!("Condition {operator} of {key}: {what}")));
        let (quantifier, rest) = match operator.split_once(':') {
            None => (Quantifier::None, operator),
            Some(("ForAllValues", rest)) => (Quantifier::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::ForAnyValue, rest),
            Some(_) => return fault("unknown set operator"),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        let Some((kind, negated)) = Operator::parse(name) else { return fault("unknown operator") };
        if kind == Operator::Null && (if_exists || quantifier != Quantifier::None) {
            return fault("Null has neither IfExists nor a set operator");
        }
        let is_set = SETS.iter().any(|set| set.eq_ignore_ascii_case(key));
        if !is_set && !is_known(key) {
            return fault("unknown condition key");
        }
        if is_set && kind != Operator::Null && quantifier == Quantifier::None {
            return fault("a key with many values needs ForAllValues or ForAnyValue");
        }
        let list = match values {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut texts = Vec::new();
        for value in list {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(truth) => truth.to_string(),
                Value::Number(number) => number.to_string(),
                _ => return fault("a value is no text"),
            };
            let is_valid = match kind {
                Operator::Null | Operator::Bool => matches!(text.as_str(), "true" | "false"),
                Operator::Arn => pattern::parts(&text).is_some(),
                kind if kind.is_numeric() => text.parse::<f64>().is_ok(),
                _ => true,
            };
            if !is_valid || text.contains("${") {
                return fault(&format!("the value {text:?} is not supported"));
            }
            texts.push(text);
        }
        if texts.is_empty() {
            return fault("there is no value");
        }
        Ok(Self { key: key.to_owned(), values: texts, quantifier, if_exists, operator: kind, negated })
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let actual = context.get(&self.key);
        if self.operator == Operator::Null {
            return self.values.iter().any(|wanted| (wanted == "true") == actual.is_none());
        }
        let Some(actual) = actual else {
            return match self.quantifier {
                _ if self.if_exists => true,
                Quantifier::None => self.negated,
                Quantifier::ForAllValues => true,
                Quantifier::ForAnyValue => false,
            };
        };
        // Several values are alternatives. A negated operator holds if none of them matches.
        let one_holds = |actual: &String| {
            self.values.iter().any(|wanted| self.operator.matches(wanted, actual)) != self.negated
        };
        match self.quantifier {
            Quantifier::ForAllValues => actual.iter().all(one_holds),
            Quantifier::None | Quantifier::ForAnyValue => actual.iter().any(one_holds),
        }
    }
}

fn is_known(key: &str) -> bool {
    let key = key.to_lowercase();
    KEYS.iter().any(|known| {
        let known = known.to_lowercase();
        if known.ends_with('/') { key.len() > known.len() && key.starts_with(&known) } else { key == known }
    })
}
