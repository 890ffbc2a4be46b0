//! The sentence that the operator reads for each fault of the own credentials.

use std::io::ErrorKind;

use aws_sdk_sts::error::ErrorMetadata;

use super::*;

fn absent(text: &'static str) -> CredentialsError {
    CredentialsError::not_loaded(text)
}

/// The sentence for one source, with these variables.
fn said(source: Source, error: &CredentialsError, variables: &[(&str, &str)]) -> String {
    let get = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    sentence(&[(source, why(source, error, &Surroundings(&get)))]).full
}

#[test]
fn without_any_source_each_is_named() {
    let around = Surroundings(&|_| None);
    let tried = Source::ALL.map(|source| (source, why(source, &absent("nothing"), &around)));
    let said = sentence(&tried);
    assert_eq!(said.short, said.full);
    assert_eq!(
        said.full,
        "no AWS credentials found; set up one of the sources; tried: environment (no AWS_ACCESS_KEY_ID), \
         profile (no profile \"default\" in ~/.aws/config and ~/.aws/credentials), \
         web identity (no AWS_WEB_IDENTITY_TOKEN_FILE), container (no AWS_CONTAINER_CREDENTIALS_FULL_URI), \
         EC2 (its metadata service does not answer: this is no EC2 instance, or the instance's hop limit is too low \
         for a container)"
    );
}

#[test]
fn half_of_a_pair_of_keys() {
    for (set, missing) in
        [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")]
    {
        let said = said(Source::Environment, &absent("environment variable not set"), &[(set, "x")]);
        let expected = format!(
            "no AWS credentials found; {set} is set, and {missing} is not; tried: environment (fails)"
        );
        assert_eq!(said, expected);
    }
}

#[test]
fn profiles_that_are_misspelt_or_empty_or_need_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    std::fs::write(&config, "[default]\n[profile  prod]\nregion = x\n[sso-session dev]\n").unwrap();
    std::fs::write(&credentials, " [prod]\n[test] # a comment\n").unwrap();
    let (config, credentials) = (config.to_str().unwrap(), credentials.to_str().unwrap());
    let about = |profile: &str, error: CredentialsError| {
        let files = [("AWS_CONFIG_FILE", config), ("AWS_SHARED_CREDENTIALS_FILE", credentials)];
        said(Source::Profile, &error, &[files[0], files[1], ("AWS_PROFILE", profile)])
    };
    let misspelt = about("prdo", absent("profile `prdo` was not defined"));
    assert!(
        misspelt.contains(&format!(
            "AWS_PROFILE is \"prdo\", which is not a profile of {config} and {credentials}; they have default, prod, \
             test; tried"
        )),
        "{misspelt}"
    );
    let empty = about("prod", CredentialsError::not_loaded_no_source());
    assert!(empty.contains("profile \"prod\" of") && empty.contains("has no credentials"), "{empty}");
    let feature = "This behavior requires following cargo feature(s) enabled: sso. Also an SSO login.";
    let person = about("prod", CredentialsError::provider_error(feature));
    assert!(person.contains("profile \"prod\" uses IAM Identity Center (SSO)"), "{person}");
    assert!(!person.contains("cargo"), "{person}");
}

#[test]
fn a_token_file_that_is_missing_or_that_sts_refuses() {
    let missing = |error: CredentialsError| {
        let path = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token";
        said(
            Source::WebIdentity,
            &error,
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", path), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/gateway")],
        )
    };
    let text = missing(CredentialsError::provider_error(io::Error::from(ErrorKind::NotFound)));
    assert!(
        text.contains(
            "AWS_WEB_IDENTITY_TOKEN_FILE is /var/run/secrets/eks.amazonaws.com/serviceaccount/token, which cannot be \
             read (entity not found); check the pod's service account"
        ),
        "{text}"
    );
    let answer = ErrorMetadata::builder().code("AccessDenied").message("Not authorized").build();
    let text = missing(CredentialsError::provider_error(answer));
    assert!(
        text.contains("STS does not accept the token") && text.contains("AccessDenied: Not authorized"),
        "{text}"
    );
    let text = said(Source::WebIdentity, &absent("no role"), &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")]);
    assert!(text.contains("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not"), "{text}");
}

#[test]
fn a_container_that_refuses_and_an_instance_without_a_role() {
    let refused = CredentialsError::provider_error("Error retrieving credentials from external source: 403");
    let variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let text = said(Source::Container, &refused, &[(variable, "http://169.254.170.23/v1/credentials")]);
    assert!(
        text.contains("the container's endpoint of AWS_CONTAINER_CREDENTIALS_FULL_URI gives no"),
        "{text}"
    );
    let text = said(Source::Instance, &absent("received 404 from IMDS"), &[]);
    assert!(text.contains("the EC2 instance has no role; attach an instance profile"), "{text}");
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let text = said(Source::Instance, &absent("IMDS disabled"), &off);
    assert!(text.ends_with("tried: EC2 (AWS_EC2_METADATA_DISABLED is true)"), "{text}");
}

/// A verdict with its public text.
fn verdict(source: Source, error: &CredentialsError, variables: &[(&str, &str)]) -> (bool, String) {
    let get = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let why = why(source, error, &Surroundings(&get));
    (why.is_fault(), sentence(&[(source, why)]).short)
}

/// Otherwise the gateway would run as the principal of a later source.
#[test]
fn what_is_configured_and_fails_ends_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[default]\nregion = x\n[profile prod]\n").unwrap();
    let files = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ("AWS_PROFILE", "prod"),
    ];
    let (not_loaded, invalid) =
        (CredentialsError::not_loaded_no_source(), CredentialsError::invalid_configuration("a line"));
    for (source, error, variables, is_fault) in [
        (Source::Environment, &not_loaded, &[("AWS_ACCESS_KEY_ID", "x")][..], true),
        (Source::Environment, &not_loaded, &[], false),
        (Source::Profile, &not_loaded, &files, true),
        // For its region only.
        (Source::Profile, &not_loaded, &files[..2], false),
        (Source::Profile, &absent("no source profile"), &files[..2], true),
        (Source::Profile, &not_loaded, &files[1..2], false),
        (Source::Profile, &invalid, &files[1..2], true),
        (Source::WebIdentity, &not_loaded, &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")], true),
        (Source::WebIdentity, &not_loaded, &[], false),
    ] {
        let (found, text) = verdict(source, error, variables);
        assert_eq!(found, is_fault, "{text}");
    }
}

#[test]
fn an_answer_of_aws_and_the_name_of_a_profile_are_only_for_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[default]\n[profile prod]\n").unwrap();
    let answer = "User: arn:aws:iam::111122223333:user/gateway is not authorized";
    let variables = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
        ("AWS_PROFILE", "prod"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/gateway"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1"),
    ];
    for source in Source::ALL {
        let answer = ErrorMetadata::builder().code("AccessDenied").message(answer).build();
        let (_, text) = verdict(source, &CredentialsError::provider_error(answer), &variables);
        assert!(!text.contains("arn:") && !text.contains("prod"), "{text}");
    }
}
