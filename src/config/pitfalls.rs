//! Checks across several tables, so that the bill names the right person.

use url::Url;

use super::diagnostics::Diagnostics;
use super::issuers::{Issuer, are_unique};
use super::roles::Placed;
use super::session_names;
use crate::expression::{Expression, Input, IssuerAt, Truth};
use crate::identity::IssuerMapping;

pub(super) fn check(issuers: &[Issuer], roles: &[Placed], diagnostics: &mut Diagnostics<'_>) {
    for issuer in issuers {
        if let Some(mapping) = &issuer.mapping {
            check_owner(issuer, mapping, diagnostics);
            session_names::check(issuer, mapping, diagnostics);
            warn_of_names(issuer, mapping, diagnostics);
            warn_of_slash(issuer, diagnostics);
        }
    }
    if are_unique(issuers) {
        check_shared_names(issuers, roles, diagnostics);
    }
    warn_of_unreachable(roles, issuers, diagnostics);
}

/// The claims that name the owner of a token, for issuers that give tokens to every user in the world.
// Assumption A43.
fn owner_claims(url: &str) -> Option<&'static [&'static str]> {
    let url = url.parse::<Url>().ok()?;
    let first = url.path_segments().and_then(|mut segments| segments.next()).unwrap_or_default();
    match (url.host_str()?, first) {
        // With a path, the issuer is an enterprise's own. Ids only: another user can take a name that was given up.
        ("token.actions.githubusercontent.com", "") => {
            Some(&["repository_owner_id", "repository_id", "enterprise_id"])
        }
        ("gitlab.com", _) => Some(&["namespace_id", "project_id", "namespace_path", "project_path"]),
        ("accounts.google.com", _) => Some(&["hd"]),
        ("login.microsoftonline.com", "common" | "organizations" | "consumers") => Some(&["tid"]),
        _ => None,
    }
}

fn check_owner(issuer: &Issuer, mapping: &IssuerMapping, diagnostics: &mut Diagnostics<'_>) {
    let Some(claims) = owner_claims(&issuer.settings.url) else { return };
    let pinned = mapping.require.iter().any(|require| refuses_strangers(&require.expression, claims));
    if !pinned {
        let message =
            "every user in the world can get tokens of this issuer, and no requirement pins their owner";
        let help = format!(
            "add an [[issuer.require]], for example with expression = \"claims.{} == '…'\"",
            claims[0]
        );
        diagnostics.error(issuer.url_at.clone(), message, help);
    }
}

/// Warns of a slash at the end that the provider's `iss` has and the url has not, or the other way round.
fn warn_of_slash(issuer: &Issuer, diagnostics: &mut Diagnostics<'_>) {
    let written = &issuer.settings.url;
    let Some(expected) = slash_expected(written) else { return };
    let right = format!("{}{}", written.trim_end_matches('/'), if expected { "/" } else { "" });
    if *written != right {
        let message = format!(
            "the url ends {} a slash, but `iss` in the tokens of this provider ends {} one; the two must be exactly the same, otherwise every token is rejected",
            if expected { "without" } else { "with" },
            if expected { "with" } else { "without" }
        );
        diagnostics.warn(issuer.url_at.clone(), message, format!("write \"{right}\""));
    }
}

/// Whether the `iss` of the provider's tokens ends with a slash, by the documentation of the provider.
// Assumption A45.
fn slash_expected(url: &str) -> Option<bool> {
    let url = url.parse::<Url>().ok()?;
    let host = url.host_str()?;
    let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
    match host {
        "accounts.google.com"
        | "gitlab.com"
        | "login.microsoftonline.com"
        | "token.actions.githubusercontent.com" => Some(false),
        "sts.windows.net" => Some(true),
        _ if is_below("auth0.com") => Some(true),
        _ if is_below("okta.com") || host.starts_with("cognito-idp.") => Some(false),
        _ => None,
    }
}

/// Whether the expression is false for a token that only has owner claims, and another owner. Evaluating it detects
/// `has(claims.hd)` and `claims.hd != ''`, which read the claim but accept every owner.
fn refuses_strangers(expression: &Expression, claims: &[&str]) -> bool {
    let reads = claims.iter().any(|claim| expression.claims_read().any(|read| read == *claim));
    let stranger: serde_json::Map<_, _> =
        claims.iter().map(|claim| ((*claim).to_owned(), "0".into())).collect();
    let Ok(input) = Input::new(&stranger, "", [], [expression]) else { return false };
    reads && input.truth(expression) == Ok(Truth::False)
}

/// Warns of session names that may not mean the same person for years, as the bill needs.
fn warn_of_names(issuer: &Issuer, mapping: &IssuerMapping, diagnostics: &mut Diagnostics<'_>) {
    let reads =
        |claim: &str| mapping.name.from.iter().any(|from| from.claims_read().any(|read| read == claim));
    let requires = |claim: &str| {
        mapping.require.iter().any(|require| require.expression.claims_read().any(|read| read == claim))
    };
    let at = &issuer.name_at;
    for claim in ["jti", "iat", "nonce", "exp", "nbf", "auth_time", "at_hash"] {
        if reads(claim) {
            let message = format!("the session name reads {claim}, which changes with every token");
            diagnostics.warn(at.clone(), message, "use a claim that stays the same, for example sub or email: every new name costs a call to STS and a row in the bill");
        }
    }
    if reads("email") && !requires("email_verified") {
        let message = "the session name reads email, and nothing requires email_verified";
        diagnostics.warn(
            at.clone(),
            message,
            "require claims.email_verified if people can edit their address at this issuer",
        );
    }
    // OpenID Connect Core 1.0 §5.7: only iss and sub together identify a person.
    for claim in ["preferred_username", "nickname", "name", "given_name", "family_name"] {
        if reads(claim) {
            let message = format!(
                "the session name reads {claim}, which users can often edit, and which several users can have"
            );
            diagnostics.warn(
                at.clone(),
                message,
                "use a claim that always means one person, for example sub or a verified email",
            );
        }
    }
}

