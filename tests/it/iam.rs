//! The command `iam`: what it prints and writes, and that `deploy/iam` is what it writes for `config/gateway.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::{Ended, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const CONFIG: &str = r#"
[listen]
http = "127.0.0.1:8080"
[aws]
region = "eu-central-1"
[[issuer]]
name = "okta"
url = "https://acme.okta.com"
audiences = ["a"]
[issuer.session]
name = "claims.email"
[issuer.session.tags]
team = "claims.team"
[[role]]
arn = "arn:aws:iam::123456789012:role/User"
models = ["eu.*"]
"#;

/// A folder with a configuration.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(config: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::write(desk.0.path().join("gateway.toml"), config).unwrap();
        desk
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn iam(&self, arguments: &[&str]) -> Ended {
        run(&[&["iam", "--config", &self.path("gateway.toml")], arguments].concat(), "")
    }

    /// The names of everything in the folder.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The files below a folder: relative path and text.
fn below(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
}

/// The only file of `deploy/iam` that is written by hand.
const README: &str = "README.md";

/// The flags of `deploy/iam`, which docs/IAM.md shows as well.
const DEPLOYED: [&str; 6] = [
    "iam",
    "--config=config/gateway.toml",
    "--gateway-role=arn:aws:iam::123456789012:role/BedrockGateway",
    "--break-glass=arn:aws:iam::*:role/BreakGlass",
    "--format=json",
    "--out",
];

#[test]
fn deploy_iam_is_what_the_command_writes_for_the_reference_configuration() {
    let room = tempfile::tempdir().unwrap();
    let (out, deployed) = (room.path().join("iam"), Path::new(ROOT).join("deploy/iam"));
    let mut command = crate::process::binary();
    command.current_dir(ROOT).args(DEPLOYED).arg(&out);
    let ended = crate::process::run_with(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let (mut written, mut kept) = (BTreeMap::new(), BTreeMap::new());
    below(&out, &out, &mut written);
    if std::env::var_os("BLESS").is_some() {
        below(&deployed, &deployed, &mut kept);
        for name in kept.keys().filter(|name| *name != README) {
            fs::remove_file(deployed.join(name)).unwrap();
        }
        kept.clear();
        for (name, text) in &written {
            let path = deployed.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    below(&deployed, &deployed, &mut kept);
    assert!(kept.remove(README).is_some(), "deploy/iam has no {README}");
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    let remedy = "write them again with BLESS=1 cargo test --test it iam, and read the difference";
    assert_eq!(names(&written), names(&kept), "{remedy}");
    for (name, text) in &written {
        assert_eq!(Some(text), kept.get(name), "{name}: {remedy}");
    }
    let shown = include_str!("../../docs/IAM.md");
    assert!(DEPLOYED[2..4].iter().all(|flag| shown.contains(&flag.replace('=', " "))), "docs/IAM.md");
}

#[test]
fn without_a_folder_json_is_one_object_and_other_forms_are_listed() {
    let desk = Desk::new(CONFIG);
    let ended = desk.iam(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("note: ") && ended.err.contains("--break-glass"), "{}", ended.err);
    let all: Value = serde_json::from_str(&ended.out).unwrap();
    let trust = &all["123456789012"]["User-trust.json"];
    assert_eq!(trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::123456789012:role/BedrockGateway");
    for (form, name) in [("cloudformation", "template.json"), ("terraform", "main.tf")] {
        let ended = desk.iam(&["--format", form]);
        assert!(ended.out.contains(&format!("# 123456789012/{name}\n")), "{}", ended.out);
    }
    assert_eq!(desk.names(), ["gateway.toml"]);
}

#[test]
fn a_folder_is_written_for_each_form_and_may_be_written_again() {
    let desk = Desk::new(CONFIG);
    for (form, name) in
        [("json", "gateway-role.json"), ("cloudformation", "template.json"), ("terraform", "main.tf")]
    {
        let out = desk.path(form);
        for _ in 0..2 {
            let ended = desk.iam(&["--format", form, "--runs-on", "ecs", "--out", &out]);
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            assert!(ended.out.contains(&format!("{out}/123456789012/{name}\n")), "{}", ended.out);
        }
        assert!(Path::new(&out).join("123456789012").join(name).is_file());
    }
    assert_eq!(desk.names(), ["cloudformation", "gateway.toml", "json", "terraform"]);
}

#[test]
fn bad_input_has_one_message_with_the_remedy_and_writes_nothing() {
    let two = format!("{CONFIG}[[role]]\narn = \"arn:aws:iam::210987654321:role/Other\"\n")
        .replace("models = [", "when = \"claims.a\"\nmodels = [");
    let irsa = ["--runs-on", "irsa", "--out", "out"];
    let cases: [(String, &[&str], i32, &str); 8] = [
        (CONFIG.split("[[role]]").next().unwrap().into(), &[], 1, "there is no role"),
        (CONFIG.replace("eu.*", "claude-3"), &[], 1, "\"claude-3\" matches nothing"),
        (two, &[], 1, "pass --gateway-role, for example arn:aws:iam::123456789012:role/BedrockGateway"),
        (CONFIG.into(), &["--gateway-role", "arn:aws-cn:iam::123456789012:role/G"], 1, "partition aws"),
        (CONFIG.into(), &["--break-glass", "Admin"], 2, "the ARN of a role"),
        (CONFIG.into(), &["--async-output", "acme/async"], 2, "s3://BUCKET/PREFIX"),
        (CONFIG.into(), &irsa, 2, "--runs-on irsa needs --oidc-provider"),
        (CONFIG.into(), &["--no-session-tags"], 2, "--runs-on pod-identity only"),
    ];
    for (config, arguments, code, says) in cases {
        let desk = Desk::new(&config);
        let mut arguments = arguments.to_vec();
        let out = desk.path("out");
        if !arguments.contains(&"--out") {
            arguments.extend(["--out", &out]);
        }
        let ended = desk.iam(&arguments);
        assert_eq!(ended.code, Some(code), "{says}: {}", ended.err);
        assert!(
            ended.err.split_whitespace().collect::<Vec<_>>().join(" ").contains(says),
            "{says}: {}",
            ended.err
        );
        assert_eq!((ended.out.as_str(), desk.names()), ("", vec!["gateway.toml".to_owned()]), "{says}");
    }
}

#[test]
fn a_folder_that_holds_other_files_stays_as_it_is() {
    let desk = Desk::new(CONFIG);
    let out = desk.path("");
    let ended = desk.iam(&["--out", &out]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("gateway.toml; pass an empty folder"), "{}", ended.err);
    assert_eq!(desk.names(), ["gateway.toml"]);
    let ended = desk.iam(&["--out", &desk.path("gateway.toml")]);
    assert!(ended.err.contains("is a file; pass a folder"), "{}", ended.err);
    assert_eq!(ended.code, Some(1));
}
