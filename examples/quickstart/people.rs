//! The callers, and the tokens that the stand-in's identity provider signs for them.

use std::path::Path;
use std::time::Duration;

use bedrock_standin::idp::{Algorithm, Claims, Idp};
use serde_json::{Map, Value, json};

use crate::Outcome;

/// A caller: the claims of its tokens.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    /// The configured name of the issuer.
    pub(crate) issuer: String,
    pub(crate) claims: Map<String, Value>,
    pub(crate) algorithm: Algorithm,
    /// The `typ` in the header of tokens.
    pub(crate) typ: Option<String>,
}

/// Claims that depend on the time at which a token is signed, or that differ in each token.
const OF_THE_MOMENT: [&str; 5] = ["exp", "iat", "nbf", "auth_time", "jti"];

impl Person {
    /// The three of the quickstart. Its configuration refuses the third, who has no group.
    pub(crate) fn all() -> Vec<Self> {
        [("alice", "search", &["bedrock"][..]), ("bob", "ads", &["bedrock"]), ("carol", "ads", &[])]
            .map(|(name, department, groups)| {
                let claims = json!({
                    "sub": name,
                    "aud": "bedrock-gateway",
                    "email": format!("{name}@acme.org"),
                    "department": department,
                    "groups": groups,
                });
                Self {
                    name: name.to_owned(),
                    issuer: "acme".to_owned(),
                    claims: claims.as_object().cloned().unwrap_or_default(),
                    algorithm: Algorithm::RS256,
                    typ: None,
                }
            })
            .into()
    }

    /// A claim that is a text; otherwise an empty text.
    pub(crate) fn text(&self, claim: &str) -> &str {
        self.claims.get(claim).and_then(Value::as_str).unwrap_or_default()
    }

    /// A new token, as an identity provider would give it to the caller's application.
    pub(crate) fn token(&self, idp: &Idp, lifetime: Duration) -> String {
        let mut claims = Claims::of(self.text("sub")).algorithm(self.algorithm).expires_in(lifetime);
        for name in ["sub", "aud"] {
            claims = claims.without(name);
        }
        if let Some(typ) = &self.typ {
            claims = claims.typ(Some(typ));
        }
        for (name, value) in &self.claims {
            if !OF_THE_MOMENT.contains(&name.as_str()) {
                claims = claims.claim(name, value.clone());
            }
        }
        idp.mint(claims)
    }

    /// Writes a new token to `NAME.jwt` in `folder`, as an agent of the identity provider does on a user's machine.
    pub(crate) fn renew(&self, idp: &Idp, lifetime: Duration, folder: &Path) -> Outcome {
        let file = folder.join(format!("{}.jwt", self.name));
        let new = file.with_extension("new");
        std::fs::write(&new, self.token(idp, lifetime))?;
        std::fs::rename(new, file)?;
        Ok(())
    }
}

/// Writes new tokens for all callers before the present ones expire, for ever.
pub(crate) async fn keep_fresh(people: &[Person], idp: &Idp, lifetime: Duration, folder: &Path) -> Outcome {
    loop {
        for person in people {
            person.renew(idp, lifetime, folder)?;
        }
        tokio::time::sleep(lifetime / 2).await;
    }
}
