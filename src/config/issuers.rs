//! `[[issuer]]`: which tokens are accepted, and the mapping of their claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use super::diagnostics::{Diagnostics, Span};
use super::raw::{self, Spanned, Text};
use super::values::{Target, condition, mapped, path, tell};
use crate::attribution::tags::{MOST, TagKey};
use crate::auth::issuer::{self, IssuerSettings, KeySource};
use crate::identity::IssuerMapping;
use crate::identity::mapped_value::Requirement;

/// The default algorithms; nearly every identity provider signs with one of them.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];
/// Plain tokens and OAuth access tokens (RFC 9068); never ID tokens of other protocols or logout tokens.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];
/// If a clock is off by more than five minutes, AWS rejects the gateway's own signatures as well.
const MOST_LEEWAY: Duration = Duration::from_mins(5);
const LONGEST_AGE: Duration = Duration::from_hours(365 * 24);

/// The path of the discovery document below the issuer's (`OpenID` Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer in the form of both stages, with its place in the file.
pub(super) struct Issuer {
    pub(super) settings: IssuerSettings,
    /// `None` if its session name is invalid, which has been reported.
    pub(super) mapping: Option<IssuerMapping>,
    pub(super) url_at: Span,
    pub(super) name_at: Span,
    pub(super) source_identity_at: Option<Span>,
}

pub(super) fn issuers(tables: &[Spanned<raw::Issuer>], diagnostics: &mut Diagnostics<'_>) -> Vec<Issuer> {
    if tables.is_empty() {
        diagnostics.error_in(
            0..0,
            "issuer",
            "there is no issuer, so every token would be rejected",
            "add an [[issuer]], and below it, for example, name = \"okta\", url = \"https://acme.okta.com/oauth2/default\", audiences = [\"bedrock-gateway\"] and session = { name = \"claims.email\" }",
        );
    }
    for (index, table) in tables.iter().enumerate() {
        let (before, raw) = (tables.iter().take(index).map(|table| table.get_ref()), table.get_ref());
        for other in before {
            if other.name == raw.name {
                let (name, line) = (raw.name.get_ref(), diagnostics.line(&other.name.span()));
                let message = format!("\"{name}\" is already the name of the issuer in line {line}");
                let help = format!("give one of the two another name, for example \"{name}-2\"");
                diagnostics.error(raw.name.span(), message, help);
            }
            if other.url == raw.url {
                let message = format!("the issuer \"{}\" has the same url", other.name.get_ref());
                diagnostics.error(
                    raw.url.span(),
                    message,
                    "merge both into one [[issuer]]: the gateway finds a token's issuer by its url",
                );
            }
        }
    }
    tables.iter().map(|table| one(table.get_ref(), diagnostics)).collect()
}

/// Whether no two issuers have one name.
pub(super) fn are_unique(issuers: &[Issuer]) -> bool {
    let names: BTreeSet<&str> = issuers.iter().map(|issuer| &*issuer.settings.name).collect();
    names.len() == issuers.len()
}

fn one(raw: &raw::Issuer, diagnostics: &mut Diagnostics<'_>) -> Issuer {
    let name = raw.name.get_ref();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        let message = format!("\"{name}\" cannot name an issuer");
        diagnostics.error(raw.name.span(), message, "use 1 to 64 letters, digits and -_.");
    }
    let settings = IssuerSettings {
        name: name.as_str().into(),
        url: raw.url.get_ref().clone(),
        keys: keys(raw, diagnostics),
        audiences: filled(
            &raw.audiences,
            "every token would be rejected",
            "write the `aud` of your tokens, for example audiences = [\"bedrock-gateway\"]",
            diagnostics,
        ),
        audience_claim: raw.audience_claim.as_ref().map(|claim| {
            if claim.get_ref().is_empty() {
                diagnostics.error(
                    claim.span(),
                    "it names no claim",
                    "write the name of a claim, for example \"client_id\", or remove the key",
                );
            }
            claim.get_ref().clone()
        }),
        algorithms: raw
            .algorithms
            .as_ref()
            .map_or_else(|| ALGORITHMS.to_vec(), |names| algorithms(names, diagnostics)),
        types: raw.types.as_ref().map_or_else(
            || TYPES.map(str::to_owned).to_vec(),
            |types| {
                let help = "write the `typ` of your tokens, or remove the key for the default, [\"JWT\", \"at+jwt\"]";
                filled(types, "every token with a `typ` would be rejected", help, diagnostics)
            },
        ),
        max_token_age: diagnostics.duration(raw.max_token_age.as_ref(), Duration::from_secs(1)..=LONGEST_AGE),
        leeway: diagnostics
            .duration(raw.leeway.as_ref(), Duration::ZERO..=MOST_LEEWAY)
            .unwrap_or(issuer::LEEWAY),
        ca: raw.ca.as_ref().map(|file| path(file, diagnostics)),
    };
    let settings =
        IssuerSettings { types: settings.types.iter().map(|typ| typ.to_lowercase()).collect(), ..settings };
    let mapping = mapping(raw, diagnostics);
    Issuer {
        settings,
        mapping,
        url_at: raw.url.span(),
        name_at: raw.session.name.span(),
        source_identity_at: raw.session.source_identity.as_ref().map(|text| text.span()),
    }
}

