//! The way from nothing to an attributed call, as `docs/SET-UP.md` shows it: `init`, `check`, `explain`, `iam`, `doctor`
//! and `serve` in one go. The stand-in takes AWS's place, and decides by the policies that `iam` printed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bedrock_bed::{Bed, Process, free_addresses, send, until};
use bedrock_standin::iam::PolicyDocument;
use bedrock_standin::sts::RoleSpec;
use serde_json::json;

use crate::process::{binary, ended};
use crate::world::{CONVERSE, HELLO, post, read};

const GATEWAY: &str = "arn:aws:iam::111122223333:role/BedrockGateway";
const USER: &str = "arn:aws:iam::123456789012:role/BedrockUser";
/// An operator types at most as many commands.
const MOST_COMMANDS: usize = 12;

/// The commands that were typed, and what they printed.
struct Transcript<'a> {
    bed: &'a Bed,
    text: String,
    commands: usize,
}

impl Transcript<'_> {
    /// A command of the gateway, run in the folder of the bed. Returns its code.
    async fn types(&mut self, arguments: &[&str], aside: &[&str]) -> Option<i32> {
        let mut command = self.command(arguments, aside);
        let child = Process::spawn(&mut command);
        let (code, out, err) = tokio::task::spawn_blocking(move || ended(child)).await.unwrap();
        self.text.push_str(&out);
        self.text.push_str(&err);
        self.text.push('\n');
        code
    }

    /// A remark in the transcript.
    fn says(&mut self, words: &str) {
        writeln!(self.text, "# {words}\n").unwrap();
    }

    /// Notes the command line. `aside` are arguments that only the stand-in needs.
    fn command(&mut self, arguments: &[&str], aside: &[&str]) -> Command {
        self.commands += 1;
        let quoted = |argument: &&str| {
            if argument.contains([' ', '*', '\'']) { format!("'{argument}'") } else { (*argument).to_owned() }
        };
        let line: Vec<String> = arguments.iter().map(quoted).collect();
        let more = if aside.is_empty() { "" } else { " $STANDIN" };
        writeln!(self.text, "$ bedrock-gateway {}{more}", line.join(" ")).unwrap();
        let mut command = binary();
        command.args(arguments).args(aside).current_dir(self.bed.folder()).stdin(Stdio::null());
        self.bed.lend_credentials(&mut command);
        command
    }
}

/// Puts the policies of `iam` into the stand-in's accounts, as an administrator would by the steps.
fn apply(bed: &Bed, folder: &Path) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let of_gateway = PolicyDocument::identity(&read("111122223333/gateway-role.json")).unwrap();
    bed.standin.credentials.iam().set_permissions(GATEWAY, vec![of_gateway]);
    bed.standin.sts.add_role(RoleSpec {
        trust: Some(PolicyDocument::trust(&read("123456789012/BedrockUser-trust.json")).unwrap()),
        permissions: Some(vec![
            PolicyDocument::identity(&read("123456789012/BedrockUser-permissions.json")).unwrap(),
        ]),
        ..RoleSpec::new(USER)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_an_attributed_call() {
    let bed = Bed::start();
    bed.standin.sts.set_gateway_role(GATEWAY);
    // Before its policies are applied, the role trusts no principal.
    bed.standin.credentials.iam().set_permissions(GATEWAY, Vec::new());
    let claims = bedrock_standin::idp::Claims::of("alice")
        .claim("email", "alice@acme.org")
        .claim("email_verified", true)
        .claim("team", "search");
    std::fs::write(bed.folder().join("alice.jwt"), bed.standin.idp.mint(claims)).unwrap();
    let [http] = free_addresses();
    let (issuer, listen) = (bed.standin.idp.issuer(), format!("http://{http}"));
    let endpoints = [
        format!("sts={}", bed.standin.sts.url()),
        format!("bedrock_runtime={}", bed.standin.bedrock.url()),
        format!("bedrock={}", bed.standin.control.url()),
        format!("bedrock_mantle={}", bed.standin.mantle.url()),
    ];
    let aside: Vec<&str> = endpoints.iter().flat_map(|endpoint| ["--endpoint", endpoint]).collect();
    let mut desk = Transcript { bed: &bed, text: String::new(), commands: 0 };

    let init = [
        "init",
        "--issuer",
        "oidc",
        "--issuer-url",
        &issuer,
        "--audience",
        "bedrock-gateway",
        "--account",
        "123456789012",
        "--region",
        "us-east-1",
        "--role",
        "BedrockUser",
        "--tag",
        "team=team",
        "--model",
        "us.anthropic.*",
        "--listen",
        &listen,
        "--token",
        "alice.jwt",
        "--yes",
    ];
    assert_eq!(desk.types(&init, &aside).await, Some(0), "{}", desk.text);
    assert_eq!(desk.types(&["check", "gateway.toml"], &[]).await, Some(0), "{}", desk.text);
    let explain = ["explain", "-c", "gateway.toml", "--token", "alice.jwt"];
    assert_eq!(desk.types(&explain, &[]).await, Some(0), "{}", desk.text);
    let iam = [
        "iam",
        "-c",
        "gateway.toml",
        "--gateway-role",
        GATEWAY,
        "--break-glass",
        "arn:aws:iam::*:role/Admin",
        "--out",
        "iam",
    ];
    assert_eq!(desk.types(&iam, &[]).await, Some(0), "{}", desk.text);
    let doctor = ["doctor", "-c", "gateway.toml", "--token", "alice.jwt"];
    assert_eq!(desk.types(&doctor, &[]).await, Some(1), "before the policies are applied\n{}", desk.text);
    desk.says("the administrator does the steps of iam/111122223333/steps.md, then those of iam/123456789012/steps.md");
    apply(&bed, &bed.folder().join("iam"));
    let doctor = [&doctor[..], &["--invoke", "us.anthropic.claude-sonnet-4-6-v1:0"]].concat();
    assert_eq!(desk.types(&doctor, &[]).await, Some(0), "{}", desk.text);

    let mut serve = desk.command(&["serve", "-c", "gateway.toml"], &[]);
    let _gateway = Process::spawn(serve.stdout(Stdio::null()).stderr(Stdio::null()));
    let token = std::fs::read_to_string(bed.folder().join("alice.jwt")).unwrap();
    let status = until("an answer", async || {
        tokio::net::TcpStream::connect(http).await.ok()?;
        let answer = read(send(http, post(CONVERSE, &token, HELLO)).await).await;
        (answer.status != 503).then_some(answer.status.as_u16())
    })
    .await;
    assert_eq!(status, 200);
    let principal = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";
    assert!(bed.standin.bill.rows().iter().all(|row| json!(row).to_string().contains(principal)));
    assert!(desk.commands <= MOST_COMMANDS);
    desk.says("alice calls Converse: 200, and the bill names her");
    let text = desk.text.replace(&listen, "http://127.0.0.1:8080").replace(&issuer, "http://127.0.0.1:9000");
    compare(&text);
}

/// Compares the transcript with the one in `docs/SET-UP.md`. With `BLESS` in the environment, writes it there.
fn compare(text: &str) {
    const BEGIN: &str = "```text\n";
    const END: &str = "\n```\n";
    // The id of a token is another one in each run.
    let same = |line: &str| if line.starts_with("jti ") { "jti" } else { line }.to_owned();
    let text = text.trim().lines().map(same).filter(|line| line != "jti").collect::<Vec<_>>().join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SET-UP.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
    } else {
        assert_eq!(text, shown, "docs/SET-UP.md differs; BLESS=1 cargo test --test it set_up");
    }
}