/// Rejects two issuers with one IAM role if two people could get the same session name.
fn check_shared_names(issuers: &[Issuer], roles: &[Placed], diagnostics: &mut Diagnostics<'_>) {
    for (index, role) in roles.iter().enumerate() {
        let alike = || roles.iter().enumerate().filter(|(_, other)| other.role.arn == role.role.arn);
        // Rules with the same ARN are checked together, at the last of them.
        if alike().any(|(other, _)| other > index) || alike().all(|(_, other)| other.role.shared_names) {
            continue;
        }
        let coming: Vec<&Issuer> = issuers
            .iter()
            .filter(|issuer| alike().any(|(_, other)| other.is_for(&issuer.settings.name)))
            .collect();
        let mappings: Vec<_> = coming.iter().filter_map(|issuer| issuer.mapping.as_ref()).collect();
        if coming.len() > 1
            && let Some(fault) = equal_names(&mappings)
        {
            let names: Vec<_> = coming.iter().map(|issuer| &*issuer.settings.name).collect();
            let message = format!(
                "the issuers {} reach this role, and {fault}: two people could be one in the bill",
                names.join(", ")
            );
            let help = "write issuer.name + '=' + … for each of them, or set shared_names = true if equal names are the same people";
            diagnostics.error(role.arn_at.clone(), message, help);
        }
    }
}

/// The cause for which session names of two of these issuers could be equal; `None` if they cannot.
fn equal_names(mappings: &[&IssuerMapping]) -> Option<String> {
    let marked: Vec<_> = mappings.iter().map(|mapping| (*mapping, issuer_at(mapping))).collect();
    if marked.iter().fold(IssuerAt::BOTH, |all, (_, at)| all.and(*at)).is_anywhere() {
        return None;
    }
    if let Some((mapping, _)) = marked.iter().find(|(_, at)| !at.is_anywhere()) {
        return Some(format!(
            "session names of {} do not contain the issuer's name at one end, separated by =, +, @ or a comma{}",
            mapping.issuer,
            example(mapping)
        ));
    }
    let of = |lacks: fn(IssuerAt) -> bool| {
        marked.iter().find(|(_, at)| lacks(*at)).map_or("some", |(mapping, _)| &*mapping.issuer)
    };
    Some(format!(
        "session names of {} begin with the issuer's name and those of {} end with it",
        of(|at| !at.end),
        of(|at| !at.start)
    ))
}

/// The end at which every name of the mapping contains the issuer's name.
fn issuer_at(mapping: &IssuerMapping) -> IssuerAt {
    let name = &mapping.name;
    let constants = name.default.iter().chain(&name.constant);
    let constants = constants.map(|text| IssuerAt::of_constant(text, &mapping.issuer));
    name.from.iter().map(Expression::issuer_at).chain(constants).fold(IssuerAt::BOTH, IssuerAt::and)
}

/// An expression or constant that allows equal names, in brackets.
fn example(mapping: &IssuerMapping) -> String {
    let name = &mapping.name;
    if let Some(from) = name.from.iter().find(|from| !from.issuer_at().is_anywhere()) {
        let reads_address = from.claims_read().any(|claim| claim == "iss");
        let note = if reads_address {
            "; claims.iss does not suffice, since one address can begin another"
        } else {
            ""
        };
        return format!(" (`{}`{note})", from.source());
    }
    let mut constants = name.default.iter().chain(&name.constant);
    let constant = constants.find(|text| !IssuerAt::of_constant(text, &mapping.issuer).is_anywhere());
    constant.map_or_else(String::new, |text| format!(" (\"{text}\")"))
}

fn warn_of_unreachable(roles: &[Placed], issuers: &[Issuer], diagnostics: &mut Diagnostics<'_>) {
    for (index, role) in roles.iter().enumerate() {
        let mut its_own =
            issuers.iter().map(|issuer| &issuer.settings.name).filter(|name| role.is_for(name)).peekable();
        let taken = |name: &str| {
            roles.iter().take(index).any(|earlier| earlier.role.when.is_none() && earlier.is_for(name))
        };
        let is_rival = |earlier: &Placed| {
            issuers
                .iter()
                .any(|issuer| role.is_for(&issuer.settings.name) && earlier.is_for(&issuer.settings.name))
        };
        if its_own.peek().is_some() && its_own.all(|name| taken(name)) {
            let lines: Vec<_> = roles
                .iter()
                .take(index)
                .filter(|earlier| earlier.role.when.is_none() && is_rival(earlier))
                .map(|earlier| diagnostics.line(&earlier.at).to_string())
                .collect();
            let (takers, line) = match lines.as_slice() {
                [line] => (format!("the role in line {line} has no `when` and takes"), line.as_str()),
                lines => (
                    format!("the roles in lines {} have no `when` and take", lines.join(" and ")),
                    lines.first().map_or("", String::as_str),
                ),
            };
            let message = format!("this role is never reached: {takers} all its callers first");
            let help = if role.role.when.is_some() {
                format!("move this role above line {line}, or add `when` to the role there")
            } else {
                format!("add `when` to the role in line {line}, or remove one of the two")
            };
            diagnostics.warn(role.arn_at.clone(), message, help);
        }
    }
}
