//! `--serve`: what to paste into another shell, and what happens while clients call.

use std::collections::BTreeSet;
use std::io::Write as _;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::console::{self, Command};
use crate::ground::Ground;
use crate::paint::{BAD, FAINT, GOOD, STRONG, heading};
use crate::people::{self, Person};
use crate::{Outcome, bill, paste};

/// Serves until a signal or `q`, then prints the bill. The variables are those of the caller `user`.
pub(crate) async fn until_stopped(ground: &Ground, user: Option<&str>) -> Outcome {
    let chosen = chosen(&ground.people, user)?;
    paste::write(ground)?;
    let mut terminated = signal(SignalKind::terminate())?;
    introduce(ground, chosen)?;
    let (folder, idp) = (ground.bed.folder(), &ground.bed.standin.idp);
    let mut renewing = Box::pin(people::keep_fresh(&ground.people, idp, ground.lifetime, folder));
    let mut commands = console::commands();
    let mut revoked = BTreeSet::new();
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => break interrupted?,
            _ = terminated.recv() => break,
            renewed = &mut renewing => renewed?,
            Some(command) = commands.recv() => match command {
                Command::Quit => break,
                Command::Bill => bill::print(&ground.bed.standin.bill),
                Command::Revoke(name) => {
                    let name = name.as_deref().unwrap_or(&chosen.name);
                    match self::chosen(&ground.people, Some(name)) {
                        Ok(person) => turn(ground, person, &mut revoked).await?,
                        Err(error) => anstream::println!("{BAD}{error}{BAD:#}"),
                    }
                }
                Command::Unknown(text) => println!("\"{text}\" is no command.\n{}", keys(&chosen.name)),
            }
        }
    }
    ground.gateway.flush();
    bill::print(&ground.bed.standin.bill);
    Ok(())
}

/// The caller of this name; the first if there is no name.
fn chosen<'p>(people: &'p [Person], name: Option<&str>) -> Outcome<&'p Person> {
    let found = people.iter().find(|person| name.is_none_or(|name| person.name == name));
    found.ok_or_else(|| {
        let names: Vec<_> = people.iter().map(|person| person.name.as_str()).collect();
        format!("there is no caller \"{}\"; there are {}", name.unwrap_or_default(), names.join(", ")).into()
    })
}

fn keys(name: &str) -> String {
    format!("Keys, then Enter: r revokes or restores {name}, b prints the bill, q stops.")
}

/// Prints addresses, variables and examples.
fn introduce(ground: &Ground, chosen: &Person) -> Outcome {
    let folder = ground.bed.folder();
    anstream::println!("{STRONG}The gateway serves. Ctrl-C stops it and prints the bill.{STRONG:#}\n");
    for (name, value) in [
        ("callers", ground.endpoint()?),
        ("probe", format!("http://{}/readyz and /metrics", ground.probe()?)),
        ("admin", format!("http://{}/sessions", ground.admin()?)),
        ("files", format!("{}: gateway.toml, ca.pem, and NAME.jwt with fresh tokens", folder.display())),
    ] {
        anstream::println!("  {FAINT}{name:<9}{FAINT:#}{value}");
    }
    heading(&format!("Paste this into another shell (bash or zsh), to call as {}:", chosen.name));
    println!("\n{}", paste::variables(ground, chosen)?.trim_end());
    heading("Then run, for example:");
    println!("  aws bedrock-runtime converse --model-id \"$ANTHROPIC_MODEL\" \\");
    println!("    --messages '[{{\"role\":\"user\",\"content\":[{{\"text\":\"hello\"}}]}}]'");
    println!("  pip install -r examples/clients/requirements.txt");
    println!("  python examples/clients/boto3_converse.py");
    println!("  claude -p hello");
    println!("  codex exec --skip-git-repo-check hello");
    for other in ground.people.iter().filter(|person| person.name != chosen.name) {
        let file = paste::quoted(&folder.join(format!("{}.env", other.name)));
        anstream::println!("\n{STRONG}To call as {}:{STRONG:#}  . {file}", other.name);
    }
    println!("\n{}", keys(&chosen.name));
    heading("Requests, as they come:");
    Ok(std::io::stdout().flush()?)
}

/// Revokes the access of a caller at the admin port, or restores it.
async fn turn(ground: &Ground, person: &Person, revoked: &mut BTreeSet<String>) -> Outcome {
    let restore = revoked.contains(&person.name);
    let mut entry = json!({ "issuer": person.issuer, "subject": person.text("sub"), "cut_streams": true });
    if restore {
        // A revocation that has ended already takes the place of the one before.
        entry["until"] = "2000-01-01T00:00:00Z".into();
    }
    let request = Request::post("/sessions/revoke").header(header::CONTENT_TYPE, "application/json");
    let answer = bedrock_bed::send(ground.admin()?, request.body(Full::new(Bytes::from(entry.to_string())))?);
    let answer = answer.await;
    if !answer.status().is_success() {
        anstream::println!("{BAD}the admin port answers {}{BAD:#}", answer.status());
    } else if restore {
        revoked.remove(&person.name);
        anstream::println!("{GOOD}{} has access again{GOOD:#}", person.name);
    } else {
        revoked.insert(person.name.clone());
        anstream::println!("{BAD}{} is revoked; type r again to restore the access{BAD:#}", person.name);
    }
    Ok(())
}
