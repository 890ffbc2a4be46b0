//! Model patterns as ARNs, and the property that no policy allows a model that the gateway refuses.

use proptest::prelude::*;

use super::*;
use crate::identity::models::ModelPattern;
use crate::route::ModelId;
use crate::wildcard;

fn of(models: &str) -> Vec<Statement> {
    permissions(&bundle(&role(&format!("models = {models}\noperations = [\"converse\"]"))))
}

fn profile(region: &str, id: &str) -> String {
    format!("arn:aws:bedrock:{region}:123456789012:inference-profile/{id}")
}

#[test]
fn a_geography_is_data_residency() {
    let statements = of("[\"eu.*\"]");
    let profiles = [profile("eu-central-1", "eu.*"), profile("eu-west-1", "eu.*")];
    assert_eq!(resources_of(&statements, "InvokeProfiles"), profiles);
    assert_eq!(
        resources_of(&statements, "InvokeModelsOfProfiles"),
        ["arn:aws:bedrock:*::foundation-model/*"]
    );
    let condition =
        &statements.iter().find(|one| one.sid() == "InvokeModelsOfProfiles").unwrap().conditions()[0];
    assert_eq!(
        (condition.key.as_str(), &condition.values[..]),
        ("bedrock:InferenceProfileArn", &profiles[..])
    );
    assert_eq!(statements.len(), 2, "no bare model, and no model without a region");
}

#[test]
fn bare_models_are_in_the_regions_of_the_role() {
    let statements = of("[\"anthropic.*\"]");
    assert_eq!(
        resources_of(&statements, "InvokeModels"),
        [
            "arn:aws:bedrock:eu-central-1::foundation-model/anthropic.*",
            "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.*"
        ]
    );
    assert_eq!(statements.len(), 1);
}

#[test]
fn models_without_a_region_need_a_pattern_that_admits_global_profiles() {
    for (models, global) in [
        ("[\"*anthropic.claude-*\"]", Some("global.*anthropic.claude-*")),
        ("[\"global.amazon.*\"]", Some("global.amazon.*")),
        ("[\"*\"]", Some("global.*")),
        ("[\"us.*\", \"eu.anthropic.claude-x\"]", None),
    ] {
        let statements = of(models);
        let without_region = statements.iter().find(|one| one.sid() == "InvokeModelsOfGlobalProfiles");
        assert_eq!(without_region.is_some(), global.is_some(), "{models}");
        if let (Some(statement), Some(global)) = (without_region, global) {
            assert_eq!(statement.resources(), ["arn:aws:bedrock:::foundation-model/*"]);
            assert_eq!(statement.conditions()[0].values, ["unspecified"]);
            assert_eq!(statement.conditions()[1].values[0], profile("eu-central-1", global));
        }
    }
}

#[test]
fn resources_of_the_account_need_a_pattern_that_begins_with_arn() {
    let statements = of("[\"arn:aws:bedrock:*:*:application-inference-profile/team-*\"]");
    let application =
        |region: &str| format!("arn:aws:bedrock:{region}:123456789012:application-inference-profile/team-*");
    let both = [application("eu-central-1"), application("eu-west-1")];
    assert_eq!(resources_of(&statements, "InvokeProfiles"), both);
    assert_eq!(resources_of(&statements, "DescribeApplicationProfiles"), both);
    let text = "[\"arn:aws:bedrock:eu-west-1:999999999999:provisioned-model/abc\"]";
    assert_eq!(
        resources_of(&of(text), "InvokeOwnModels"),
        ["arn:aws:bedrock:eu-west-1:999999999999:provisioned-model/abc"]
    );
    let all = of("[\"arn:*\"]");
    assert!(resources_of(&all, "InvokeModels").contains(&"arn:aws:bedrock:eu-west-1::foundation-model/*"));
    assert_eq!(resources_of(&of("[\"*\"]"), "InvokeOwnModels"), [""; 0]);
    // Without the key, the gateway permits everything.
    let unlimited = permissions(&bundle(&role("operations = [\"converse\"]")));
    assert!(!resources_of(&unlimited, "InvokeOwnModels").is_empty());
}

