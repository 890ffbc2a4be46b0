//! `--config`: the operator's own configuration, with as little replaced as the stand-in needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bedrock_bed::Bed;
use bedrock_gateway::auth::issuer::IssuerSettings;
use bedrock_gateway::config::{Config, File};
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_standin::idp::Algorithm;
use bedrock_standin::sts::RoleSpec;
use bedrock_standin::{Options, Standin};
use serde_json::{Map, Value};
use toml::Table;

use crate::Outcome;
use crate::ground::Ground;
use crate::paint::{BAD, FAINT, heading};
use crate::people::Person;

/// Starts a gateway with the configuration in `file`, for the callers whose claims are in `claims`.
pub(crate) async fn start(
    file: &Path,
    claims: &[PathBuf],
    lifetime: Duration,
    log: AccessLog,
) -> Outcome<Ground> {
    let original = File::read(file)?;
    let config = original.parse()?;
    let mut table: Table = std::str::from_utf8(&original.content)?.trim_start_matches('\u{feff}').parse()?;
    let people = people(&config, &table, claims)?;

    let standin = Standin::start(Options {
        region: config.aws.region.clone(),
        further_regions: config.aws.all_regions().skip(1).map(str::to_owned).collect(),
        ..Options::default()
    });
    for role in &config.mapping.roles {
        let longest = Duration::from_secs(12 * 3600);
        standin.sts.add_role(RoleSpec { max_duration: longest, ..RoleSpec::new(role.arn.as_str()) });
    }
    let bed = Bed::around(standin);
    let keys = bed.folder().join("signing-keys.json");
    std::fs::write(&keys, bed.standin.idp.jwks().to_string())?;
    let replaced = replace(&mut table, &config, file, &bed)?;
    let own = bed.folder().join("gateway.toml");
    std::fs::write(&own, toml::to_string(&table)?)?;
    heading(&format!("Your {}, with these replacements and no others", file.display()));
    for (name, what) in replaced {
        anstream::println!("  {FAINT}{name:<9}{FAINT:#}{what}");
    }
    for warning in &config.warnings {
        anstream::println!("  {BAD}warning{BAD:#}  {warning}");
    }
    println!();
    Ground::serve(bed, &own, log, config.aws.region.clone(), people, lifetime).await
}

/// Replaces what is not on this machine. Returns what was replaced, in words.
fn replace(
    table: &mut Table,
    config: &Config,
    file: &Path,
    bed: &Bed,
) -> Outcome<Vec<(&'static str, String)>> {
    let of_bed = |name: &str| bed.folder().join(name).display().to_string();
    let mut replaced = Vec::new();

    let listen = section(table, "listen")?;
    for address in ["https", "probe", "admin"] {
        listen.insert(address.to_owned(), "127.0.0.1:0".into());
    }
    listen.remove("http");
    listen.remove("admin_token_file");
    listen.remove("balancers");
    listen.insert("tls".to_owned(), pairs([("cert", of_bed("tls.crt")), ("key", of_bed("tls.key"))]).into());
    replaced.push(("listen", "ports of loopback, a certificate of the stand-in's CA".to_owned()));

    let standin = &bed.standin;
    let bedrock = || {
        pairs([
            ("bedrock_runtime", standin.bedrock.url()),
            ("bedrock", standin.control.url()),
            ("bedrock_mantle", standin.mantle.url()),
            ("ca", of_bed("ca.pem")),
        ])
    };
    let mut endpoints = bedrock();
    endpoints.insert("sts".to_owned(), standin.sts.url().into());
    let regions: Vec<_> = config.aws.all_regions().collect();
    let elsewhere: Table =
        regions.iter().skip(1).map(|region| ((*region).to_owned(), bedrock().into())).collect();
    let aws = section(table, "aws")?;
    aws.insert("endpoints".to_owned(), endpoints.into());
    aws.insert("region_endpoints".to_owned(), elsewhere.into());
    replaced.push(("aws", format!("the stand-in's STS and Bedrock, in {}", regions.join(" and "))));

    for issuer in issuers(table) {
        issuer.remove("jwks_url");
        issuer.remove("ca");
        issuer.insert("jwks_file".to_owned(), of_bed("signing-keys.json").into());
    }
    let names: Vec<_> = config.issuers.iter().map(|issuer| issuer.name.to_string()).collect();
    replaced.push(("issuer", format!("signing keys of {}; tokens keep iss and aud", names.join(" and "))));

    if let Some(deny) = &config.revoke {
        // The copy of the configuration is in another folder.
        let beside = file.with_file_name("").join(deny);
        let found = [deny.clone(), beside].into_iter().find(|path| path.exists());
        let (path, words) = match found.and_then(|path| std::path::absolute(path).ok()) {
            Some(path) => (path.display().to_string(), "only its path is written in full"),
            None => (of_bed("deny.toml"), "an empty deny file, because yours is not here"),
        };
        section(table, "revoke")?.insert("file".to_owned(), path.into());
        replaced.push(("revoke", words.to_owned()));
    }
    if table.remove("log").is_some() {
        replaced.push(("log", "requests are shown here; no file is written".to_owned()));
    }
    Ok(replaced)
}

