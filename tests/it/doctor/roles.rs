//! Roles that cannot be assumed, and sessions that are granted and yet not as expected.

use std::time::Duration;

use bedrock_standin::sts::{RoleSpec, StsFault};

use super::*;

const ARN: &str = "arn:aws:iam::123456789012:role/BedrockUser";

async fn role(bed: &Bed, setup: &Setup<'_>) -> Report {
    let alice = claims(bed, "alice");
    report(bed, &bed.write(setup), &["--claims", alice.to_str().unwrap()], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sts_denies_has_its_name() {
    let source = "[issuer.session]\nname = \"claims.email\"\nsource_identity = \"claims.sub\"\n\
        [issuer.session.tags]\nteam = \"claims.team\"\n";
    let plain = Setup { roles: ONE_ROLE, ..Setup::default() };
    let sourced = Setup { mapping: source, ..plain.clone() };
    let whole = RoleSpec::new(ARN);
    for (setup, spec, words) in [
        (
            &plain,
            RoleSpec { external_id: Some("secret".to_owned()), ..whole.clone() },
            ["sts:AssumeRole is not allowed", "sts:ExternalId", "does not exist"],
        ),
        (
            &plain,
            RoleSpec { trusts_tag_session: false, ..whole.clone() },
            [
                "sts:TagSession is not allowed",
                "bedrock-gateway iam --gateway-role arn:aws:iam::111122223333:role/BedrockGateway writes",
                "\\\"Action\\\": \\\"sts:TagSession\\\"",
            ],
        ),
        (
            &sourced,
            RoleSpec { trusts_source_identity: false, ..whole.clone() },
            ["sts:SetSourceIdentity is not allowed", "does not allow sts:SetSourceIdentity", "alice"],
        ),
    ] {
        let bed = bed();
        bed.standin.sts.add_role(spec);
        let found = role(&bed, setup).await;
        assert_eq!(found.code, Some(1));
        found.says("role BedrockUser", "fail", &words);
        found.says("Bedrock", "skip", &["no canary session"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_session_have_their_names() {
    let long = "[[role]]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\nduration = \"2h\"\n";
    let long = Setup { roles: long, ..Setup::default() };
    let bed = bed();
    // A key of a user, so that nothing is chained.
    bed.standin.sts.set_chained(false);
    let found = role(&bed, &long).await;
    found.says(
        "role BedrockUser",
        "fail",
        &["longer than the role allows", "maximum session duration to 7200 s"],
    );

    // The session of a role: the gateway asks for an hour, and says so.
    let bed = super::bed();
    bed.standin.sts.add_role(RoleSpec { max_duration: Duration::from_hours(12), ..RoleSpec::new(ARN) });
    let found = role(&bed, &long).await;
    found.says("role BedrockUser", "ok", &[]);
    found.says("role BedrockUser: duration", "warn", &["last 1h and not 2h", "role chaining"]);

    let bed = super::bed();
    for (fault, words) in [
        (StsFault::PackedPolicyTooLarge, ["too large", "fewer or shorter tags"]),
        (StsFault::RegionDisabled, ["RegionDisabled", "enables the region"]),
        (StsFault::ExpiredToken, ["ExpiredToken", "renew the gateway's own credentials"]),
    ] {
        bed.standin.sts.faults().always(fault);
        role(&bed, &setup()).await.says("role BedrockUser", "fail", &words);
    }
    bed.standin.sts.faults().always(StsFault::Throttle);
    role(&bed, &setup()).await.says("role BedrockUser", "fail", &["throttled", "in a minute"]);
    bed.standin.sts.faults().always(StsFault::Malformed);
    role(&bed, &setup()).await.says("role BedrockUser", "fail", &["no usable answer", "not one of STS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inherited_tags_that_collide_or_fill_the_room_are_named() {
    let mapping = "[issuer.session]\nname = \"claims.email\"\n\
        [issuer.session.tags]\nkubernetes-namespace = \"claims.team\"\n";
    let bed = bed();
    bed.standin.sts.set_inherited_tags(&[("kubernetes-namespace", "gateway")]);
    let found = role(&bed, &Setup { mapping, ..setup() }).await;
    let words = ["EKS Pod Identity sets kubernetes-namespace itself", "disableSessionTags"];
    found.says("role BedrockUser", "fail", &words);

    // The room of a token is 4,096 characters in the stand-in.
    let long = "x".repeat(250);
    let keys: Vec<String> = (0..8).map(|number| format!("tag-{number}")).collect();
    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), long.as_str())).collect();
    bed.standin.sts.set_inherited_tags(&tags);
    let found = role(&bed, &setup()).await;
    found.says("role BedrockUser: size", "warn", &[" % of the room", "fewer or shorter tags"]);
    assert_eq!(found.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_identity_that_is_set_already_is_named() {
    let bed = bed();
    bed.standin.sts.set_inherited_source_identity(Some("ops"));
    let found = role(&bed, &setup()).await;
    found.says("role BedrockUser: source identity", "warn", &["source identity ops"]);

    bed.standin.sts.add_role(RoleSpec { trusts_source_identity: false, ..RoleSpec::new(ARN) });
    let found = role(&bed, &setup()).await;
    found.says("role BedrockUser", "fail", &["the gateway's own session has one and hands it on"]);

    let mapping = "[issuer.session]\nname = \"claims.email\"\nsource_identity = \"claims.sub\"\n";
    bed.standin.sts.add_role(RoleSpec::new(ARN));
    let found = role(&bed, &Setup { mapping, ..setup() }).await;
    found.says("role BedrockUser", "fail", &["sts:SetSourceIdentity", "has a source identity already"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_without_any_permission_and_roles_without_a_caller_are_named() {
    let bed = bed();
    bed.standin.sts.faults().always(StsFault::Deny);
    let found = role(&bed, &Setup { roles: ROLES, ..Setup::default() }).await;
    let words = ["sts:AssumeRole is not allowed", "the gateway's own policies do not allow sts:AssumeRole"];
    found.says("role BedrockUser", "fail", &words);
    found.says("role Others", "skip", &["a further --claims FILE"]);
}