fn keys(raw: &raw::Issuer, diagnostics: &mut Diagnostics<'_>) -> KeySource {
    if raw.url.get_ref().is_empty() {
        diagnostics.error(raw.url.span(), "the url is empty", "write the exact `iss` of the tokens");
    }
    if let Some(issuer) = raw.url.get_ref().trim_end_matches('/').strip_suffix(DISCOVERY) {
        diagnostics.error(
            raw.url.span(),
            "this is the address of the discovery document, not the issuer",
            format!("write \"{issuer}\": the value of `issuer` in that document, to the character"),
        );
        return KeySource::Discovery;
    }
    if let Some(url) = &raw.jwks_url
        && url.get_ref().trim_end_matches('/').ends_with(DISCOVERY)
    {
        let help =
            "remove jwks_url: the gateway finds the keys by discovery; or write the document's jwks_uri";
        diagnostics.error(url.span(), "this is the address of the discovery document, not of the keys", help);
    }
    match (&raw.jwks_url, &raw.jwks_file) {
        (Some(_), Some(file)) => {
            diagnostics.error(file.span(), "jwks_file is set as well as jwks_url", "remove one of the two");
            KeySource::Discovery
        }
        (None, Some(file)) => {
            if let Some(ca) = &raw.ca {
                diagnostics.error(ca.span(), "signing keys from a file need no CA", "remove ca");
            }
            KeySource::JwksFile(path(file, diagnostics))
        }
        (Some(url), None) => key_url(url, "", diagnostics).map_or(KeySource::Discovery, KeySource::JwksUrl),
        (None, None) => {
            key_url(&raw.url, ", or set jwks_url or jwks_file", diagnostics);
            KeySource::Discovery
        }
    }
}

fn key_url(text: &Text, otherwise: &str, diagnostics: &mut Diagnostics<'_>) -> Option<Url> {
    let message = match text.get_ref().parse::<Url>() {
        Ok(url) => match issuer::check_url(&url) {
            Ok(()) => return Some(url),
            Err(message) => format!("the gateway cannot fetch signing keys from this URL: {message}"),
        },
        Err(error) => format!("the gateway cannot fetch signing keys from here: it is not a URL ({error})"),
    };
    diagnostics.error(
        text.span(),
        message,
        format!("write an https URL without user name and fragment{otherwise}"),
    );
    None
}