/// The table of this name, which is made if it is missing.
fn section<'t>(table: &'t mut Table, name: &str) -> Outcome<&'t mut Table> {
    let entry = table.entry(name).or_insert_with(|| Table::new().into());
    entry.as_table_mut().ok_or_else(|| format!("{name} is no table").into())
}

fn issuers(table: &mut Table) -> impl Iterator<Item = &mut Table> {
    let issuers = table.get_mut("issuer").and_then(toml::Value::as_array_mut);
    issuers.into_iter().flatten().filter_map(toml::Value::as_table_mut)
}

fn pairs<const N: usize>(members: [(&str, String); N]) -> Table {
    members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The callers in these files and folders.
fn people(config: &Config, table: &Table, claims: &[PathBuf]) -> Outcome<Vec<Person>> {
    let mut people: Vec<Person> = Vec::new();
    for file in files(claims)? {
        let person = person(config, table, &file).map_err(|error| format!("{}: {error}", file.display()))?;
        if people.iter().any(|other| other.name == person.name) {
            return Err(format!("{}: another claims file is named {}", file.display(), person.name).into());
        }
        people.push(person);
    }
    Ok(people)
}

/// The files, with the JSON files of a folder in its place.
fn files(claims: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in claims {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries: Vec<_> = std::fs::read_dir(path)?.collect::<Result<_, _>>()?;
        let mut found: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
        found.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        if found.is_empty() {
            return Err(format!("{}: there is no JSON file in this folder", path.display()).into());
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Reads claims, or a case of `bedrock-gateway check --cases`, which also has what the gateway makes of them.
fn person(config: &Config, table: &Table, file: &Path) -> Outcome<Person> {
    let text = std::fs::read_to_string(file)?;
    let mut claims: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| format!("not a JSON object of claims: {error}"))?;
    let mut name = None;
    if claims.contains_key("expect")
        && let Some(Value::Object(of_case)) = claims.remove("claims")
    {
        name = claims.get("issuer").and_then(Value::as_str).map(str::to_owned);
        claims = of_case;
    }
    let place = place(config, name.as_deref(), &claims)?;
    claims.entry("iss").or_insert_with(|| config.issuers[place].url.clone().into());
    let issuer = table.get("issuer").and_then(|issuers| issuers.get(place));
    let first = |key: &str| issuer?.get(key)?.get(0)?.as_str();
    let algorithm = first("algorithms").unwrap_or("RS256");
    let algorithm = Algorithm::ALL.into_iter().find(|known| known.as_str() == algorithm);
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Person {
        name: name.split('.').next().unwrap_or_default().to_owned(),
        issuer: config.issuers[place].name.to_string(),
        claims,
        algorithm: algorithm.unwrap_or(Algorithm::RS256),
        typ: first("types").map(str::to_owned),
    })
}

/// The place of the issuer with this name or, without a name, of the one that the claims name.
fn place(config: &Config, name: Option<&str>, claims: &Map<String, Value>) -> Outcome<usize> {
    let find = |wanted: &dyn Fn(&IssuerSettings) -> bool, missing: &dyn Fn(String) -> String| {
        let known = || config.issuers.iter().map(|issuer| format!("{} ({})", issuer.name, issuer.url));
        let found = config.issuers.iter().position(wanted);
        found.ok_or_else(|| missing(known().collect::<Vec<_>>().join(", ")).into())
    };
    if let Some(name) = name {
        return find(&|issuer| *issuer.name == *name, &|known| {
            format!("no issuer is named {name}; the configuration has {known}")
        });
    }
    let iss = claims.get("iss").and_then(Value::as_str);
    let iss = iss.ok_or("the claim iss is missing; it selects the issuer")?;
    find(&|issuer| issuer.url == iss, &|known| {
        format!("iss is \"{iss}\", which is the url of no issuer; the configuration has {known}")
    })
}
