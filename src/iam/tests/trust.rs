//! Trust policies: who may assume a role, and with which names and tags.

use super::*;

fn statements(rest: &str, options: &Options) -> Vec<Value> {
    let bundle = Bundle::generate(&config(rest), options).unwrap();
    trust_json(&bundle)["Statement"].as_array().unwrap().clone()
}

#[test]
fn each_action_has_a_statement_with_the_conditions_that_it_knows() {
    let rest = format!(
        "source_identity = \"claims.sub\"\n[issuer.session.tags]\nteam = \"claims.team\"\n\
         env = {{ value = \"prod\" }}\nproject = {{ from = \"claims.p\", required = false }}\n{}",
        role("external_id = \"ext-1\"\ntransitive_tags = [\"team\"]")
    );
    let principal = json!({ "AWS": "arn:aws:iam::123456789012:role/BedrockGateway" });
    assert_eq!(
        statements(&rest, &Options::default()),
        [
            json!({
                "Sid": "AssumeRole", "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": { "sts:ExternalId": "ext-1" },
                    "StringLike": {
                        "aws:RequestTag/team": "?*", "aws:RequestTag/env": "?*", "sts:SourceIdentity": "?*",
                    },
                },
            }),
            json!({
                "Sid": "TagSession", "Effect": "Allow", "Principal": principal, "Action": "sts:TagSession",
                "Condition": {
                    "StringLike": { "aws:RequestTag/team": "?*", "aws:RequestTag/env": "?*" },
                    "Null": { "aws:TagKeys": "false" },
                    "ForAllValues:StringEquals": {
                        "aws:TagKeys": ["env", "project", "team"], "sts:TransitiveTagKeys": "team",
                    },
                },
            }),
            json!({
                "Sid": "SetSourceIdentity", "Effect": "Allow", "Principal": principal,
                "Action": "sts:SetSourceIdentity",
                "Condition": { "StringLike": { "sts:SourceIdentity": "?*" } },
            }),
        ]
    );
}

#[test]
fn session_names_are_those_of_the_rule_and_replaced_ones() {
    let keys = "session_names = [\"*@acme.org\"]";
    let all = statements(&role(keys), &Options::default());
    let names = json!(["*@acme.org", "*==????????????????"]);
    assert_eq!(all[0]["Condition"], json!({ "StringLike": { "sts:RoleSessionName": names } }));
    // A source identity that is made like the name has its patterns; another one may be any value.
    for (value, patterns) in [("claims.email", names), ("claims.sub", json!("?*"))] {
        let rest = format!("source_identity = \"{value}\"\n{}", role(keys));
        let all = statements(&rest, &Options::default());
        assert_eq!(
            all[1]["Condition"],
            json!({ "StringLike": { "sts:SourceIdentity": patterns } }),
            "{value}"
        );
    }
}

#[test]
fn a_role_without_tags_allows_no_tags() {
    let all = statements(&role(""), &Options::default());
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["Action"], "sts:AssumeRole");
}

#[test]
fn the_tags_of_eks_are_accepted_only_where_they_are_inherited() {
    let rest = format!("[issuer.session.tags]\nteam = \"claims.team\"\n{}", role(""));
    let keys = |rest: &str, options: &Options| {
        let all = statements(rest, options);
        all.iter().find(|one| one["Action"] == "sts:TagSession").map(|one| one["Condition"].clone())
    };
    let eks = Options { runs_on: Some(RunsOn::PodIdentity), ..Options::default() };
    let condition = keys(&rest, &eks).unwrap();
    assert_eq!(condition["ForAllValues:StringEquals"]["aws:TagKeys"].as_array().unwrap().len(), 7);
    assert_eq!(condition["Null"]["aws:TagKeys"], "false");
    // Without a tag of its own a session may have inherited ones only, which aws:TagKeys may leave out.
    let condition = keys(&role(""), &eks).unwrap();
    assert_eq!(condition["ForAllValues:StringEquals"]["aws:TagKeys"].as_array().unwrap().len(), 6);
    assert_eq!(condition["Null"], Value::Null);
    let untagged = Options { no_session_tags: true, ..eks };
    assert_eq!(keys(&rest, &untagged).unwrap()["ForAllValues:StringEquals"]["aws:TagKeys"], "team");
    assert_eq!(keys(&role(""), &untagged), None);
}

#[test]
fn rules_and_issuers_with_other_tags_get_statements_of_their_own() {
    let second = "[[issuer]]\nname = \"entra\"\nurl = \"https://login.example.com\"\naudiences = [\"a\"]\n\
        [issuer.session]\nname = \"issuer.name + '=' + claims.sub\"\n[issuer.session.tags]\ncost = \"claims.cost\"\n";
    let text = HEAD.replace("claims.email", "issuer.name + '=' + claims.email")
        + "[issuer.session.tags]\nteam = \"claims.team\"\n"
        + second
        + &role("issuers = [\"okta\", \"entra\"]\nexternal_id = \"x1\"\nwhen = \"claims.a\"")
        + &role("issuers = [\"okta\"]\nexternal_id = \"x1\"");
    let config = Config::parse(&text, "t.toml", &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let bundle = Bundle::generate(&config, &Options::default()).unwrap();
    let trust = trust_json(&bundle);
    let sids: Vec<&str> =
        trust["Statement"].as_array().unwrap().iter().map(|one| one["Sid"].as_str().unwrap()).collect();
    assert_eq!(sids, ["AssumeRole", "AssumeRole2", "TagSession", "TagSession2"]);
    assert_eq!(trust["Statement"][3]["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"], "cost");
}
