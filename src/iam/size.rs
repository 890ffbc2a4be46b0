//! The sizes that IAM and Organizations accept, and policies in parts.

use crate::iam::IamError;
use crate::iam::document::{Policy, Statement};

/// The most characters of one kind of policy, and what to do about a larger one.
pub(super) struct Limit {
    most: usize,
    remedy: &'static str,
}

/// A role's trust policy. 2,048 without a request to AWS (IAM user guide, "IAM and STS quotas").
// Assumption A49.
pub(super) const TRUST: Limit = Limit {
    most: 4096,
    remedy: "give the rules with different tags, external ids or session names roles of their own",
};
/// The trust policy that IAM accepts without a raised quota.
pub(super) const TRUST_WITHOUT_REQUEST: usize = 2048;

/// All inline policies of a role together (the same page).
// Assumption A49.
pub(super) const INLINE: Limit =
    Limit { most: 10_240, remedy: "run several gateways, each with a part of the roles" };

/// One managed policy (the same page).
// Assumption A49.
const MANAGED: usize = 6144;
/// Managed policies of one role (the same page).
// Assumption A49.
const MOST_PARTS: usize = 10;

/// Characters of a service control policy, with its white space (Organizations user guide, "Quotas").
// Assumption A49.
pub(super) const SCP_CHARACTERS: usize = 5120;
pub(super) const SCP: Limit = Limit {
    most: SCP_CHARACTERS,
    remedy: "exempt fewer roles: write one --service-role with a * for several, or use fewer roles",
};

/// The policy of a VPC endpoint (`PrivateLink` guide, "Endpoint policies").
// Assumption A49.
pub(super) const ENDPOINT: Limit = Limit { most: 20_480, remedy: "use fewer roles" };

/// The characters that a policy counts.
pub(super) fn of(policy: &Policy) -> usize {
    policy.compact().chars().count()
}

/// # Errors
/// When the policy is larger than `limit`.
pub(super) fn check(policy: &Policy, limit: &Limit, what: impl Fn() -> String) -> Result<(), IamError> {
    let text = policy.compact();
    // IAM's documents have characters up to U+00FF only.
    if let Some(character) = text.chars().find(|character| u32::from(*character) > 0xff) {
        return Err(IamError::Character { what: what(), character });
    }
    let size = text.chars().count();
    if size <= limit.most {
        return Ok(());
    }
    Err(IamError::TooLarge { what: what(), size, limit: limit.most, remedy: limit.remedy })
}

/// The statements in as few managed policies as their order allows. A statement that is too large for one is
/// divided: its parts allow together what it allows.
///
/// # Errors
/// When there are more policies than a role can have.
pub(super) fn parts(statements: Vec<Statement>, what: impl Fn() -> String) -> Result<Vec<Policy>, IamError> {
    let fits = |statements: &[Statement]| of(&Policy::new(statements.to_vec())) <= MANAGED;
    let size = of(&Policy::new(statements.clone()));
    let too_large = || IamError::TooLarge {
        what: what(),
        size,
        limit: MANAGED * MOST_PARTS,
        remedy: "write fewer and wider model patterns, or fewer regions",
    };
    let mut whole: Vec<Statement> = Vec::new();
    for statement in statements {
        whole.extend(divided(statement, &fits).ok_or_else(too_large)?);
    }
    let mut parts: Vec<Vec<Statement>> = vec![Vec::new()];
    for statement in whole {
        let Some(last) = parts.last_mut() else { break };
        last.push(statement);
        if fits(last) {
            continue;
        }
        let next: Vec<Statement> = last.pop().into_iter().collect();
        parts.push(next);
    }
    if parts.len() > MOST_PARTS {
        return Err(too_large());
    }
    Ok(parts.into_iter().map(Policy::new).collect())
}

/// The statement in parts that each fit, with names of their own; `None` if one value alone is too large.
fn divided(statement: Statement, fits: &dyn Fn(&[Statement]) -> bool) -> Option<Vec<Statement>> {
    if fits(std::slice::from_ref(&statement)) {
        return Some(vec![statement]);
    }
    let name = statement.sid().to_owned();
    let mut waiting = vec![statement];
    let mut done = Vec::new();
    while let Some(statement) = waiting.pop() {
        if fits(std::slice::from_ref(&statement)) {
            let letter = format!("{name}Part{}", done.len() + 1);
            done.push(statement.named(letter));
        } else {
            let (first, second) = statement.halves()?;
            waiting.extend([second, first]);
        }
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sid: &str, resources: usize) -> Statement {
        let arn = |n| format!("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-{n}");
        Statement::allow(sid, ["bedrock:InvokeModel"]).on((0..resources).map(arn))
    }

    #[test]
    fn a_small_policy_has_one_part() {
        let parts = parts(vec![statement("A", 2), statement("B", 2)], String::new).unwrap();
        assert_eq!(parts.len(), 1);
    }

    #[test]
    fn a_large_policy_has_parts_that_fit_and_lose_nothing() {
        let whole = vec![statement("A", 60), statement("B", 300)];
        let parts = parts(whole, String::new).unwrap();
        assert!(parts.len() > 1 && parts.iter().all(|part| of(part) <= MANAGED));
        let sids: Vec<&str> =
            parts.iter().flat_map(|part| part.statements().iter().map(Statement::sid)).collect();
        let mut distinct = sids.clone();
        distinct.dedup();
        assert_eq!(sids, distinct);
        let resources =
            parts.iter().flat_map(Policy::statements).map(|part| part.resources().len()).sum::<usize>();
        assert_eq!(resources, 360);
    }

    #[test]
    fn a_policy_that_no_role_can_have_is_refused_with_a_remedy() {
        let error = parts(vec![statement("A", 2000)], || "the permissions of R".to_owned()).unwrap_err();
        assert!(error.to_string().contains("fewer and wider model patterns"), "{error}");
    }

    #[test]
    fn a_policy_of_one_document_is_refused() {
        let policy = Policy::new(vec![statement("A", 100)]);
        assert!(matches!(check(&policy, &TRUST, String::new), Err(IamError::TooLarge { limit: 4096, .. })));
        let policy = Policy::new(vec![Statement::allow("A", ["a:B"]).on(["部門"])]);
        assert!(matches!(check(&policy, &TRUST, String::new), Err(IamError::Character { .. })));
    }
}
