//! Values of `[[role]]` that are rejected.

use super::*;

#[test]
fn roles() {
    refused(
        ARN,
        "arn:aws:iam::123456789012:user/bob",
        "user/bob",
        "role[0].arn",
        "the ARN of a user, and only a role can be assumed",
    );
    refused(
        ARN,
        "arn:aws-cn:iam::123456789012:role/x",
        "aws-cn",
        "role[0].arn",
        "in AWS China (arn:aws-cn), but",
    );
    role("when = \"'x' in groups\"", "role[0].when", "no `groups`");
    role("when = \"request.headers['x-a'] == 'b'\"", "role[0].when", "not in the issuer's request_headers");
    role("issuers = [\"entra\"]", "role[0].issuers[0]", "no issuer is named");
    role("external_id = \"a b\"", "role[0].external_id", "does not accept");
    role("external_id = \"a\"", "role[0].external_id", "does not accept");
    role("duration = \"13h\"", "role[0].duration", "13h is too long: the most is 12h");
    role("policy = \"[]\"", "role[0].policy", "not a JSON object");
    role(&format!("policy = '{{\"a\":\"{}\"}}'", "x".repeat(2048)), "role[0].policy", "characters together");
    let policies = ["\"arn:aws:iam::aws:policy/A\""; 11].join(",");
    role(&format!("policy_arns = [{policies}]"), "role[0].policy_arns[10]", "11 managed policies");
    for other in ["arn:aws:iam::999999999999:policy/A", "arn:aws:iam::aws:role/A", "A"] {
        role(&format!("policy_arns = [\"{other}\"]"), "role[0].policy_arns[0]", "not a managed policy");
    }
    role("transitive_tags = [\"tem\"]", "role[0].transitive_tags[0]", "no issuer of this role has a tag");
    role("transitive_tags = [\"team\", \"team\"]", "role[0].transitive_tags[1]", "duplicate");
    role("operations = [\"chat\"]", "role[0].operations[0]", "no operation");
    role("operations = []", "role[0].operations", "allow nothing");
    role("models = [\"claude sonnet\"]", "role[0].models[0]", "not a valid model pattern");
    role("regions = [\"eu-west-1\"]", "role[0].regions[0]", "not configured");
    role("projects = [\"\"]", "role[0].projects[0]", "empty string");
}
