//! The name of a model on the bill, and its price.

/// The product that a model id is charged as.
///
/// The names follow AWS's examples. The prices are invented: they are about as high as the real ones, and the same in
/// every region at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Product {
    /// The name in usage types: `Claude4.6Sonnet`, `Nova2.0Lite`, `gpt-oss-120b`.
    pub(super) name: String,
    /// The name in the `product` map.
    pub(super) model: String,
    pub(super) provider: String,
    /// Whether it is sold through the Marketplace, as Claude is. Its product code does not show that.
    pub(super) marketplace: bool,
    pub(super) prices: Prices,
}

/// Prices in billionths of a US dollar per token, that is thousandths of a dollar per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prices {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) cache_read: u64,
    pub(super) cache_write: u64,
}

const OPUS: Prices = Prices { input: 5_000, output: 25_000, cache_read: 500, cache_write: 6_250 };
const SONNET: Prices = Prices { input: 3_000, output: 15_000, cache_read: 300, cache_write: 3_750 };
const HAIKU: Prices = Prices { input: 1_000, output: 5_000, cache_read: 100, cache_write: 1_250 };
const NOVA: Prices = Prices { input: 300, output: 2_500, cache_read: 75, cache_write: 300 };
const OTHER: Prices = Prices { input: 200, output: 600, cache_read: 50, cache_write: 200 };

/// The model of every application inference profile.
const PROFILED: &str = "anthropic.claude-sonnet-4-6-v1:0";

impl Product {
    /// The product of a model id, an inference profile id, or an ARN.
    pub(super) fn of(model: &str) -> Self {
        if model.contains(":application-inference-profile/") {
            return Self::of(PROFILED);
        }
        let id = model.rsplit('/').next().unwrap_or(model);
        let id = Scope::of(id).without_prefix(id);
        let (provider, rest) = id.split_once('.').unwrap_or(("custom", id));
        match (provider, rest.split_once('-')) {
            ("anthropic", Some(("claude", rest))) => Self::claude(rest),
            ("amazon", Some(("nova", rest))) => Self::nova(rest),
            _ => None,
        }
        .unwrap_or_else(|| Self::other(provider, rest))
    }

    /// Reads `sonnet-4-6-v1:0`, or the older form `3-5-sonnet-20241022-v2:0`.
    fn claude(rest: &str) -> Option<Self> {
        let (family, prices) = rest.split('-').find_map(|part| match part {
            "opus" => Some(("Opus", OPUS)),
            "sonnet" => Some(("Sonnet", SONNET)),
            "haiku" => Some(("Haiku", HAIKU)),
            _ => None,
        })?;
        let version: Vec<_> =
            rest.split('-').filter(|part| part.len() <= 2 && part.parse::<u8>().is_ok()).collect();
        let version = version.join(".");
        Some(Self {
            name: format!("Claude{version}{family}"),
            model: format!("Claude {family} {version}"),
            provider: "Anthropic".to_owned(),
            marketplace: true,
            prices,
        })
    }

    /// Reads `2-lite-v1:0`, or `lite-v1:0` of the first generation.
    fn nova(rest: &str) -> Option<Self> {
        let mut parts = rest.split('-');
        let first = parts.next()?;
        let (version, size) = match first.parse::<u8>() {
            Ok(version) => (format!("{version}.0"), parts.next()?),
            Err(_) => (String::new(), first),
        };
        let mut letters = size.chars();
        let size: String = letters.next()?.to_uppercase().chain(letters).collect();
        Some(Self {
            name: format!("Nova{version}{size}"),
            model: ["Nova", &version, &size]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(" "),
            provider: "Amazon".to_owned(),
            marketplace: false,
            prices: NOVA,
        })
    }

    /// A product that is named by its id without the version.
    fn other(provider: &str, rest: &str) -> Self {
        let name = match rest.rsplit_once('-') {
            Some((name, version))
                if version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()) =>
            {
                name
            }
            _ => rest,
        };
        Self {
            name: name.to_owned(),
            model: name.to_owned(),
            provider: provider.to_owned(),
            marketplace: false,
            prices: OTHER,
        }
    }
}

/// The regions that may serve a call, according to the model id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The region it was sent to.
    Region,
    /// The regions of one part of the world, with an inference profile such as `us.…`.
    Geo,
    /// All regions, with `global.…`.
    Global,
}

impl Scope {
    pub(super) fn of(model: &str) -> Self {
        let id = model.rsplit('/').next().unwrap_or(model);
        match id.split_once('.') {
            Some(("global", _)) => Self::Global,
            Some(("us" | "us-gov" | "eu" | "apac" | "au" | "ca" | "jp", _)) => Self::Geo,
            _ => Self::Region,
        }
    }

    /// The suffix of usage types.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Region => "",
            Self::Geo => "-cross-region-geo",
            Self::Global => "-cross-region-global",
        }
    }

    fn without_prefix(self, id: &str) -> &str {
        match self {
            Self::Region => id,
            Self::Geo | Self::Global => id.split_once('.').map_or(id, |(_, rest)| rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_have_the_names_of_the_bill() {
        for (id, name) in [
            ("anthropic.claude-sonnet-4-6-v1:0", "Claude4.6Sonnet"),
            ("us.anthropic.claude-opus-4-6-v1", "Claude4.6Opus"),
            ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "Claude4.5Haiku"),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", "Claude3.5Sonnet"),
            ("amazon.nova-2-lite-v1:0", "Nova2.0Lite"),
            ("eu.amazon.nova-pro-v1:0", "NovaPro"),
            ("openai.gpt-oss-120b-1:0", "gpt-oss-120b"),
            ("anthropic.claude-instant-v1", "claude-instant"),
            ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "NovaLite"),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0", "NovaLite"),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abcdefghijkl", "Claude4.6Sonnet"),
            ("m", "m"),
        ] {
            assert_eq!(Product::of(id).name, name, "{id}");
        }
        assert_eq!(Product::of("anthropic.claude-opus-4-6-v1").model, "Claude Opus 4.6");
        assert_eq!(Product::of("amazon.nova-2-lite-v1:0").model, "Nova 2.0 Lite");
        assert_eq!(Product::of("amazon.nova-lite-v1:0").model, "Nova Lite");
    }
}
