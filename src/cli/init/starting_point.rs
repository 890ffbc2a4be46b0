//! The starting points: the files of `config/issuers`, which are part of the program.

/// A starting point for one kind of identity provider.
#[derive(Debug)]
pub(super) struct StartingPoint {
    /// Its name, which is also the issuer's.
    pub(super) name: &'static str,
    text: &'static str,
    /// Whether all customers of the provider have the same issuer URL.
    pub(super) has_fixed_url: bool,
    pub(super) owner: Option<Owner>,
}

/// The value that a requirement pins, so that only callers of one owner are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The value in the text of the starting point.
    pub(super) example: &'static str,
    pub(super) kind: OwnerKind,
}

/// The meaning of an owner's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnerKind {
    /// The domain of a Google Workspace (`hd`).
    Domain,
    /// The number of a GitHub organisation (`repository_owner_id`).
    Organisation,
    /// The tenant of Entra ID (`tid`), which is a part of the issuer URL.
    Tenant,
    /// The AWS account of the workloads.
    Account,
}

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../../config/issuers/", $name, ".toml"))
    };
}

/// The names, in the order in which they are offered.
pub(super) const NAMES: [&str; 9] =
    ["okta", "entra", "google", "keycloak", "cognito", "kubernetes", "github-actions", "aws", "oidc"];

static ALL: [StartingPoint; NAMES.len()] = [
    plain("okta", text!("okta")),
    owned("entra", text!("entra"), "8f3c7a52-1d4e-4b6a-9c20-5e7d1f0a2b34", OwnerKind::Tenant),
    owned("google", text!("google"), "acme.org", OwnerKind::Domain),
    plain("keycloak", text!("keycloak")),
    plain("cognito", text!("cognito")),
    plain("kubernetes", text!("kubernetes")),
    owned("github-actions", text!("github-actions"), "12345678", OwnerKind::Organisation),
    owned("aws", text!("aws"), "123456789012", OwnerKind::Account),
    plain("oidc", text!("oidc")),
];

const fn plain(name: &'static str, text: &'static str) -> StartingPoint {
    StartingPoint { name, text, has_fixed_url: false, owner: None }
}

const fn owned(
    name: &'static str,
    text: &'static str,
    example: &'static str,
    kind: OwnerKind,
) -> StartingPoint {
    let has_fixed_url = matches!(kind, OwnerKind::Domain | OwnerKind::Organisation);
    StartingPoint { name, text, has_fixed_url, owner: Some(Owner { example, kind }) }
}

/// The parts of a starting point that `init` uses. Each is a paragraph of the file.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The settings to make at the provider, as comment lines.
    pub(super) about: String,
    pub(super) issuer: &'static str,
    pub(super) requirements: Vec<&'static str>,
    pub(super) session: &'static str,
    pub(super) tags: &'static str,
    /// A role rule with a condition.
    pub(super) other_role: Option<&'static str>,
    /// The role rule of all other callers.
    pub(super) role: &'static str,
}

impl StartingPoint {
    /// The one with this name, or the general one.
    pub(super) fn named(name: &str) -> &'static Self {
        let [.., general] = &ALL;
        ALL.iter().find(|point| point.name == name).unwrap_or(general)
    }

    pub(super) fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for paragraph in self.text.split("\n\n") {
            let table = paragraph.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
            match table {
                "" => parts.about = about(paragraph),
                "[[issuer]]" => parts.issuer = paragraph,
                "[[issuer.require]]" => parts.requirements.push(paragraph),
                "[issuer.session]" => parts.session = paragraph,
                "[issuer.session.tags]" => parts.tags = paragraph,
                "[[role]]" if has_key(paragraph, "when") => parts.other_role = Some(paragraph),
                "[[role]]" => parts.role = paragraph.trim_end(),
                // `init` writes these tables itself.
                _ => {}
            }
        }
        parts
    }

    /// The URL that its text has.
    pub(super) fn url(&self) -> &'static str {
        first_text(self.parts().issuer, "url")
    }

    /// The audience that its text has.
    pub(super) fn audience(&self) -> &'static str {
        first_text(self.parts().issuer, "audiences")
    }

    /// The model pattern that its text has.
    pub(super) fn model(&self) -> &'static str {
        first_text(self.parts().role, "models")
    }
}

/// The name of the starting point for tokens with this `iss`.
pub(super) fn matching(iss: &str) -> &'static str {
    let url = iss.parse::<url::Url>().ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'));
    match host {
        "accounts.google.com" => "google",
        "login.microsoftonline.com" | "sts.windows.net" => "entra",
        "token.actions.githubusercontent.com" => "github-actions",
        _ if is_below("okta.com") || is_below("oktapreview.com") || is_below("okta-emea.com") => "okta",
        _ if host.starts_with("cognito-idp.") => "cognito",
        _ if host.starts_with("oidc.eks.") || host.starts_with("kubernetes.") => "kubernetes",
        // Assumption A46.
        _ if is_below("tokens.sts.global.api.aws") => "aws",
        _ if iss.contains("/realms/") => "keycloak",
        _ => "oidc",
    }
}

/// The comment at the beginning of a file, without what is about the file itself.
fn about(comment: &str) -> String {
    let lines = comment.lines().filter(|line| !line.starts_with("#:"));
    let lines: Vec<&str> = lines.collect();
    let is_about_the_file = |paragraph: &&[&str]| {
        paragraph
            .iter()
            .any(|line| line.contains("bedrock-gateway explain") || line.contains("config/gateway.toml"))
    };
    let paragraphs: Vec<String> = lines
        .split(|line| *line == "#")
        .filter(|paragraph| !is_about_the_file(paragraph))
        .map(|paragraph| paragraph.join("\n"))
        .collect();
    paragraphs.join("\n#\n")
}

/// Whether the paragraph has a line of this key.
fn has_key(paragraph: &str, key: &str) -> bool {
    paragraph.lines().any(|line| is_of_key(line, key))
}

/// Whether the line begins with `key =`.
pub(super) fn is_of_key(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" ="))
}

/// The first text in quotes of the key's line.
fn first_text(paragraph: &'static str, key: &str) -> &'static str {
    let line = paragraph.lines().find(|line| is_of_key(line, key));
    line.and_then(|line| line.split('"').nth(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_starting_point_has_its_parts() {
        for (name, point) in NAMES.iter().zip(&ALL) {
            assert_eq!(*name, point.name);
            let parts = StartingPoint::named(name).parts();
            assert!(parts.about.starts_with("# ") && !parts.about.contains("explain"), "{}", parts.about);
            for part in [parts.issuer, parts.session, parts.tags, parts.role] {
                assert!(!part.is_empty(), "{name}");
            }
            assert!(!point.url().is_empty() && !point.audience().is_empty(), "{name}");
            assert!(point.model().contains("claude"), "{name}");
            if let Some(owner) = point.owner {
                let pins = parts.requirements.iter().filter(|text| text.contains(owner.example)).count();
                assert_eq!(pins, 1, "{name}");
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/issuers")).unwrap();
        let is_one = |name: &str| name.strip_suffix(".toml").is_some();
        let files = files.filter(|file| is_one(file.as_ref().unwrap().file_name().to_str().unwrap()));
        assert_eq!(files.count(), NAMES.len(), "each file of config/issuers is a starting point");
    }

    #[test]
    fn the_iss_of_each_starting_point_matches_it() {
        for point in &ALL {
            assert_eq!(matching(point.url()), point.name);
        }
        assert_eq!(matching("https://evil-okta.com/oauth2/default"), "oidc");
        assert_eq!(matching("not a url"), "oidc");
    }
}