/// The strings of a list. Neither the list nor a string may be empty.
fn filled(
    list: &Spanned<Vec<Text>>,
    otherwise: &str,
    help: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<String> {
    if list.get_ref().is_empty() {
        diagnostics.error(list.span(), format!("the list is empty, so {otherwise}"), help);
    }
    for text in list.get_ref().iter().filter(|text| text.get_ref().is_empty()) {
        diagnostics.error(text.span(), "it is an empty string", "remove it, or write the value");
    }
    list.get_ref().iter().map(|text| text.get_ref().clone()).collect()
}

fn algorithms(names: &Spanned<Vec<Text>>, diagnostics: &mut Diagnostics<'_>) -> Vec<Algorithm> {
    if names.get_ref().is_empty() {
        diagnostics.error(
            names.span(),
            "it is empty, so every token would be rejected",
            "add at least one, for example \"RS256\"",
        );
    }
    let mut known = Vec::new();
    for name in names.get_ref() {
        match name.get_ref().as_str() {
            "HS256" | "HS384" | "HS512" => diagnostics.error(
                name.span(),
                format!(
                    "{name} signs with a secret, so every program that checks tokens could also make them"
                ),
                "use a public-key algorithm, for example RS256 or ES256",
            ),
            text => match text.parse::<Algorithm>() {
                Ok(algorithm) if !known.contains(&algorithm) => known.push(algorithm),
                Ok(_) => diagnostics.error(name.span(), format!("{name} is a duplicate"), "remove it"),
                Err(_) => diagnostics.error(
                    name.span(),
                    format!("\"{name}\" is not a supported algorithm"),
                    format!("use one or more of {}", issuer::KNOWN_ALGORITHMS.join(", ")),
                ),
            },
        }
    }
    known
}

fn mapping(raw: &raw::Issuer, diagnostics: &mut Diagnostics<'_>) -> Option<IssuerMapping> {
    let headers = request_headers(&raw.request_headers, diagnostics);
    let mut require = Vec::new();
    for raw in &raw.require {
        if raw.message.get_ref().is_empty() {
            diagnostics.error(
                raw.message.span(),
                "the message is empty",
                "write the text that the log shows when the requirement is not met",
            );
        }
        let tell = tell(raw.tell.as_ref(), diagnostics);
        if let Some(expression) =
            condition(raw.expression.get_ref(), raw.expression.span(), &headers, diagnostics)
        {
            require.push(Requirement { expression, message: raw.message.get_ref().clone(), tell });
        }
    }
    let session = &raw.session;
    let source_identity =
        session.source_identity.as_ref().and_then(|value| mapped(value, Target::Name, &headers, diagnostics));
    let tags = tags(session, &headers, diagnostics);
    let name = mapped(&session.name, Target::Name, &headers, diagnostics)?;
    let issuer = raw.name.get_ref().as_str().into();
    Some(IssuerMapping { issuer, request_headers: headers, require, name, source_identity, tags })
}

fn tags(
    session: &raw::Session,
    headers: &[String],
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<(TagKey, crate::identity::mapped_value::MappedValue)> {
    check_case(session, diagnostics);
    let mut tags = Vec::new();
    for (index, (key, raw)) in session.tags.iter().enumerate() {
        let text = key.get_ref();
        if index == MOST {
            let message = format!("there are {} tags", session.tags.len());
            diagnostics.error(key.span(), message, format!("a session has at most {MOST} tags; remove some"));
        }
        let value = mapped(raw, Target::Tag(text), headers, diagnostics);
        match TagKey::parse(text) {
            Ok(key) => tags.extend(value.map(|value| (key, value))),
            Err(illegal) => {
                let help = match text.get(.."aws:".len()).zip(text.get("aws:".len()..)) {
                    Some((start, rest))
                        if start.eq_ignore_ascii_case("aws:") && TagKey::parse(rest).is_ok() =>
                    {
                        format!("write {rest} instead of \"{text}\"")
                    }
                    _ => "use 1 to 128 letters, digits, spaces and _.:/=+-@, and do not begin with aws:"
                        .to_owned(),
                };
                diagnostics.error(key.span(), format!("\"{text}\" cannot be a tag key: {illegal}"), help);
            }
        }
    }
    tags
}

/// Rejects tags whose keys differ only in upper and lower case, at the later of two lines.
fn check_case(session: &raw::Session, diagnostics: &mut Diagnostics<'_>) {
    let mut in_file_order: Vec<_> = session.tags.keys().collect();
    in_file_order.sort_by_key(|key| key.span().start);
    let mut seen: BTreeMap<String, &raw::Text> = BTreeMap::new();
    for key in in_file_order {
        if let Some(other) = seen.insert(key.get_ref().to_lowercase(), key) {
            let line = diagnostics.line(&other.span());
            let message = format!(
                "the tag \"{key}\" differs from \"{other}\" (line {line}) only in upper and lower case; STS treats both as one tag"
            );
            diagnostics.error(key.span(), message, "remove one of the two lines, or rename one of the tags");
        }
    }
}

/// The names in lower case. Headers that carry tokens, and headers that proxies write, are rejected: the caller does not
/// choose their values, so a bill must not depend on them.
fn request_headers(names: &[Text], diagnostics: &mut Diagnostics<'_>) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for name in names {
        let lower = name.get_ref().to_ascii_lowercase();
        if http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
            diagnostics.error(
                name.span(),
                format!("\"{name}\" is not a header name"),
                "write, for example, \"x-project\"",
            );
        } else if is_forbidden(&lower) {
            let message =
                format!("expressions cannot read {lower}: it carries credentials, or proxies write it");
            diagnostics.error(
                name.span(),
                message,
                "let callers send a header of your own, for example \"x-project\"",
            );
        } else if headers.contains(&lower) {
            diagnostics.error(name.span(), format!("{lower} is a duplicate"), "remove it");
        } else {
            headers.push(lower);
        }
    }
    headers
}

fn is_forbidden(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "cookie",
        "set-cookie",
        "forwarded",
        "via",
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "host",
    ];
    NAMES.contains(&name)
        || ["x-amz-", "x-amzn-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
}
