//! Values of the right shape that would never do what the operator wants.

use super::*;

/// The one warning about the text: key, message and help.
fn warns(text: &str) -> (String, String, String) {
    let warnings = parse(text).unwrap_or_else(|problems| panic!("{problems}")).warnings;
    let [warning] = warnings.as_slice() else { panic!("not one warning: {warnings:?}") };
    (warning.key.clone(), warning.message.clone(), warning.help.clone())
}

#[test]
fn a_region_is_one_of_aws_or_has_its_endpoints() {
    let misspelt = with("region = \"us-east-1\"", "region = \"eu-centrl-1\"");
    fails(&misspelt, "centrl", "aws.region", "AWS has no region \"eu-centrl-1\"");
    assert!(parse(&misspelt).unwrap_err().to_string().contains("did you mean \"eu-central-1\"?"));
    refused("[\"us-west-2\"]", "[\"mars-east-1\"]", "mars", "aws.regions[0]", "AWS has no region");
    let endpoints = "[aws.endpoints]\nsts = \"https://a\"\nbedrock_runtime = \"https://b\"\n[sessions]";
    assert!(parse(&misspelt.replace("[sessions]", endpoints)).is_ok());
    let half = endpoints.replace("sts = \"https://a\"\n", "");
    assert!(parse(&misspelt.replace("[sessions]", &half)).is_err());
    let further = with("[\"us-west-2\"]", "[\"mars-east-1\"]");
    let endpoints = "[aws.region_endpoints.mars-east-1]\nbedrock_runtime = \"https://b\"\n[sessions]";
    assert!(parse(&further.replace("[sessions]", endpoints)).is_ok());
}

#[test]
fn a_condition_can_be_true_or_false() {
    for (condition, words) in [
        ("['platform']", "there is a list where true or false is needed"),
        ("'platform'", "there is a text where"),
        ("claims.level + 1", "there is a sum or a joined text where"),
        ("string(claims.admin)", "there is a text where"),
        ("claims.team == 'a' || 'b'", "the text 'b' stands alone"),
    ] {
        role(&format!("when = \"{condition}\""), "role[0].when", words);
        let require =
            format!("[[issuer.require]]\nexpression = \"{condition}\"\nmessage = \"no\"\n[issuer.session]");
        refused(
            "[issuer.session]\n",
            &format!("{require}\n"),
            "expression",
            "issuer[0].require[0].expression",
            words,
        );
    }
}

#[test]
fn the_address_of_a_discovery_document_is_not_an_issuer() {
    let discovery = "url = \"https://acme.okta.com/.well-known/openid-configuration\"";
    let text = with("url = \"https://acme.okta.com\"", discovery);
    fails(&text, "well-known", "issuer[0].url", "not the issuer");
    assert!(parse(&text).unwrap_err().to_string().contains("write \"https://acme.okta.com\":"));
    let keys = "jwks_url = \"https://acme.okta.com/.well-known/openid-configuration\"";
    issuer(keys, "issuer[0].jwks_url", "not of the keys");
}

#[test]
fn the_slash_at_the_end_of_known_providers() {
    let url = |url: &str| with("https://acme.okta.com", url);
    let (key, message, help) = warns(&url("https://acme.okta.com/oauth2/default/"));
    assert_eq!(
        (key.as_str(), help.as_str()),
        ("issuer[0].url", "write \"https://acme.okta.com/oauth2/default\"")
    );
    assert!(message.contains("ends without one"), "{message}");
    assert_eq!(warns(&url("https://acme.eu.auth0.com")).2, "write \"https://acme.eu.auth0.com/\"");
    for fine in ["https://acme.eu.auth0.com/", "https://acme.okta.com/oauth2/default", "https://id.acme.org/"]
    {
        assert!(parse(&url(fine)).unwrap().warnings.is_empty(), "{fine}");
    }
}

#[test]
fn a_name_differs_from_caller_to_caller() {
    for name in ["\"'x'\"", "{ value = \"team\" }", "\"issuer.name\"", "{ from = \"'a' + issuer.name\" }"] {
        let text = with("name = \"claims.sub\"", &format!("name = {name}"));
        fails(
            &text,
            &format!("name = {name}"),
            "issuer[0].session.name",
            "is a constant: every caller of issuer okta would be",
        );
    }
    let identity = "name = \"claims.sub\"\nsource_identity = \"'batch'\"";
    let text = with("name = \"claims.sub\"", identity);
    fails(&text, "batch", "issuer[0].session.source_identity", "would be \"batch\"");
}

#[test]
fn a_name_from_a_header_is_a_warning() {
    let name = "request.headers['x-user']";
    let text = with("name = \"claims.sub\"", &format!("name = \"{name}\""));
    let (key, message, _) = warns(&text.replace(ISSUER, "[[issuer]]\nrequest_headers = [\"x-user\"]\n"));
    assert_eq!(key, "issuer[0].session.name");
    assert!(message.contains("callers choose their own name"), "{message}");
}

#[test]
fn a_model_pattern_that_begins_like_no_id_is_a_warning() {
    let models = |pattern: &str| with(ROLE, &format!("[[role]]\nmodels = [\"{pattern}\"]\n"));
    let (key, message, help) = warns(&models("claude*"));
    assert_eq!((key.as_str(), help.as_str()), ("role[0].models[0]", "did you mean \"*claude*\"?"));
    assert!(message.starts_with("\"claude*\" matches no model"), "{message}");
    assert_eq!(warns(&models("Anthropic.claude-*")).2, "did you mean \"anthropic.claude-*\"?");
    assert!(parse(&models("*claude*")).unwrap().warnings.is_empty());
}

#[test]
fn plain_http_to_another_machine_is_a_warning() {
    let endpoint =
        |url: &str| with("[sessions]", &format!("[aws.endpoints]\nbedrock_runtime = \"{url}\"\n[sessions]"));
    assert_eq!(warns(&endpoint("http://proxy.acme.org")).0, "aws.endpoints.bedrock_runtime");
    assert!(parse(&endpoint("http://127.0.0.1:1")).unwrap().warnings.is_empty());
}

#[test]
fn a_relative_path_counts_from_the_folder_of_the_configuration() {
    let text = with("[sessions]", "[revoke]\nfile = \"deny.toml\"\n[log]\nfile = \"/var/log/gateway\"");
    let of = |file: &str| Config::parse(&text, file, &environment).unwrap();
    assert_eq!(of("/etc/gateway/gateway.toml").revoke, Some("/etc/gateway/deny.toml".into()));
    assert_eq!(of("gateway.toml").revoke, Some("deny.toml".into()));
    assert_eq!(of("<stdin>").revoke, Some("deny.toml".into()));
    assert_eq!(of("/etc/gateway/gateway.toml").log.file, Some("/var/log/gateway".into()));
}
