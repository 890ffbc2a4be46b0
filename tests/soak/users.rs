//! The users: the principal and tags that the bill must show for each, and the tokens, which each user renews.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bedrock_standin::idp::{Algorithm, Claims, Idp};
use tokio::time::Instant;

pub(crate) const USERS: usize = 300;

/// Lifetime of a token, and the age at which its user gets a new one.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(40);
const RENEWED_AFTER: Duration = Duration::from_secs(25);

/// Users on several projects name the one that pays with each call, or name none.
pub(crate) const PROJECTS: [Option<&str>; 3] = [None, Some("atlas"), Some("borealis")];

/// One of the two identity providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Staff,
    Partners,
}

#[derive(Debug)]
pub(crate) struct User {
    number: usize,
    pub(crate) provider: Provider,
    /// The principal that the bill must name.
    pub(crate) principal: String,
    token: Mutex<Option<(String, Instant)>>,
}

impl User {
    pub(crate) fn all() -> Vec<Self> {
        (0..USERS).map(Self::new).collect()
    }

    fn new(number: usize) -> Self {
        let provider = if number.is_multiple_of(3) { Provider::Partners } else { Provider::Staff };
        let role = match provider {
            Provider::Partners => "123456789012:assumed-role/BedrockPartner",
            Provider::Staff if is_of_ml(number) => "210987654321:assumed-role/BedrockMl",
            Provider::Staff => "123456789012:assumed-role/BedrockUser",
        };
        let principal = format!("arn:aws:sts::{role}/{}", email(number));
        Self { number, provider, principal, token: Mutex::default() }
    }

    pub(crate) fn has_projects(&self) -> bool {
        self.provider == Provider::Staff && self.number.is_multiple_of(4)
    }

    /// The tags that the bill must show for a call of this project.
    pub(crate) fn tags(&self, project: Option<&str>) -> BTreeMap<String, String> {
        let project = project.map(|project| ("project".to_owned(), project.to_owned()));
        [("team".to_owned(), team(self.number))].into_iter().chain(project).collect()
    }

    /// A token that is valid for at least 15 seconds more.
    pub(crate) fn token(&self, provider: &Idp) -> String {
        let mut kept = self.token.lock().unwrap();
        if let Some((token, minted)) = &*kept
            && minted.elapsed() < RENEWED_AFTER
        {
            return token.clone();
        }
        let (email, groups) =
            (email(self.number), if is_of_ml(self.number) { "bedrock-ml" } else { "everyone" });
        let token = provider.mint(
            Claims::of(&format!("00u{:06}", self.number))
                .claim("email", email)
                .claim("department", team(self.number))
                .claim("groups", vec!["engineering", groups])
                .claim("projects", PROJECTS.into_iter().flatten().collect::<Vec<_>>())
                .algorithm(Algorithm::ES256)
                .expires_in(TOKEN_LIFE),
        );
        *kept = Some((token.clone(), Instant::now()));
        token
    }
}

fn is_of_ml(number: usize) -> bool {
    number % 5 < 2
}

fn email(number: usize) -> String {
    format!("user{number}@acme.example")
}

fn team(number: usize) -> String {
    format!("team-{}", number % 7)
}