#[test]
fn mantle_has_the_models_as_a_condition() {
    let text = role("models = [\"anthropic.*\"]\noperations = [\"mantle\"]\nprojects = [\"proj_a\"]");
    let statements = permissions(&bundle(&text));
    let mantle = statements.iter().find(|one| one.sid() == "Mantle").unwrap();
    assert_eq!(mantle.conditions()[0].values, ["anthropic.*"]);
    assert_eq!(
        mantle.resources().iter().filter(|arn| arn.contains("eu-west-1")).collect::<Vec<_>>(),
        [
            "arn:aws:bedrock-mantle:eu-west-1:123456789012:project/default",
            "arn:aws:bedrock-mantle:eu-west-1:123456789012:project/proj_a"
        ]
    );
    // Mantle knows bare ids only, so a role for profiles cannot use it.
    let profiles = permissions(&bundle(&role("models = [\"eu.*\"]\noperations = [\"mantle\"]")));
    assert_eq!(resources_of(&profiles, "Mantle"), [""; 0]);
}

#[test]
fn a_role_with_hundreds_of_patterns_has_its_permissions_in_parts() {
    let patterns: Vec<String> = (0..120).map(|n| format!("\"eu.anthropic.claude-number-{n}\"")).collect();
    let bundle = bundle(&role(&format!("models = [{}]", patterns.join(", "))));
    let role = RoleArn::parse(USER).unwrap();
    assert!(bundle.permissions_of(&role).count() > 2);
    assert!(bundle.permissions_of(&role).all(|part| part.compact().chars().count() <= 6144));
}

/// Whether some statement allows to invoke `resource` with this profile and region of the request.
fn allows(statements: &[Statement], resource: &str, profile: Option<&str>, region: &str) -> bool {
    statements.iter().any(|statement| {
        let value = |key: &str| match key {
            "bedrock:InferenceProfileArn" => profile,
            "aws:RequestedRegion" => Some(region),
            _ => None,
        };
        statement.actions().iter().any(|action| action == "bedrock:InvokeModel")
            && statement.resources().iter().any(|pattern| wildcard::matches(pattern, resource))
            && statement.conditions().iter().all(|condition| {
                value(&condition.key).is_some_and(|value| {
                    condition.values.iter().any(|pattern| wildcard::matches(pattern, value))
                })
            })
    })
}

proptest! {
    #[test]
    fn no_policy_allows_a_model_that_the_gateway_refuses_and_what_it_permits_is_allowed(
        pattern in "(\\*|)(eu|us|global|anthropic|amazon|\\*)(\\.|\\*)(anthropic|\\*)?(\\.|\\*)?(claude|\\*)?\\*?",
        geography in "(eu|us|apac|global)",
        model in "(anthropic\\.claude-[a-c]|amazon\\.nova)",
    ) {
        let parsed = ModelPattern::parse(&pattern).unwrap();
        prop_assume!(parsed.can_match());
        let rest = role(&format!("models = [\"{pattern}\"]\noperations = [\"converse\"]"));
        let Ok(bundle) = Bundle::generate(&config(&rest), &Options::default()) else { return Ok(()) };
        let statements = permissions(&bundle);
        let permits = |id: &str| parsed.matches(&ModelId::parse(id).unwrap());
        let bare = format!("arn:aws:bedrock:eu-west-1::foundation-model/{model}");
        prop_assert_eq!(allows(&statements, &bare, None, "eu-west-1"), permits(&model));
        let id = format!("{geography}.{model}");
        let profile = profile("eu-west-1", &id);
        let whole = allows(&statements, &profile, None, "eu-west-1")
            && allows(&statements, &format!("arn:aws:bedrock:eu-north-1::foundation-model/{model}"), Some(&profile), "eu-west-1");
        prop_assert_eq!(whole, permits(&id));
        let without_region = format!("arn:aws:bedrock:::foundation-model/{model}");
        prop_assert!(!allows(&statements, &without_region, None, "unspecified"));
        if geography == "global" {
            prop_assert_eq!(allows(&statements, &without_region, Some(&profile), "unspecified"), permits(&id));
        }
        // Another region, account and geography of the world are never allowed.
        let elsewhere = format!("arn:aws:bedrock:us-east-1::foundation-model/{model}");
        prop_assert!(!allows(&statements, &elsewhere, None, "us-east-1"));
    }
}
