//! Roles with a trust policy as a document, and a gateway with permissions of its own.

use super::*;

const STRICT: &str = "arn:aws:iam::999999999999:role/Strict";
const GATEWAY: &str = "arn:aws:iam::111122223333:role/GatewayRole";

/// One statement per action, as the gateway's own generator has them.
fn trust() -> PolicyDocument {
    let principal = format!(r#""Effect":"Allow","Principal":{{"AWS":"{GATEWAY}"}}"#);
    PolicyDocument::trust(&format!(
        r#"{{"Version":"2012-10-17","Statement":[
        {{{principal},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"secret"}},
          "StringLike":{{"sts:RoleSessionName":["*@acme.org","*==????????????????"]}}}}}},
        {{{principal},"Action":"sts:TagSession","Condition":{{"Null":{{"aws:TagKeys":"false"}},
          "ForAllValues:StringEquals":{{"aws:TagKeys":["team","office"]}},
          "StringLike":{{"aws:RequestTag/team":"*"}}}}}},
        {{{principal},"Action":"sts:SetSourceIdentity","Condition":{{"StringLike":{{"sts:SourceIdentity":"*"}}}}}}]}}"#
    ))
    .unwrap()
}

fn permissions(actions: &str, resource: &str) -> Vec<PolicyDocument> {
    let statement = format!(r#"{{"Effect":"Allow","Action":[{actions}],"Resource":"{resource}"}}"#);
    let json = format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
    vec![PolicyDocument::identity(&json).unwrap()]
}

const ACTIONS: &str = r#""sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity""#;

fn strict() -> Sts {
    let sts = sts();
    sts.set_gateway_role(GATEWAY);
    sts.add_role(RoleSpec { trust: Some(trust()), ..RoleSpec::new(STRICT) });
    sts.state.store.iam().set_permissions(GATEWAY, permissions(ACTIONS, STRICT));
    sts
}

const TEAM: &str = "Tags.member.1.Key=team&Tags.member.1.Value=search";

#[tokio::test]
async fn each_action_is_decided_by_its_own_statement() {
    let sts = strict();
    let name = "alice%40acme.org";
    let sent = async |name: &str, more: &str| {
        let answer = post(&sts, &assume(STRICT, name, more)).await;
        let message = answer.element("Message").unwrap_or("ok").to_owned();
        let action = message.split("to perform: ").nth(1).and_then(|rest| rest.split(' ').next());
        action.map_or(message.clone(), str::to_owned)
    };
    let id = "ExternalId=secret";
    for (name, more, expected) in [
        (name, format!("{id}&{TEAM}"), "ok"),
        (name, id.to_owned(), "ok"),
        ("Zo%3D%3Daaaaaaaaaaaaaaaa", id.to_owned(), "ok"),
        (name, format!("{id}&{TEAM}&SourceIdentity=alice"), "ok"),
        (name, TEAM.to_owned(), "sts:AssumeRole"),
        (name, format!("ExternalId=other&{TEAM}"), "sts:AssumeRole"),
        ("alice%40evil.org", format!("{id}&{TEAM}"), "sts:AssumeRole"),
        (name, format!("{id}&Tags.member.1.Key=office&Tags.member.1.Value=x"), "sts:TagSession"),
        (name, format!("{id}&{TEAM}&Tags.member.2.Key=extra&Tags.member.2.Value=x"), "sts:TagSession"),
    ] {
        assert_eq!(sent(name, &more).await, expected, "{name} {more}");
    }
    // AWS gives no reason to a caller from another account.
    let refusal = sts.refusals().pop().unwrap();
    assert_eq!(
        refusal.message,
        format!(
            "User: arn:aws:sts::111122223333:assumed-role/GatewayRole/i-0123456789abcdef0 is not authorized to \
             perform: sts:TagSession on resource: {STRICT}"
        )
    );
}

#[tokio::test]
async fn the_gateway_its_account_and_the_role_must_all_allow() {
    let sts = strict();
    let form = assume(STRICT, "alice%40acme.org", &format!("ExternalId=secret&{TEAM}"));
    let iam = sts.state.store.iam();
    assert_eq!(post(&sts, &form).await.status, 200);
    for permissions in [
        permissions(ACTIONS, ROLE),
        permissions(r#""sts:AssumeRole""#, STRICT),
        permissions(r#""sts:TagSession""#, STRICT),
    ] {
        iam.set_permissions(GATEWAY, permissions);
        assert_eq!(post(&sts, &form).await.error(), (403, "AccessDenied"));
    }
    iam.set_permissions(GATEWAY, permissions(ACTIONS, STRICT));
    iam.set_scps(GATEWAY_ACCOUNT, vec![]);
    assert_eq!(post(&sts, &form).await.error(), (403, "AccessDenied"));
    iam.set_scps(GATEWAY_ACCOUNT, vec![PolicyDocument::full_aws_access()]);
    assert_eq!(post(&sts, &form).await.status, 200);
    sts.set_gateway_role("arn:aws:iam::111122223333:role/Other");
    assert_eq!(post(&sts, &form).await.error(), (403, "AccessDenied"), "another principal");
}

#[tokio::test]
async fn a_reason_is_given_within_an_account() {
    let sts = strict();
    let near = "arn:aws:iam::111122223333:role/Near";
    sts.add_role(RoleSpec { trust: Some(trust()), ..RoleSpec::new(near) });
    let answer = post(&sts, &assume(near, "alice%40acme.org", "")).await;
    assert!(
        answer.xml.contains("because no resource-based policy allows the sts:AssumeRole action"),
        "{}",
        answer.xml
    );
    let allowed = assume(near, "alice%40acme.org", "ExternalId=secret");
    assert_eq!(post(&sts, &allowed).await.status, 200, "the trust policy names the role, which is enough");
}

#[tokio::test]
async fn inherited_tags_count_or_do_not_count() {
    let sts = strict();
    sts.set_inherited_tags(&[("kubernetes-namespace", "bedrock")]);
    let form = |tags: &str| assume(STRICT, "alice%40acme.org", &format!("ExternalId=secret{tags}"));
    let tagged = form(&format!("&{TEAM}"));
    assert_eq!(post(&sts, &tagged).await.error(), (403, "AccessDenied"), "an extra key");
    assert_eq!(post(&sts, &form("")).await.error(), (403, "AccessDenied"));
    sts.set_inherited_tags_counted(false);
    assert_eq!(post(&sts, &tagged).await.status, 200);
    assert_eq!(post(&sts, &form("")).await.status, 200);
}

#[tokio::test]
async fn session_policies_of_a_role_with_permissions_are_evaluated() {
    let sts = strict();
    let near = "arn:aws:iam::111122223333:role/Near";
    let all = permissions(r#""bedrock:*""#, "*");
    sts.add_role(RoleSpec { permissions: Some(all), ..RoleSpec::new(near) });
    sts.state.store.iam().set_permissions(GATEWAY, permissions(ACTIONS, near));
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:CountTokens","Resource":"*"}}"#;
    let encoded = percent_encoding::utf8_percent_encode(policy, percent_encoding::NON_ALPHANUMERIC);
    assert_eq!(post(&sts, &assume(near, "alice", &format!("Policy={encoded}"))).await.status, 200);
    let session = sts.state.store.sessions().pop().unwrap();
    let caller = Caller::session(near, "alice").with_access_key_id(&session.access_key_id);
    let decide = |action: &str| {
        let need = crate::iam::Need::new(action, "*", crate::iam::Context::default());
        sts.state.store.iam().decide(&caller, &need, None).map_err(|denial| denial.by)
    };
    assert_eq!(decide("bedrock:CountTokens"), Ok(()));
    assert_eq!(decide("bedrock:InvokeModel"), Err(crate::iam::By::Session));

    let unknown = "Policy=%7B%22Version%22%3A%222012-10-17%22%7D";
    assert_eq!(post(&sts, &assume(near, "alice", unknown)).await.error(), (400, "ValidationError"));
    let managed = "PolicyArns.member.1.arn=arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess";
    assert_eq!(post(&sts, &assume(near, "alice", managed)).await.error(), (400, "ValidationError"));
}
